"""Label Studio's brush and polygon regions: from a result to an index mask, and from a mask to regions.

Regions stand in the frame of the image as browsers show it, upright by its EXIF orientation. ``image_rotation`` turns
the view alone, not the regions. Polygons are in percent of that frame; a brush has its pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ml.masks import MaskError, check_size
from ml.masks.brush import HALF, check_brush, decode_brush, encode_brush
from ml.masks.classes import MaskClasses
from ml.masks.fill import Patch, fill_patch
from ml.masks.outline import Outline, outlines, ring_area
from ml.masks.seam import seam
from ml.masks.simplify import simplify

Region = Mapping[str, Any]

_LABELS = {
    "brush": ("brushlabels", "labels"),
    "polygon": ("polygonlabels", "labels"),
    "bitmask": ("bitmasklabels", "labels"),
}
# what a region of a kind has in its value, at least one of them
_KEYS = {
    "brush": ("rle", "brushlabels"),
    "polygon": ("points", "polygonlabels"),
    "bitmask": ("imageDataURL", "bitmasklabels"),
}
_SAME_SHAPE = 0.01  # two sizes with aspects as near are of one picture
_DECIMALS = 6  # of percent: a ten-thousandth of a pixel at 10,000


def kind_of(region: Region) -> str | None:
    """Return ``brush``, ``polygon`` or ``bitmask``, None for what is none of them, such as choices or boxes."""
    value = region.get("value")
    if not isinstance(value, Mapping):
        return None
    return next((kind for kind, keys in _KEYS.items() if any(key in value for key in keys)), None)


def label_of(region: Region) -> str | None:
    """Return a region's class, None where it has none of its own.

    Raises
    ------
    MaskError
        If it has several, or something else in their place.
    """
    given = [region["value"].get(key) or [] for key in _LABELS[kind_of(region) or "brush"]]
    if not all(isinstance(names, list | tuple) for names in given):
        raise MaskError("its classes are no list")
    names = [name for names in given for name in names]
    if len(names) > 1:
        raise MaskError(f"a region has several classes, {', '.join(map(str, names))}; a pixel has one")
    return str(names[0]) if names else None


def size_of(regions: Iterable[Region]) -> tuple[int, int] | None:
    """Return height and width of the image that regions were drawn on, None without any.

    Raises
    ------
    MaskError
        If they say nothing of it, or different things.
    """
    sizes = {original_size(region) for region in regions if kind_of(region)}
    if len(sizes) > 1:
        raise MaskError(
            f"regions were drawn on images of different sizes: {', '.join(map(_by, sorted(sizes)))}"
        )
    return next(iter(sizes), None)


def paint(regions: Sequence[Region], classes: MaskClasses, shape: tuple[int, int]) -> np.ndarray:
    """Return the index mask that regions show: what comes later lies on top, the rest is `MaskClasses.blank`.

    Regions without a mask, such as choices and boxes, are left aside. A region without a class has it in another result
    of the same id, as configs with ``<Brush>`` and ``<Labels>`` give it.

    Parameters
    ----------
    regions : sequence of mapping
        The result of an annotation or a prediction.
    classes : MaskClasses
    shape : (int, int)
        Height and width of the image, upright. Regions drawn on a copy of another size are brought to it.

    Raises
    ------
    MaskError
        If a region is broken, of an unknown class, or was drawn on an image of another shape; its id is named.
    """
    mask = np.full(shape, classes.blank, dtype=classes.dtype)
    labelled = {str(region.get("id")) for region in regions if kind_of(region) and label_of(region)}
    for number, region in enumerate(regions, 1):
        kind = kind_of(region)
        if kind is None:
            continue
        try:
            label = label_of(region)
            if label is not None:
                _PAINTERS[kind](region, shape).put(mask, classes.number_of(label))
            elif str(region.get("id")) not in labelled:
                raise MaskError("has no class")
        except MaskError as error:
            raise MaskError(f"region {region.get('id') or number} ({kind}): {error}") from error
    return mask


def check_region(region: Region) -> tuple[int, int]:
    """See that `paint` can use a region with a mask, whatever its class; return height and width of its image.

    Raises
    ------
    MaskError
        If it is broken.
    """
    size = original_size(region)
    if kind_of(region) == "brush":
        check_brush(region["value"].get("rle"), size)
    else:
        _PAINTERS[kind_of(region) or ""](region, size)
    return size


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether two sizes, height and width, are of one picture, larger or smaller."""
    return one == other or abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= _SAME_SHAPE


