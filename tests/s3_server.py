"""An S3 server on loopback: moto's, a fake of AWS that speaks S3's real HTTP, so that real clients talk to it.

It checks no credentials. Requests are remembered, and can be refused.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock
from uuid import uuid4

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

SECRET = "secret-access-key-of-the-tests"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "access-key-of-the-tests",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "NO_PROXY": "127.0.0.1",
}
_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"

Refusal = tuple[int, str, str]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""


class S3Server:
    """The server, in a thread of this process; what it holds survives `stop` and `start`.

    Attributes
    ----------
    seen : list of (str, str)
        Method and path of each request so far.
    refuse : callable or None
        Given method and path; returns status, code and message of a refusal, or None to let it pass.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.refuse: Callable[[str, str], Refusal | None] | None = None
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server: BaseWSGIServer | None = None
        self._port = 0
        self._client: Any = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    def environment(self) -> dict[str, str]:
        """Return what a client needs."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}

    def start(self) -> S3Server:
        """Start it, at the address it had before."""
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server(
            "127.0.0.1", self._port, self._answer, threaded=True, request_handler=_Quiet
        )
        self._port = self._server.port
        threading.Thread(target=self._server.serve_forever, name="s3", daemon=True).start()
        return self

    def stop(self) -> None:
        """Close its port."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def client(self) -> Any:
        """Return another client than Lineup's: boto3's."""
        if self._client is None:
            self._client = boto3.client("s3", endpoint_url=self.url)
        return self._client

    def bucket(self) -> str:
        """Make a bucket; return its name."""
        name = f"lineup-{uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys of a bucket."""
        found = self.client().list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return [entry["Key"] for entry in found]

    @contextmanager
    def refusing(self, refuse: Callable[[str, str], Refusal | None]) -> Iterator[None]:
        """Refuse requests for a while."""
        self.refuse = refuse
        try:
            yield
        finally:
            self.refuse = None

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.seen.append((method, path))
        refused = self.refuse(method, path) if self.refuse else None
        if refused is None:
            answer: Iterable[bytes] = self._app(environ, start_response)
            return answer
        status, code, message = refused
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = _ERROR.format(code=code, message=message).encode()
        start_response(
            f"{status} {code}", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        )
        return [body] if method != "HEAD" else []


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run one, with this process's environment pointing at it."""
    server = S3Server().start()
    try:
        with mock.patch.dict(os.environ, server.environment()):
            yield server
    finally:
        server.stop()
