"""What the loop costs people at work: a real Label Studio on SQLite, 10,000 small images, 1,000 labelled.

``python -m benchmarks loop``. Lineup's figures beside those of the usual recipe (import a full set of predictions
after every training, delete the old one), measured on the same server in the same run.
"""

from __future__ import annotations

import argparse
import io
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track
from sklearn.datasets import load_digits

from backend.status import Status, read_status
from benchmarks.report import Sheet, Target, at_most, console, drawing, peak_memory, target_sheet
from benchmarks.webhook import measure
from demo.label_studio import Account, LabelStudioServer
from demo.lineup import LineupServer

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="digit" toName="image">'
    + "".join(f'<Choice value="{digit}"/>' for digit in range(10))
    + "</Choices></View>"
)
# seconds between two submits of one annotator, on average
THINK = 1.0


@dataclass
class Submits:
    """Seconds of annotators' own submits, and the tasks they were for."""

    seconds: list[float] = field(default_factory=list)

    def p(self, percent: float) -> float:
        """Return a percentile in seconds."""
        return float(np.percentile(self.seconds, percent))


def make_images(folder: Path, count: int, seed: int) -> list[int]:
    """Write ``count`` small pictures: scikit-learn's digits, shifted and with noise; return their classes."""
    digits = load_digits()
    rng = np.random.default_rng(seed)
    labels = []
    folder.mkdir(parents=True)
    for number in track(range(count), "making images", console=console):
        source = int(rng.integers(len(digits.images)))
        canvas = np.zeros((32, 32))
        picture = np.kron(digits.images[source] * 15, np.ones((3, 3)))
        y, x = rng.integers(0, 9, 2)
        canvas[y : y + 24, x : x + 24] = picture
        noisy = np.clip(canvas + rng.normal(0, 12, canvas.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "PNG")
        (folder / f"{number:05d}.png").write_bytes(buffer.getvalue())
        labels.append(int(digits.target[source]))
    return labels


def choice(label: int) -> list[dict[str, Any]]:
    """Return an annotation result."""
    return [{"from_name": "digit", "to_name": "image", "type": "choices", "value": {"choices": [str(label)]}}]


class Annotators:
    """People at work: each takes the next task as the big button does and submits it after a moment."""

    def __init__(
        self, server: LabelStudioServer, project: int, truth: dict[int, int], people: list[Account]
    ) -> None:
        self.server, self.project, self.truth, self.people = server, project, truth, people

    def submit_one(self, person: Account) -> float:
        """Label the next task; return how long the submit took."""
        task = self.server.api(
            "POST",
            "/api/dm/actions",
            json={},
            params={"id": "next_task", "project": self.project},
            token=person.token,
        )
        start = time.monotonic()
        self.server.api(
            "POST",
            f"/api/tasks/{task['id']}/annotations/",
            json={"result": choice(self.truth[task["id"]]), "lead_time": 1.0},
            token=person.token,
        )
        return time.monotonic() - start

    @contextmanager
    def working(self, think: float) -> Iterator[Submits]:
        """Have everybody work until the block ends."""
        submits, ended, failures = Submits(), threading.Event(), []

        def work(person: Account, seed: int) -> None:
            rng = random.Random(seed)
            try:
                while not ended.is_set():
                    submits.seconds.append(self.submit_one(person))
                    ended.wait(rng.uniform(0.5, 1.5) * think)
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(p, n)) for n, p in enumerate(self.people)]
        for thread in threads:
            thread.start()
        try:
            yield submits
        finally:
            ended.set()
            for thread in threads:
                thread.join()
            if failures:  # also where the block gave up waiting for people who had stopped
                raise failures[0]


def status(lineup: LineupServer, project: int) -> Status:
    """Return what Lineup says of the project now."""
    return read_status(lineup.settings.project_dir(project))


def learned(lineup: LineupServer, project: int) -> str:
    """Return the version of the last refresh that ended."""
    last = status(lineup, project).last_refresh
    return last.version if last else ""


def wait_for(what: str, check: Callable[[], bool], timeout: float, pause: float = 0.1) -> float:
    """Wait until ``check`` holds; return the seconds it took."""
    start = time.monotonic()
    while not check():
        if time.monotonic() - start > timeout:
            raise TimeoutError(f"{what} did not come within {timeout:.0f} s")
        time.sleep(pause)
    return time.monotonic() - start


