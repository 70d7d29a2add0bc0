"""The status of a project, and what becomes of it where its id is another project's."""

from __future__ import annotations

from dataclasses import replace

from backend.project import Project
from backend.settings import Settings
from backend.status import LastRefresh, Status
from tests.backend.shared.conftest import Machine, Process, new_process, store, worked
from tests.backend.trained import make_project
from tests.s3_server import S3Server


def test_others_see_the_status_and_counts_go_on(process: Process) -> None:
    one, other = process("one"), process("other")
    assert other.status() == Status()
    last = LastRefresh("choices-1-aaaaaaaa", 5.0, labels=3)
    one.tell(Status(state="idle", last_refresh=last, counts={"images": {"embedded": 7}}))
    assert other.status(now=True).last_refresh == last
    assert other.status().counts == {"images": {"embedded": 7}}


def test_mere_progress_is_told_now_and_then(process: Process, s3: S3Server) -> None:
    one = process("one")
    begun = len(s3.seen)
    for done in range(50):
        one.tell(Status(state="running", step="embed", done=done, total=50))
    one.tell(Status(state="running", step="learn"))
    one.tell(Status(state="idle"))
    assert len(s3.seen) - begun == 3


def test_a_project_whose_id_is_another_one_s_now_is_moved_aside(
    machine: Machine, s3: S3Server, bucket: str
) -> None:
    settings: Settings = machine("one")
    made = make_project(settings, 7)
    info = made.load().info
    assert info is not None
    project = Project.open(settings, info)
    assert project.shared is not None
    worked(project.shared, "a")
    project.shared.take()
    again = Project.open(settings, replace(info, created_at="2027-01-01T00:00:00Z"))
    assert again.shared is project.shared
    assert again.store.get_meta("value") is None
    assert s3.keys(bucket, "lineup/projects/7/snapshot/") == []
    assert len(s3.keys(bucket, "lineup/projects/7.created-")) == 1
    worked(again.shared, "b")
    other = new_process(machine("other")).project(7)
    other.take()
    assert store(other).get_meta("value") == "b"
