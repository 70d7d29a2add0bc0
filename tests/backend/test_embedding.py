"""Each image is fetched once, and a broken one costs only itself."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend import embedding
from backend.embedding import EmbeddingRoom
from backend.labelstudio.errors import LabelStudioUnreachable
from backend.labelstudio.fetch import ImageFetchError
from backend.snapshot import SnapshotStore
from ml.embedders import make_embedder
from ml.images import ImageLimits
from ml.vectors import VectorStore


class Files:
    """Stands in for the fetcher: bytes by URI, every fetch counted."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.down = False

    def fetch(self, uri: str, task_id: int, project_id: int) -> bytes:
        if self.down:
            raise LabelStudioUnreachable(None, "GET", uri, "refused", "Is Label Studio running?")
        self.fetched.append(uri)
        if uri == "missing.png":
            raise ImageFetchError(task_id, uri, "404")
        if uri == "broken.png":
            return b"no image"
        buffer = io.BytesIO()
        Image.new("RGB", (20, 20), (hash(uri.removeprefix("copy-of-")) % 255, 80, 90)).save(buffer, "PNG")
        return buffer.getvalue()


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def room(tmp_path: Path, files: Files) -> EmbeddingRoom:
    embedder = make_embedder("pixels")
    store = SnapshotStore(tmp_path / "snapshot.sqlite")
    vectors = VectorStore(tmp_path / "vectors", embedder.fingerprint, embedder.dim)
    limits = ImageLimits(max_bytes=10_000, max_pixels=10_000)
    return EmbeddingRoom(store, vectors, embedder, files, limits)  # type: ignore[arg-type]


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
    monkeypatch.setattr(embedding, "RETRY_BROKEN_AFTER", -1.0)
    room.embed(7, [1, 2, 3, 4], uris, silent)
    assert sorted(files.fetched[3:]) == ["broken.png", "missing.png"]


def test_a_label_studio_that_is_down_marks_no_image_as_broken(room: EmbeddingRoom, files: Files) -> None:
    files.down = True
    with pytest.raises(LabelStudioUnreachable):
        room.embed(7, [1], ["a.png"], silent)
    files.down = False
    assert room.embed(7, [1], ["a.png"], silent).ok.all()
