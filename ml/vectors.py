"""Vectors by image content: immutable memory-mapped segments that many processes may add to and read."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import numpy as np

from ml.elsewhere import Elsewhere, Remote
from ml.merging import crowded, merge_segments
from ml.segments import (
    KEY_BYTES,
    KEY_DTYPE,
    Segment,
    SegmentCorrupt,
    remove_debris,
    remove_segment,
    segment_names,
    write_segment,
)

log = logging.getLogger(__name__)


def content_key(data: bytes) -> str:
    """Return the key of a file's content: 128 bits of BLAKE2b as 32 hexadecimal digits."""
    return blake2b(data, digest_size=KEY_BYTES).hexdigest()


class VectorStore:
    """Float16 vectors of one embedder, keyed by content, in a folder of immutable segments.

    A put writes one segment and makes it visible in one rename, so readers see all of it or nothing, whatever
    is killed when. Small segments are merged into larger ones as they gather. A look-up searches the sorted
    keys of each segment; vectors are read from memory maps whose pages are given back, so opening costs
    nothing and reading costs what is read. Any number of processes and threads may use a folder at the same
    time, on a file system with ``flock``.

    Parameters
    ----------
    root : Path
        Folder of all stores; this one lives in ``root / fingerprint``.
    fingerprint : str
        The embedder's, safe as a file name.
    dim : int
        Length of a vector.
    remote : Remote, optional
        Where other machines share their segments: a put is visible there before it is here, and a look-up that
        misses here looks there.
    """

    def __init__(self, root: Path, fingerprint: str, dim: int, remote: Remote | None = None) -> None:
        if not fingerprint or Path(fingerprint).name != fingerprint or fingerprint.startswith("."):
            raise ValueError(f"embedder fingerprint {fingerprint!r} cannot be a folder's name")
        if dim < 1:
            raise ValueError(f"a vector has at least one dimension, got {dim}")
        self.path = Path(root) / fingerprint
        self.fingerprint = fingerprint
        self.dim = dim
        self.path.mkdir(parents=True, exist_ok=True)
        self._elsewhere = Elsewhere(self.path, remote, dim) if remote is not None else None
        self._segments: dict[str, Segment] = {}
        self._bad: set[str] = set()
        self._scan()

    def put(self, keys: Sequence[str], vectors: np.ndarray) -> None:
        """Store vectors; keys that are there already are left as they are.

        Parameters
        ----------
        keys : sequence of str, length n
            Content keys; repeated ones must not come with different content.
        vectors : ndarray, shape (n, dim)
            Kept as float16.

        Raises
        ------
        ValueError
            If shapes do not fit, a key is malformed, or a value is not finite as float16.
        OSError
            If the folder, or the remote, cannot be written to: nothing of this put is visible then.
        """
        vectors = np.asarray(vectors)
        if vectors.shape != (len(keys), self.dim):
            raise ValueError(
                f"{len(keys)} keys need vectors of shape {(len(keys), self.dim)}, got {vectors.shape}"
            )
        packed = _pack(keys)
        _, first = np.unique(packed, return_index=True)
        # not elsewhere: what another machine has just put as well is there twice until the next merge
        new = first[~self._find_here(packed[first], None)]
        if not len(new):
            return
        with np.errstate(over="ignore"):
            rows = vectors[new].astype(np.float16)
        if not np.isfinite(rows).all():
            bad = keys[int(new[np.flatnonzero(~np.isfinite(rows).all(axis=1))[0]])]
            raise ValueError(f"the vector of {bad} holds values that are not finite as float16")
        with self._lock("writers", fcntl.LOCK_SH):
            write_segment(self.path, packed[new], self.dim, [rows], self._first)
        self._scan()
        self._merge()

    def get(self, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Look vectors up.

        Returns
        -------
        vectors : ndarray of float32, shape (n, dim)
            Zero where a key is not found.
        found : ndarray of bool, shape (n,)
        """
        vectors = np.zeros((len(keys), self.dim), dtype=np.float32)
        return vectors, self._find(_pack(keys), vectors)

    def has(self, keys: Sequence[str]) -> np.ndarray:
        """Tell which keys are stored, bool of shape (n,), without reading a vector."""
        return self._find(_pack(keys), None)

    def __contains__(self, key: str) -> bool:
        return bool(self.has([key])[0])

    def __len__(self) -> int:
        """Return how many different keys are stored here; reads all keys."""
        segments = list(self._scan().values())
        if len(segments) <= 1:
            return sum(len(segment) for segment in segments)
        return len(np.unique(np.concatenate([segment.keys for segment in segments])))

    @property
    def _first(self) -> Callable[[Path, str], None] | None:
        """What happens to a segment's files before they are visible here."""
        return self._elsewhere.push if self._elsewhere is not None else None

    def _find(self, packed: np.ndarray, vectors: np.ndarray | None) -> np.ndarray:
        found = self._find_here(packed, vectors)
        if self._elsewhere is not None and not found.all() and self._bring(packed[~found]):
            missing = np.flatnonzero(~found)
            rows = None if vectors is None else vectors[missing]
            found[missing] = self._find_here(packed[missing], rows)
            if vectors is not None and rows is not None:
                vectors[missing] = rows
        return found

    def _bring(self, packed: np.ndarray) -> bool:
        assert self._elsewhere is not None
        with self._lock("writers", fcntl.LOCK_SH):  # nobody takes half a segment for debris meanwhile
            return self._elsewhere.bring(packed)

    def _find_here(self, packed: np.ndarray, vectors: np.ndarray | None) -> np.ndarray:
        found = np.zeros(len(packed), dtype=bool)
        known = self._segments
        self._search(known.values(), packed, found, vectors)
        if not found.all():
            # not only what this scan finds: another thread's may have found it since the search
            unseen = [segment for name, segment in self._scan().items() if name not in known]
            self._search(unseen, packed, found, vectors)
        return found

    @staticmethod
    def _search(
        segments: Iterable[Segment], packed: np.ndarray, found: np.ndarray, vectors: np.ndarray | None
    ) -> None:
        for segment in segments:
            missing = np.flatnonzero(~found)
            if not len(missing):
                return
            hits, positions = segment.find(packed[missing])
            found[missing[hits]] = True
            if vectors is not None:
                for which, rows in segment.read(positions):
                    vectors[missing[hits[which]]] = rows

    def _scan(self) -> dict[str, Segment]:
        """Bring the open segments up to date; return them by name."""
        while True:
            names = segment_names(self.path)
            if names != segment_names(
                self.path
            ):  # a listing taken during a merge may show neither old nor new
                continue
            names -= self._bad
            known = {name: segment for name, segment in self._segments.items() if name in names}
            try:
                fresh = {name: segment for name in names - known.keys() if (segment := self._open(name))}
            except FileNotFoundError:  # merged into another segment since the folder was listed
                continue
            # returned as well, since another thread with an older listing may be about to replace them
            self._segments = opened = known | fresh
            return opened

    def _open(self, name: str) -> Segment | None:
        try:
            return Segment(self.path, name, self.dim)
        except SegmentCorrupt as error:
            self._bad.add(name)
            log.warning("%s; its images are embedded again, delete the file to be rid of this line", error)
            return None

    def _merge(self) -> None:
        """Merge segments of similar size while there are many; a second merger leaves it to the first."""
        if not crowded(self._segments.values()):
            return
        with self._lock("merge", fcntl.LOCK_EX | fcntl.LOCK_NB) as mine:
            if not mine:
                return
            while group := crowded(self._mergeable()):
                merge_segments(self.path, group, self.dim, self._first)
                if self._elsewhere is not None:
                    self._elsewhere.replace(segment.name for segment in group)
                for segment in group:
                    remove_segment(self.path, segment.name)
            with self._lock("writers", fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
                if alone:
                    remove_debris(self.path)

    def _mergeable(self) -> list[Segment]:
        """Return the open segments that no other machine has merged already."""
        opened = self._scan()
        there = self._elsewhere.names() if self._elsewhere is not None else opened.keys()
        return [segment for name, segment in opened.items() if name in there]

    @contextmanager
    def _lock(self, name: str, operation: int) -> Iterator[bool]:
        """Hold a lock of the folder; yields False where it is taken and ``operation`` does not wait."""
        with (self.path / f"{name}.lock").open("ab") as file:
            try:
                fcntl.flock(file, operation)
            except BlockingIOError:
                yield False
                return
            yield True


def _pack(keys: Sequence[str]) -> np.ndarray:
    """Pack keys of 32 hexadecimal digits into an array of 16-byte strings."""
    try:
        raw = bytes.fromhex("".join(keys))
    except ValueError as error:
        raise ValueError(f"a content key has {2 * KEY_BYTES} hexadecimal digits: {error}") from error
    if len(raw) != KEY_BYTES * len(keys) or any(len(key) != 2 * KEY_BYTES for key in keys):
        raise ValueError(f"a content key has {2 * KEY_BYTES} hexadecimal digits")
    return np.frombuffer(raw, dtype=KEY_DTYPE)
