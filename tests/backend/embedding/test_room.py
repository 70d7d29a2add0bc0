"""Each image is fetched once, and a broken one costs only itself."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from backend import fetching
from backend.embedding import EmbeddingRoom, intake
from backend.embedding import room as rooms
from backend.embedding.stage import EmbeddingStage
from backend.labelstudio.errors import LabelStudioUnreachable
from backend.labelstudio.fetch import ImageFetchError
from backend.snapshot import Content, SnapshotStore
from ml.images import ImageLimits
from ml.vectors import VectorStore
from tests.backend.embedding.files import Counting, Files


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def room(tmp_path: Path, files: Files) -> EmbeddingRoom:
    embedder = Counting(threads=1)
    store = SnapshotStore(tmp_path / "snapshot.sqlite")
    vectors = VectorStore(tmp_path / "vectors", embedder.fingerprint, embedder.dim)
    limits = ImageLimits(max_bytes=10_000, max_pixels=10_000)
    return EmbeddingRoom(store, vectors, EmbeddingStage(embedder, files, limits))  # type: ignore[arg-type]


def silent(*_: object) -> None:
    pass


def test_an_image_is_fetched_once_and_copies_share_a_vector(room: EmbeddingRoom, files: Files) -> None:
    uris = ["a.png", "copy-of-a.png", "a.png", "b.png"]
    first = room.embed(7, [1, 2, 3, 4], uris, silent)
    assert first.ok.all()
    assert first.keys[0] == first.keys[1] == first.keys[2] != first.keys[3]
    assert sorted(files.fetched) == ["a.png", "b.png", "copy-of-a.png"]
    again = room.embed(7, [1, 2, 3, 4], uris, silent)
    assert len(files.fetched) == 3
    np.testing.assert_array_equal(first.vectors, again.vectors)


def test_broken_and_missing_images_are_named_and_tried_again_later(
    room: EmbeddingRoom, files: Files, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = ["a.png", "broken.png", "missing.png", None]
    found = room.embed(7, [1, 2, 3, 4], uris, silent)
    assert found.ok.tolist() == [True, False, False, False]
    assert found.errors[3] == "the task has no image"
    assert all(found.errors[1:])
    assert "task 2" in caplog.text
    assert "task 3" in caplog.text
    room.embed(7, [1, 2, 3, 4], uris, silent)
    assert len(files.fetched) == 3
    monkeypatch.setattr(rooms, "RETRY_BROKEN_AFTER", -1.0)
    room.embed(7, [1, 2, 3, 4], uris, silent)
    assert sorted(files.fetched[3:]) == ["broken.png", "missing.png"]


def test_a_label_studio_that_is_down_marks_no_image_as_broken(room: EmbeddingRoom, files: Files) -> None:
    files.down = True
    with pytest.raises(LabelStudioUnreachable):
        room.embed(7, [1], ["a.png"], silent)
    files.down = False
    assert room.embed(7, [1], ["a.png"], silent).ok.all()


def test_the_same_bytes_are_decoded_once(room: EmbeddingRoom, files: Files) -> None:
    room.embed(7, [1, 2, 3], ["a.png", "copy-of-a.png", "b.png"], silent)
    assert room.stage.embedder.decoded == 2  # type: ignore[attr-defined]
    found = room.embed(7, [1, 4], ["a.png", "copy-of-copy-of-a.png"], silent)
    assert found.ok.all()
    assert room.stage.embedder.decoded == 2  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found.measures[0], found.measures[1])


def test_measures_come_out_of_the_same_pass(room: EmbeddingRoom, files: Files) -> None:
    found = room.embed(7, [1, 2, 3], ["a.png", "broken.png", None], silent)
    assert found.measures[0, :2].tolist() == [20, 20]
    assert np.isfinite(found.measures[0]).all()
    assert np.isnan(found.measures[1:]).all()
    again = room.embed(7, [1, 2, 3], ["a.png", "broken.png", None], silent)
    np.testing.assert_array_equal(again.measures, found.measures)


def test_measures_not_taken_yet_are_taken_when_asked_for(room: EmbeddingRoom, files: Files) -> None:
    uris = ["a.png", "missing.png"]
    key = room.embed(7, [1], ["a.png"], silent).keys[0]
    # as an earlier Lineup left them
    room.store.put_contents({uri: Content(key, None, 0.0) for uri in uris})
    files.fetched.clear()
    assert np.isnan(room.embed(7, [1, 2], uris, silent).measures).all()
    assert files.fetched == []
    found = room.embed(7, [1, 2], uris, silent, measure_all=True)
    assert sorted(files.fetched) == sorted(uris)
    assert np.isfinite(found.measures[0]).all()
    assert found.ok.all()  # what cannot be fetched any more keeps its vector


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_done_when_something_ends_it_is_kept(
    room: EmbeddingRoom, files: Files, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    monkeypatch.setattr(intake, "STORE_EVERY", 8)
    room.stage.embedder.batch_size = 8
    uris = [f"{number}.png" for number in range(400)]
    if killed:
        monkeypatch.setattr(intake.Intake, "flush", _die_at(monkeypatch, 3))
    else:
        files.down_from = "300.png"
    with pytest.raises((LabelStudioUnreachable, KeyboardInterrupt)):
        room.embed(7, list(range(400)), uris, silent)
    kept = room.store.contents()
    assert 24 <= len(kept) < 400
    assert all(content.key for content in kept.values())
    monkeypatch.undo()
    files.down_from = ""
    files.fetched.clear()
    assert room.embed(7, list(range(400)), uris, silent).ok.all()
    assert set(files.fetched) == set(uris) - set(kept)


def _die_at(monkeypatch: pytest.MonkeyPatch, times: int) -> object:
    """Store that often, then neither store nor go on: what a kill leaves."""
    real, count = intake.Intake.flush, 0

    def store(taken: intake.Intake) -> None:
        nonlocal count
        count += 1
        if count > times:
            raise KeyboardInterrupt
        real(taken)

    return store


def test_failures_are_stored_as_they_come(room: EmbeddingRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "STORE_EVERY", 8)
    monkeypatch.setattr(Files, "fetch", _missing)
    with pytest.raises(KeyboardInterrupt):
        room.embed(7, list(range(40)), [f"{number}.png" for number in range(40)], silent)
    assert 8 <= len(room.store.contents()) < 40


def _missing(files: Files, uri: str, task_id: int, project_id: int) -> bytes:
    if uri == "30.png":
        raise KeyboardInterrupt
    raise ImageFetchError(task_id, uri, "404")


def test_progress_moves_and_may_end_it(room: EmbeddingRoom) -> None:
    seen: list[tuple[int, int]] = []
    room.embed(7, list(range(200)), [f"{n}.png" for n in range(200)], lambda _, *at: seen.append(at))
    assert seen[0] == (0, 200)
    assert seen[-1] == (200, 200)
    assert len(seen) > 5

    def stop(step: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        room.embed(7, list(range(200)), [f"new-{n}.png" for n in range(200)], stop)
    assert any(uri.startswith("new-") for uri in room.store.contents())


def test_large_files_are_not_fetched_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "AHEAD_BYTES", 10_000)
    begun: list[int] = []
    size = 3_000

    def fetch(number: int) -> bytes:
        begun.append(number)
        return bytes(size)

    results = fetching.fetch_ahead([range(1000)], fetch)
    next(results)
    time.sleep(0.1)
    assert len(begun) <= 1 + 10_000 // size + 1 + fetching.THREADS
    results.close()
    assert len(begun) < 20
    lots = (range(start, start + 70) for start in range(0, 280, 70))
    assert [number for number, _ in fetching.fetch_ahead(lots, fetch)] == list(range(280))
