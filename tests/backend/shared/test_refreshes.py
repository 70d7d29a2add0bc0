"""Refreshes between taking a project from the bucket and giving it back, with a refresher that does what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from backend.jobs.base import LeaseLost, Stopped
from backend.shared.bucket import SharedFolderError
from backend.shared.folder import SharedFolder
from backend.shared.refreshes import SharedRefreshes
from backend.snapshot import SNAPSHOT, SnapshotStore
from tests.backend.jobs.fakes import Refresher
from tests.backend.shared.conftest import Machine, new_process
from tests.s3_server import S3Server


@dataclass
class Worker:
    """One machine's worker."""

    shared: SharedFolder
    inner: Refresher
    refreshes: SharedRefreshes

    @property
    def store(self) -> SnapshotStore:
        return SnapshotStore(self.shared.project(7).folder / SNAPSHOT)

    def refresh(self, value: str, ending: type[Exception] | None = None, at: int = 1) -> None:
        """Write a value; then `progress` raises when it is called for the so-manieth time: within it, after it."""
        calls = 0

        def report(step: str, done: int, total: int) -> None:
            nonlocal calls
            calls += 1
            if ending and calls >= at:
                raise ending(step)

        def during(progress: Callable[[str, int, int], None]) -> None:
            self.store.set_meta("value", value)
            progress("learn", 0, 1)

        self.inner.during = during
        self.refreshes.refresh(7, {"poll"}, report)


Make = Callable[..., Worker]


@pytest.fixture
def worker(machine: Machine) -> Make:
    def make(name: str, *, alone: bool = False) -> Worker:
        shared, inner = new_process(machine(name)), Refresher()
        return Worker(shared, inner, SharedRefreshes(inner, shared, alone=alone))

    return make


def left(worker: Make) -> object:
    """What a further worker finds."""
    other = worker("other")
    other.shared.project(7).take()
    return other.store.get_meta("value")


def test_what_came_of_it_is_there_for_the_next_and_what_was_known_is_forgotten(worker: Make) -> None:
    one, other = worker("one"), worker("other")
    one.refresh("a")
    other.refresh("b")
    assert other.inner.forgotten == [7]
    other.refresh("c")
    assert other.inner.forgotten == [7], "its own is not"
    one.refresh("d")
    assert one.inner.forgotten == [7]
    assert left(worker) == "d"


def test_a_lost_lease_pushes_nothing(worker: Make) -> None:
    one = worker("one")
    one.refresh("a")
    for at in (1, 2):
        with pytest.raises(LeaseLost):
            one.refresh("lost", LeaseLost, at)
    assert left(worker) == "a"


@pytest.mark.parametrize("ending", [Stopped, ValueError])
def test_what_was_reached_before_it_ended_early_is_not_lost(worker: Make, ending: type[Exception]) -> None:
    one = worker("one")
    one.inner.failures = [ending("away")]
    with pytest.raises(ending):
        one.refresh("reached", ending if ending is Stopped else None)
    assert left(worker) == "reached"


def test_a_stop_after_the_end_does_not_put_it_off(worker: Make) -> None:
    worker("one").refresh("a", Stopped, 2)
    assert left(worker) == "a"


def test_without_the_bucket_no_refresh_begins_or_ends_well(worker: Make, s3: S3Server) -> None:
    one = worker("one")
    one.refresh("a")
    refused = (403, "AccessDenied", "Access Denied")
    with s3.refusing(lambda *_: refused), pytest.raises(SharedFolderError, match="MODEL_DIR=s3://"):
        one.refresh("b")
    assert len(one.inner.calls) == 1
    with (
        s3.refusing(lambda method, _: refused if method == "PUT" else None),
        pytest.raises(SharedFolderError, match="s3:PutObject"),
    ):
        one.refresh("b")
    one.refresh("c")
    assert left(worker) == "c"


def test_idle_work_is_pushed(worker: Make) -> None:
    one = worker("one")
    one.refresh("a")
    one.inner.in_idle = lambda _: one.store.set_meta("value", "idle")
    one.refreshes.idle_step(7, lambda: False)
    assert left(worker) == "idle"


def test_another_lineup_without_redis_is_noticed(worker: Make, caplog: pytest.LogCaptureFixture) -> None:
    one, other = worker("one", alone=True), worker("other", alone=True)
    one.refresh("a")
    other.refresh("b")
    assert "another Lineup" not in caplog.text, "it may have moved to this machine"
    one.refresh("c")
    assert "another Lineup without REDIS_URL has written to the same MODEL_DIR" in caplog.text
