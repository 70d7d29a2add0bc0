"""From image files to vectors at the speed of the forward pass: decoding and computing overlap."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar, cast

import numpy as np
from PIL import Image

from ml.embedders.base import Embedder
from ml.images import ImageError, ImageLimits, decode_reduced

K = TypeVar("K")

Inspect = Callable[[Image.Image, tuple[int, int]], Any]

_AHEAD = 3  # batches a worker has waiting, so that it never waits for whoever takes the results
_AHEAD_BYTES = 256_000_000  # of files not yet decoded, so that large photos are not held by the thousand
_BATCH_BYTES = 64_000_000
_LEAST_SIDE = 64  # pixels a side that `inspect` sees at least, if the file has them


@dataclass(frozen=True, slots=True)
class Streamed(Generic[K]):
    """What became of one file.

    Attributes
    ----------
    key : object
        As given with the file.
    vector : ndarray of float32, shape (d,), or None
        None where the file is no usable image.
    error : ImageError or None
        Why it is not.
    seen : object
        What ``inspect`` returned; None without it or with an error.
    """

    key: K
    vector: np.ndarray | None
    error: ImageError | None
    seen: Any = None


@dataclass(frozen=True, slots=True)
class Decoded(Generic[K]):
    """One file after decoding.

    Attributes
    ----------
    key, error, seen
        As in `Streamed`.
    prepared : ndarray of uint8 or None
        What the embedder's ``prepare`` made of it; None with an error.
    """

    key: K
    prepared: np.ndarray | None
    error: ImageError | None
    seen: Any


def embed_stream(
    embedder: Embedder,
    items: Iterable[tuple[K, bytes]],
    *,
    limits: ImageLimits,
    inspect: Inspect | None = None,
) -> Generator[Streamed[K], None, None]:
    """Embed image files as they come.

    On a CPU each of the embedder's workers decodes a batch and runs it through the network on one core:
    nothing waits for anything, where one forward pass on all cores leaves them idle at every layer's end. On a
    GPU the workers decode and the caller's thread keeps the GPU busy.

    Parameters
    ----------
    embedder : Embedder
    items : iterable of (key, bytes)
        Read as far ahead as a few batches for each worker, or 256 MB and a batch, by the caller's thread.
    limits : ImageLimits
        What is refused before it is decoded.
    inspect : callable, optional
        Called in a worker with every decoded image (RGB, upright, a JPEG possibly at reduced size) and the
        width and height of the file; the result comes back as ``seen``.

    Yields
    ------
    Streamed
        One for each item, in order; a broken file costs only itself.
    """
    if embedder.device == "cuda":
        from ml.embedders.gpu import GpuEmbedder, embed_stream_gpu

        yield from embed_stream_gpu(cast(GpuEmbedder, embedder), items, limits=limits, inspect=inspect)
        return

    def work(batch: list[tuple[K, bytes]]) -> list[Streamed[K]]:
        decoded = [decode_item(embedder, item, limits, inspect) for item in batch]
        rows = [one.prepared for one in decoded if one.prepared is not None]
        return streamed(decoded, embedder.forward(np.stack(rows)) if rows else None)

    with worker_threads(embedder.workers, "embed") as pool:
        chunks = batches(items, embedder.batch_size)
        yield from in_order(pool, work, chunks, _AHEAD * embedder.workers, weigh=file_bytes)


def decode_item(
    embedder: Embedder, item: tuple[K, bytes], limits: ImageLimits, inspect: Inspect | None
) -> Decoded[K]:
    """Decode and prepare one file."""
    key, data = item
    try:
        image, size = decode_reduced(data, limits=limits, side=max(embedder.image_size, _LEAST_SIDE))
    except ImageError as error:
        return Decoded(key, None, error, None)
    return Decoded(key, embedder.prepare(image), None, inspect(image, size) if inspect else None)


def streamed(decoded: Sequence[Decoded[K]], vectors: np.ndarray | None) -> list[Streamed[K]]:
    """Give each usable file its row of ``vectors``, in order."""
    rows = iter(() if vectors is None else vectors)
    return [
        Streamed(one.key, next(rows) if one.error is None else None, one.error, one.seen) for one in decoded
    ]


@contextmanager
def worker_threads(workers: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Run a pool of threads each of which runs torch on one core only."""
    try:
        with ThreadPoolExecutor(workers, thread_name_prefix=name, initializer=_one_core) as pool:
            yield pool
    finally:
        _restore_default()


def batches(items: Iterable[tuple[K, bytes]], size: int) -> Iterator[list[tuple[K, bytes]]]:
    """Cut files into lists of ``size``, shorter ones where files are large; the last one is shorter too."""
    batch: list[tuple[K, bytes]] = []
    held = 0
    for item in items:
        batch.append(item)
        held += len(item[1])
        if len(batch) == size or held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def file_bytes(batch: Sequence[tuple[K, bytes]]) -> int:
    """Return how many bytes the files of a batch have together."""
    return sum(len(data) for _, data in batch)


def in_order(
    pool: ThreadPoolExecutor,
    work: Callable[[Any], Iterable[K]],
    inputs: Iterable[Any],
    ahead: int,
    *,
    weigh: Callable[[Any], int] | None = None,
) -> Iterator[K]:
    """Run ``work`` on inputs in the pool, at most ``ahead`` at a time, and yield what it returns in order.

    With ``weigh``, an input's size in bytes, fewer are taken ahead where they are large.
    """
    waiting: deque[tuple[Future[Iterable[K]], int]] = deque()
    source = iter(inputs)
    held = 0

    def refill() -> None:
        nonlocal held
        while len(waiting) < ahead and (held < _AHEAD_BYTES or not waiting):
            taken = list(islice(source, 1))
            if not taken:
                return
            size = weigh(taken[0]) if weigh else 0
            held += size
            waiting.append((pool.submit(work, taken[0]), size))

    try:
        refill()
        while waiting:
            future, size = waiting.popleft()
            done = future.result()
            held -= size
            refill()
            yield from done
    finally:
        for future, _ in waiting:
            future.cancel()


def _one_core() -> None:
    if torch := sys.modules.get("torch"):  # an embedder without torch has no use for it
        torch.set_num_threads(1)


def _restore_default() -> None:
    if torch := sys.modules.get("torch"):
        # a thread's setting is its own, but it also became the default of threads to come
        torch.set_num_threads(torch.get_num_threads())
