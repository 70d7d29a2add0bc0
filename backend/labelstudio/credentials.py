"""The Authorization header: a legacy token as it is, a personal access token exchanged for short-lived ones."""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from backend.labelstudio.errors import LabelStudioAuthError, LabelStudioUnreachable
from backend.labelstudio.transport import describe, make_transport, refuse_page, timeouts

REFRESH_PATH = "/api/token/refresh/"
RENEW_BEFORE = 60.0
_ASSUMED_LIFETIME = 300.0
_NEW_TOKEN = (
    "Create a personal access token in Label Studio (Account & Settings) and set LABEL_STUDIO_API_KEY to it"
)


class Credentials:
    """Keep a valid ``Authorization`` header for one Label Studio; safe under several threads.

    Parameters
    ----------
    url : str
        Address of Label Studio, without a slash at the end.
    api_key : str
        Legacy token (40 hexadecimal digits) or personal access token (a JWT).
    clock : callable
        Returns the time in seconds since the epoch.
    """

    def __init__(self, url: str, api_key: str, *, clock: Callable[[], float] = time.time) -> None:
        if not url:
            raise LabelStudioUnreachable(None, "GET", "/", "no address is set", "Set LABEL_STUDIO_URL")
        if not api_key.strip():
            raise LabelStudioAuthError(None, "GET", "/", "no token is set", _NEW_TOKEN)
        self.url = url.rstrip("/")
        self._key = api_key.strip()
        self._clock = clock
        self._lock = threading.Lock()
        self._access = ""
        self._renew_at = 0.0

    def __repr__(self) -> str:
        return f"Credentials(url={self.url!r}, kind={'PAT' if self.is_pat else 'legacy'})"

    @property
    def is_pat(self) -> bool:
        """Whether the key is a personal access token."""
        return self._key.count(".") == 2

    def header(self) -> dict[str, str]:
        """Return the header to send to Label Studio, and to nobody else.

        Raises
        ------
        LabelStudioAuthError
            If Label Studio does not exchange the personal access token.
        LabelStudioUnreachable
            If Label Studio does not answer.
        """
        if not self.is_pat:
            return {"Authorization": f"Token {self._key}"}
        with self._lock:
            if self._clock() >= self._renew_at:
                self._renew()
            return {"Authorization": f"Bearer {self._access}"}

    def invalidate(self) -> bool:
        """Forget the access token; return whether asking for another one can help."""
        with self._lock:
            self._renew_at = 0.0
        return self.is_pat

    def _renew(self) -> None:
        asked = self._clock()
        with make_transport() as transport:
            request = httpx.Request(
                "POST", self.url + REFRESH_PATH, json={"refresh": self._key}, extensions=timeouts(30.0)
            )
            try:
                response = transport.handle_request(request)
                response.read()
            except httpx.HTTPError as error:
                raise LabelStudioUnreachable(
                    None, "POST", REFRESH_PATH, describe(error), f"Is LABEL_STUDIO_URL right ({self.url})?"
                ) from error
        refuse_page(response, "POST", REFRESH_PATH, self.url)
        if response.status_code in (400, 401, 403):
            raise self.refused(response.status_code, "POST", REFRESH_PATH, _detail(response))
        access = _json(response).get("access") if response.status_code == 200 else None
        if not isinstance(access, str):
            hint = f"Is LABEL_STUDIO_URL ({self.url}) a Label Studio?"
            raise LabelStudioUnreachable(response.status_code, "POST", REFRESH_PATH, _detail(response), hint)
        self._access = access
        self._renew_at = asked + max(_lifetime(access) - RENEW_BEFORE, 1.0)

    def refused(self, status: int, method: str, path: str, detail: str) -> LabelStudioAuthError:
        """Return the error that says why the key was refused and what to do."""
        if "legacy token authentication has been disabled" in detail:
            hint = (
                "LABEL_STUDIO_API_KEY is a legacy token, and this organization has those switched off. "
                f"{_NEW_TOKEN}, or allow legacy tokens under Organization > API tokens"
            )
        elif "blacklisted" in detail:
            hint = f"The personal access token in LABEL_STUDIO_API_KEY was revoked. {_NEW_TOKEN}"
        elif self.is_pat:
            hint = (
                "LABEL_STUDIO_API_KEY is not a valid personal access token of "
                f"{self.url} (or personal access tokens are switched off there). {_NEW_TOKEN}"
            )
        else:
            hint = f"LABEL_STUDIO_API_KEY is not a token of {self.url}. {_NEW_TOKEN}"
        return LabelStudioAuthError(status, method, path, detail, hint)


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _detail(response: httpx.Response) -> str:
    return str(_json(response).get("detail") or response.text[:200])


def _lifetime(token: str) -> float:
    """Return for how many seconds a fresh access token is valid, by its own ``iat`` and ``exp``."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) - float(claims["iat"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return _ASSUMED_LIFETIME
