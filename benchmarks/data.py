"""The image sets the benchmarks run on: found where an argument says, embedded once, never copied here."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from benchmarks.report import console
from ml.embedders import embed_stream
from ml.embedders.base import Embedder
from ml.embedders.timm_backbone import TimmEmbedder
from ml.images import ImageLimits

MODEL = "mobilenetv2_100"
SIDE = 128
WEIGHTS = f"a checkpoint of timm's {MODEL}, for example from huggingface.co/timm/{MODEL}.ra_in1k"
_FILES = (
    "the images as JPEG files one after the other in the array `jpeg` (uint8), file i from offset[i] to "
    "offset[i + 1] of the array `offset`"
)
SETS = {
    "camvid_320x240": (
        "701 frames of CamVid (mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid), 320 x 240 pixels, with masks of 12 "
        f"classes in `masks`, `map5` from these to five, `map5_names` and `split`; {_FILES}"
    ),
    "cifar10n_20k": (
        "the first 20,000 CIFAR-10 training images (www.cs.toronto.edu/~kriz/cifar.html) with the human labels of "
        "CIFAR-10N (github.com/UCSC-REAL/cifar-10-100n): `clean_label`, `aggre_label`, `worse_label`, "
        f"`random_label1` to `3`; {_FILES}"
    ),
    "colors8_objects": (
        "229 photographs of objects, 256 x 256 pixels, with the number of their colour, from 0 to 7, in `labels`; "
        f"{_FILES}"
    ),
    "fashion_mnist_14k": (
        "14,000 images of Fashion-MNIST (github.com/zalandoresearch/fashion-mnist) as arrays of pixels: "
        "`train_images`, `train_labels`, `test_images`, `test_labels`"
    ),
    "flowers5_128": (
        "the photographs of TensorFlow's flowers tutorial (www.tensorflow.org/datasets/catalog/tf_flowers), 128 x 128 "
        f"pixels, with `labels` from 0 to 4; {_FILES}"
    ),
}
LIMITS = ImageLimits()
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

    def images(self, count: int | None = None) -> list[bytes]:
        """Return the first image files: JPEG as they are, arrays as PNG."""
        with np.load(self.path, allow_pickle=False) as arrays:
            if "jpeg" not in arrays.files:
                every = (array for name in ("train_images", "test_images") for array in arrays[name])
                return [_png(array) for array in islice(every, count)]
            joined, offset = arrays["jpeg"], arrays["offset"]
        return [joined[start:end].tobytes() for start, end in islice(pairwise(offset), count)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where data, weights and cache are."""
    parser.add_argument("--data", type=Path, help="folder of image sets (.npz)")
    parser.add_argument("--weights", type=Path, help=f"checkpoint of timm's {MODEL}")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("var/bench"),
        help="where vectors and campaigns are kept; remove what was made by code that has changed since",
    )
    parser.add_argument(
        "--rows", type=int, help="only the first so many images of a set (suspicion; audit; embed's quality)"
    )


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
            f"{where}. {name}.npz holds {SETS[name]}. Vectors are made with --weights FILE, {WEIGHTS}."
        )
    with np.load(path, allow_pickle=False) as arrays:
        labels = {key: arrays[key] for key in arrays.files if key not in _IMAGES}
    return Pack(name, labels, path)


def open_packs(names: Sequence[str], data: Path | None) -> list[Pack]:
    """Open the sets that are there; say of the others what to fetch.

    Raises
    ------
    Missing
        If none is there.
    """
    packs, missing = [], []
    for name in names:
        try:
            packs.append(load_pack(name, data))
        except Missing as error:
            missing.append(str(error))
    if not packs:
        raise Missing("\n".join(missing))
    for message in missing:
        console.print(f"a set is left out: {message}", markup=False, soft_wrap=True)
    return packs


def require_weights(weights: Path | None) -> str:
    """Return the checkpoint's path.

    Raises
    ------
    Missing
        If there is none.
    """
    if weights is None or not weights.is_file():
        where = "no --weights FILE given" if weights is None else f"{weights} is not there"
        raise Missing(f"{where}: it is {WEIGHTS}")
    return str(weights)


def embed_files(embedder: Embedder, files: Sequence[bytes], what: str) -> np.ndarray:
    """Return the vectors of image files as a store would give them back, float32 of shape (n, d)."""
    stream = embed_stream(embedder, enumerate(files), limits=LIMITS)
    vectors = []
    for one in track(stream, what, total=len(files), console=console):
        if one.vector is None:
            raise ValueError(f"{what}: image {one.key} cannot be used: {one.error}")
        vectors.append(one.vector.astype(np.float16))
    return np.stack(vectors).astype(np.float32)


def load_vectors(pack: Pack, weights: Path | None, cache: Path) -> np.ndarray:
    """Return a set's vectors, float32 of shape (n, d), embedded once and kept as half precision.

    Raises
    ------
    Missing
        If they have to be embedded and there are no weights.
    """
    kept = cache / f"{pack.name}-{MODEL}-{SIDE}.npy"
    if not kept.is_file():
        embedder = TimmEmbedder(MODEL, checkpoint=require_weights(weights), image_size=SIDE)
        vectors = embed_files(embedder, pack.images(), f"embedding {pack.name}")
        cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".part.npy")
        np.save(partial, vectors.astype(np.float16))
        os.replace(partial, kept)
    return np.asarray(np.load(kept), dtype=np.float32)


def _png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return file.getvalue()
