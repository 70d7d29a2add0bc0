"""How long Label Studio waits for `/webhook`, `/setup` and `/health` while a worker is busy.

Label Studio delivers an event inside the annotator's own request, once, and gives up after a second. This starts the
real server (`lineup serve`), beside it processes that keep every core busy at the worker's priority, and sends events
the way Label Studio does: a new connection each.

    python -m benchmarks.webhook --events 1000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

import httpx
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from backend.jobs.embedded import to_environment
from backend.jobs.hints import HintStore
from backend.jobs.worker import NICENESS
from backend.settings import Settings
from demo.label_studio import free_port

PAYLOAD = (
    Path(__file__).resolve().parent.parent / "tests" / "contract" / "payloads" / "annotation_created.json"
)


def work() -> None:
    """Keep a core busy with what a refresh does most: matrix products."""
    os.nice(NICENESS)
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((4000, 512)), rng.standard_normal((512, 60))
    while True:
        W += 1e-9 * (X.T @ (X @ W))


def measure(method: str, port: int, path: str, body: object, count: int) -> np.ndarray:
    """Return the seconds from connecting to the whole answer, for ``count`` requests."""
    raw = json.dumps(body).encode() if body is not None else None
    seconds = []
    for _ in track(range(count), description=path):
        start = time.perf_counter()
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(method, path, raw, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.perf_counter() - start)
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"{method} {path} answered {answer.status}")
    return np.array(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000, help="events to send")
    parser.add_argument(
        "--busy", type=int, default=os.cpu_count() or 1, help="busy processes beside the server"
    )
    args = parser.parse_args()
    event = json.loads(PAYLOAD.read_text(encoding="utf-8"))[0]["body"]
    setup = {"project": "1.1700000000", "schema": event["project"]["label_config"]}
    spawn = multiprocessing.get_context("spawn")
    busy = [spawn.Process(target=work, daemon=True) for _ in range(args.busy)]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            model_dir=Path(folder),
            port=free_port(),
            label_studio_url="http://127.0.0.1:9",
            label_studio_api_key="x",
        )
        base = f"http://127.0.0.1:{settings.port}"
        log = (Path(folder) / "server.log").open("wb")
        server = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "serve"],
            env=os.environ | to_environment(settings),
            stderr=log,
        )
        try:
            for process in busy:
                process.start()
            _wait(base, server)
            rows = {
                "POST /webhook": measure("POST", settings.port, "/webhook", event, args.events),
                "POST /setup": measure("POST", settings.port, "/setup", setup, 200),
                "GET /health": measure("GET", settings.port, "/health", None, 200),
            }
            kept = HintStore(settings.model_dir).pending()[1].count
        finally:
            server.terminate()
            server.wait()
            log.close()
            for process in busy:
                process.kill()
    _show(rows, args.busy, kept)


def _wait(base: str, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            httpx.get(f"{base}/health", trust_env=False).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def _show(rows: dict[str, np.ndarray], busy: int, kept: int) -> None:
    table = Table("", "requests", "p50 ms", "p95 ms", "p99 ms", "max ms", title=f"{busy} busy processes")
    for name, seconds in rows.items():
        figures = [*np.percentile(seconds, [50, 95, 99]), seconds.max()]
        table.add_row(name, str(len(seconds)), *(f"{1000 * value:.1f}" for value in figures))
    Console().print(table, f"hints kept: {kept}")


if __name__ == "__main__":
    main()
