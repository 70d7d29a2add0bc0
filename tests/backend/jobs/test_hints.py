"""Hints, and when they become due."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backend.jobs.base import QueueUnavailable
from backend.jobs.debounce import due
from backend.jobs.hints import HintStore, Pending


def hint(first: float, last: float) -> Pending:
    return Pending(first, last, 1, frozenset({"poll"}), 1)


def test_hints_of_a_project_are_gathered(tmp_path: Path):
    store = HintStore(tmp_path)
    for reason in ("ANNOTATION_CREATED", "ANNOTATION_CREATED", "poll"):
        store.add(7, reason)
    store.add(8, "setup")
    pending = store.pending()
    assert pending[7].count == 3
    assert pending[7].reasons == {"ANNOTATION_CREATED", "poll"}
    assert pending[7].first <= pending[7].last
    assert set(pending) == {7, 8}


def test_a_hint_that_cannot_be_kept_says_so(tmp_path: Path):
    store = HintStore(tmp_path)
    store.close()
    with pytest.raises(QueueUnavailable, match=r"hints\.sqlite in MODEL_DIR cannot be written to"):
        store.add(7, "poll")


def test_hints_given_during_a_refresh_outlive_it(tmp_path: Path):
    store = HintStore(tmp_path)
    store.add(7, "before")
    upto = store.take(7)
    store.add(7, "during")
    store.add(8, "other")
    store.done(7, upto)
    assert store.pending()[7].reasons == {"during"}
    assert 8 in store.pending()


def test_nothing_is_done_without_hints(tmp_path: Path):
    store = HintStore(tmp_path)
    assert store.take(7) == 0
    assert store.pending() == {}
    assert store.newest() == 0


def test_the_newest_grows_even_after_hints_are_done(tmp_path: Path):
    store = HintStore(tmp_path)
    store.add(7, "a")
    store.done(7, store.take(7))
    store.add(7, "b")
    assert store.newest() == 2


def test_a_hint_of_a_killed_process_is_kept(tmp_path: Path):
    code = (
        "import os, sys; from pathlib import Path; from backend.jobs.hints import HintStore;"
        f"HintStore(Path(sys.argv[1])).add(7, 'x'); os.kill(os.getpid(), {int(signal.SIGKILL)})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert HintStore(tmp_path).pending()[7].count == 1


def test_many_threads_and_stores_lose_nothing(tmp_path: Path):
    stores = [HintStore(tmp_path) for _ in range(2)]

    def give(number: int) -> None:
        for _ in range(50):
            stores[number % 2].add(number, "x")

    threads = [threading.Thread(target=give, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {project: p.count for project, p in stores[0].pending().items()} == dict.fromkeys(range(1, 7), 50)


def test_due_after_a_quiet_moment():
    assert due({7: hint(0, 10)}, 11.9, quiet=2, max_wait=15) == []
    assert due({7: hint(0, 10)}, 12.0, quiet=2, max_wait=15) == [7]


def test_due_after_the_longest_wait_although_hints_go_on():
    assert due({7: hint(0, 14.9)}, 15.0, quiet=2, max_wait=15) == [7]


def test_the_longest_waiting_comes_first():
    assert due({7: hint(5, 5), 8: hint(1, 1)}, 100, quiet=2, max_wait=15) == [8, 7]


def test_a_clock_set_back_delays_nothing():
    assert due({7: hint(1000, 1000)}, 10, quiet=2, max_wait=15) == [7]
