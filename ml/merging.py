"""Merge small segments of a vector store into larger ones, so that look-ups search few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ml.segments import Segment, write_segment

WIDTH = 8
_BLOCK_ROWS = 8192


def crowded(segments: Iterable[Segment]) -> list[Segment]:
    """Return the segments to merge next: the lowest size class that holds at least ``WIDTH``, or none.

    Size classes are powers of ``WIDTH``, so a vector is rewritten once per class: a logarithmic number of
    times.
    """
    classes: dict[int, list[Segment]] = {}
    for segment in segments:
        classes.setdefault((len(segment).bit_length() - 1) // (WIDTH.bit_length() - 1), []).append(segment)
    full = [size for size, members in classes.items() if len(members) >= WIDTH]
    return classes[min(full)] if full else []


def merge_segments(
    folder: Path,
    segments: Sequence[Segment],
    dim: int,
    first: Callable[[Path, str], None] | None = None,
) -> str:
    """Write one segment with the vectors of several and return its name; the old ones are left to the caller.

    A crash before they are deleted leaves vectors twice, which harms nobody and ends with the next merge.
    ``first`` is that of `ml.segments.write_segment`.
    """
    keys = np.concatenate([segment.keys for segment in segments])
    owner = np.repeat(np.arange(len(segments)), [len(segment) for segment in segments])
    row = np.concatenate([np.arange(len(segment)) for segment in segments])
    keys, kept = np.unique(keys, return_index=True)
    owner, row = owner[kept], row[kept]

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(keys), _BLOCK_ROWS):
            owners, rows = owner[start : start + _BLOCK_ROWS], row[start : start + _BLOCK_ROWS]
            block = np.empty((len(rows), dim), dtype=np.float16)
            for index in np.unique(owners):
                mine = owners == index
                places = np.flatnonzero(mine)
                for which, values in segments[index].read(rows[mine]):
                    block[places[which]] = values
            yield block

    return write_segment(folder, keys, dim, blocks(), first)