def version(server: LabelStudioServer, project: int) -> str:
    """Return the version whose predictions order the served tasks."""
    return str(server.api("GET", f"/api/projects/{project}/")["model_version"])


def webhook_latency(lineup: LineupServer, project: int, count: int) -> tuple[list[float], bool]:
    """Send events while a refresh runs; return the seconds each took and whether it ran to the end of them."""
    event = {"action": "PROJECT_UPDATED", "project": {"id": project}}
    wait_for("a refresh", lambda: status(lineup, project).state == "running", 60, pause=0.01)
    seconds = measure("POST", lineup.port, "/webhook", event, count)
    return seconds.tolist(), status(lineup, project).state == "running"


def follow(server: LabelStudioServer, project: int, people: Annotators, rounds: int) -> list[float]:
    """Return seconds from the end of a submit until the served order has followed it."""
    seconds = []
    for _ in track(range(rounds), "submit, then wait for the order", console=console):
        before = version(server, project)
        people.submit_one(people.people[0])
        seconds.append(wait_for("a new order", lambda b=before: version(server, project) != b, 120))  # type: ignore[misc]
        time.sleep(8)  # let the rest of the refresh end: the next round starts from rest
    return seconds


def usual_recipe(
    server: LabelStudioServer, project: int, task_ids: list[int], people: Annotators
) -> dict[str, Any]:
    """Measure what example backends leave users to do: import a full set of predictions after each training.

    The old set is deleted after people have stopped: beside them that can take many minutes.
    """
    publishes = []
    with people.working(THINK) as submits:
        for number in range(2):
            start = time.monotonic()
            predictions = [
                {"task": t, "result": choice(0), "score": 0.5, "model_version": f"usual-{number}"}
                for t in task_ids
            ]
            server.api("POST", f"/api/projects/{project}/import/predictions", json=predictions, timeout=600)
            publishes.append(time.monotonic() - start)
    for number in range(2):
        path = f"/api/projects/{project}/model-versions/"
        server.api("DELETE", path, json={"model_version": f"usual-{number}"}, timeout=600)
    return {"publish_s": publishes, "submit_p95_s": submits.p(95), "submit_max_s": max(submits.seconds)}


def idle_cleanup(server: LabelStudioServer, project: int, people: Annotators, submits: int) -> Submits:
    """Let the project fall idle and interrupt the clean-up by single submits."""
    measured = Submits()
    for _ in track(range(submits), "interrupting idle work", console=console):

        def predictions() -> int:
            return int(server.api("GET", f"/api/projects/{project}/")["total_predictions_number"])

        count = predictions()
        wait_for("idle work", lambda c=count: predictions() != c, 180)  # type: ignore[misc]
        measured.seconds.append(people.submit_one(people.people[0]))
    return measured


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument(
        "--images", type=int, default=10_000, help="enough for people to label until the end: 2,000 or more"
    )
    parser.add_argument("--labelled", type=int, default=1_000)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # takes the servers along
    with tempfile.TemporaryDirectory(prefix="lineup-loop-") as folder:
        return measure_loop(options.images, options.labelled, Path(folder))


