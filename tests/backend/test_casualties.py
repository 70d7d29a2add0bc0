"""An image that kills whatever decodes it is found, costs its own task, and lets the others through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backend import casualties as casualties_module
from backend.casualties import ALONE, DEATHS, WHY, Casualties
from backend.snapshot import SnapshotStore

CHILD = """
import io, os, sys
from pathlib import Path
import numpy as np
from PIL import Image
from backend.embedding import EmbeddingRoom
from backend.embedding.stage import EmbeddingStage
from backend.snapshot import SnapshotStore
from ml.embedders.pixels import PixelsEmbedder
from ml.images import ImageLimits
from ml.vectors import VectorStore

class Deadly(PixelsEmbedder):
    def prepare(self, image):
        if image.getpixel((0, 0)) == (255, 0, 0):
            os._exit(139)
        return super().prepare(image)

class Files:
    def fetch(self, uri, task_id, project_id):
        number = int(uri.split(".")[0])
        buffer = io.BytesIO()
        colour = (255, 0, 0) if number in DEADLY else (0, number % 256, number // 256)
        Image.new("RGB", (8 + number % 7, 8), colour).save(buffer, "PNG")
        return buffer.getvalue()

folder, DEADLY = Path(sys.argv[1]), eval(sys.argv[2])
embedder = Deadly(threads=2)
room = EmbeddingRoom(SnapshotStore(folder / "snapshot.sqlite"),
    VectorStore(folder / "vectors", embedder.fingerprint, embedder.dim),
    EmbeddingStage(embedder, Files(), ImageLimits()))
uris = [f"{number}.png" for number in range(150)]
found = room.embed(7, list(range(1, 151)), uris, lambda *_: None)
print([error for error in found.errors if error], np.flatnonzero(~found.ok).tolist())
"""


def run(folder: Path, deadly: list[int], repository: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, str(folder), json.dumps(deadly)]
    return subprocess.run(command, capture_output=True, text=True, cwd=repository)


@pytest.mark.parametrize("deadly", [[70], [3, 120]])
def test_a_deadly_image_is_found_in_a_few_restarts(
    tmp_path: Path, repository: Path, deadly: list[int]
) -> None:
    deaths = 0
    while (done := run(tmp_path, deadly, repository)).returncode == 139 and deaths < 20:
        deaths += 1
    assert done.returncode == 0, done.stderr
    assert deaths <= DEATHS + ALONE * len(deadly)
    assert done.stdout.strip() == f"{[WHY] * len(deadly)} {deadly}"
    again = run(tmp_path, deadly, repository)
    assert (again.returncode, again.stdout) == (0, done.stdout)


def test_what_ends_by_an_exception_is_no_death(tmp_path: Path) -> None:
    casualties = Casualties(SnapshotStore(tmp_path / "snapshot.sqlite"))

    def fail() -> None:
        with casualties.watched() as careful:
            assert not careful
            raise ConnectionError

    for _ in range(DEATHS + 2):
        with pytest.raises(ConnectionError):
            fail()


def test_one_death_is_nobodys_fault_and_the_suspect_goes_first(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshot.sqlite")
    casualties = Casualties(store)
    todo = [(1, "a.png"), (2, "b.png"), (3, "c.png")]
    assert casualties.blame(7) == {}
    alone = casualties.one_by_one(todo)
    assert [next(alone), next(alone)] == todo[:2]
    assert casualties.blame(7) == {}  # b was at work when the process died, once
    again = casualties.one_by_one(todo)
    assert next(again) == (2, "b.png")
    assert list(casualties.blame(7)) == ["b.png"]
    assert store.contents()["b.png"].error == WHY
    assert casualties.blame(7) == {}


def test_a_suspect_that_comes_through_is_forgotten(tmp_path: Path) -> None:
    casualties = Casualties(SnapshotStore(tmp_path / "snapshot.sqlite"))
    next(casualties.one_by_one([(1, "a.png")]))
    assert list(casualties.one_by_one([(2, "b.png"), (1, "a.png")])) == [(1, "a.png"), (2, "b.png")]
    assert casualties.blame(7) == {}


def test_what_was_on_its_way_is_suspected_before_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(casualties_module, "CAREFUL", 20)
    store = SnapshotStore(tmp_path / "snapshot.sqlite")
    todo = [(number, f"{number}.png") for number in range(30)]
    late = ["29.png", "23.png"]
    Casualties(store).at_work(late)
    taken = [uri for _, uri in Casualties(store).one_by_one(todo)]
    assert taken[:2] == late
    assert len(taken) == 20


def test_a_death_of_an_image_alone_at_work_is_enough_to_be_careful(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshot.sqlite")
    with Casualties(store).watched() as careful:
        assert not careful
        next(Casualties(store).one_by_one([(1, "a.png")]))
        store_as_it_is_left_by_a_kill = store.get_meta("embedding_alone")
    assert store.get_meta("embedding_alone") is None
    store.set_meta("embedding_alone", store_as_it_is_left_by_a_kill)
    with Casualties(store).watched() as careful:
        assert careful


def test_a_worker_that_ends_in_the_middle_because_it_was_asked_to_is_no_death(
    tmp_path: Path, repository: Path
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from backend.jobs import lifeline\n"
        "from backend.casualties import Casualties; from backend.snapshot import SnapshotStore\n"
        "lifeline.GRACE = 0.2; casualties = Casualties(SnapshotStore(Path(sys.argv[1])))\n"
        "with casualties.watched() as careful:\n"
        "    print(careful); next(casualties.one_by_one([(1, 'a.png')]))\n"
        "    lifeline.exit_after_grace(0); time.sleep(60)"
    )
    for _ in range(DEATHS + 1):
        command = [sys.executable, "-c", code, str(tmp_path / "snapshot.sqlite")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=repository, timeout=30)
        assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
