"""Train a network a fold, on images that are decoded once, and have each judge the images it has not seen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ml.datasets import Example, Problem
from ml.datasets.embedding import default_cache
from ml.datasets.encoding import encode
from ml.heads.head import softmax
from ml.training.config import TrainingConfig
from ml.training.images import Done, Pixels, cache_pixels
from ml.training.loop import Report
from ml.training.material import Material, choose_classes, labelled
from ml.training.network import Built, build_network
from ml.training.processes import join_processes
from ml.training.split import fold_rows
from ml.training.trainer import Trainer
from ml.training.views import known_views

_FEW = 2_000  # labelled images of which a second opinion costs minutes
_REPEATS = 3
_TINY = 1e-12


@dataclass(frozen=True)
class OutOfFold:
    """Predictions by networks that have not seen the images.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Which of the images that were given could be read.
    classes : list of str
    targets : ndarray of int, shape (n,)
        The given classes; -1 without one.
    probabilities : ndarray of float32, shape (n, classes)
        The geometric mean of the networks that have not seen the image: one a repeat, all for an image without a
        class.
    fold : ndarray of int, shape (n,)
        Images of one number were held out together in every repeat; -1 for those that no network has learned from.
    folds, repeats : int
        How many there were.
    problems : list of Problem
        Images that were left out.
    images_per_second : float
        Of the training, over all folds.
    """

    rows: np.ndarray
    classes: list[str]
    targets: np.ndarray
    probabilities: np.ndarray
    fold: np.ndarray
    folds: int
    repeats: int
    problems: list[Problem]
    images_per_second: float


def train_folds(
    config: TrainingConfig,
    examples: Sequence[Example],
    *,
    groups: Sequence[Hashable] | None = None,
    skip_problems: bool = False,
    allow_noncommercial: bool = False,
    cache: Path | None = None,
    report: Callable[[int, int], Report] | None = None,
    decoded: Done | None = None,
) -> OutOfFold:
    """Train ``Dataset.num_folds`` networks, ``Dataset.num_repeats`` times.

    What one network says of an image hangs on which others it was trained with and on the chance of its training, the
    more the fewer there are. So few images are split again, by another seed, as in repeated cross-validation (Kim,
    Computational Statistics & Data Analysis 53, 2009), and judged by the mean log-probability of the networks that
    have not seen them: a logarithmic opinion pool (Heskes, NIPS 1997), in which one network that is too sure counts
    less than in the mean of probabilities.

    Each network is kept as it is after its last epoch: choosing an epoch, or stopping early, by the images that are
    to be judged would choose by their labels, right or wrong. So ``early_stop`` is not heeded, and the schedule
    ``plateau`` looks at the training loss. A class that has all its images in one fold is judged by a network that
    does not know it. Images are judged in the views that the training has shown: mirrored, closer.

    Parameters
    ----------
    config : TrainingConfig
    examples : sequence of Example
        Nothing is learned from those without a class.
    groups : sequence, optional
        As long as ``examples``; images of one group are held out together.
    skip_problems, allow_noncommercial
        As in `ml.training.fit.train_network`.
    cache : Path, optional
        Folder for the decoded images, which are gone when this returns, or dies; default:
        `ml.datasets.embedding.default_cache`.
    report : callable, optional
        Given the number of a network, from 0, and how many there are, returns what is told of its progress.
    decoded : callable, optional
        Told of the decoding's progress.

    Raises
    ------
    DatasetError, ValueError, WeightsUnavailable, OSError
        As `ml.training.fit.train_network`.
    """
    known = labelled(examples)
    classes = choose_classes(known, config.dataset.names, config.model.num_classes)
    _, targets = encode(examples, classes, unlabelled=True)
    config = config.model_copy(deep=True)
    config.training.early_stop = 0
    seed = config.training.seed

    def build(number: int) -> Built:
        torch.manual_seed(seed + number)
        return build_network(
            config.model, config.dataset.transform, len(classes), allow_noncommercial=allow_noncommercial
        )

    with join_processes() as processes:
        if processes.world > 1:
            raise ValueError("k folds are trained in one process: start the command without torchrun")
        built = build(0)
        pixels = _decode(examples, built, cache or default_cache(), skip_problems, decoded)
        rows = pixels.rows
        learnable, others = rows[targets[rows] >= 0], rows[targets[rows] < 0]
        repeats = config.dataset.num_repeats or (_REPEATS if len(learnable) <= _FEW else 1)
        held_by = np.stack(
            [
                fold_rows(
                    targets[learnable].tolist(),
                    config.dataset.num_folds,
                    groups=None if groups is None else [groups[row] for row in learnable],
                    seed=seed + repeat,
                )
                for repeat in range(repeats)
            ]
        )
        folds, views = int(held_by.max()) + 1, known_views(config.dataset.transform)
        log_probs = np.zeros((len(examples), len(classes)), dtype=np.float32)
        seen, seconds = 0.0, 0.0
        for number in range(repeats * folds):
            built = build(number) if number else built
            config.training.seed = seed + number // folds
            held = held_by[number // folds] == number % folds
            material = Material(pixels.array, targets, classes, learnable[~held], np.zeros(0, dtype=np.int64))
            told = report(number, repeats * folds) if report else None
            trainer = Trainer(config, built, material, processes, report=told)
            progress = trainer.fit()
            for judged, networks in ((learnable[held], repeats), (others, repeats * folds)):
                probabilities = trainer.probabilities(judged, views)
                log_probs[judged] += np.log(np.maximum(probabilities, _TINY)) / networks
            seconds += sum(record["seconds"] for record in progress.history)
            seen += sum(one["seconds"] * one["images_per_second"] for one in progress.history)
    fold = np.full(len(examples), -1)
    fold[learnable] = np.unique(held_by, axis=1, return_inverse=True)[1]
    return OutOfFold(
        rows, classes, targets[rows], softmax(log_probs[rows]), fold[rows], folds, repeats, pixels.problems,
        seen / max(seconds, 1e-9),
    )  # fmt: skip


def _decode(
    examples: Sequence[Example], built: Built, cache: Path, skip_problems: bool, decoded: Done | None
) -> Pixels:
    """Decode into a file that has no name any more when this returns: whatever ends the process, its room is free."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="decoding-") as folder:
        path = Path(folder) / "images.npy"
        return cache_pixels(examples, built.preprocess, path, skip_problems=skip_problems, done=decoded)
