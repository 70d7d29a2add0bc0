"""An image that kills whatever decodes it, in a shard: found by the deaths it costs, wherever it is tried."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from backend.casualties import ALONE, WHY
from tests.redis_server import RedisServer

CHILD = """
import io, os, sys
from pathlib import Path
from PIL import Image
from backend.embedding import shards
from backend.jobs.distributed import board
from tests.backend.embedding.files import Counting, Files
from tests.backend.embedding.shared import Helper, Refresh, make_parts
from tests.backend.trained import make_settings

role, folder, url = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
board.LOST_AFTER, shards.LOOK_EVERY = 0.3, 0.1
death = Image.open(io.BytesIO(Files().fetch("5.png", 0, 0))).getpixel((0, 0))
real = Counting.prepare

def prepare(self, image):
    if image.getpixel((0, 0)) == death:
        os._exit(139)
    return real(self, image)

Counting.prepare = prepare
settings = make_settings(folder, redis_url=url, lease_seconds=1)
if role == "worker":
    with Helper(settings, make_parts(folder)):
        print("ready", flush=True)
        sys.stdin.read()
else:
    refresh = Refresh(settings, folder)
    found = refresh.embed([f"{number}.png" for number in range(200)])
    print([(task, error) for task, error in enumerate(found.errors) if error])
"""


def test_a_deadly_image_in_a_shard_is_found(tmp_path: Path, repository: Path) -> None:
    deaths = 0
    with RedisServer(tmp_path) as redis:
        command = [sys.executable, "-c", CHILD]
        worker = _worker([*command, "worker", str(tmp_path), redis.url], repository)
        try:
            while deaths < 10:
                done = subprocess.run(
                    [*command, "refresh", str(tmp_path), redis.url],
                    capture_output=True,
                    text=True,
                    cwd=repository,
                )
                if worker.poll() is not None:
                    assert worker.returncode == 139
                    deaths += 1
                    worker = _worker([*command, "worker", str(tmp_path), redis.url], repository)
                if done.returncode != 139:
                    break
                deaths += 1
                redis.client().delete("lineup:lease:project:7")  # as if it had run out
        finally:
            worker.kill()
            worker.communicate()
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([(5, WHY)])
    # that of the worker that had the shard, and those of a refresh that took its images one at a time
    assert 1 + ALONE <= deaths <= 2 + ALONE


def _worker(command: list[str], cwd: Path) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=cwd
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker
