"""Stand-ins for the fetcher and the embedder that count what they are asked for."""

from __future__ import annotations

import io
from zlib import crc32

import numpy as np
from PIL import Image

from backend.labelstudio.errors import LabelStudioUnreachable
from backend.labelstudio.fetch import ImageFetchError
from ml.embedders.pixels import PixelsEmbedder


class Files:
    """Stands in for the fetcher: bytes by URI, every fetch counted."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.down = False
        self.down_from = ""

    def fetch(self, uri: str, task_id: int, project_id: int) -> bytes:
        if self.down or uri == self.down_from:
            raise LabelStudioUnreachable(None, "GET", uri, "refused", "Is Label Studio running?")
        self.fetched.append(uri)
        if uri == "missing.png":
            raise ImageFetchError(task_id, uri, "404")
        if uri == "broken.png":
            return b"no image"
        colour = tuple(crc32(uri.rsplit("copy-of-", maxsplit=1)[-1].encode()).to_bytes(4)[:3])
        buffer = io.BytesIO()
        Image.new("RGB", (20, 20), colour).save(buffer, "PNG")
        return buffer.getvalue()


class Counting(PixelsEmbedder):
    """Counts what is decoded."""

    decoded = 0

    def prepare(self, image: Image.Image) -> np.ndarray:
        self.decoded += 1
        return super().prepare(image)
