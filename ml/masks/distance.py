"""How deep a region's pixels are in it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def depth(region: np.ndarray) -> np.ndarray:
    """Return each pixel's distance to the nearest one outside a region; infinite where nothing is outside.

    Parameters
    ----------
    region : ndarray of bool, shape (h, w)

    Returns
    -------
    ndarray of float64, shape (h, w)
        0 outside.
    """
    if region.all():  # scipy would measure from a corner beyond the array
        return np.full(region.shape, np.inf)
    distances: np.ndarray = ndimage.distance_transform_edt(region)
    return distances
