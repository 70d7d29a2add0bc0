"""The main job, end to end, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from demo.annotator import Annotator, Reviewer
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.e2e.conftest import QUICK
from tests.e2e.loop import run_loop
from tests.e2e.project import add_digits, make_project


def test_the_loop(label_studio: LabelStudioServer, lineup: LineupServer, tmp_path: Path) -> None:
    run_loop(label_studio, lineup, tmp_path / "labels.jsonl")


def test_a_model_grows_from_nothing(label_studio: LabelStudioServer, lineup: LineupServer) -> None:
    project = make_project(label_studio, "from nothing", size=60, labelled=0)
    since = time.time()
    lineup.connect(project.id)
    before = lineup.wait(project.id, since=since)
    assert (before.version, before.labels) == ("untrained", 0)
    assert before.note, "why there is no model is said"
    annotator = Annotator(label_studio, project.id, project.truth)
    seen = {project.truth(task) for task in annotator.annotate(12)}
    after = lineup.wait(project.id, labels=12)
    assert len(seen) > 1
    assert after.version.startswith("choices-")
    assert annotator.next_task()["predictions"], "the next task comes pre-annotated"


def test_changes_while_lineup_is_down_are_found_and_nothing_is_left_running(
    label_studio: LabelStudioServer, tmp_path: Path
) -> None:
    project = make_project(label_studio, "down", size=40, labelled=20, wrong=0)
    with LineupServer(label_studio, tmp_path / "models", **QUICK) as first:
        since = time.time()
        first.connect(project.id)
        version = first.wait(project.id, since=since).version
        assert first.process is not None
        group, port = first.process.pid, first.port
        members = _group(group)
        assert len(members) >= 2, "the server and its worker"
        os.kill(group, signal.SIGKILL)
        first.process.wait()
        _wait_until_gone(members)
    open_tasks = [task for task in project.tasks() if not task["annotations"]]
    annotator = Annotator(label_studio, project.id, project.truth)
    for task in open_tasks[:10]:
        annotator.submit(task, project.truth(task))
    with LineupServer(label_studio, tmp_path / "models", port=port, **QUICK) as second:
        after = second.wait(project.id, labels=30)
        assert after.version != version
        assert project.served_version() == after.version
        assert second.process is not None
        members = _group(second.process.pid)
    _wait_until_gone(members)
    with pytest.raises(httpx.ConnectError):
        httpx.get(second.url, trust_env=False)


def test_a_finished_project_that_gets_new_tasks_is_ordered_again(
    label_studio: LabelStudioServer, lineup: LineupServer
) -> None:
    project = make_project(label_studio, "finished", size=30, labelled=20, wrong=0)
    since = time.time()
    lineup.connect(project.id)
    lineup.wait(project.id, since=since)
    annotator = Annotator(label_studio, project.id, project.truth)
    assert len(list(annotator.annotate(20))) == 10
    assert annotator.next_task() is None
    lineup.wait(project.id, labels=30)
    add_digits(project, 20)
    last = lineup.wait(project.id, since=time.time())
    assert last.tasks == 50
    task = annotator.next_task()
    assert task is not None
    best = Reviewer(label_studio, project.id, project.truth).tasks("Label next")[0]
    assert task["id"] == best["id"]
    assert project.served_version() == last.version
    assert [p["model_version"] for p in task["predictions"]] == [last.version]


def _group(leader: int) -> list[int]:
    """Process ids of a process group."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:  # it ended while we looked
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            members.append(int(entry.name))
    return members


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 15
    while left := [pid for pid in pids if _alive(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
