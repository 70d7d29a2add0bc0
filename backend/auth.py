"""Who may ask: basic auth for everything but ``/health``, or the webhook's secret header for ``/webhook``."""

from __future__ import annotations

import base64
import binascii
import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.settings import Settings

SECRET_HEADER = "X-Lineup-Secret"


def same(given: str, expected: str) -> bool:
    """Compare two secrets in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))


def basic_ok(settings: Settings, headers: Headers) -> bool:
    """Tell whether the request carries the configured user and password."""
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        decoded = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return False
    user, _, password = decoded.partition(":")
    user_ok = same(user, settings.basic_auth_user)
    return same(password, settings.basic_auth_pass.get_secret_value()) and user_ok


def secret_ok(settings: Settings, headers: Headers) -> bool:
    """Tell whether the request carries the configured webhook secret."""
    expected = settings.webhook_secret.get_secret_value()
    return bool(expected) and same(headers.get(SECRET_HEADER, ""), expected)


def event_allowed(settings: Settings, headers: Headers, event: str) -> bool:
    """Tell whether an event may be taken where only WEBHOOK_SECRET is set.

    START_TRAINING comes from Label Studio's connection to the backend, which can carry basic auth but no
    header of ours; without basic auth it is as open as ``/setup`` is.
    """
    if settings.basic_auth_user or not settings.webhook_secret.get_secret_value():
        return True
    return event == "START_TRAINING" or secret_ok(settings, headers)


class AuthMiddleware:
    """Answers 401 to whoever lacks the credentials, before the body is read.

    Parameters
    ----------
    app : ASGIApp
    settings : Settings
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] == "http" and not self._allowed(scope["path"], Headers(scope=scope)):
            response = JSONResponse(
                {"detail": "wrong or missing credentials: see BASIC_AUTH_USER and BASIC_AUTH_PASS"},
                status_code=401,
                headers={"WWW-Authenticate": 'Basic realm="Lineup"'},
            )
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _allowed(self, path: str, headers: Headers) -> bool:
        if path == "/health" or not self.settings.basic_auth_user:
            return True
        if path == "/webhook" and secret_ok(self.settings, headers):
            return True
        return basic_ok(self.settings, headers)
