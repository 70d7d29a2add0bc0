"""`lineup doctor` as a person runs it, and servers for it to look at."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from typer.testing import CliRunner

from backend.app import create_app
from backend.cli import app
from backend.jobs.embedded import to_environment
from backend.settings import Settings, get_settings
from tests.backend.trained import HintList


@dataclass
class Diagnosis:
    """What the doctor said.

    Attributes
    ----------
    exit_code : int
    found : dict of (check, project) to dict
        ``status``, ``line`` and ``fix``.
    """

    exit_code: int
    found: dict[tuple[str, int | None], dict[str, Any]]

    def __getitem__(self, key: str | tuple[str, int]) -> dict[str, Any]:
        if isinstance(key, tuple):
            return self.found[key]
        [one] = [finding for (check, _), finding in self.found.items() if check == key]
        return one

    def failed(self) -> set[str]:
        """Names of the checks that failed."""
        return {check for (check, _), finding in self.found.items() if finding["status"] == "failure"}


class Doctor:
    """Runs `lineup doctor --json` with given settings, changed where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def run(self, settings: Settings, *arguments: str, **changed: str) -> Any:
        """Run the command with settings by environment; ``changed`` by their environment names."""
        with self._monkeypatch.context() as patch:
            for name, value in {**to_environment(settings), **changed}.items():
                patch.setenv(name, value)
            get_settings.cache_clear()
            try:
                return CliRunner().invoke(app, ["doctor", *arguments], env={"COLUMNS": "300", "TERM": "dumb"})
            finally:
                get_settings.cache_clear()

    def __call__(self, settings: Settings, project: int | None = None, **changed: str) -> Diagnosis:
        """Return what it says, of one project or of all."""
        given = [] if project is None else ["--project", str(project)]
        result = self.run(settings, "--json", *given, **changed)
        assert result.exit_code in (0, 1), result.output
        said = json.loads(result.stdout)
        found = {(entry["check"], entry["project"]): entry for entry in said["checks"]}
        for finding in found.values():
            assert finding["line"]
            assert "\n" not in finding["line"] + finding["fix"]
            assert finding["fix"] or finding["status"] in ("ok", "skipped")
        diagnosis = Diagnosis(result.exit_code, found)
        assert said["ok"] == (not diagnosis.failed()) == (result.exit_code == 0)
        return diagnosis


@contextmanager
def serving(settings: Settings) -> Iterator[HintList]:
    """Run Lineup's server on the settings' host and port, with a queue that only remembers."""
    hints = HintList()
    config = uvicorn.Config(
        create_app(settings, hints), host="127.0.0.1", port=settings.port, log_config=None, lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    try:
        while not _answers(settings.lineup_url):
            assert time.monotonic() < deadline, "Lineup's server did not start"
            time.sleep(0.05)
        yield hints
    finally:
        server.should_exit = True
        thread.join(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
