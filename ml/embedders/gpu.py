"""Keep a GPU busy: decode ahead in threads, copy from pinned memory while it computes, size batches by trying."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from ml.embedders.base import Embedder
from ml.embedders.batching import BatchSize
from ml.embedders.gpu_jpeg import prepare_jpeg
from ml.embedders.preprocess import Preprocess
from ml.embedders.stream import (
    Decoded,
    Inspect,
    Streamed,
    batches,
    decode_item,
    file_bytes,
    in_order,
    streamed,
    worker_threads,
)
from ml.images import ImageError, ImageLimits

K = TypeVar("K")

Pending = Callable[[], np.ndarray]

_CHUNK = 8  # files a decoding thread takes at a time
_IN_FLIGHT = 2  # one batch computes while the next is copied


class GpuEmbedder(Embedder, Protocol):
    """An embedder whose forward pass can be started without waiting for it.

    Attributes
    ----------
    sizer : BatchSize
    preprocess : Preprocess
    jpeg_on_gpu : bool
        Whether JPEG files are decoded on the GPU, where nobody inspects the images.
    """

    sizer: BatchSize
    preprocess: Preprocess
    jpeg_on_gpu: bool

    def launch(self, prepared: np.ndarray) -> Pending:
        """Start a forward pass; the function returned waits for its vectors."""
        ...


def embed_stream_gpu(
    embedder: GpuEmbedder,
    items: Iterable[tuple[K, bytes]],
    *,
    limits: ImageLimits,
    inspect: Inspect | None,
) -> Iterator[Streamed[K]]:
    """Embed image files on a GPU, as `ml.embedders.stream.embed_stream` does."""

    def work(chunk: list[tuple[K, bytes]]) -> list[Decoded[K]]:
        return [decode_on_gpu(embedder, item, limits, inspect) for item in chunk]

    flying: deque[tuple[list[Decoded[K]], list[Pending]]] = deque()
    with worker_threads(embedder.workers, "decode") as pool:
        # deep enough for the largest batch to be ready when the GPU is
        ahead = 4 * embedder.workers + 2 * embedder.sizer.most // _CHUNK
        decoded = in_order(pool, work, batches(items, _CHUNK), ahead, weigh=file_bytes)
        began = time.perf_counter()
        while True:
            batch = list(islice(decoded, embedder.sizer.size))
            if batch:
                rows = [one.prepared for one in batch if one.prepared is not None]
                flying.append((batch, launch_split(embedder, np.stack(rows)) if rows else []))
            if not flying:
                return
            if len(flying) == _IN_FLIGHT or not batch:
                done, parts = flying.popleft()
                vectors = [part() for part in parts]
                now = time.perf_counter()
                embedder.sizer.took(len(done), now - began)
                began = now
                yield from streamed(done, np.concatenate(vectors) if vectors else None)


def decode_on_gpu(
    embedder: GpuEmbedder, item: tuple[K, bytes], limits: ImageLimits, inspect: Inspect | None
) -> Decoded[K]:
    """Decode and prepare one file, on the GPU if it can."""
    if embedder.jpeg_on_gpu and inspect is None:
        key, data = item
        try:
            prepared = prepare_jpeg(data, embedder.preprocess, limits)
        except ImageError as error:
            return Decoded(key, None, error, None)
        if prepared is not None:
            return Decoded(key, prepared, None, None)
    return decode_item(embedder, item, limits, inspect)


def launch_split(embedder: GpuEmbedder, prepared: np.ndarray) -> list[Pending]:
    """Start a forward pass, in halves of halves where the GPU's memory does not hold more.

    Raises
    ------
    MemoryError
        If not even one image fits.
    """
    import torch

    try:
        return [embedder.launch(prepared)]
    except torch.OutOfMemoryError:
        embedder.sizer.out_of_memory(len(prepared))
    # outside the handler: its traceback would keep the tensors that did not fit
    torch.cuda.empty_cache()
    half = len(prepared) // 2
    return launch_split(embedder, prepared[:half]) + launch_split(embedder, prepared[half:])
