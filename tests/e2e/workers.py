"""`lineup worker` as processes of their own, and what their logs tell."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from demo.label_studio import die_with_parent, stop_process
from demo.lineup import LineupServer

PATIENCE = 60.0
_LINE = re.compile(r"^(\S+) (?:INFO|WARNING|ERROR) worker \S+: project (\d+): (.*)$")
_ENDS = ("version ", "refresh put off", "refresh failed", "refresh given up")


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds; fail with ``what`` otherwise."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class WorkerProcess:
    """One `lineup worker` beside a server that uses Redis.

    Parameters
    ----------
    server : LineupServer
    name : str
    queues : sequence of str
        Sorts of work it takes.
    **more
        Settings in which it differs from the server, by field name.
    """

    def __init__(
        self, server: LineupServer, name: str, queues: Sequence[str] = ("refresh",), **more: object
    ) -> None:
        self.server = server
        self.arguments = [part for queue in queues for part in ("--queue", queue)]
        self.more = {key.upper(): str(value) for key, value in more.items()}
        self.log_path = server.model_dir / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> WorkerProcess:
        """Start it and wait until it takes jobs."""
        before = self.log.count("takes jobs of")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backend.cli", "worker", *self.arguments],
                cwd=self.server.model_dir,
                env=self.server.environment() | self.more,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
        wait_for(lambda: self.log.count("takes jobs of") > before, f"no worker: {self.log[-2000:]}")
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has said."""
        return self.log_path.read_text(encoding="utf-8") if self.log_path.exists() else ""

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Ask it to end; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End it however it is; harmless when it has ended."""
        if self.process is not None:
            stop_process(self.process)

    def refreshes(self, project_id: int) -> list[tuple[float, float, str]]:
        """Return begin, end and reasons of the refreshes of a project, from the log."""
        found: list[tuple[float, float, str]] = []
        began: tuple[float, str] | None = None
        for line in self.log.splitlines():
            match = _LINE.match(line)
            if match is None or int(match[2]) != project_id:
                continue
            at = datetime.fromisoformat(match[1]).timestamp()
            if match[3].startswith("refresh ("):
                began = (at, match[3])
            elif match[3].startswith(_ENDS) and began is not None:
                found.append((began[0], at, began[1]))
                began = None
        return found


def secrets_in(paths: list[Path], secrets: list[str]) -> list[str]:
    """Return which log holds which secret."""
    return [
        f"{path.name} holds {secret[:4]}..."
        for path in paths
        for secret in secrets
        if secret in path.read_text(encoding="utf-8", errors="replace")
    ]
