"""The token Lineup works with: its kind, its user, how long it is valid, and what Label Studio allows."""

from __future__ import annotations

import base64
import binascii
import json
import time

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, warning
from backend.labelstudio.errors import LabelStudioAuthError

WARN_DAYS = 14
_DAY = 86400.0


def check_token(context: Context) -> Outcome:
    """See that the token is accepted, and for how long."""
    try:
        context.installation.user = context.client.get("/api/current-user/whoami")
    except LabelStudioAuthError as error:
        return failure(f"Label Studio refuses LABEL_STUDIO_API_KEY: {error.message}", error.hint)
    kind = "personal access token" if context.client.credentials.is_pat else "legacy token"
    line = f"{kind} of {context.installation.user['email']}"
    ends = expiry(context.settings.api_key)
    if ends is not None and ends - time.time() < WARN_DAYS * _DAY:
        return warning(
            f"{line} ends in {(ends - time.time()) / _DAY:.0f} days",
            "Make a new one (Account & Settings, Personal Access Token) and set LABEL_STUDIO_API_KEY to it",
        )
    return ok(line)


def check_legacy_tokens(context: Context) -> Outcome:
    """See which kinds of token the organization allows."""
    allowed = context.client.get("/api/jwt/settings")
    legacy, personal = allowed["legacy_api_tokens_enabled"], allowed["api_tokens_enabled"]
    if context.client.credentials.is_pat:
        return ok("allowed, not used" if legacy else "switched off, not needed")
    if not personal:
        return ok("allowed; personal access tokens are switched off")
    return ok("allowed, and Lineup uses one; a personal access token can be revoked alone")


def check_rights(context: Context) -> Outcome:
    """See that the token's user may see the project."""
    info = context.info
    return ok(f"{info.title!r}, {info.task_number} tasks, seen by {context.installation.user['email']}")


def expiry(token: str) -> float | None:
    """Return when a personal access token ends, in seconds since the epoch; None for one that says nothing of it."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None
