"""Pieces of a mask too small to be meant."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# a predicted piece of fewer pixels is left out: of so many, or of one in so many of the image's
LEAST, ONE_IN = 16, 20_000


def least_piece(shape: tuple[int, ...]) -> int:
    """Return how many pixels a piece must have not to be a speck, in an image of a shape."""
    return max(LEAST, shape[0] * shape[1] // ONE_IN)


def without_specks(mask: np.ndarray, least: int) -> np.ndarray:
    """Return the mask with small connected pieces given to the class left of them, or above at the rim.

    Parameters
    ----------
    mask : ndarray, shape (H, W)
    least : int
        Pixels that a piece must have to stay; pieces are connected along edges.
    """
    small = np.zeros(mask.shape, dtype=np.int32)
    count = 0
    for number, box in enumerate(ndimage.find_objects(mask.astype(np.int32) + 1)):
        if box is None:
            continue
        pieces, n = ndimage.label(mask[box] == number)
        sizes = np.bincount(pieces.ravel(), minlength=n + 1)
        wanted = np.flatnonzero(sizes[1:] < least) + 1
        names = np.zeros(n + 1, dtype=np.int32)
        names[wanted] = np.arange(count + 1, count + 1 + len(wanted))
        small[box] += names[pieces]
        count += len(wanted)
    if not count:
        return mask
    done, (height, width) = mask.copy(), mask.shape
    places = np.flatnonzero(small)
    places = places[np.argsort(small.ravel()[places], kind="stable")]
    groups = np.split(places, np.flatnonzero(np.diff(small.ravel()[places])) + 1)
    flat = done.ravel()
    # a piece's first pixel in reading order has its neighbours, done before it, left and above
    for group in sorted(groups, key=lambda one: int(one[0])):
        row, column = divmod(int(group[0]), width)
        if column:
            flat[group] = flat[group[0] - 1]
        elif row:
            flat[group] = flat[group[0] - width]
        else:  # the corner: what follows the piece
            rest = np.flatnonzero(small.ravel() != small.ravel()[0])
            flat[group] = flat[rest[0]] if len(rest) else flat[0]
    return done.reshape(height, width)
