"""Seals: what workers tell each other through Redis counts only if it comes from one that has Label Studio's token."""

from __future__ import annotations

import hmac
from hashlib import sha256

from backend.settings import Settings


class Forged(ValueError):
    """A message is not from a worker with the same settings."""


class Seal:
    """HMAC-SHA256 (RFC 2104) with a key made of the token, which is nowhere in Redis.

    Whoever can write to Redis, but does not have the token, can neither have images fetched nor pass results off.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._key = sha256(b"lineup shards\0" + settings.api_key.encode()).digest()

    def put(self, purpose: str, text: str) -> str:
        """Return a text under its seal.

        Parameters
        ----------
        purpose : str
            What the text is; under another purpose the seal does not fit.
        """
        return self._of(purpose, text) + text

    def take_off(self, purpose: str, sealed: str) -> str:
        """Return the text under a seal.

        Raises
        ------
        Forged
            If the seal does not fit.
        """
        seal, text = sealed[:64], sealed[64:]
        if not hmac.compare_digest(seal.encode(), self._of(purpose, text).encode()):
            raise Forged(
                f"a {purpose} in Redis is not from a worker with this LABEL_STUDIO_API_KEY: it is not believed. "
                "All workers need the same one; if they have it, somebody else writes to REDIS_URL"
            )
        return text

    def _of(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), sha256).hexdigest()
