"""Fine-tune a backbone on images that are labelled elsewhere than on disk, and get its vectors of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ml.datasets import Example, Problem
from ml.datasets.options import ReadImage
from ml.embedders.aliases import ALIASES, AUTO_CPU, IMAGE_SIZES
from ml.embedders.timm_backbone import TimmEmbedder
from ml.images import ImageLimits
from ml.training.config import TrainingConfig
from ml.training.images import Done, cache_pixels
from ml.training.loop import Report
from ml.training.material import Material
from ml.training.network import build_network, resolve_model
from ml.training.processes import Processes
from ml.training.run import about_model
from ml.training.tensor_file import write_tensors
from ml.training.trainer import Trainer
from ml.training.transforms_config import Size

# threads that fetch and decode: fetching waits for others
_THREADS = 4
# for what the configuration leaves open: short and gentle, as the weights have seen millions of images
_DEFAULTS: dict[str, Any] = {
    "epochs": 8,
    "lr": 1e-3,
    "backbone_lr": 0.1,
    "freeze_epochs": 1,
    "schedule": "cosine",
    "label_smoothing": 0.1,
    "weight_decay": 0.05,
}
_SCRATCH: dict[str, Any] = {"backbone_lr": 1.0, "freeze_epochs": 0}


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned backbone.

    Attributes
    ----------
    model : Path
        Its weights, a checkpoint for ``timm:MODEL@PATH``.
    name : str
        timm's name of the model.
    image_size : int
    weights : dict of str to str
        Where the weights it began with come from.
    rows : ndarray of int
        Examples that could be read.
    vectors : ndarray of float32, shape (len(rows), d)
        As an embedder with these weights makes them.
    problems : list of Problem
        Examples that could not.
    """

    model: Path
    name: str
    image_size: int
    weights: dict[str, str]
    rows: np.ndarray
    vectors: np.ndarray
    problems: list[Problem]


def complete(config: TrainingConfig, embedder: str) -> TrainingConfig:
    """Return a configuration whose open ends are those of a fine-tuning of an embedder.

    Parameters
    ----------
    embedder : str
        Name of the one in use, as `ml.embedders.Embedder.name` has it. Its weights are those to begin with; where it
        has none, those of the small backbone for processors are.

    Raises
    ------
    ValueError
        If the configuration cannot be that of a backbone.
    """
    config = config.model_copy(deep=True)
    family, _, rest = embedder.partition(":")
    model, _, checkpoint = rest.partition("@") if family == "timm" else (ALIASES[AUTO_CPU], "", "")
    if "class_name" not in config.model.model_fields_set:
        config.model.class_name = model
        if checkpoint and "weights" not in config.model.model_fields_set:
            config.model.weights = checkpoint
    config.model.class_name = resolve_model(config.model.class_name)
    open_ends = _DEFAULTS | (_SCRATCH if config.model.weights == "scratch" else {})
    for key in open_ends.keys() - config.training.model_fields_set:
        setattr(config.training, key, open_ends[key])
    if config.training.freeze_epochs >= config.training.epochs:
        config.training.freeze_epochs = 0
    transform = config.dataset.transform
    side = IMAGE_SIZES.get(config.model.class_name)
    if transform.resize is None and side is not None:
        transform.resize = Size(height=side, width=side)
    if transform.resize is not None and transform.resize.height != transform.resize.width:
        raise ValueError("Dataset.transform.resize of a backbone must be a square: give one number")
    if transform.random_crop is not None and transform.random_crop.shape is not None:
        raise ValueError(
            "Dataset.transform.random_crop of a backbone must be a share of the area, as in {scale: [0.7, 1]}"
        )
    return config


def tune_backbone(
    config: TrainingConfig,
    examples: Sequence[Example],
    targets: np.ndarray,
    classes: Sequence[str],
    train: np.ndarray,
    folder: Path,
    *,
    read: ReadImage,
    limits: ImageLimits | None = None,
    allow_noncommercial: bool = False,
    report: Report | None = None,
    decoded: Done | None = None,
) -> Tuned:
    """Train a network on some images, and return the vectors of all.

    All epochs are done and the last one is kept: choosing one by images that are held out would leave none to judge by.

    Parameters
    ----------
    config : TrainingConfig
        As `complete` returns it.
    examples : sequence of Example, length n
    targets : ndarray of int, shape (n,)
        Positions in ``classes``.
    train : ndarray of bool, shape (n,)
        Which to train on.
    folder : Path
        For the decoded images, the checkpoint and the network. What a training that was killed has left there is taken
        up; the caller sees to it that it is of the same.
    read : callable
        Returns the bytes of an image.
    limits, allow_noncommercial, report, decoded
        As in `ml.training.images.cache_pixels` and `ml.training.fit.train_network`.

    Raises
    ------
    ValueError
        If the training fails, or nothing is left to train on.
    WeightsUnavailable, WeightsNotAllowed
        If the weights cannot be had.
    OSError
        If files cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keeper = _Keeper(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.training.seed)
    built = build_network(
        config.model,
        config.dataset.transform,
        len(classes),
        allow_noncommercial=allow_noncommercial,
        with_weights=not keeper.checkpoint.exists(),
    )
    height, width = built.preprocess.shape
    if height != width:
        raise ValueError(
            f"{config.model.class_name} takes {height} x {width} pixels: set Dataset.transform.resize"
        )
    pixels = cache_pixels(
        examples, built.preprocess, folder / "images.npy",
        skip_problems=True, limits=limits, threads=_THREADS, done=decoded, read=read,
    )  # fmt: skip
    rows = pixels.rows
    learn = rows[train[rows]]
    if len(np.unique(targets[learn])) < 2:
        raise ValueError(
            f"there are {len(learn)} images to train on that can be read, and not of two classes: label more"
        )
    material = Material(pixels.array, targets, list(classes), learn, np.zeros(0, dtype=np.int64))
    Trainer(config, built, material, Processes(0, 1, device), keeper=keeper, report=report).fit()
    embedder = TimmEmbedder(config.model.class_name, checkpoint=str(keeper.model), image_size=height)
    size = embedder.batch_size
    parts = [
        embedder.forward(np.asarray(pixels.array[rows[at : at + size]])) for at in range(0, len(rows), size)
    ]
    return Tuned(
        keeper.model, config.model.class_name, height, built.weights, rows, np.concatenate(parts), pixels.problems
    )  # fmt: skip


class _Keeper:
    """Keeps where a training stands, and its last network."""

    def __init__(self, folder: Path) -> None:
        self.checkpoint = folder / "checkpoint.safetensors"
        self.model = folder / "model.safetensors"

    def keep_epoch(self, record: dict[str, Any], history: list[dict[str, Any]], trainer: Trainer) -> None:
        """Keep nothing: without images to judge by there is nothing to tell of an epoch."""

    def keep_best(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Write the network; each epoch counts as better than the one before."""
        write_tensors(self.model, trainer.judge.state_dict(), about_model(trainer, record))
