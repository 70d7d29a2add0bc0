"""One immutable file pair of a vector store: rows and their sorted keys."""

from __future__ import annotations

import math
import mmap
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

KEY_BYTES = 16
KEY_DTYPE = np.dtype(f"S{KEY_BYTES}")

_PIECE = 256  # rows read before their pages are given back

ROWS, KEYS, TEMPORARY = ".rows.npy", ".keys.npy", ".tmp"


class SegmentCorrupt(ValueError):
    """A segment's files do not fit each other or the store."""


class Segment:
    """A segment opened for reading; nothing is read before it is asked for, nor kept in memory after.

    Parameters
    ----------
    folder : Path
    name : str
    dim : int
        Expected length of a vector.

    Attributes
    ----------
    keys : ndarray of bytes, shape (n,)
        Sorted, memory-mapped.

    Raises
    ------
    FileNotFoundError
        If another process merged it away meanwhile.
    SegmentCorrupt
        If its files are damaged.
    """

    def __init__(self, folder: Path, name: str, dim: int) -> None:
        self.name = name
        try:
            self.keys, self._keys_map = _map(folder / (name + KEYS))
            self._rows, self._rows_map = _map(folder / (name + ROWS))
        except FileNotFoundError:
            raise
        except (ValueError, OSError, EOFError) as error:
            raise SegmentCorrupt(f"segment {name} in {folder} is damaged: {error}") from error
        if (
            self.keys.dtype != KEY_DTYPE
            or self._rows.dtype != np.float16
            or self._rows.shape != (len(self.keys), dim)
        ):
            raise SegmentCorrupt(
                f"segment {name} in {folder} has {self.keys.shape} keys and {self._rows.shape} rows, "
                f"expected vectors of length {dim}"
            )

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look keys up.

        Returns
        -------
        hits : ndarray of int, shape (h,)
            Which of ``keys`` are here.
        positions : ndarray of int, shape (h,)
            Their rows.
        """
        found = find_keys(self.keys, keys)
        _release(self._keys_map)
        return found

    def read(self, positions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read rows in pieces, so that only a piece's pages are ever in memory.

        The kernel maps 16 pages around each one touched, and keeps them: 10,000 scattered rows would stay
        as hundreds of megabytes of the process.

        Yields
        ------
        which : ndarray of int
            Indices into ``positions``.
        rows : ndarray of float16, shape (len(which), dim)
            A copy.
        """
        order = np.argsort(positions, kind="stable")
        for start in range(0, len(order), _PIECE):
            which = order[start : start + _PIECE]
            rows = self._rows[positions[which]]
            _release(self._rows_map)
            yield which, rows


def find_keys(sorted_keys: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which of ``keys`` are among ``sorted_keys`` (at least one), and where; two int arrays of shape (h,)."""
    positions = np.searchsorted(sorted_keys, keys)
    positions[positions == len(sorted_keys)] = 0
    hits = np.flatnonzero(sorted_keys[positions] == keys)
    return hits, positions[hits]


def read_keys(path: Path) -> np.ndarray:
    """Return the keys of a segment's file, memory-mapped, without its rows.

    Raises
    ------
    FileNotFoundError
        If it is gone.
    SegmentCorrupt
        If it is damaged.
    """
    try:
        keys, _ = _map(path)
    except FileNotFoundError:
        raise
    except (ValueError, OSError, EOFError) as error:
        raise SegmentCorrupt(f"{path} is damaged: {error}") from error
    if keys.dtype != KEY_DTYPE or keys.ndim != 1 or not len(keys):
        raise SegmentCorrupt(f"{path} holds no keys")
    return keys


def _map(path: Path) -> tuple[np.ndarray, mmap.mmap]:
    """Map an array file; the file is checked to be as long as its header says."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{path.name} is of an unknown version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        offset, size = file.tell(), math.prod(shape) * dtype.itemsize
        if fortran or dtype.hasobject or os.fstat(file.fileno()).st_size != offset + size:
            raise ValueError(f"{path.name} is not of the length its header says")
        mapped = mmap.mmap(file.fileno(), offset + size, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype=dtype, offset=offset).reshape(shape), mapped


def _release(mapped: mmap.mmap) -> None:
    """Give the pages of a map back; they stay in the system's cache, and another thread just maps them again."""
    mapped.madvise(mmap.MADV_DONTNEED)


def write_segment(
    folder: Path,
    keys: np.ndarray,
    dim: int,
    blocks: Iterable[np.ndarray],
    first: Callable[[Path, str], None] | None = None,
) -> str:
    """Write a segment and make it visible in one step; return its name.

    Parameters
    ----------
    keys : ndarray of bytes, shape (n,)
        Sorted, without repeats, at least one.
    blocks : iterable of ndarray of float16, shape (any, dim)
        The rows in the order of the keys, in pieces so that a large segment never stands in memory.
    first : callable, optional
        Given each file and the name it will have, rows before keys, before anything is visible here.
    """
    name = uuid.uuid4().hex
    rows_tmp, keys_tmp = folder / (name + ROWS + TEMPORARY), folder / (name + KEYS + TEMPORARY)
    with rows_tmp.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(keys), dim)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype="<f2").data)
        file.flush()
        os.fsync(file.fileno())
    with keys_tmp.open("wb") as file:
        np.save(file, np.ascontiguousarray(keys, dtype=KEY_DTYPE), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    if first is not None:
        first(rows_tmp, name + ROWS)
        first(keys_tmp, name + KEYS)
    rows_tmp.rename(folder / (name + ROWS))
    # the keys make it visible: a reader looks for nothing else
    keys_tmp.rename(folder / (name + KEYS))
    return name


def segment_names(folder: Path) -> set[str]:
    """Return the names of the visible segments of a folder."""
    return {entry.name.removesuffix(KEYS) for entry in os.scandir(folder) if entry.name.endswith(KEYS)}


def remove_segment(folder: Path, name: str) -> None:
    """Delete a segment; readers that have it open keep reading it."""
    (folder / (name + KEYS)).unlink(missing_ok=True)
    (folder / (name + ROWS)).unlink(missing_ok=True)


def remove_debris(folder: Path) -> None:
    """Delete what killed writers left behind; only to be called while nobody writes."""
    names = segment_names(folder)
    for entry in list(os.scandir(folder)):
        orphan = entry.name.endswith(ROWS) and entry.name.removesuffix(ROWS) not in names
        if orphan or entry.name.endswith(TEMPORARY):
            Path(entry.path).unlink(missing_ok=True)
