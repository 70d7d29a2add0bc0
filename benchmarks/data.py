"""The image sets the benchmarks run on: found where an argument says, embedded once, never copied here."""

from __future__ import annotations

import argparse
import io
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

MODEL = "mobilenetv2_100"
SIDE = 128
SETS = {
    "cifar10n_20k": (
        "the first 20,000 CIFAR-10 training images (www.cs.toronto.edu/~kriz/cifar.html) with the human labels of "
        "CIFAR-10N (github.com/UCSC-REAL/cifar-10-100n): `clean_label`, `aggre_label`, `worse_label`, "
        "`random_label1` to `3`"
    ),
    "fashion_mnist_14k": (
        "14,000 images of Fashion-MNIST (github.com/zalandoresearch/fashion-mnist) as arrays instead of files: "
        "`train_images`, `train_labels`, `test_images`, `test_labels`"
    ),
    "flowers5_128": "the photographs of TensorFlow's flowers tutorial, 128 pixels wide, with `labels` from 0 to 4",
}
_IMAGES = ("jpeg", "offset", "train_images", "test_images")


class Missing(Exception):
    """Data or weights are not there; the message says what to fetch and where from."""


@dataclass(frozen=True)
class Pack:
    """A set of images with its labels.

    Attributes
    ----------
    name : str
    labels : dict of str to ndarray
        Every array of the file but the images.
    path : Path
    """

    name: str
    labels: dict[str, np.ndarray]
    path: Path

    def images(self) -> list[bytes]:
        """Return the image files: JPEG as they are, arrays as PNG."""
        with np.load(self.path, allow_pickle=False) as arrays:
            if "jpeg" not in arrays.files:
                return [_png(array) for name in ("train_images", "test_images") for array in arrays[name]]
            joined, offset = arrays["jpeg"], arrays["offset"]
        return [joined[start:end].tobytes() for start, end in pairwise(offset)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where data, weights and cache are."""
    parser.add_argument(
        "--data", type=Path, default=_from_environment("LINEUP_BENCH_DATA"), help="folder of .npz sets"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=_from_environment("LINEUP_BENCH_WEIGHTS"),
        help=f"checkpoint of timm's {MODEL}",
    )
    parser.add_argument("--cache", type=Path, default=Path("var/bench"), help="where vectors are kept")


def load_pack(name: str, data: Path | None) -> Pack:
    """Open a set.

    Raises
    ------
    Missing
        If it is not in the folder.
    """
    path = (data or Path()) / f"{name}.npz"
    if data is None or not path.is_file():
        where = "no --data DIR given" if data is None else f"{path} is not there"
        raise Missing(
            f"{where}. {name}.npz holds {SETS.get(name, 'a set of images')}; the images are JPEG files one after "
            "the other in the array `jpeg` (uint8), file i from offset[i] to offset[i + 1] of the array `offset`."
        )
    with np.load(path, allow_pickle=False) as arrays:
        labels = {key: arrays[key] for key in arrays.files if key not in _IMAGES}
    return Pack(name, labels, path)


def load_vectors(pack: Pack, weights: Path | None, cache: Path, console: Console) -> np.ndarray:
    """Return a set's vectors, float32 of shape (n, d), embedded once and kept as half precision.

    Raises
    ------
    Missing
        If they have to be embedded and there are no weights.
    """
    kept = cache / f"{pack.name}-{MODEL}-{SIDE}.npy"
    if not kept.is_file():
        if weights is None or not weights.is_file():
            raise Missing(
                f"no --weights FILE: give a checkpoint of timm's {MODEL}, for example from "
                f"huggingface.co/timm/{MODEL}.ra_in1k"
            )
        from ml.embedders import embed_stream
        from ml.embedders.timm_backbone import TimmEmbedder
        from ml.images import ImageLimits

        embedder = TimmEmbedder(MODEL, checkpoint=str(weights), image_size=SIDE)
        files = pack.images()
        stream = embed_stream(embedder, enumerate(files), limits=ImageLimits())
        parts = [
            one.vector
            for one in track(stream, f"embedding {pack.name}", total=len(files), console=console)
            if one.vector is not None
        ]
        cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".part.npy")
        np.save(partial, np.stack(parts).astype(np.float16))
        os.replace(partial, kept)
    return np.asarray(np.load(kept), dtype=np.float32)


def _png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return file.getvalue()


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None
