"""Fixtures the security tests share with those of the server."""

from __future__ import annotations

from tests.backend.conftest import hints, settings, trained

__all__ = ["hints", "settings", "trained"]
