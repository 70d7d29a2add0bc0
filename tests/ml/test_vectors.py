from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.merging import WIDTH
from ml.segments import KEY_DTYPE, KEYS, ROWS, TEMPORARY, write_segment
from ml.vectors import VectorStore, content_key

ROOT = Path(__file__).parents[2]

# writes batches for ever: the vector of key number i of writer w is full of (w * 1000 + i) % 2000
WRITER = """
import sys
from pathlib import Path
import numpy as np
from ml.vectors import VectorStore, content_key
store, writer = VectorStore(Path(sys.argv[1]), "test", 4), int(sys.argv[2])
for batch in range(int(sys.argv[3])):
    numbers = np.arange(batch * 5, batch * 5 + 5)
    values = (writer * 1000 + numbers) % 2000
    keys = [content_key(f"{writer}-{number}".encode()) for number in numbers]
    store.put(keys, np.repeat(values[:, None], 4, axis=1))
    print(batch, flush=True)
"""

# prints by how many bytes of mapped files a process grew, and how many bytes it asked for
READER = """
import sys
from pathlib import Path
from ml.vectors import VectorStore
def mapped():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("RssFile")]
    return int(line.split()[1]) * 1024
store = VectorStore(Path(sys.argv[1]), "x", int(sys.argv[2]))
store.get(sys.argv[3:4])
before = mapped()
vectors, found = store.get(sys.argv[3:])
assert found.all()
print(mapped() - before, vectors.nbytes)
"""


def start_writer(root: Path, writer: int, batches: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(root), str(writer), str(batches)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def expect(store: VectorStore, writer: int, numbers: range) -> None:
    vectors, found = store.get([content_key(f"{writer}-{number}".encode()) for number in numbers])
    assert found.all()
    assert (vectors == ((writer * 1000 + np.array(numbers)) % 2000)[:, None]).all()


def keys_of(*names: str) -> list[str]:
    return [content_key(name.encode()) for name in names]


def test_put_and_get(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, "pixels-1", 3)
    a, b, c = keys_of("a", "b", "c")
    store.put([a, b], np.array([[1, 2, 3], [4, 5, 6]]))
    vectors, found = store.get([c, b, a, b])
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[0, 0, 0], [4, 5, 6], [1, 2, 3], [4, 5, 6]]
    assert found.tolist() == [False, True, True, True]
    assert a in store
    assert c not in store
    assert len(store) == 2


def test_empty(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, "pixels-1", 3)
    store.put([], np.zeros((0, 3)))
    vectors, found = store.get([])
    assert vectors.shape == (0, 3)
    assert found.shape == (0,)
    assert len(store) == 0


def test_stores_of_different_embedders_are_apart(tmp_path: Path) -> None:
    one, other = VectorStore(tmp_path, "one", 2), VectorStore(tmp_path, "other", 3)
    (key,) = keys_of("a")
    one.put([key], np.ones((1, 2)))
    assert key not in other


def test_what_another_opened_store_puts_is_seen(tmp_path: Path) -> None:
    reader, writer = VectorStore(tmp_path, "x", 2), VectorStore(tmp_path, "x", 2)
    (key,) = keys_of("a")
    assert key not in reader
    writer.put([key], np.ones((1, 2)))
    assert key in reader


def test_putting_again_writes_nothing(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, "x", 1)
    keys = keys_of("a", "b", "a")
    store.put(keys, np.array([[1], [2], [1]]))
    files = set(os.listdir(store.path))
    store.put(keys, np.array([[1], [2], [1]]))
    assert set(os.listdir(store.path)) == files
    assert len(store) == 2


def test_many_puts_leave_few_segments(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, "x", 1)
    for i in range(300):
        store.put(keys_of(str(i)), np.array([[i]]))
    vectors, found = store.get(keys_of(*map(str, range(300))))
    assert found.all()
    assert vectors[:, 0].tolist() == list(range(300))
    assert len(store) == 300
    assert sum(name.endswith(KEYS) for name in os.listdir(store.path)) <= 3 * WIDTH


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=12), max_size=25))
def test_behaves_like_a_dictionary(tmp_path_factory: pytest.TempPathFactory, puts: list[list[int]]) -> None:
    store = VectorStore(tmp_path_factory.mktemp("store"), "x", 2)
    model: set[int] = set()
    for numbers in puts:
        store.put(keys_of(*map(str, numbers)), np.array([[n, -n] for n in numbers]).reshape(-1, 2))
        model |= set(numbers)
    vectors, found = store.get(keys_of(*map(str, range(61))))
    assert {int(i) for i in np.flatnonzero(found)} == model
    assert all(vectors[i].tolist() == [i, -i] for i in model)
    assert len(store) == len(model)


@pytest.mark.parametrize("key", ["", "zz" * 16, "ab", "a b" * 8, "é" * 32])
def test_malformed_keys_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="32 hexadecimal"):
        VectorStore(tmp_path, "x", 1).put([key], np.ones((1, 1)))