def brush_regions(
    mask: np.ndarray, classes: MaskClasses, from_name: str, to_name: str
) -> list[dict[str, Any]]:
    """Return a brush region a class, exact.

    Parameters
    ----------
    mask : ndarray, shape (H, W)
    classes : MaskClasses
    from_name, to_name : str
        Of the control tag and the image in the label config.
    """
    return [
        _region(f"{from_name}-{number}", "brush", from_name, to_name, mask.shape)
        | {"value": {"format": "rle", "rle": encode_brush(mask == number), "brushlabels": [name]}}
        for name, number in classes.drawn_in(mask).items()
    ]


def polygon_regions(
    mask: np.ndarray, classes: MaskClasses, from_name: str, to_name: str, *, tolerance: float = 1.0
) -> list[dict[str, Any]]:
    """Return a polygon region a connected piece, the largest first, so that small ones lie on top.

    Holes are reached by seams (`ml.masks.seam`): a polygon of Label Studio's is one ring.

    Parameters
    ----------
    mask : ndarray, shape (H, W)
    classes : MaskClasses
    from_name, to_name : str
        Of the control tag and the image in the label config.
    tolerance : float
        Pixels that an outline may be away from that of the mask; 0 is exact.
    """
    height, width = mask.shape
    percent = np.array([100 / width, 100 / height])
    return [
        _region(f"{from_name}-{name}-{number}", "polygon", from_name, to_name, mask.shape)
        | {
            "value": {
                "points": np.round(ring * percent, _DECIMALS).tolist(),
                "closed": True,
                "polygonlabels": [name],
            }
        }
        for number, (name, ring) in enumerate(rings_of(mask, classes, tolerance), 1)
    ]


def rings_of(mask: np.ndarray, classes: MaskClasses, tolerance: float) -> list[tuple[str, np.ndarray]]:
    """Return class and ring, with seams to its holes, of every connected piece, the largest first."""
    found = []
    for name, number in classes.drawn_in(mask).items():
        pieces = outlines(mask == number)
        rings = iter(simplify([ring for piece in pieces for ring in piece.rings], tolerance))
        for piece in pieces:
            outer, *holes = islice(rings, len(piece.rings))
            found.append((name, seam(Outline(outer, holes)), ring_area(outer)))
    return [(name, ring) for name, ring, _ in sorted(found, key=lambda one: -one[2])]


def _brush_patch(region: Region, shape: tuple[int, int]) -> Patch:
    size = _fitting(region, shape)
    alpha = decode_brush(region["value"].get("rle"), size)
    # a stroke finer than a pixel covers none by half, and some writers' masks are of ones: half of the most, then
    covered = alpha >= max(min(HALF, (int(alpha.max()) + 1) // 2), 1)
    if size == shape:
        return Patch(0, 0, covered)
    # the pixel whose centre lies nearest
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(shape, size, strict=True)
    )
    return Patch(0, 0, covered[rows[:, None], columns])


def _polygon_patch(region: Region, shape: tuple[int, int]) -> Patch:
    _fitting(region, shape)
    try:
        points = np.array(region["value"].get("points"), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MaskError(f"its points are not pairs of numbers: {error}") from error
    if points.ndim != 2 or points.shape[1] != 2:
        raise MaskError("its points are not pairs of numbers")
    return fill_patch([points * np.array([shape[1], shape[0]]) / 100], shape)


def _bitmask_patch(region: Region, shape: tuple[int, int]) -> Patch:
    raise MaskError("bitmasks are not read; draw with <BrushLabels> or <PolygonLabels>")


def _fitting(region: Region, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the size of the image a region was drawn on; see that it may be this one."""
    size = original_size(region)
    if not same_shape(size, shape):
        turned = ", perhaps not turned as its EXIF orientation says" if size == shape[::-1] else ""
        raise MaskError(f"was drawn on an image of {_by(size)} pixels{turned}, and this one has {_by(shape)}")
    return size


def original_size(region: Region) -> tuple[int, int]:
    """Return height and width of the image a region was drawn on.

    Raises
    ------
    MaskError
        If it says nothing of it.
    """
    height, width = region.get("original_height"), region.get("original_width")
    if not (isinstance(height, int) and isinstance(width, int)):
        raise MaskError(f"original_width and original_height are {width!r} and {height!r}, not a size")
    check_size(height, width)
    return height, width


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"


def _region(id: str, kind: str, from_name: str, to_name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "id": id,
        "from_name": from_name,
        "to_name": to_name,
        "type": _LABELS[kind][0],
        "original_width": shape[1],
        "original_height": shape[0],
        "image_rotation": 0,
    }


_PAINTERS: dict[str, Callable[[Region, tuple[int, int]], Patch]] = {
    "brush": _brush_patch,
    "polygon": _polygon_patch,
    "bitmask": _bitmask_patch,
}
