"""Run Lineup's own server as a user would, and wait for its refreshes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx

from backend.connect import connect
from backend.jobs.open import open_hints
from backend.project import open_registry, project_status
from backend.registry import VersionRegistry
from backend.settings import Settings
from backend.snapshot import SNAPSHOT, SnapshotStore
from backend.status import LastRefresh
from demo.label_studio import ROOT, LabelStudioServer, die_with_parent, free_port, stop_process

START_TIMEOUT = 60.0
REFRESH_TIMEOUT = 300.0

Progress = Callable[[str, int, int], None]


class LineupFailed(RuntimeError):
    """Lineup did not start, ended, or a refresh failed."""


class LineupServer:
    """`lineup serve` with its worker, as a process of its own.

    Parameters
    ----------
    label_studio : LabelStudioServer
        A running one.
    model_dir : Path
        Lineup's folder; the log goes there too.
    shared : str
        Address of an object store for MODEL_DIR; the folder has the log then, and nothing else.
    port : int
        Port on loopback; 0 means any free one.
    **more
        Further settings, by field name.
    """

    def __init__(
        self,
        label_studio: LabelStudioServer,
        model_dir: Path,
        *,
        port: int = 0,
        shared: str = "",
        **more: Any,
    ) -> None:
        self.label_studio = label_studio
        self.model_dir = model_dir.resolve()
        self.port = port
        self.shared = shared
        self.more = more
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address as Label Studio reaches it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        """Where the output of the server and its worker goes."""
        return self.model_dir / "lineup.log"

    @property
    def settings(self) -> Settings:
        """The settings the server runs with."""
        return Settings(_env_file=None, **self._given())

    def _given(self) -> dict[str, Any]:
        return {
            "label_studio_url": self.label_studio.url,
            "label_studio_api_key": self.label_studio.token,
            "model_dir": self.shared or self.model_dir,
            "host": "127.0.0.1",
            "port": self.port,
            "lineup_url": self.url,
            **self.more,
        }

    def environment(self) -> dict[str, str]:
        """Return the environment in which `lineup` finds this server's settings."""
        given = {name.upper(): str(value) for name, value in self._given().items()}
        return {**os.environ, **given, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    # life ------------------------------------------------------------------------------------------
    def start(self) -> LineupServer:
        """Start the server and wait until it answers.

        Raises
        ------
        LineupFailed
            If it ends or does not answer in a minute; the message has the end of its log.
        """
        self.model_dir.mkdir(parents=True, exist_ok=True)
        self.port = free_port(self.port)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backend.cli", "serve"],
                # not the repository: a .env file there is meant for another Lineup
                cwd=self.model_dir,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
        deadline = time.monotonic() + START_TIMEOUT
        try:
            while not self._answers():
                self.check()
                if time.monotonic() > deadline:
                    raise LineupFailed(f"Lineup did not answer in {START_TIMEOUT:.0f} s:\n{self._log_end()}")
                time.sleep(0.1)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server and its worker; harmless when they are not running."""
        if self.process is not None:
            stop_process(self.process)
            self.process = None

    def check(self) -> None:
        """Raise `LineupFailed` if the server is gone."""
        if self.process is None or self.process.poll() is not None:
            raise LineupFailed(f"Lineup ended:\n{self._log_end()}")

    def __enter__(self) -> LineupServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _log_end(self) -> str:
        return "\n".join(self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])

    # projects --------------------------------------------------------------------------------------
    def connect(self, project_id: int) -> None:
        """Do what `lineup connect` does."""
        connect(self.settings, project_id)

    def wait(
        self,
        project_id: int,
        *,
        labels: int | None = None,
        since: float | None = None,
        progress: Progress = lambda step, done, total: None,
        timeout: float = REFRESH_TIMEOUT,
    ) -> LastRefresh:
        """Wait until Lineup has caught up with the project, and return its last refresh.

        Parameters
        ----------
        labels : int, optional
            How many labelled tasks it must have seen.
        since : float, optional
            Seconds since the epoch after which that refresh must have ended.

        Raises
        ------
        LineupFailed
            If it does not catch up in ``timeout`` seconds, with the last error.
        """
        settings = self.settings
        hints = open_hints(settings)
        deadline = time.monotonic() + timeout
        try:
            while True:
                # hints are read first: a refresh forgets them only after it has written its status
                waiting = project_id in hints.pending()
                status = project_status(settings, project_id)
                last = status.last_refresh
                if (
                    not waiting
                    and status.state == "idle"
                    and last is not None
                    and last.finished_at >= (since or 0)
                    and (labels is None or last.labels >= labels)
                ):
                    return last
                if status.state == "running":
                    progress(status.step or "look", status.done, status.total)
                self.check()
                if time.monotonic() > deadline:
                    why = status.last_error.message if status.last_error else f"it is {status.state}"
                    seen = "events wait" if waiting else f"it has seen {last.labels if last else 0} labels"
                    raise LineupFailed(
                        f"project {project_id}: not caught up in {timeout:.0f} s: {why}, {seen}; "
                        f"{self.log_path} ends with\n{self._log_end()}"
                    )
                time.sleep(0.1)
        finally:
            hints.close()

    def predict(
        self, project_id: int, tasks: Iterable[Mapping[str, Any]], label_config: str
    ) -> list[dict[str, Any]]:
        """Ask for predictions as Label Studio does."""
        body = {"tasks": list(tasks), "project": f"{project_id}.0", "label_config": label_config}
        answer = httpx.post(f"{self.url}/predict", json=body, timeout=100, trust_env=False)
        answer.raise_for_status()
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def store(self, project_id: int) -> SnapshotStore:
        """Return what Lineup remembers of a project."""
        return SnapshotStore(self.settings.project_dir(project_id) / SNAPSHOT)

    def registry(self, project_id: int) -> VersionRegistry:
        """Return the versions of a project."""
        return open_registry(self.settings, project_id)
