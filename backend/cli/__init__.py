"""The command line."""

from backend.cli.app import app

__all__ = ["app"]
