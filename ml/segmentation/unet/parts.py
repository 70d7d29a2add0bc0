"""Who is trained on, and who is held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml.datasets import DatasetError
from ml.embedders import make_embedder
from ml.mask_sets import MaskSet, Scene
from ml.mask_sets.leaks import group_pictures
from ml.mask_sets.writing import Progress

TRAIN = ("train", "training")
VALID = ("val", "valid", "validation")


def choose_parts(
    found: MaskSet,
    share: float,
    *,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[list[Scene], list[Scene]]:
    """Return the scenes to train on and those to validate on.

    They are the parts ``train`` and ``val``; of a set without ``val`` a share of the other is held out, near-duplicates
    together (by their pixels), and of one without parts a share of all. Other parts, such as ``test``, are left alone.

    Parameters
    ----------
    found : MaskSet
    share : float
        To hold out, in (0, 1).
    seed : int
        Of who is held out.
    cache : Path, optional
        Folder for the vectors that tell near-duplicates.
    progress : callable
        Called with the number of images looked at, and of all.

    Raises
    ------
    DatasetError
        If there are parts, but none to train on, or too few images for both.
    """
    parts = {scene.split for scene in found}
    learn = [scene for scene in found if scene.split.lower() in TRAIN or parts == {""}]
    hold = [scene for scene in found if scene.split.lower() in VALID]
    if not learn:
        there = ", ".join(sorted(part or "no part" for part in parts))
        raise DatasetError(f"{found.source} has no part train to learn from: there are {there}")
    if hold:
        return learn, hold
    groups = group_pictures(found.source, learn, make_embedder("pixels"), cache=cache, progress=progress)
    if len(groups) < 2:
        raise DatasetError(
            f"{found.source} has no part val, and its {len(learn)} images to learn from are too few, or too much "
            "alike, to hold some out: give it a part val"
        )
    held = _draw(groups, share, seed)
    return [one for one in learn if one.path not in held], [one for one in learn if one.path in held]


def _draw(groups: list[list[Path]], share: float, seed: int) -> set[Path]:
    """Return the images of groups drawn by lot, no more than the share; where none fits, the smallest group."""
    count = sum(map(len, groups))
    held: set[Path] = set()
    order = np.random.default_rng(seed).permutation(len(groups)).tolist()
    for number in order:
        if len(held) + len(groups[number]) <= share * count:
            held.update(groups[number])
    return held or set(groups[min(order, key=lambda number: len(groups[number]))])
