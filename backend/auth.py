"""Who may ask: basic auth for everything but ``/health``, or the webhook's secret header for ``/webhook``."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.rates import WRONG_PASSWORD, Rates, client_of
from backend.settings import Settings

SECRET_HEADER = "X-Lineup-Secret"
_WRONG = "wrong or missing credentials: see BASIC_AUTH_USER and BASIC_AUTH_PASS"


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
    rates : Rates
        Wrong credentials use them up, so that guessing is slow.
    refused : callable
        Told ``credentials`` at every refusal.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, rates: Rates, refused: Callable[[str], None]
    ) -> None:
        self.app = app
        self.settings = settings
        self.rates = rates
        self.refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] == "http" and not self._allowed(scope["path"], Headers(scope=scope)):
            self.refused("credentials")
            if self.rates.charge(client_of(scope), WRONG_PASSWORD):
                answer, status, headers = _WRONG, 401, {"WWW-Authenticate": 'Basic realm="Lineup"'}
            else:
                answer, status, headers = (
                    "too many wrong credentials; wait a moment",
                    429,
                    {"Retry-After": "1"},
                )
            await JSONResponse({"detail": answer}, status, headers)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _allowed(self, path: str, headers: Headers) -> bool:
        if path == "/health" or not self.settings.basic_auth_user:
            return True
        if path == "/webhook" and secret_ok(self.settings, headers):
            return True
        return basic_ok(self.settings, headers)
