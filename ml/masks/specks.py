"""Pieces of a mask too small to be meant."""

from __future__ import annotations

import numpy as np

# a predicted piece of fewer pixels is left out: of so many, or of one in so many of the image's
LEAST, ONE_IN = 16, 20_000


def least_piece(shape: tuple[int, ...]) -> int:
    """Return how many pixels a piece must have not to be a speck, in an image of a shape."""
    return max(LEAST, shape[0] * shape[1] // ONE_IN)


def without_specks(mask: np.ndarray, least: int) -> np.ndarray:
    """Return the mask with small connected pieces given to the class left of them, or above at the rim.

    Rows are cut into runs of one class, and runs that touch are joined to pieces, whatever number of classes there is.

    Parameters
    ----------
    mask : ndarray, shape (H, W)
    least : int
        Pixels that a piece must have to stay; pieces are connected along edges.
    """
    height, width = mask.shape
    begins = np.ones(mask.shape, dtype=bool)
    np.not_equal(mask[:, 1:], mask[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)
    run = np.cumsum(begins.ravel(), dtype=np.int32).reshape(mask.shape) - 1
    lengths, classes = np.diff(starts, append=mask.size), mask.ravel()[starts]
    piece = _pieces(mask, run, begins)
    small = np.flatnonzero(np.bincount(piece, weights=lengths) < least)
    if not len(small):
        return mask
    order = np.argsort(piece, kind="stable")
    members = dict(zip(small.tolist(), _slices(piece[order], small), strict=True))
    # in reading order, so that what is left of a piece's first pixel, or above, is done before it
    for number in sorted(small.tolist(), key=lambda one: int(order[members[one].start])):
        runs = order[members[number]]
        row, column = divmod(int(starts[runs[0]]), width)
        if column:
            classes[runs] = classes[runs[0] - 1]
        elif row:
            classes[runs] = classes[run[row - 1, 0]]
        else:  # the corner: what follows the piece
            rest = np.flatnonzero(piece != number)
            classes[runs] = classes[rest[0]] if len(rest) else classes[0]
    return np.repeat(classes, lengths).reshape(height, width)


def _pieces(mask: np.ndarray, run: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Return the piece of each run."""
    from scipy.sparse import (
        coo_array,
    )  # takes longer to load than all the rest, and readers of masks do without
    from scipy.sparse.csgraph import connected_components

    # where one of two runs above each other begins they touch for the first time
    touch = (mask[1:] == mask[:-1]) & (begins[1:] | begins[:-1])
    above, below = run[:-1][touch], run[1:][touch]
    n = int(run[-1, -1]) + 1
    joined = coo_array((np.ones(len(above), dtype=bool), (above, below)), shape=(n, n))
    pieces: np.ndarray = connected_components(joined, directed=False)[1]
    return pieces


def _slices(ordered: np.ndarray, wanted: np.ndarray) -> list[slice]:
    """Return where each of some numbers stands in an ascending array."""
    begin, end = (np.searchsorted(ordered, wanted, side) for side in ("left", "right"))
    return [slice(first, last) for first, last in zip(begin.tolist(), end.tolist(), strict=True)]
