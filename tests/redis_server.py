"""A real Redis of one's own: with a password, on a free port of loopback, ended by process id."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from redis import Redis, RedisError

from demo.label_studio import die_with_parent, free_port

PASSWORD = "redis-password-of-the-tests"


class RedisServer:
    """`redis-server` with its data in a folder, written at every change so that a restart loses nothing.

    ``fsync`` is Redis' setting of when; ``everysec`` is its default.
    """

    def __init__(self, folder: Path, fsync: str = "always") -> None:
        self.folder = folder
        self.fsync = fsync
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def installed() -> bool:
        """Whether the command is there."""
        return shutil.which("redis-server") is not None

    @property
    def url(self) -> str:
        """The setting REDIS_URL."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def client(self) -> Redis:
        """Return a client."""
        return Redis.from_url(self.url)

    def start(self) -> RedisServer:
        """Start it and wait until it answers."""
        options = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--dir": str(self.folder),
            "--requirepass": PASSWORD,
            "--save": "",
            "--appendonly": "yes",
            "--appendfsync": self.fsync,
            "--logfile": str(self.folder / "redis.log"),
        }
        command = ["redis-server", *(part for pair in options.items() for part in pair)]
        self.process = subprocess.Popen(command, start_new_session=True, preexec_fn=die_with_parent)  # noqa: PLW1509
        deadline = time.monotonic() + 20
        while True:
            try:
                if self.client().ping():
                    return self
            except RedisError:
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.05)

    def stop(self) -> None:
        """End it; what it knows stays in its folder."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def __enter__(self) -> RedisServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
