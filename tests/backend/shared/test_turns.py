"""Whose a project is: snapshots by turns, marks of writing, readers, and what a kill at any point leaves."""

from __future__ import annotations

import gzip
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from backend.jobs.base import LeaseLost
from backend.jobs.locks import project_lock
from backend.shared.bucket import SharedFolderError
from backend.snapshot import PUBLISHING
from tests.backend.shared.conftest import Process, store, worked
from tests.s3_server import S3Server


def snapshots(s3: S3Server, bucket: str) -> list[str]:
    return sorted(Path(name).name for name in s3.keys(bucket, "lineup/projects/7/snapshot/"))


def test_what_one_leaves_the_next_begins_with(process: Process) -> None:
    worked(process("one"), "a")
    other = process("other")
    assert other.take() is True
    assert store(other).get_meta("value") == "a"
    store(other).set_meta("value", "b")
    other.turns.push()
    assert process("one").take() is True
    assert store(process("one")).get_meta("value") == "b"


def test_who_was_the_last_fetches_nothing(process: Process, s3: S3Server) -> None:
    one = worked(process("one"), "a")
    begun = len(s3.seen)
    assert one.take() is False
    assert process("one").take() is False, "nor after a restart"
    assert not [path for method, path in s3.seen[begun:] if "sqlite" in path]


def test_a_look_that_changed_nothing_pushes_nothing(process: Process, s3: S3Server) -> None:
    one = worked(process("one"), "a")
    begun = len(s3.seen)
    one.take()
    store(one).set_meta("value", "a")
    store(one).load()
    one.turns.push()
    assert {method for method, _ in s3.seen[begun:]} <= {"GET", "HEAD"}


def test_few_objects_stay(process: Process, s3: S3Server, bucket: str) -> None:
    one, other = process("one"), process("other")
    for turn in range(6):
        project = (one, other)[turn % 2]
        project.take()
        project.turns.announce()
        worked(project, str(turn))
    assert len(snapshots(s3, bucket)) <= 3


def test_a_kill_before_label_studio_was_written_to_is_no_trouble(process: Process) -> None:
    worked(process("one"), "a")
    killed = process("one")
    killed.take()
    store(killed).set_meta("value", "lost")
    other = process("other")
    other.take()
    assert store(other).get_meta("value") == "a"
    assert not store(other).get_meta(PUBLISHING)


def killed_while_publishing(process: Process) -> None:
    """A turn of one machine, and another one of it that is cut short after it began to write to Label Studio."""
    worked(process("one"), "a")
    killed = process("one")
    killed.take()
    store(killed).set_meta(PUBLISHING, True)
    killed.turns.announce()
    store(killed).set_meta("value", "written")


def test_a_kill_in_the_middle_of_publishing_is_known_to_the_next(process: Process) -> None:
    killed_while_publishing(process)
    other = process("other")
    assert other.take() is True
    assert store(other).get_meta("value") == "a", "the older snapshot"
    assert store(other).get_meta(PUBLISHING) is True, "that says what it cannot know"
    # and so does one that takes over from that one, killed before it did anything
    third = process("third")
    third.take()
    assert store(third).get_meta(PUBLISHING) is True


def test_the_killed_one_itself_goes_on_with_what_it_had(process: Process) -> None:
    killed_while_publishing(process)
    again = process("one")
    assert again.take() is False
    assert store(again).get_meta("value") == "written"
    assert store(again).get_meta(PUBLISHING) is True


def test_a_kill_in_the_first_publish_of_all(process: Process) -> None:
    killed = process("one")
    killed.take()
    store(killed).set_meta(PUBLISHING, True)
    killed.turns.announce()
    other = process("other")
    other.take()
    assert store(other).get_meta(PUBLISHING) is True


def test_what_a_holder_pushes_after_it_lost_the_project_counts_for_nothing(process: Process) -> None:
    worked(process("one"), "a")
    stale, other = process("one"), process("other")
    stale.take()
    worked(other, "b")
    store(stale).set_meta("value", "stale")
    stale.turns.push()
    with pytest.raises(LeaseLost, match="taken by another process"):
        stale.turns.announce()
    third = process("third")
    third.take()
    assert store(third).get_meta("value") == "b"
    assert not store(third).get_meta(PUBLISHING)
    assert stale.take() is True
    assert store(stale).get_meta("value") == "b"


def test_clocks_that_differ_do_not_matter(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    worked(process("one"), "a")
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - 3600 * 10**9)
    worked(process("other"), "b")
    monkeypatch.undo()
    one = process("one")
    assert one.take() is True
    assert store(one).get_meta("value") == "b"