def measure_loop(images: int, labelled: int, folder: Path) -> dict[str, Any]:
    """Play people at work beside the usual recipe, then beside Lineup."""
    figures: dict[str, Any] = {
        "images": images,
        "labelled": labelled,
    }
    with LabelStudioServer(folder / "label-studio") as server:
        labels = make_images(server.files_dir / "digits", images, seed=0)
        project = server.create_project("loop", CONFIG)
        server.serve_folder(project, server.files_dir / "digits")
        tasks: list[dict[str, Any]] = [
            {"data": {"image": server.file_uri(server.files_dir / "digits" / f"{n:05d}.png"), "own": n}}
            for n in range(images)
        ]
        for number in range(labelled):
            tasks[number]["annotations"] = [{"result": choice(labels[number])}]
        console.print("importing tasks")
        task_ids = server.import_tasks(project, tasks)
        truth = dict(zip(task_ids, labels, strict=True))
        people = Annotators(
            server, project, truth, [server.user(f"annotator{n}@example.com") for n in range(3)]
        )
        with people.working(THINK) as idle:
            time.sleep(15)
        figures["idle_submit_p95_s"] = idle.p(95)
        figures["usual"] = usual_recipe(server, project, task_ids, people)
        with LineupServer(server, folder / "models", embedder="pixels", idle_after=10.0) as lineup:
            since = time.time()
            lineup.connect(project)
            seconds, figures["webhook_beside_refresh"] = webhook_latency(lineup, project, 1000)
            figures["webhook_s"] = {f"p{p}": float(np.percentile(seconds, p)) for p in (50, 99, 100)}
            first = lineup.wait(project, since=since, timeout=600)
            figures["first_refresh_s"] = first.seconds
            figures["first_publish_s"] = first.seconds["publish"]
            figures["follow_s"] = follow(server, project, people, 10)
            publishes: list[float] = []
            with people.working(THINK) as routine:
                for _ in track(range(10), "ten routine refreshes", console=console):
                    seen = learned(lineup, project)
                    wait_for("a refresh", lambda s=seen: learned(lineup, project) != s, 180)  # type: ignore[misc]
                    last = status(lineup, project).last_refresh
                    publishes.append(last.seconds.get("publish", 0.0) if last else 0.0)
            figures["incremental_publish_s"] = publishes
            figures["routine_submit_p95_s"] = routine.p(95)
            figures["routine_submit_max_s"] = max(routine.seconds)
            figures["routine_submits"] = len(routine.seconds)
            cleanup = idle_cleanup(server, project, people, 8)
            figures["cleanup_submit_max_s"] = max(cleanup.seconds)
            worker = status(lineup, project).worker_pid
            assert worker is not None
            figures["worker_peak_bytes"] = peak_memory(worker)
    return figures


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at."""
    return [
        at_most("submit → served order follows, longest of ten; s", max(figures["follow_s"]), 10, "{:.1f}"),
        at_most("first publish; s", figures["first_publish_s"], 40, "{:.1f}"),
        at_most("incremental publish, longest of ten; s", max(figures["incremental_publish_s"]), 8, "{:.1f}"),
        at_most(
            "an event while the first refresh runs, p99 of 1,000; ms",
            1000 * figures["webhook_s"]["p99"],
            50,
            "{:.1f}",
        ),
        at_most(
            "annotators' submit during ten refreshes, p95; s", figures["routine_submit_p95_s"], 0.5, "{:.2f}"
        ),
        at_most(
            "longest submit that interrupts idle clean-up; s", figures["cleanup_submit_max_s"], 3, "{:.2f}"
        ),
        at_most("worker memory, peak; GB", figures["worker_peak_bytes"] / 1e9, 1.5, "{:.2f}"),
    ]


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    usual = figures["usual"]

    def row(name: str, ours: float, theirs: float) -> tuple[str, str, str, str]:
        return name, f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.1f} x"

    return {
        "targets": target_sheet(
            f"{figures['images']:,} images, {figures['labelled']:,} labelled", targets(figures)
        ),
        "usual": Sheet(
            "Seconds, beside the usual recipe",
            ("three annotators at work", "Lineup", "usual recipe", ""),
            [
                row("publish, longest", max(figures["incremental_publish_s"]), max(usual["publish_s"])),
                row("submit, p95", figures["routine_submit_p95_s"], usual["submit_p95_s"]),
                row("submit, longest", figures["routine_submit_max_s"], usual["submit_max_s"]),
                ("submit while nothing else goes on, p95", f"{figures['idle_submit_p95_s']:.2f}", "", ""),
            ],
        ),
    }


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw what a submit takes beside a publish."""
    usual = figures["usual"]
    with drawing(path, size=(8, 2.4)) as (axes,):
        for index, (name, p95, longest) in enumerate(
            (
                ("nothing else goes on", figures["idle_submit_p95_s"], None),
                ("Lineup refreshes", figures["routine_submit_p95_s"], figures["routine_submit_max_s"]),
                ("usual recipe", usual["submit_p95_s"], usual["submit_max_s"]),
            )
        ):
            axes.bar_label(
                axes.barh(name, p95, color=f"C{index}"), fmt="%.2f", label_type="center", color="white"
            )
            if longest is not None:
                axes.plot(longest, index, marker="|", color="black")
        axes.invert_yaxis()
        axes.set_xlabel("seconds of an annotator's submit, p95 (mark: longest)")
