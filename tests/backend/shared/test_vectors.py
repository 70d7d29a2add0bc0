"""Vectors that several machines put into one bucket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from backend.settings import Settings
from backend.shared.bucket import SharedFolderError
from backend.vectors import open_vectors
from ml.elsewhere import KNOWN
from ml.merging import WIDTH
from ml.segments import KEYS, ROWS
from ml.vectors import VectorStore, content_key
from tests.backend.shared.conftest import Machine
from tests.s3_server import S3Server

ROOT = Path(__file__).parents[3]
DIM = 4


def store(settings: Settings, dim: int = DIM) -> VectorStore:
    return open_vectors(settings, "test", dim)


def keys(*numbers: int) -> list[str]:
    return [content_key(str(number).encode()) for number in numbers]


def put(into: VectorStore, *numbers: int) -> None:
    into.put(keys(*numbers), np.repeat(np.array(numbers)[:, None] % 2000, into.dim, axis=1))


def expect(found_in: VectorStore, *numbers: int) -> None:
    vectors, found = found_in.get(keys(*numbers))
    assert found.all()
    assert (vectors == np.array(numbers)[:, None] % 2000).all()


def test_what_one_machine_puts_another_finds(machine: Machine) -> None:
    one, other = store(machine("one")), store(machine("other"))
    put(one, 1, 2, 3)
    expect(other, 3, 1, 2)
    assert not other.has(keys(4))[0]
    put(one, 4)
    expect(other, 4)


def test_a_machine_that_has_it_asks_nobody(machine: Machine, s3: S3Server) -> None:
    one = store(machine("one"))
    put(one, 1, 2)
    before = len(s3.seen)
    expect(one, 1, 2)
    assert len(s3.seen) == before


def test_rows_are_fetched_where_they_are_needed_and_keys_once(machine: Machine, s3: S3Server) -> None:
    one, other = store(machine("one")), store(machine("other"))
    put(one, *range(100))
    put(one, 1000)
    expect(other, 1000)
    assert len(list(other.path.glob("*" + ROWS))) == 1, "the other segment's rows stay where they are"
    assert len(list(other.path.glob("*" + KNOWN))) == 1
    begun = len(s3.seen)
    expect(other, 5)
    fetched = [path for method, path in s3.seen[begun:] if method == "GET" and path.endswith(".npy")]
    assert [path.endswith(ROWS) for path in fetched] == [True]


def test_merging_leaves_few_and_a_reader_of_old_listings_finds_all(
    machine: Machine, s3: S3Server, bucket: str
) -> None:
    one, other = store(machine("one")), store(machine("other"))
    put(one, 0)
    expect(other, 0)
    for number in range(1, 3 * WIDTH):
        put(one, number)
    there = s3.keys(bucket)
    assert sum(name.endswith(KEYS) for name in there) < WIDTH
    assert len(there) == 2 * sum(name.endswith(KEYS) for name in there), "merged ones are gone, rows and keys"
    expect(other, *range(3 * WIDTH))
    assert len(other) == 3 * WIDTH
    here = {path.name for path in other.path.glob("*" + KEYS)}
    assert here == {Path(name).name for name in there if name.endswith(KEYS)}, (
        "what was merged is gone here too"
    )


def test_two_machines_put_and_merge_at_the_same_time(machine: Machine) -> None:
    """With a third that looks for what is there meanwhile."""
    stores = [store(machine(name)) for name in ("one", "other")]
    reader, done, problems = store(machine("reader")), [0, 0], []

    def write(which: int) -> None:
        for number in range(25):
            put(stores[which], which * 1000 + number)
            done[which] = number

    def read() -> None:
        while any(thread.is_alive() for thread in writers):
            for which in (0, 1):
                if done[which]:
                    expect(reader, *(which * 1000 + number for number in range(done[which])))

    def guarded(what, *args) -> None:  # type: ignore[no-untyped-def]
        try:
            what(*args)
        except BaseException as problem:
            problems.append(problem)

    writers = [threading.Thread(target=guarded, args=(write, which)) for which in (0, 1)]
    for thread in writers:
        thread.start()
    guarded(read)
    for thread in writers:
        thread.join()
    assert not problems
    everything = [*range(25), *range(1000, 1025)]
    for each in (*stores, reader, store(machine("late"))):
        expect(each, *everything)


def test_both_merge_the_same_segments(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """At worst their vectors are there twice, until the next merge."""
    one, other = store(machine("one")), store(machine("other"))
    for number in range(WIDTH - 1):
        put(one, number)
    expect(other, *range(WIDTH - 1))
    barrier = threading.Barrier(2, timeout=20)
    for each in (one, other):
        listing, waited = each._mergeable, []

        def slow(listing=listing, waited=waited):  # type: ignore[no-untyped-def]
            found = listing()
            if not waited:
                waited.append(barrier.wait())
            return found

        monkeypatch.setattr(each, "_mergeable", slow)
    threads = [threading.Thread(target=put, args=(each, 100 + n)) for n, each in enumerate((one, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [*range(WIDTH - 1), 100, 101]
    for each in (one, other, store(machine("late"))):
        expect(each, *everything)


def test_a_killed_upload_leaves_nothing_visible_and_is_made_again(
    machine: Machine, s3: S3Server, bucket: str
) -> None:
    settings = machine("one")
    code = (
        "import sys, numpy as np; from backend.settings import Settings; from backend.vectors import open_vectors\n"
        "from ml.vectors import content_key\n"
        "store = open_vectors(Settings(_env_file=None), 'test', 512)\n"
        "keys = [content_key(str(n).encode()) for n in range(40000)]\n"
        "print('go', flush=True)\n"
        "store.put(keys, np.ones((40000, 512), np.float16))\n"
    )
    environ = {
        **os.environ,
        "MODEL_DIR": settings.model_url,
        "MODEL_CACHE": str(settings.model_cache),
        "PYTHONPATH": str(ROOT),
    }
    child = subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    begun = len(s3.seen)
    deadline = time.monotonic() + 30
    while not any(
        method == "PUT" and path.endswith(ROWS) for method, path in s3.seen[begun:]
    ):  # a part of the rows
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert [name for name in s3.keys(bucket) if name.endswith(KEYS)] == []
    again, other = store(settings, 512), store(machine("other"), 512)
    assert len(again) == 0
    assert not other.has(keys(7)).any()
    again.put(keys(7), np.ones((1, 512)))
    assert other.has(keys(7)).all()


def test_a_bucket_that_is_away_keeps_nothing_half(machine: Machine, s3: S3Server) -> None:
    one = store(machine("one"))
    put(one, 1)
    with s3.refusing(lambda method, path: (400, "AccountProblem", "none") if path.endswith(KEYS) else None):
        with pytest.raises(SharedFolderError, match=r"MODEL_DIR=s3://.* cannot be written"):
            put(one, 2)
        expect(one, 1)
    assert not one.has(keys(2)).any(), "what others cannot see is not seen here"
    put(one, 2)
    expect(store(machine("other")), 1, 2)


def test_a_damaged_segment_costs_its_own_vectors(
    machine: Machine, s3: S3Server, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = store(machine("one"))
    put(one, 1)
    [rows] = [name for name in s3.keys(bucket) if name.endswith(ROWS)]
    s3.client().put_object(Bucket=bucket, Key=rows, Body=b"garbage")
    put(one, 2)
    other = store(machine("other"))
    assert other.has(keys(1, 2)).tolist() == [False, True]
    assert "cannot be had" in caplog.text


def test_names_that_are_paths_are_not_looked_at(
    machine: Machine, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    one = store(machine("one"))
    put(one, 1)
    for name in ("../../evil.keys.npy", "x/../../../evil.keys.npy", "evil.keys.npy"):
        s3.client().put_object(Bucket=bucket, Key=f"lineup/vectors/test/{name}", Body=b"evil")
    other = store(machine("other"))
    assert other.has(keys(1, 2)).tolist() == [True, False]
    assert not list(tmp_path.rglob("*evil*"))


def test_a_working_folder_that_is_lost_is_filled_again(machine: Machine) -> None:
    one = store(machine("one"))
    put(one, 1, 2)
    shutil.rmtree(one.path)
    expect(store(machine("one")), 1, 2)
