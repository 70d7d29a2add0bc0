"""The compose file's services as processes of this machine, started with what the file gives them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis

from demo.label_studio import die_with_parent, free_port, stop_process


@contextmanager
def running_redis(command: list[str], folder: Path, password: str) -> Iterator[redis.Redis]:
    """Run Redis with this command, its data in a folder; gives a client."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen([*command, *place], stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port, password=password, decode_responses=True)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


@contextmanager
def running(
    command: list[str], environ: Mapping[str, str], folder: Path, ready: Callable[[], bool], seconds: float
) -> Iterator[None]:
    """Run a command with this environment alone, in a folder of its own, and wait until it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **environ},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
    try:
        deadline = time.monotonic() + seconds
        while not ready():
            assert process.poll() is None, f"{command} ended:\n{log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"{command} is not ready:\n{log.read_text()[-3000:]}"
            time.sleep(0.2)
        yield
    finally:
        stop_process(process)
