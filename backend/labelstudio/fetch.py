"""Get the bytes of a task's image, from wherever its URI points."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Collection
from urllib.parse import quote, unquote_to_bytes

import httpx

from backend.labelstudio.addresses import AddressRefused, Resolver, public_addresses, resolve_host
from backend.labelstudio.client import ATTEMPTS, BACKOFF, LabelStudioClient
from backend.labelstudio.deadline import Deadline
from backend.labelstudio.errors import LabelStudioUnreachable
from backend.labelstudio.patience import Patience
from backend.labelstudio.transport import describe, make_transport, timeouts

MAX_HOPS = 5
CLOUD_SCHEMES = frozenset({"s3", "s3s", "gs", "azure-blob", "azure_spi", "dbx"})
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "lineup"}
_PORTS = {"http": 80, "https": 443}


class ImageFetchError(Exception):
    """An image that cannot be had; costs its own task only.

    Parameters
    ----------
    task_id : int
    uri : str
        As it stands in the task.
    why : str
    """

    def __init__(self, task_id: int, uri: str, why: str) -> None:
        self.task_id = task_id
        self.uri = uri
        self.why = why
        super().__init__(f"task {task_id}: image {_short(uri)}: {why}")


class ImageFetcher:
    """Fetch images by URI; safe under several threads.

    The token goes to Label Studio's own scheme, host and port, and nowhere else. Every other host must have
    public addresses only, redirects included, unless it is allowed; the connection is made to the address that
    was checked.

    Parameters
    ----------
    client : LabelStudioClient
        Its address and credentials are used, its connections are not.
    allow_hosts : collection of str
        Host names or addresses, with or without a port, that may have private addresses.
    max_bytes : int
        Largest image, in bytes.
    timeout : float
        Seconds to wait for the next bytes.
    deadline : float
        Seconds for a whole image, redirects and all.
    resolver : callable
        Host and port to addresses.
    """

    def __init__(
        self,
        client: LabelStudioClient,
        *,
        allow_hosts: Collection[str] = (),
        max_bytes: int = 50_000_000,
        timeout: float = 30.0,
        deadline: float = 120.0,
        resolver: Resolver = resolve_host,
    ) -> None:
        self._credentials = client.credentials
        self._base = client.url
        self._origin = _origin(httpx.URL(client.url))
        self._allowed = frozenset(host.lower() for host in allow_hosts)
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._deadline = deadline
        self._resolver = resolver
        self._transport = make_transport()
        self._patience = Patience()

    def close(self) -> None:
        """Close open connections."""
        self._transport.close()

    def fetch(self, uri: str, task_id: int, project_id: int) -> bytes:
        """Return the bytes behind an image URI.

        Parameters
        ----------
        uri : str
            ``/data/...`` of Label Studio (uploads, local files), ``http(s)://``, ``data:``, or a cloud storage
            URI (``s3://``, ``gs://``, ``azure-blob://``), which Label Studio presigns.
        task_id : int
            The task that has the image; Label Studio presigns with its project's storage.
        project_id : int
            The task's project.

        Raises
        ------
        ImageFetchError
            If this image cannot be had.
        LabelStudioError
            If Label Studio does not answer or refuses the token: no image is to blame.
        """
        try:
            if uri[:5].lower() == "data:":
                return self._decode_data_uri(uri)
            return self._get(self._locate(uri, task_id))
        except _Refused as error:
            raise ImageFetchError(task_id, uri, str(error)) from error
        except (httpx.InvalidURL, ValueError) as error:  # UnicodeError is a ValueError
            raise ImageFetchError(task_id, uri, f"its URI is not valid ({error})") from error

    def _locate(self, uri: str, task_id: int) -> httpx.URL:
        scheme = uri.split(":", 1)[0].lower() if ":" in uri else ""
        if scheme in CLOUD_SCHEMES:
            encoded = quote(base64.b64encode(uri.encode()).decode(), safe="")
            return httpx.URL(f"{self._base}/tasks/{task_id}/presign/?fileuri={encoded}")
        if uri.startswith("/") and not uri.startswith("//"):
            return httpx.URL(self._base + uri)
        if scheme in _PORTS:
            return _parse(uri)
        raise _Refused(
            "Lineup cannot fetch such a URI; it must be an upload, a storage file or an http(s) URL"
        )

    def _get(self, url: httpx.URL) -> bytes:
        with Deadline(self._deadline) as deadline:
            for _ in range(MAX_HOPS):
                own = _origin(url) == self._origin
                response = (
                    self._from_label_studio(url, deadline) if own else self._from_elsewhere(url, deadline)
                )
                try:
                    if response.is_redirect:
                        url = _parse(str(url.join(_parse_location(response))))
                        continue
                    if response.status_code != 200:
                        raise _Refused(f"{_place(url)} answered {response.status_code}")
                    return self._read(response, deadline)
                finally:
                    response.close()
        raise _Refused(f"more than {MAX_HOPS} redirects")

    def _from_label_studio(self, url: httpx.URL, deadline: Deadline) -> httpx.Response:
        if "/api/" in url.path:
            raise _Refused("its URI is a call to Label Studio's API, not a file")
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            headers = {**self._credentials.header(), **_HEADERS}
            try:
                response = self._send(httpx.Request("GET", url, headers=headers), deadline)
            except httpx.HTTPError as error:
                if attempt == ATTEMPTS or deadline.passed:
                    if self._label_studio_answers():
                        why = deadline.message if deadline.passed else describe(error)
                        raise _Refused(f"Label Studio did not deliver it ({why})") from error
                    hint = f"Is Label Studio running, and is LABEL_STUDIO_URL right ({self._base})?"
                    raise LabelStudioUnreachable(None, "GET", url.path, describe(error), hint) from error
                time.sleep(BACKOFF * 2 ** (attempt - 1))
                continue
            status = response.status_code
            if status == 401:
                response.close()
                if not renewed and self._credentials.invalidate():
                    renewed = True
                    continue
                raise self._credentials.refused(status, "GET", url.path, "the token was refused")
            if status in (502, 503, 504):
                response.close()
                if attempt == ATTEMPTS or deadline.passed:
                    if self._label_studio_answers():
                        raise _Refused(f"Label Studio answered {status} for it")
                    hint = "It is starting, stopping or overloaded: look at its own log"
                    raise LabelStudioUnreachable(status, "GET", url.path, "it is not available", hint)
                time.sleep(BACKOFF * 2 ** (attempt - 1))
                continue
            return response

    def _label_studio_answers(self) -> bool:
        """Tell whether Label Studio itself is well, so that one image is to blame."""
        try:
            response = self._send(httpx.Request("GET", f"{self._base}/health", headers=_HEADERS))
        except httpx.HTTPError:
            return False
        response.close()
        return response.status_code == 200

    def _from_elsewhere(self, url: httpx.URL, deadline: Deadline) -> httpx.Response:
        host, port = url.host, _port(url)
        try:
            if host.lower() in self._allowed or f"{host.lower()}:{port}" in self._allowed:
                addresses = self._resolver(host, port)
            else:
                addresses = public_addresses(host, port, self._resolver)
        except (AddressRefused, OSError) as error:
            raise _Refused(str(error)) from error
        why = "no address"
        for address in addresses:
            if tired := self._patience.tired_of(address):
                why = tired
                continue
            request = httpx.Request(
                "GET",
                url.copy_with(host=address),
                headers={"Host": url.netloc.decode("ascii"), **_HEADERS},
                # the certificate is checked against the name, the connection goes to the checked address
                extensions={"sni_hostname": host},
            )
            started = time.monotonic()
            try:
                return self._send(request, deadline)
            except httpx.HTTPError as error:
                self._patience.failed(address, time.monotonic() - started)
                if deadline.passed:
                    raise _Refused(deadline.message) from error
                why = describe(error)
        raise _Refused(f"{_place(url)} cannot be reached ({why})")

    def _send(self, request: httpx.Request, deadline: Deadline | None = None) -> httpx.Response:
        request.extensions = {**request.extensions, **timeouts(self._timeout)}
        if deadline:
            request.extensions["trace"] = deadline.trace
        response = self._transport.handle_request(request)
        response.request = request
        return response

    def _read(self, response: httpx.Response, deadline: Deadline) -> bytes:
        declared = response.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise _Refused(f"it has {int(declared)} bytes; MAX_IMAGE_BYTES is {self._max_bytes}")
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise _Refused("it came compressed although that was not asked for")
        data = bytearray()
        address, started = response.request.url.host, time.monotonic()
        try:
            for chunk in response.iter_raw():
                data += chunk
                if len(data) > self._max_bytes:
                    raise _Refused(f"it has more than {self._max_bytes} bytes (MAX_IMAGE_BYTES)")
                if deadline.passed:
                    break
        except httpx.HTTPError as error:
            if not deadline.passed:
                self._patience.failed(address, time.monotonic() - started)
                raise _Refused(f"the connection broke ({describe(error)})") from error
        if deadline.passed:
            self._patience.failed(address, time.monotonic() - started)
            raise _Refused(deadline.message)
        self._patience.answered(address)
        return bytes(data)

    def _decode_data_uri(self, uri: str) -> bytes:
        head, comma, body = uri[5:].partition(",")
        if not comma:
            raise _Refused("its data: URI has no comma")
        if len(body) > 4 * self._max_bytes:
            raise _Refused(f"it has more than {self._max_bytes} bytes (MAX_IMAGE_BYTES)")
        raw = unquote_to_bytes(body)
        if head.lower().endswith(";base64"):
            try:
                raw = base64.b64decode(raw, validate=True)
            except binascii.Error as error:
                raise _Refused(f"its data: URI is not valid base64 ({error})") from error
        if len(raw) > self._max_bytes:
            raise _Refused(f"it has more than {self._max_bytes} bytes (MAX_IMAGE_BYTES)")
        return raw


class _Refused(Exception):
    """Why one image cannot be had."""


def _parse(text: str) -> httpx.URL:
    """Parse an absolute http(s) URL; what is parsed here is what is connected to."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise _Refused(f"its URL is not valid ({error})") from error
    if url.scheme not in _PORTS or not url.host:
        raise _Refused(f"it leads to a {url.scheme or 'relative'} URL; only http and https are fetched")
    if url.userinfo:
        raise _Refused("its URL carries a user name or password; use a storage of Label Studio instead")
    return url


def _parse_location(response: httpx.Response) -> str:
    location = response.headers.get("location", "")
    if not location:
        raise _Refused("a redirect without a target")
    return str(location)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host.lower(), _port(url)


def _port(url: httpx.URL) -> int:
    return url.port or _PORTS.get(url.scheme, 0)


def _place(url: httpx.URL) -> str:
    # without its query, which may hold a signature
    return f"{url.scheme}://{url.host}{url.path}"


def _short(uri: str) -> str:
    """Return a URI for messages: without a signature, a password or an image in it."""
    shown = uri.split("?", maxsplit=1)[0] if uri.startswith(("http:", "https:")) else uri
    if shown[:5].lower() == "data:":
        shown = shown[:100].split(",", maxsplit=1)[0] + ",..."
    shown = re.sub(r"//[^/@]*@", "//", shown)
    return shown if len(shown) <= 120 else shown[:117] + "..."
