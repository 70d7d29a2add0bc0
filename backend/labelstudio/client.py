"""Calls to Label Studio's API: one place for credentials, retries and readable errors."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from backend.labelstudio.credentials import Credentials
from backend.labelstudio.errors import LabelStudioError, LabelStudioUnreachable
from backend.labelstudio.transport import describe, make_transport, refuse_page, timeouts
from backend.tally import ERRORS, count

log = logging.getLogger(__name__)

Files = Mapping[str, tuple[str, bytes]]

ATTEMPTS = 4
BACKOFF = 0.5
LONGEST_WAIT = 20.0
_RETRIED = frozenset({429, 502, 503, 504})
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})


class LabelStudioClient:
    """A synchronous client of one Label Studio.

    Parameters
    ----------
    url : str
        Address of Label Studio.
    api_key : str
        Legacy token or personal access token.
    timeout : float
        Seconds to wait for an answer.
    """

    def __init__(self, url: str, api_key: str, *, timeout: float = 60.0) -> None:
        self.credentials = Credentials(url, api_key)
        self.url = self.credentials.url
        self.timeout = timeout
        self._transport = make_transport()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close open connections."""
        self._transport.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        files: Files | None = None,
        retry: bool | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Call the API and return its decoded answer; None where it is empty.

        Parameters
        ----------
        path : str
            Path below the address of Label Studio, for example ``/api/projects/1/``.
        files : mapping of field to (file name, bytes), optional
            To upload, instead of ``json``.
        retry : bool, optional
            Whether a lost answer may be asked for again; by default for every method but POST. A connection
            that was never made is always tried again.
        timeout : float, optional
            Seconds, where the client's own do not fit.

        Raises
        ------
        LabelStudioAuthError
            401: the token was refused.
        LabelStudioUnreachable
            No answer, or not one of Label Studio.
        LabelStudioError
            Any other refusal.
        """
        repeatable = method in _IDEMPOTENT if retry is None else retry
        renewed = False
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                response = self._send(method, path, params, json, files, timeout or self.timeout)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                count(ERRORS, "unreachable")
                if last:
                    raise self._unreachable(method, path, error) from error
                self._wait(attempt, method, path, describe(error))
                continue
            except httpx.HTTPError as error:
                count(ERRORS, "no answer")
                if last or not repeatable:
                    raise self._unreachable(method, path, error) from error
                self._wait(attempt, method, path, describe(error))
                continue
            if response.status_code >= 400:
                count(ERRORS, str(response.status_code))
            if response.status_code in _RETRIED and not last and (repeatable or response.status_code == 429):
                self._wait(attempt, method, path, f"status {response.status_code}", _retry_after(response))
                continue
            if response.status_code == 401 and not (renewed or last) and self.credentials.invalidate():
                renewed = True
                continue
            return self._answer(response, method, path)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def get(self, path: str, params: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        """GET and return the decoded answer."""
        return self.request("GET", path, params=params, **kwargs)

    def post(self, path: str, json: Any = None, **kwargs: Any) -> Any:
        """POST and return the decoded answer; a lost answer is not asked for again."""
        return self.request("POST", path, json=json, **kwargs)

    def patch(self, path: str, json: Any, **kwargs: Any) -> Any:
        """PATCH and return the decoded answer."""
        return self.request("PATCH", path, json=json, **kwargs)

    def delete(self, path: str, json: Any = None, **kwargs: Any) -> Any:
        """DELETE and return the decoded answer."""
        return self.request("DELETE", path, json=json, **kwargs)

    def server_version(self) -> str:
        """Return Label Studio's version, for example ``1.23.2``."""
        answer = self.get("/api/version")
        release = answer.get("release") if isinstance(answer, dict) else None
        if not isinstance(release, str):
            raise LabelStudioUnreachable(
                200, "GET", "/api/version", "no version in the answer", f"Is {self.url} a Label Studio?"
            )
        return release

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        json: Any,
        files: Files | None,
        timeout: float,
    ) -> httpx.Response:
        headers = {"Accept": "application/json", "User-Agent": "lineup", **self.credentials.header()}
        request = httpx.Request(
            method,
            self.url + path,
            params=params,
            json=json,
            files=files,
            headers=headers,
            extensions=timeouts(timeout),
        )
        response = self._transport.handle_request(request)
        response.request = request
        try:
            response.read()
        finally:
            response.close()
        return response

    def _answer(self, response: httpx.Response, method: str, path: str) -> Any:
        status = response.status_code
        refuse_page(response, method, path, self.url)
        if status == 401:
            raise self.credentials.refused(status, method, path, _message(response))
        if status == 403:
            hint = "The user of LABEL_STUDIO_API_KEY may not do this: use a token of a member of the project"
            raise LabelStudioError(status, method, path, _message(response), hint)
        if status >= 400:
            raise LabelStudioError(status, method, path, _message(response))
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            hint = f"Is LABEL_STUDIO_URL ({self.url}) a Label Studio?"
            raise LabelStudioUnreachable(status, method, path, "the answer is not JSON", hint) from error

    def _unreachable(self, method: str, path: str, error: Exception) -> LabelStudioUnreachable:
        hint = f"Is Label Studio running, and is LABEL_STUDIO_URL right ({self.url})?"
        if isinstance(error, httpx.ReadTimeout):
            hint = "It is busy, or something between is; the call may still have been carried out"
        return LabelStudioUnreachable(None, method, path, describe(error), hint)

    def _wait(self, attempt: int, method: str, path: str, why: str, at_least: float = 0.0) -> None:
        seconds = min(max(BACKOFF * 2 ** (attempt - 1) * random.uniform(0.8, 1.2), at_least), LONGEST_WAIT)
        log.warning("%s %s: %s; trying again in %.1f s", method, path, why, seconds)
        time.sleep(seconds)


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else 0.0


def _message(response: httpx.Response) -> str:
    """Return Label Studio's own words: ``detail`` and validation errors, at most 500 characters."""
    try:
        body = response.json()
    except ValueError:
        return response.text[:500]
    if not isinstance(body, dict):
        return str(body)[:500]
    errors = body.get("validation_errors")
    detail = str(body.get("detail") or body)
    return (f"{detail}: {errors}" if errors else detail)[:500]
