"""The embedded worker, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest

from backend.jobs.embedded import WORKER, EmbeddedWorker, to_environment
from backend.jobs.hints import HintStore
from backend.jobs.locks import worker_alive
from backend.settings import Settings
from demo.label_studio import free_port
from tests.backend.trained import make_settings

PATIENCE = 30.0


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds; fail with ``what`` otherwise."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def make_worker(folder: Path, command: Sequence[str] = WORKER) -> EmbeddedWorker:
    settings = make_settings(folder)
    return EmbeddedWorker(settings, HintStore(settings.model_dir), command)


@pytest.fixture
def worker(tmp_path: Path):
    worker = make_worker(tmp_path)
    worker.start()
    yield worker
    worker.stop()


def test_settings_reach_the_child_as_they_are(tmp_path: Path, monkeypatch):
    settings = make_settings(tmp_path, reviewers=("3", "4"), webhook_secret="s", poll_interval=7.5)
    for name, value in to_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == settings


def test_it_lives_is_restarted_and_ends(worker: EmbeddedWorker):
    folder = worker.settings.model_dir
    wait_for(lambda: worker_alive(folder), "the worker does not start")
    first = worker.pid
    assert worker.alive
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: worker.restarts == 1 and worker.alive, "the worker is not restarted")
    wait_for(lambda: worker_alive(folder), "the second worker does not start")
    second = worker.pid
    worker.stop()
    assert not worker.alive
    assert gone(first)
    assert gone(second)


def test_a_hint_is_taken_up_and_its_failure_told(worker: EmbeddedWorker):
    from backend.status import read_status

    worker.request(7, "setup")
    folder = worker.settings.project_dir(7)
    wait_for(lambda: read_status(folder).last_error, "nothing took the hint up")
    assert worker.waiting() == 1


def test_a_child_that_cannot_run_is_started_again_ever_more_slowly(tmp_path: Path):
    worker = make_worker(tmp_path, [sys.executable, "-c", "raise SystemExit(3)"])
    worker.start()
    try:
        wait_for(lambda: worker.restarts >= 2, "it is not started again")
        assert worker.restarts < 10
    finally:
        worker.stop()


@pytest.fixture
def server(tmp_path: Path):
    port = free_port()
    settings = make_settings(tmp_path, port=port)
    process = subprocess.Popen(
        [sys.executable, "-m", "backend.cli", "serve"],
        env=os.environ | to_environment(settings),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: _up(port) or process.poll() is not None, "the server does not start")
        wait_for(lambda: worker_alive(settings.model_dir), "its worker does not start")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        child = [int(pid) for pid in children.split() if b"backend.jobs.worker" in _command(int(pid))]
        yield process, child[0], settings
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ending_the_server_ends_its_worker(server, number: signal.Signals):
    process, child, settings = server
    # Ctrl-C in a terminal reaches the whole group
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    process.wait(PATIENCE)
    assert gone(child)
    assert not worker_alive(settings.model_dir)


def test_a_worker_does_not_outlive_a_killed_server(server):
    process, child, _ = server
    process.kill()
    process.wait()
    wait_for(lambda: gone(child), "the worker outlives its server")
