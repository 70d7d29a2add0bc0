"""Images of a dataset are embedded once, whatever they are called, and what is broken is named."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ml.datasets import Dataset, DatasetError, Example, read_dataset
from ml.datasets.embedding import default_cache, embed_dataset
from ml.embedders.pixels import PixelsEmbedder
from ml.quality import MEASURES

LONG_AGO = 1_600_000_000


class Counting(PixelsEmbedder):
    """Counts the images it is given."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.count = 0

    def prepare(self, image: Image.Image) -> np.ndarray:
        self.count += 1
        return super().prepare(image)


def make_folder(folder: Path, numbers: Iterable[int] = range(12)) -> Path:
    """Digits in a folder each, older than today."""
    digits = load_digits()
    for number in numbers:
        path = folder / str(digits.target[number]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(digits.images[number] * 16)).resize((32, 32)).save(path)
        os.utime(path, (LONG_AGO, LONG_AGO))
    return folder


def test_the_second_time_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = read_dataset(make_folder(tmp_path / "set"))
    told: list[tuple[int, int]] = []
    first = Counting()
    once = embed_dataset(
        dataset, first, cache=tmp_path / "c", progress=lambda done, total: told.append((done, total))
    )
    assert first.count == 12
    assert told[-1] == (12, 12)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert once.vectors.shape == (12, first.dim)
    assert once.measures.shape == (12, len(MEASURES))
    assert (once.measures[:, :2] == 32).all()
    second = Counting()
    monkeypatch.setattr(Path, "read_bytes", None)
    again = embed_dataset(dataset, second, cache=tmp_path / "c")
    assert second.count == 0
    assert again.keys == once.keys
    assert np.array_equal(again.vectors, once.vectors)
    assert np.array_equal(again.measures, once.measures)


def test_a_file_that_changed_is_embedded_again(tmp_path: Path) -> None:
    dataset = read_dataset(make_folder(tmp_path / "set"))
    once = embed_dataset(dataset, Counting(), cache=tmp_path / "c")
    changed = dataset.examples[3].path
    assert changed is not None
    # the size stays the same, as where a file is mended in place
    data = bytearray(changed.read_bytes())
    image = Image.new("L", (32, 32), 90)
    image.save(changed)
    changed.write_bytes(changed.read_bytes().ljust(len(data), b"\0"))
    embedder = Counting()
    again = embed_dataset(dataset, embedder, cache=tmp_path / "c")
    assert [row for row in range(12) if again.keys[row] != once.keys[row]] == [3]
    assert embedder.count == 1


def test_the_same_content_is_embedded_once(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set", range(3))
    first = sorted(folder.rglob("*.png"))[0]
    for number in range(3):
        (folder / f"copy{number}.png").write_bytes(first.read_bytes())
    embedder = Counting()
    embedded = embed_dataset(read_dataset(folder), embedder, cache=tmp_path / "c")
    assert embedder.count == 3
    assert len(embedded) == 6
    assert len(set(embedded.keys)) == 3
    # under other names elsewhere: read, but not embedded
    elsewhere = Counting()
    moved = folder.rename(tmp_path / "moved")
    assert len(embed_dataset(read_dataset(moved), elsewhere, cache=tmp_path / "c")) == 6
    assert elsewhere.count == 0


def test_an_image_named_twice_counts_twice(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set", range(2))
    one, other = read_dataset(folder).examples
    told: list[int] = []
    embedded = embed_dataset(
        Dataset(folder, [one, one, other]),
        Counting(),
        cache=tmp_path / "c",
        progress=lambda done, total: told.append(done),
    )
    assert len(embedded) == told[-1] == 3
    assert embedded.keys[0] == embedded.keys[1]


def test_what_is_broken_stops_it_or_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set", range(3))
    (folder / "0" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    (folder / "0" / "empty.jpg").touch()
    dataset = read_dataset(folder)
    dataset.examples.append(Example("s3://bucket/far.png", "0", None, "line 9"))
    with pytest.raises(DatasetError, match="3 of 6 images cannot be used") as caught:
        embed_dataset(dataset, Counting(), cache=tmp_path / "c")
    assert "--skip-problems" in str(caught.value)
    embedded = embed_dataset(dataset, Counting(), cache=tmp_path / "c", skip_problems=True)
    assert len(embedded) == 3
    said = [str(problem) for problem in embedded.problems]
    assert said[0] == "0/empty.jpg: image 0/empty.jpg: the image file is empty"
    assert "0/torn.png" in said[1]
    assert said[2] == "line 9: image s3://bucket/far.png: it is not a file on this machine"


def test_a_file_that_is_gone_is_a_problem(tmp_path: Path) -> None:
    dataset = read_dataset(make_folder(tmp_path / "set", range(3)))
    gone = dataset.examples[1].path
    assert gone is not None
    gone.unlink()
    embedded = embed_dataset(dataset, Counting(), cache=tmp_path / "c", skip_problems=True)
    assert len(embedded) == 2
    assert "No such file" in str(embedded.problems[0])


def test_with_nothing_but_broken_images_there_is_nothing_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "torn.png").write_bytes(b"torn")
    with pytest.raises(DatasetError, match="no image that can be used"):
        embed_dataset(read_dataset(folder), Counting(), cache=tmp_path / "c", skip_problems=True)


def test_what_was_done_before_an_end_is_kept(tmp_path: Path) -> None:
    dataset = read_dataset(make_folder(tmp_path / "set", range(150)))

    def stop(done: int, total: int) -> None:
        if done >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_dataset(dataset, Counting(), cache=tmp_path / "c", progress=stop)
    embedder = Counting()
    embed_dataset(dataset, embedder, cache=tmp_path / "c")
    assert embedder.count <= 50


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "lineup"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "lineup"


class Larger(PixelsEmbedder):
    """One that needs images of more pixels."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.image_size = 512
        self.fingerprint = "larger"


def test_measures_are_those_of_the_image_as_the_embedder_needs_it(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    path = tmp_path / "set" / "noise.jpg"
    Image.fromarray(noise).save(path, quality=90)
    os.utime(path, (LONG_AGO, LONG_AGO))
    dataset = read_dataset(tmp_path / "set")
    alone = embed_dataset(dataset, Larger(), cache=tmp_path / "alone").measures
    small = embed_dataset(dataset, PixelsEmbedder(threads=1), cache=tmp_path / "both").measures
    for _ in range(2):
        both = embed_dataset(dataset, Larger(), cache=tmp_path / "both").measures
        np.testing.assert_array_equal(both, alone)
    assert not np.allclose(small, alone)
