"""Results with masks, small in memory: the codes of brushes and the points of polygons are kept packed, or on disk.

A brush code comes as a list of numbers, eight bytes each, and a project of 10,000 masks has gigabytes of them. A packed
result keeps what its regions are as a short line, and fetches their outlines when somebody looks at them.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np

from ml.masks import MaskError
from ml.masks.regions import check_region, kind_of

# of numbers or points: what is shorter stays as it is
SHORT = 64
_LEVEL = 1  # of compression: brush codes hardly shrink more
# what holds the outline in the value of a kind's region
_GEOMETRY = {"brush": "rle", "polygon": "points"}


class Outline:
    """A brush code or a polygon's points, fetched where they are needed: `bytes` and `numpy.asarray` give them.

    Attributes
    ----------
    digest : str
        Of the code or the points.
    fault : str
        Why the region cannot be used; empty for one that can.
    """

    __slots__ = ("_bulk", "_place", "digest", "fault")

    def __init__(self, bulk: Bulk, place: tuple[int, int], digest: str, fault: str) -> None:
        self._bulk = bulk
        self._place = place
        self.digest = digest
        self.fault = fault

    def __bytes__(self) -> bytes:
        data = self._bulk.data[slice(*self._place)]
        if _digest(data) != self.digest:
            raise MaskError("what was drawn has changed since it was read: refresh the project")
        return data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        points = np.frombuffer(bytes(self), dtype="<f8").reshape(-1, 2)
        return points.astype(dtype or np.float64)


@dataclass
class Bulk:
    """The outlines of one annotation, one after the other; read once, when the first is asked for."""

    read: Callable[[], bytes]

    @cached_property
    def data(self) -> bytes:
        """The bytes of all."""
        return zlib.decompress(self.read())


class PackedResult(Sequence[dict[str, Any]]):
    """An annotation's result; each iteration reads the outlines anew, and lets go of them.

    Equal to another one whose regions are, outlines included.

    Parameters
    ----------
    line : str
        As JSON the regions without their outlines, and of these by the region's number: key, beginning, end, digest
        and fault.
    read : callable
        Returns the outlines, compressed.
    """

    __slots__ = ("line", "read")

    def __init__(self, line: str, read: Callable[[], bytes]) -> None:
        self.line = line
        self.read = read

    def __iter__(self) -> Iterator[dict[str, Any]]:
        bulk = Bulk(self.read)
        regions, places = json.loads(self.line)
        for number, region in enumerate(regions):
            if str(number) in places:
                key, start, stop, digest, fault = places[str(number)]
                region["value"][key] = Outline(bulk, (start, stop), digest, fault)
            yield region

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return list(self)[index]

    def __len__(self) -> int:
        return len(json.loads(self.line)[0])

    @property
    def size(self) -> int:
        """Bytes of all outlines, unpacked."""
        return max(stop for _, _, stop, _, _ in json.loads(self.line)[1].values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedResult) and other.line == self.line

    def __hash__(self) -> int:
        return hash(self.line)


def pack(result: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return a result with the outlines of its regions packed; the same where there are none worth it.

    Whether a region can be used is found out here, once, as it takes looking at all of it.
    """
    regions, places, pieces, length = [], {}, list[bytes](), 0
    for number, region in enumerate(result):
        key, data = _outline(region)
        if data is None:
            regions.append(region)
            continue
        places[number] = [key, length, length := length + len(data), _digest(data), _fault(region)]
        regions.append({**region, "value": {**region["value"], key: None}})
        pieces.append(data)
    if not pieces:
        return result
    packed = zlib.compress(b"".join(pieces), _LEVEL)
    return PackedResult(json.dumps([regions, places], separators=(",", ":")), lambda: packed)


def check_outline(region: Mapping[str, Any]) -> str:
    """See that a region with a mask, packed or not, can be used; return the digest of its outline.

    Raises
    ------
    MaskError
        If it is broken.
    """
    outline = region["value"].get(_GEOMETRY.get(kind_of(region) or ""))
    if not isinstance(outline, Outline):
        check_region(region)
        return _digest(_as_bytes(kind_of(region), outline))
    if outline.fault:
        raise MaskError(outline.fault)
    return outline.digest


def _outline(region: Any) -> tuple[str, bytes | None]:
    """Return the key of a region's outline and its bytes; None for what is short, broken or no outline."""
    kind = kind_of(region) if isinstance(region, Mapping) else None
    key = _GEOMETRY.get(kind or "", "")
    given = region["value"].get(key) if key else None
    if not isinstance(given, list) or len(given) <= SHORT:
        return key, None
    try:
        return key, _as_bytes(kind, given)
    except (TypeError, ValueError):  # left as it is, and named by whoever uses it
        return key, None


def _as_bytes(kind: str | None, outline: Any) -> bytes:
    if kind == "brush":
        return bytes(outline)
    points = np.array(outline, dtype="<f8")
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("these are not pairs of numbers")
    return points.tobytes()


def _fault(region: Mapping[str, Any]) -> str:
    try:
        check_region(region)
    except MaskError as error:
        return str(error)
    return ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
