"""Events, predictions and people at once: 200 webhooks a second and 50 clients at `/predict` while refreshes run.

``python -m benchmarks load``. The clients are processes of their own, on the same cores as Lineup and Label Studio.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.loop import CONFIG, THINK, Annotators, choice, make_images, status, wait_for
from benchmarks.report import Sheet, Target, at_least, at_most, drawing, peak_memory, target_sheet
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer

# Label Studio's own patience with a webhook, in seconds
PATIENCE = 1.0
SENDERS = 64
GRID = (*range(0, 100, 2), 99, 99.5, 99.9, 100)


@dataclass(frozen=True)
class Load:
    """How much of it: seconds, webhooks a second, clients at `/predict`, tasks of each of their requests."""

    seconds: float = 60.0
    rate: float = 200.0
    clients: int = 50
    tasks: int = 16


def send_events(port: int, body: bytes, rate: float, seconds: float) -> tuple[list[float], int]:
    """Send events at a steady rate, each on a connection of its own, as Label Studio does.

    Returns
    -------
    list of float
        Seconds from the moment each was due until its whole answer.
    int
        How many were not answered 200.
    """
    begin = time.monotonic() + 0.5

    def send(number: int) -> tuple[float, bool]:
        due = begin + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        good = _post(HTTPConnection("127.0.0.1", port, timeout=30), "/webhook", body, close=True)
        return time.monotonic() - due, good

    with ThreadPoolExecutor(SENDERS) as pool:
        sent = list(pool.map(send, range(round(rate * seconds))))
    return [took for took, _ in sent], sum(not good for _, good in sent)


def ask_predictions(port: int, bodies: list[bytes], clients: int, seconds: float) -> tuple[list[float], int]:
    """Have clients ask for predictions, each again as soon as it has its answer.

    Returns
    -------
    list of float
        Seconds each request took.
    int
        How many were not answered 200 with a prediction for every task.
    """
    end = time.monotonic() + seconds

    def ask(client: int) -> list[tuple[float, bool]]:
        connection, found = HTTPConnection("127.0.0.1", port, timeout=100), []
        for number in range(client, 1 << 30):
            start = time.monotonic()
            if start >= end:
                return found
            good = _post(connection, "/predict", bodies[number % len(bodies)], full=True)
            found.append((time.monotonic() - start, good))
        return found

    with ThreadPoolExecutor(clients) as pool:
        asked = [one for found in pool.map(ask, range(clients)) for one in found]
    return [took for took, _ in asked], sum(not good for _, good in asked)


def _post(
    connection: HTTPConnection, path: str, body: bytes, *, close: bool = False, full: bool = False
) -> bool:
    headers = {"Content-Type": "application/json"} | ({"Connection": "close"} if close else {})
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, HTTPException):
        connection.close()
        return False
    if close:
        connection.close()
    return answer.status == 200 and (not full or all(one["result"] for one in json.loads(content)["results"]))


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    usual = Load()
    parser.add_argument("--load-images", type=int, default=2_000, help="enough to be labelled all the while")
    parser.add_argument("--load-seconds", type=float, default=usual.seconds)
    parser.add_argument("--load-rate", type=float, default=usual.rate, help="webhooks a second")
    parser.add_argument("--load-clients", type=int, default=usual.clients, help="clients at /predict")
    parser.add_argument("--load-tasks", type=int, default=usual.tasks, help="tasks of a request to /predict")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # takes the servers along
    load = Load(options.load_seconds, options.load_rate, options.load_clients, options.load_tasks)
    with (
        tempfile.TemporaryDirectory(prefix="lineup-load-") as folder,
        LabelStudioServer(Path(folder) / "label-studio") as server,
    ):
        return measure_load(server, Path(folder), load, images=options.load_images, labelled=300)


def measure_load(
    server: LabelStudioServer, folder: Path, load: Load, *, images: int, labelled: int
) -> dict[str, Any]:
    """Have a Lineup learn a project, then load it while people label, so that one refresh follows the other."""
    pictures = server.files_dir / "load"
    labels = make_images(pictures, images, seed=1)
    project = server.create_project("load", CONFIG)
    server.serve_folder(project, pictures)
    tasks: list[dict[str, Any]] = [
        {"data": {"image": server.file_uri(pictures / f"{number:05d}.png")}} for number in range(images)
    ]
    for number in range(labelled):
        tasks[number]["annotations"] = [{"result": choice(labels[number])}]
    task_ids = server.import_tasks(project, tasks)
    people = Annotators(
        server,
        project,
        dict(zip(task_ids, labels, strict=True)),
        [server.user(f"annotator{number}@example.com") for number in range(3)],
    )
    with LineupServer(server, folder / "models", embedder="pixels") as lineup:
        since = time.time()
        lineup.connect(project)
        lineup.wait(project, since=since, timeout=600)
        answered = [
            {"id": task_id, "data": task["data"]} for task_id, task in zip(task_ids, tasks, strict=True)
        ]
        bodies = [
            json.dumps(
                {"project": f"{project}.0", "label_config": CONFIG, "tasks": answered[start:][: load.tasks]}
            )
            for start in range(0, images - load.tasks + 1, load.tasks)
        ]
        event = json.dumps({"action": "ANNOTATION_UPDATED", "project": {"id": project}})
        refreshes, spawn = _refreshes(lineup, project), multiprocessing.get_context("spawn")
        with people.working(THINK) as submits, ProcessPoolExecutor(2, spawn) as clients:
            wait_for("a refresh", lambda: status(lineup, project).state == "running", 60, pause=0.01)
            asked = clients.submit(
                ask_predictions, lineup.port, [body.encode() for body in bodies], load.clients, load.seconds
            )
            sent = clients.submit(send_events, lineup.port, event.encode(), load.rate, load.seconds)
            memory, running = _Memory(lambda: [_pid(lineup), _worker(lineup, project)]), list[bool]()
            while not (asked.done() and sent.done()):
                memory.look()
                running.append(status(lineup, project).state == "running")
                time.sleep(0.5)
            webhooks, predictions = sent.result(), asked.result()
        done = _refreshes(lineup, project) - refreshes
        there = server.api("GET", f"/api/projects/{project}")["num_tasks_with_annotations"]
        last = lineup.wait(project, labels=there, timeout=300)
        return {
            "seconds": load.seconds,
            "rate": load.rate,
            "clients": load.clients,
            "tasks": load.tasks,
            "images": images,
            "webhook": _figures(*webhooks) | {"late": int(sum(took > PATIENCE for took in webhooks[0]))},
            "predict": _figures(*predictions),
            "submit": _figures(submits.seconds, 0),
            "events_counted": _counted(lineup),
            "refreshes": done,
            "refreshing": float(np.mean(running)),
            "labels": last.labels,
            "server_peak_bytes": peak_memory(_pid(lineup)),
            "worker_peak_bytes": peak_memory(_worker(lineup, project)),
            "memory": memory.figures(),
        }


class _Memory:
    """How much memory processes have, again and again."""

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self._pids = pids
        self._seen: list[list[int]] = []

    def look(self) -> None:
        """Note it now."""
        self._seen.append([_resident(pid) for pid in self._pids()])

    def figures(self) -> dict[str, list[int]]:
        """Return bytes of server and worker in the first tenth of the time, and in the last: medians."""
        tenth = max(1, len(self._seen) // 10)
        ends = {"begin": self._seen[:tenth], "end": self._seen[-tenth:]}
        return {when: np.median(np.array(seen), axis=0).astype(int).tolist() for when, seen in ends.items()}


def _resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    return int(found[1]) * 1024 if found else 0


def _pid(lineup: LineupServer) -> int:
    assert lineup.process is not None
    return lineup.process.pid


def _worker(lineup: LineupServer, project: int) -> int:
    pid = status(lineup, project).worker_pid
    assert pid is not None
    return pid


def _refreshes(lineup: LineupServer, project: int) -> int:
    """Return how many refreshes have learned a version."""
    return round(status(lineup, project).counts.get("refreshes", {}).get("learned", 0))


def _counted(lineup: LineupServer) -> int:
    """Return how many of the events that were sent the server says it has taken."""
    text = httpx.get(f"{lineup.url}/metrics", timeout=10, trust_env=False).text
    found = re.search(r'lineup_events_total\{event="ANNOTATION_UPDATED"\} ([\d.e+]+)', text)
    return round(float(found[1])) if found else 0


def _figures(seconds: list[float], errors: int) -> dict[str, Any]:
    found = np.array(seconds)
    return {
        "count": len(found),
        "errors": errors,
        **{f"p{percent}_s": float(np.percentile(found, percent)) for percent in (50, 95, 99)},
        "longest_s": float(found.max()),
        "grid_s": np.percentile(found, GRID).tolist(),
    }


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at."""
    webhook, predict = figures["webhook"], figures["predict"]
    return [
        at_least("share of the time in which a refresh runs", figures["refreshing"], 0.5, "{:.2f}"),
        at_most("errors", webhook["errors"] + predict["errors"], 0, "{:.0f}"),
        at_least("events taken, of those sent", figures["events_counted"] / webhook["count"], 1, "{:.2f}"),
        at_most("webhooks later than Label Studio waits (1 s)", webhook["late"], 0, "{:.0f}"),
        at_most("server memory, peak; GB", figures["server_peak_bytes"] / 1e9, 0.5, "{:.2f}"),
        at_most("worker memory, peak; GB", figures["worker_peak_bytes"] / 1e9, 1.5, "{:.2f}"),
    ]


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    names = {
        "webhook": f"webhook, {figures['rate']:.0f} a second",
        "predict": f"`/predict`, {figures['clients']} clients, {figures['tasks']} tasks each",
        "submit": "annotators' own submits, in Label Studio",
    }
    rows = [
        (
            name,
            f"{found['count']:,}",
            *(f"{1000 * found[key]:.0f}" for key in ("p50_s", "p95_s", "p99_s", "longest_s")),
            f"{found['errors']}",
        )
        for name, found in ((name, figures[key]) for key, name in names.items())
    ]
    begin, end = figures["memory"]["begin"], figures["memory"]["end"]
    peaks = figures["server_peak_bytes"], figures["worker_peak_bytes"]
    return {
        "load": Sheet(
            f"{figures['seconds']:.0f} s, {figures['refreshes']} versions learned meanwhile",
            ("", "requests", "p50 ms", "p95 ms", "p99 ms", "longest ms", "errors"),
            rows,
        ),
        "memory": Sheet(
            "Memory",
            ("resident, MB", "at the beginning", "at the end", "peak"),
            [
                (name, *(f"{value / 1e6:.0f}" for value in values))
                for name, *values in zip(("server", "worker"), begin, end, peaks, strict=True)
            ],
        ),
        "targets": target_sheet("load", targets(figures)),
    }


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw how many requests took how long."""
    with drawing(path, size=(7, 3)) as (axes,):
        for name, key in (("webhook", "webhook"), ("/predict", "predict"), ("annotators' submits", "submit")):
            axes.plot([1000 * value for value in figures[key]["grid_s"]], GRID, label=name)
        axes.set_xscale("log")
        axes.set_xlabel("milliseconds")
        axes.set_ylabel("% of requests that took no longer")
