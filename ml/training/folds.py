"""Train a network a fold, on images that are decoded once, and have each judge the images it has not seen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ml.datasets import DatasetError, Example, Problem
from ml.training.config import TrainingConfig
from ml.training.images import Done, cache_pixels
from ml.training.material import Material, choose_classes, encode, labelled
from ml.training.network import build_network
from ml.training.processes import join_processes
from ml.training.split import fold_rows
from ml.training.trainer import Report, Trainer


@dataclass(frozen=True)
class OutOfFold:
    """Predictions by networks that have not seen the images.

    Attributes
    ----------
    examples : list of Example
        Labelled images that could be read.
    classes : list of str
    targets : ndarray of int, shape (n,)
        The given classes.
    probabilities : ndarray of float32, shape (n, classes)
    fold : ndarray of int, shape (n,)
        Whose network judged an image.
    problems : list of Problem
        Images that were left out.
    images_per_second : float
        Of the training, over all folds.
    """

    examples: list[Example]
    classes: list[str]
    targets: np.ndarray
    probabilities: np.ndarray
    fold: np.ndarray
    problems: list[Problem]
    images_per_second: float


def train_folds(
    config: TrainingConfig,
    examples: Sequence[Example],
    *,
    groups: Sequence[str] | None = None,
    skip_problems: bool = False,
    allow_noncommercial: bool = False,
    cache: Path | None = None,
    report: Callable[[int], Report] | None = None,
    decoded: Done | None = None,
) -> OutOfFold:
    """Train ``Dataset.num_folds`` networks.

    Each is kept as it is after its last epoch: choosing an epoch, or stopping early, by the images that are to be
    judged would choose by their labels, right or wrong. So ``early_stop`` is not heeded, and the schedule
    ``plateau`` keeps its rate after the warm-up.

    Parameters
    ----------
    config : TrainingConfig
    examples : sequence of Example
        Images without a class are left out.
    groups : sequence of str, optional
        As long as ``examples``; images of one group are held out together.
    skip_problems, allow_noncommercial
        As in `ml.training.fit.train_network`.
    cache : Path, optional
        Folder for the decoded images; default: a temporary one.
    report : callable, optional
        Given the fold, returns what is told of its progress.
    decoded : callable, optional
        Told of the decoding's progress.

    Raises
    ------
    DatasetError, ValueError, WeightsUnavailable, OSError
        As `ml.training.fit.train_network`.
    """
    of_row = dict(zip(map(id, examples), groups, strict=True)) if groups is not None else None
    every = labelled(examples)
    classes = choose_classes(every, config.dataset.names, config.model.num_classes)
    targets = encode(every, classes)
    config = config.model_copy(deep=True)
    config.training.early_stop = 0
    with tempfile.TemporaryDirectory(dir=cache, prefix="lineup-") as folder, join_processes() as processes:
        if processes.world > 1:
            raise ValueError("k folds are trained in one process: start the command without torchrun")
        pixels = None
        probabilities = np.zeros((len(every), len(classes)), dtype=np.float32)
        fold = np.full(len(every), -1)
        seen, seconds = 0, 0.0
        for number in range(config.dataset.num_folds):
            torch.manual_seed(config.training.seed + number)
            built = build_network(
                config.model, config.dataset.transform, len(classes), allow_noncommercial=allow_noncommercial
            )
            if pixels is None:
                pixels = cache_pixels(
                    every,
                    built.preprocess,
                    Path(folder) / "images.npy",
                    skip_problems=skip_problems,
                    done=decoded,
                )
                rows = pixels.rows
                of_image = None if of_row is None else [of_row[id(every[row])] for row in rows]
                fold[rows] = fold_rows(
                    targets[rows].tolist(),
                    config.dataset.num_folds,
                    groups=of_image,
                    seed=config.training.seed,
                )
            held = np.flatnonzero(fold == number)
            if not len(held):
                continue
            learn = np.flatnonzero((fold >= 0) & (fold != number))
            if lost := sorted({classes[one] for one in set(targets[held]) - set(targets[learn])}):
                raise DatasetError(
                    f"all images of {', '.join(lost)} fell into one fold: take fewer folds or groups"
                )
            material = Material(pixels.array, targets, classes, learn, np.zeros(0, dtype=np.int64))
            trainer = Trainer(config, built, material, processes, report=report(number) if report else None)
            progress = trainer.fit()
            probabilities[held] = trainer.probabilities(held)
            seconds += sum(record["seconds"] for record in progress.history)
            seen += sum(round(one["seconds"] * one["images_per_second"]) for one in progress.history)
    assert pixels is not None
    kept = pixels.rows
    return OutOfFold(
        [every[row] for row in kept], classes, targets[kept], probabilities[kept], fold[kept], pixels.problems,
        seen / max(seconds, 1e-9),
    )  # fmt: skip