def test_two_processes_of_one_machine_share_its_working_folder(process: Process, s3: S3Server) -> None:
    worked(process("one"), "a")
    begun = len(s3.seen)
    beside = worked(process("one"), "b")
    assert not [path for method, path in s3.seen[begun:] if method == "GET" and "sqlite" in path]
    other = process("other")
    other.take()
    assert store(other).get_meta("value") == "b"
    assert beside.take() is False


def test_a_reader_gets_what_is_newer_and_goes_on_reading(process: Process) -> None:
    one = worked(process("one"), "a")
    reader = process("reader")
    reader.turns.freshen()
    problems: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        seen = "a"
        try:
            while not stop.is_set():
                value = store(reader).get_meta("value")
                assert value >= seen
                seen = value
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=read)
    thread.start()
    for value in "bcdefg":
        one.take()
        store(one).set_meta("value", value)
        store(one).set_meta("ballast", value * 100_000)
        one.turns.push()
        reader.turns.freshen(strict=True)
        assert store(reader).get_meta("value") == value
    stop.set()
    thread.join()
    assert not problems


def test_a_reader_beside_a_worker_leaves_its_snapshot_alone(process: Process) -> None:
    worked(process("one"), "a")
    worked(process("other"), "b")
    reader = process("one")
    with project_lock(reader.folder):
        reader.turns.freshen(strict=True)
        assert store(reader).get_meta("value") == "a"
    reader.turns.freshen(strict=True)
    assert store(reader).get_meta("value") == "b"


def test_a_reader_during_a_publish_takes_it_for_nothing_else(process: Process, s3: S3Server) -> None:
    one, reader = worked(process("one"), "a"), process("reader")
    one.take()
    store(one).set_meta(PUBLISHING, True)
    one.turns.announce()
    reader.turns.freshen(strict=True)
    assert store(reader).get_meta("value") == "a"
    assert not store(reader).get_meta(PUBLISHING), "that is for who takes over"
    begun = len(s3.seen)
    reader.turns.freshen(strict=True)
    assert not [path for _, path in s3.seen[begun:] if "sqlite" in path]
    taker = process("reader")
    taker.take()
    assert store(taker).get_meta(PUBLISHING) is True


def test_who_was_stopped_for_long_does_not_write_after_another_one(process: Process) -> None:
    """Whatever their clocks said when they began."""
    worked(process("one"), "a")
    stale, other = process("stale"), process("other")
    stale.take()
    other.take()
    store(other).set_meta("value", "b")
    other.turns.announce()
    other.turns.push()
    with pytest.raises(LeaseLost, match="taken by another process"):
        stale.turns.announce()
    other.turns.announce()


def test_a_snapshot_is_pushed_now_and_then_while_it_lasts(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = process("one")
    one.take()
    store(one).set_meta("value", "half")
    one.turns.keep()
    assert process("other").take() is False, "not at every step"
    monkeypatch.setattr("backend.shared.turns.PUSH_EVERY", 0.0)
    one.turns.keep()
    other = process("other")
    other.take()
    assert store(other).get_meta("value") == "half"


def test_without_the_bucket_nobody_begins_and_a_failed_push_is_made_up_for(
    process: Process, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = worked(process("one"), "a")
    one.take()
    store(one).set_meta("value", "b")
    monkeypatch.setattr("backend.shared.turns.PUSH_EVERY", 0.0)
    with s3.refusing(lambda *_: (403, "AccessDenied", "Access Denied")):
        one.turns.keep()  # told, and no more
        with pytest.raises(SharedFolderError, match="s3:PutObject"):
            one.turns.push()
        with pytest.raises(SharedFolderError, match="cannot be listed"):
            process("other").take()
    one.turns.push()
    other = process("other")
    other.take()
    assert store(other).get_meta("value") == "b"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM tasks; END", "trigger t"),
        ("CREATE VIEW v AS SELECT 1", "view v"),
        ("CREATE VIRTUAL TABLE f USING fts5(x)", "table f"),
        (None, "damaged"),
    ],
)
def test_a_snapshot_that_is_not_lineup_s_is_not_taken_in(
    process: Process, s3: S3Server, bucket: str, tmp_path: Path, spoil: str | None, said: str
) -> None:
    worked(process("one"), "a")
    [name] = s3.keys(bucket, "lineup/projects/7/snapshot/")
    data = gzip.decompress(s3.client().get_object(Bucket=bucket, Key=name)["Body"].read())
    (tmp_path / "evil").write_bytes(data)
    if spoil:
        with sqlite3.connect(tmp_path / "evil") as db:
            db.execute(spoil)
        data = (tmp_path / "evil").read_bytes()
    else:
        data = data[:4096] + b"\xff" * (len(data) - 4096)
    s3.client().put_object(Bucket=bucket, Key=name, Body=gzip.compress(data))
    with pytest.raises(SharedFolderError, match=said):
        process("other").take()
