"""Pixels drawn from masks to learn from: a bounded number, whatever the number of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from ml.segmentation.pyramid import Pyramid

MOST_PIXELS = 65_536
MOST_VALUES = 48_000_000  # features of all pixels together: 192 MB
MOST_IMAGES = 2000  # more add little, and take the time of reading them
MOST_OF_AN_IMAGE = 600


@dataclass(frozen=True)
class Sample:
    """Pixels with their features and classes.

    Attributes
    ----------
    X : ndarray of float32, shape (n, d)
        From all levels, then the place as two shares in [-1, 1], downwards and to the right.
    y : ndarray of int64, shape (n,)
    image : ndarray of int64, shape (n,)
        Which image a pixel is of.
    drawn, whole : ndarray of float64, shape (images, K)
        Pixels of each class that were drawn from an image; the shares of its classes.
    channels : tuple of int
        Features of each level.
    """

    X: np.ndarray
    y: np.ndarray
    image: np.ndarray
    drawn: np.ndarray
    whole: np.ndarray
    channels: tuple[int, ...]


def draw(
    keys: list[str],
    pyramids: Callable[[int], Pyramid],
    masks: Callable[[int], np.ndarray],
    n_classes: int,
    *,
    ignore: int | None,
    seed: int,
    progress: Callable[[int, int], None],
) -> Sample:
    """Draw from every image as many pixels of each class it has, by a lot of its own: others change nothing.

    Raises
    ------
    ValueError
        If a mask has a number of no class, or images have features of different kinds.
    """
    order = sorted(range(len(keys)), key=lambda i: (_number(keys[i], 0), i))
    chosen = sorted(order[:MOST_IMAGES])
    X: list[np.ndarray] = []
    y: list[np.ndarray] = []
    image: list[int] = []
    drawn, whole = np.zeros((2, len(keys), n_classes))
    channels: tuple[int, ...] | None = None
    quota = 0
    for done, i in enumerate(chosen):
        progress(done, len(chosen))
        mask = np.asarray(masks(i))
        labelled = np.flatnonzero(mask.ravel() != ignore) if ignore is not None else np.arange(mask.size)
        if not len(labelled):
            continue
        classes = mask.ravel()[labelled]
        if classes.max() >= n_classes:
            raise ValueError(f"the mask of image {keys[i]} has the number {classes.max()}, which is no class")
        pyramid = pyramids(i)
        if channels is None:
            channels = pyramid.channels
            quota = _quota(len(chosen), sum(channels) + 2)
        elif pyramid.channels != channels:
            raise ValueError(
                f"image {keys[i]} has features of {pyramid.channels} channels, others of {channels}: "
                "they are of different backbones"
            )
        counts = np.bincount(classes, minlength=n_classes)
        picked = _balanced(classes, counts, quota, np.random.default_rng(_number(keys[i], seed)))
        rows, columns = np.divmod(labelled[picked], mask.shape[1])
        X.append(vectors(pyramid, (rows + 0.5) / mask.shape[0], (columns + 0.5) / mask.shape[1]))
        y.append(classes[picked].astype(np.int64))
        image += [i] * len(picked)
        drawn[i] = np.bincount(classes[picked], minlength=n_classes)
        whole[i] = counts / len(classes)
    if channels is None:
        return Sample(
            np.zeros((0, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64), drawn, whole, ()
        )
    return Sample(np.concatenate(X), np.concatenate(y), np.array(image), drawn, whole, channels)


def vectors(pyramid: Pyramid, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return what is known of points, float32 of shape (n, d); see `Sample`."""
    place = np.stack([2 * y - 1, 2 * x - 1], axis=1).astype(np.float32)
    return np.concatenate([pyramid.at(y, x), place], axis=1)


def _quota(images: int, values: int) -> int:
    return max(1, min(MOST_OF_AN_IMAGE, MOST_PIXELS // images, MOST_VALUES // (images * values)))


def _balanced(classes: np.ndarray, counts: np.ndarray, quota: int, rng: np.random.Generator) -> np.ndarray:
    """Return about ``quota`` pixels, as many of each class as there are, the rest of the others."""
    drawn = []
    for number, share in enumerate(_level(counts, quota).tolist()):
        if share:
            places = rng.choice(counts[number], share, replace=False, shuffle=False)
            drawn.append(np.flatnonzero(classes == number)[places])
    return np.concatenate(drawn)


def _level(counts: np.ndarray, quota: int) -> np.ndarray:
    """Return how many to take of each class so that none has more than another that has some left."""
    low, high = 0, quota
    while low < high:  # the largest share for which all together stay within the quota
        middle = (low + high + 1) // 2
        if np.minimum(counts, middle).sum() <= quota:
            low = middle
        else:
            high = middle - 1
    return np.minimum(counts, max(low, 1))


def _number(key: str, seed: int) -> int:
    return int.from_bytes(blake2b(f"{seed}:{key}".encode(), digest_size=8).digest(), "big")
