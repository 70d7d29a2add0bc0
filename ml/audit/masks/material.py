"""What an audit of masks works on: masks at work size, vectors of images, features of pixels."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.datasets.embedding import Embedded, default_cache, embed_dataset
from ml.datasets.example import Dataset, DatasetError, Example, Problem, list_problems
from ml.embedders import Embedder
from ml.images import decode_reduced
from ml.mask_sets import MaskSet, refuse
from ml.mask_sets.scene import LIMITS, Scene
from ml.mask_sets.writing import Progress
from ml.segmentation.features import PixelFeatures
from ml.segmentation.pyramid import Pyramid
from ml.segmentation.sizes import shrink_mask, work_size
from ml.segmentation.store import PyramidStore

_LEVEL = 1  # of compression


@dataclass(frozen=True)
class Material:
    """The n scenes of a set that can be used.

    Masks are held compressed, some kilobytes each; features of pixels lie on disk.

    Attributes
    ----------
    scenes : list of Scene, length n
    embedded : Embedded
        Vectors, measures and content keys of their images.
    problems : list of Problem
        What was left out.
    """

    scenes: list[Scene]
    embedded: Embedded
    problems: list[Problem]
    _masks: list[_Packed]
    _store: PyramidStore

    def __len__(self) -> int:
        return len(self.scenes)

    def mask(self, row: int) -> np.ndarray:
        """Return a mask at work size, (h, w)."""
        return self._masks[row].mask()

    def pyramid(self, row: int) -> Pyramid:
        """Return the features of an image's pixels.

        Raises
        ------
        DatasetError
            If they were removed meanwhile.
        """
        pyramid = self._store.get(self.embedded.keys[row])
        if pyramid is None:
            raise DatasetError(
                f"features of {self.scenes[row].image} are not in the cache {self._store.folder} any more: start again"
            )
        return pyramid


def prepare(
    found: MaskSet,
    features: PixelFeatures,
    embedder: Embedder,
    *,
    cache: Path | None,
    skip_problems: bool,
    progress: Progress,
    step: Callable[[str], None],
) -> Material:
    """Read masks and images, each once; arguments are those of `ml.audit.masks.audit_masks`.

    Raises
    ------
    DatasetError
        If masks or images cannot be used and are not skipped, or none can.
    """
    step("reading masks")
    scenes, masks, problems = _read(found, progress)
    if problems and not skip_problems:
        refuse(found, problems)
    if not scenes:
        raise DatasetError(f"{found.source}: no mask can be used:\n{list_problems(problems)}")
    step("embedding")
    examples = [Example(scene.image, None, scene.path, scene.where) for scene in scenes]
    dataset = Dataset(found.source, examples)
    embedded = embed_dataset(dataset, embedder, cache=cache, skip_problems=skip_problems, progress=progress)
    place = {id(example): row for row, example in enumerate(examples)}
    rows = [place[id(example)] for example in embedded.examples]
    step("features of pixels")
    store = PyramidStore((cache or default_cache()) / "pyramids", features.fingerprint)
    for done, (key, row) in enumerate(zip(embedded.keys, rows, strict=True), 1):
        path = scenes[row].path
        if path is not None and not store.has(key):
            image, (width, height) = decode_reduced(path.read_bytes(), limits=LIMITS, side=features.side)
            store.put(key, features.extract(image, (height, width)))
        progress(done, len(rows))
    problems = [*found.problems, *problems, *embedded.problems]
    return Material([scenes[row] for row in rows], embedded, problems, [masks[row] for row in rows], store)


@dataclass(frozen=True, slots=True)
class _Packed:
    shape: tuple[int, ...]
    dtype: str
    data: bytes

    @classmethod
    def of(cls, mask: np.ndarray) -> _Packed:
        return cls(mask.shape, mask.dtype.str, zlib.compress(np.ascontiguousarray(mask).data, _LEVEL))

    def mask(self) -> np.ndarray:
        return np.frombuffer(zlib.decompress(self.data), self.dtype).reshape(self.shape)


def _read(found: MaskSet, progress: Progress) -> tuple[list[Scene], list[_Packed], list[Problem]]:
    scenes, masks, problems = list[Scene](), list[_Packed](), list[Problem]()
    for done, scene in enumerate(found, 1):
        try:
            mask = found.mask(scene)
        except (OSError, ValueError) as error:
            problems.append(Problem(scene.where, str(error)))
        else:
            scenes.append(scene)
            masks.append(_Packed.of(shrink_mask(mask, work_size(mask.shape[0], mask.shape[1]))))
        progress(done, len(found))
    return scenes, masks, problems