def test_keys_with_zero_bytes(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, "x", 1)
    keys = ["00" * 16, "00" * 15 + "01", "01" + "00" * 15, "01" + "00" * 14 + "01"]
    store.put(keys, np.arange(4)[:, None])
    vectors, found = store.get(keys)
    assert found.all()
    assert vectors[:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e6])
def test_values_that_float16_cannot_hold_are_refused(tmp_path: Path, bad: float) -> None:
    (key,) = keys_of("a")
    with pytest.raises(ValueError, match=key):
        VectorStore(tmp_path, "x", 1).put([key], np.array([[bad]]))


def test_wrong_shapes_and_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shape"):
        VectorStore(tmp_path, "x", 2).put(keys_of("a"), np.ones((1, 3)))
    with pytest.raises(ValueError, match="fingerprint"):
        VectorStore(tmp_path, "../x", 2)
    with pytest.raises(ValueError, match="dimension"):
        VectorStore(tmp_path, "x", 0)


def test_a_damaged_segment_is_named_and_the_rest_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = VectorStore(tmp_path, "x", 8)
    store.put(keys_of("a"), np.ones((1, 8)))
    (rows,) = store.path.glob("*" + ROWS)
    os.truncate(rows, rows.stat().st_size - 4)
    store.put(keys_of("b"), np.ones((1, 8)))
    with caplog.at_level(logging.WARNING):
        _, found = VectorStore(tmp_path, "x", 8).get(keys_of("a", "b"))
    assert found.tolist() == [False, True]
    assert rows.name.removesuffix(ROWS) in caplog.text


def test_what_a_killed_writer_left_is_cleaned_up(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, "x", 1)
    (store.path / ("dead" + ROWS)).write_bytes(b"half")
    (store.path / ("dead" + KEYS + TEMPORARY)).write_bytes(b"half")
    for i in range(WIDTH):
        store.put(keys_of(str(i)), np.array([[i]]))
    assert not list(store.path.glob("dead*"))
    assert len(store) == WIDTH


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, "x", 1)
    problems: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for i in range(30):
                key = keys_of(f"{thread}-{i}")
                store.put(key, np.array([[thread * 100 + i]]))
                vectors, found = store.get(key)
                assert found.all()
                assert vectors[0, 0] == thread * 100 + i
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(store) == 120


def test_what_another_thread_found_between_search_and_scan_is_searched_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other, key = VectorStore(tmp_path, "x", 1), VectorStore(tmp_path, "x", 1), keys_of("late")
    search, calls = VectorStore._search, []

    def interrupted(*args: object) -> None:
        search(*args)
        calls.append(args)
        if len(calls) == 1:  # the first look found nothing; now another thread is faster
            other.put(key, np.array([[7.0]]))
            store._scan()

    monkeypatch.setattr(store, "_search", interrupted)
    vectors, found = store.get(key)
    assert found.all()
    assert vectors[0, 0] == 7


def test_several_processes_write_while_one_reads(tmp_path: Path) -> None:
    batches = 40
    writers = [start_writer(tmp_path, writer, batches) for writer in range(3)]
    store = VectorStore(tmp_path, "test", 4)
    acknowledged = [0] * 3
    for _ in range(batches):
        for writer, process in enumerate(writers):
            assert process.stdout is not None
            assert process.stdout.readline()
            acknowledged[writer] += 5
            # whatever is being merged meanwhile, what was acknowledged is there
            expect(store, writer, range(acknowledged[writer]))
    for process in writers:
        process.communicate()
        assert process.returncode == 0
    assert len(VectorStore(tmp_path, "test", 4)) == 3 * batches * 5


def test_killed_writers_lose_nothing_acknowledged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for writer in range(6):
        process = start_writer(tmp_path, writer, 100_000)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(int(rng.integers(1, 30)))]
        time.sleep(float(rng.uniform(0, 0.005)))
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].splitlines()
        acknowledged = int((rest or lines)[-1]) + 1
        expect(VectorStore(tmp_path, "test", 4), writer, range(acknowledged * 5))
    survivor = VectorStore(tmp_path, "test", 4)
    for i in range(WIDTH * WIDTH):
        survivor.put(keys_of(f"after-{i}"), np.ones((1, 4)))
    assert not list(survivor.path.glob("*" + TEMPORARY))
    rows = {path.name.removesuffix(ROWS) for path in survivor.path.glob("*" + ROWS)}
    keys = {path.name.removesuffix(KEYS) for path in survivor.path.glob("*" + KEYS)}
    assert rows == keys


def test_reading_costs_no_more_memory_than_what_is_read(tmp_path: Path) -> None:
    rows, dim = 60_000, 512
    path = VectorStore(tmp_path, "x", dim).path
    keys = sorted(content_key(str(i).encode()) for i in range(rows))
    packed = np.frombuffer(bytes.fromhex("".join(keys)), dtype=KEY_DTYPE)
    write_segment(path, packed, dim, (np.ones((1000, dim), dtype=np.float16) for _ in range(rows // 1000)))
    command = [sys.executable, "-c", READER, str(tmp_path), str(dim), *keys[:: rows // 1500]]
    mapped, asked = map(
        int, subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    )
    # file pages, of which the 61 MB of the segment would be nearly all
    assert mapped < asked
