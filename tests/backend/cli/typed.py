"""Commands as they are typed."""

from __future__ import annotations

from typer.testing import CliRunner

from backend.cli import app


def lineup(*arguments: object) -> tuple[int, str]:
    """Run a command; return its exit code and all it said, on one line."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return done.exit_code, " ".join(done.output.split())
