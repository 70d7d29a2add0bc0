"""The pass that stores the features of pixels: each image once, a broken one costs only itself."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import pytest
from PIL import Image

from backend.casualties import Casualties
from backend.embedding.room import RETRY_BROKEN_AFTER
from backend.labelstudio.errors import LabelStudioUnreachable
from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.segmentation import pixels
from backend.segmentation.memory import Memory
from backend.segmentation.pixels import PixelRoom
from backend.snapshot import Content, SnapshotStore
from ml.embedders.stream import worker_threads
from ml.images import ImageLimits
from ml.segmentation.features import make_pixel_features
from ml.segmentation.store import PyramidStore
from ml.vectors import content_key
from tests.backend.segmentation.shapes import picture


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class Shelf:
    """An `ImageFetcher` of files in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []
        self.down = False

    def fetch(self, uri: str, task_id: int, project_id: int) -> bytes:
        if self.down:
            raise LabelStudioUnreachable(0, "GET", uri, "it is down")
        self.asked.append(uri)
        if uri not in self.files:
            raise ImageFetchError(task_id, uri, "it is gone")
        return self.files[uri]


class Scene:
    """Ten images, and a room that knows their contents."""

    def __init__(self, folder: Path) -> None:
        self.shelf = Shelf({f"/{number}.png": png(picture(number)) for number in range(10)})
        self.images = {
            content_key(data): (number, uri) for number, (uri, data) in enumerate(self.shelf.files.items())
        }
        features = make_pixel_features("pixels")
        self.store = SnapshotStore(folder / "snapshot.sqlite")
        self.room = PixelRoom.make(
            features,
            PyramidStore(folder / "pyramids", features.fingerprint),
            cast(ImageFetcher, self.shelf),
            ImageLimits(),
            Memory(folder / "m.sqlite"),
            self.store,
        )

    def fill(self, progress: Callable[[str, int, int], None] = lambda *_: None) -> dict[str, str]:
        return self.room.fill(7, self.images, progress)

    def has(self) -> list[bool]:
        return [self.room.pyramids.has(key) for key in self.images]

    def key(self, number: int) -> str:
        return list(self.images)[number]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_every_image_is_fetched_once(scene: Scene) -> None:
    assert scene.fill() == {}
    assert all(scene.has())
    pyramid = scene.room.pyramids.get(scene.key(3))
    assert pyramid is not None
    assert pyramid.size == (64, 64)
    assert scene.fill() == {}
    assert sorted(scene.shelf.asked) == sorted(scene.shelf.files)


def test_features_are_of_the_upright_image_in_full(scene: Scene) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1).resize((1600, 1000)).save(file, "JPEG", exif=exif)
    scene.shelf.files = {"/turned.jpg": file.getvalue()}
    scene.images = {content_key(file.getvalue()): (1, "/turned.jpg")}
    assert scene.fill() == {}
    pyramid = scene.room.pyramids.get(scene.key(0))
    assert pyramid is not None
    assert pyramid.size == (1600, 1000)


def test_what_cannot_be_read_costs_itself_and_is_tried_again_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone, other = scene.key(2), scene.key(5)
    kept = {uri: scene.shelf.files[uri] for uri in ("/2.png", "/5.png")}
    del scene.shelf.files["/2.png"]
    scene.shelf.files["/5.png"] = png(picture(77))
    broken = scene.fill()
    assert set(broken) == {gone, other}
    assert "gone" in broken[gone]
    assert "another one" in broken[other]
    assert sum(scene.has()) == 8
    assert "/2.png" in caplog.text
    scene.shelf.files |= kept
    asked = len(scene.shelf.asked)
    assert scene.fill() == broken, "not at once"
    assert len(scene.shelf.asked) == asked
    now = time.time()
    monkeypatch.setattr(pixels.time, "time", lambda: now + RETRY_BROKEN_AFTER + 1)
    assert scene.fill() == {}
    assert all(scene.has())
    assert scene.room.memory.recall(pixels.BROKEN) == {}, "nothing is left to try"


def test_a_label_studio_that_is_down_is_nobodys_fault(scene: Scene) -> None:
    scene.shelf.down = True
    with pytest.raises(LabelStudioUnreachable):
        scene.fill()
    scene.shelf.down = False
    assert scene.fill() == {}
    assert all(scene.has())


def test_what_is_done_when_it_is_stopped_stays(scene: Scene) -> None:
    def progress(step: str, done: int, total: int) -> None:
        if done >= 8:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        scene.fill(progress)
    assert sum(scene.has()) >= 8
    asked = len(scene.shelf.asked)
    assert scene.fill() == {}
    assert len(scene.shelf.asked) - asked <= 2


def test_an_image_that_ends_the_process_is_found_and_left_out(scene: Scene, tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from unittest.mock import patch
from backend.segmentation import pixels
from tests.backend.segmentation.test_pixels import Scene
scene = Scene(Path({str(tmp_path)!r}))
real = pixels.decode_reduced
def deadly(data, **how):
    if data == scene.shelf.files["/4.png"]:
        os._exit(9)
    return real(data, **how)
with patch.object(pixels, "decode_reduced", deadly):
    broken = scene.fill()
print(sorted(scene.images[key][1] for key in broken), sum(scene.has()))
"""
    ends = []
    for _ in range(8):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=os.getcwd())
        ends.append(done.returncode)
        if not done.returncode:
            break
    assert ends[:2] == [9, 9]
    assert ends[-1] == 0, done.stderr
    assert done.stdout.strip() == "['/4.png'] 9"
    blamed = scene.store.contents(["/4.png"])["/4.png"]
    assert isinstance(blamed, Content)
    assert blamed.error


def test_deaths_of_one_pass_are_none_of_the_other(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshot.sqlite")
    store.set_meta("pixels_deaths", 5)
    with Casualties(store).watched() as careful:
        assert not careful
    with Casualties(store, "pixels").watched() as careful:
        assert careful


def test_a_machine_of_many_cores_does_not_hold_an_image_for_each(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr("ml.embedders.threads.usable_cpus", lambda: 64)
    pool = Mock(side_effect=worker_threads)
    monkeypatch.setattr(pixels, "worker_threads", pool)
    assert scene.fill() == {}
    assert pool.call_args.args[0] == 10
