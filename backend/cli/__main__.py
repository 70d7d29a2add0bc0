"""``python -m backend.cli``: the same as `lineup`."""

from backend.cli.app import app

app()
