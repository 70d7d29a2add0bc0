"""Train a network on a dataset, from Python as from the shell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml.datasets import DatasetError, Example, Problem
from ml.datasets.encoding import encode
from ml.training.config import TrainingConfig
from ml.training.images import Done, Pixels, cache_pixels
from ml.training.loop import Progress, Report
from ml.training.material import Material, choose_classes, labelled
from ml.training.network import Built, build_network
from ml.training.processes import Processes, join_processes
from ml.training.run import RunFolder, best_of
from ml.training.split import split_rows
from ml.training.tensor_file import read_about
from ml.training.trainer import Trainer

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes
    ----------
    path : Path
        The run's folder.
    model : Path
        The best epoch's network.
    history : list of dict
        A record an epoch.
    best : dict
        The best epoch's.
    problems : list of Problem
        Images that were left out.
    """

    path: Path
    model: Path
    history: list[dict[str, Any]]
    best: dict[str, Any]
    problems: list[Problem]


def train_network(
    config: TrainingConfig,
    train: Sequence[Example],
    valid: Sequence[Example] | None = None,
    *,
    runs: Path = Path("runs"),
    skip_problems: bool = False,
    allow_noncommercial: bool = False,
    report: Report | None = None,
    decoded: Done | None = None,
    begun: Callable[[Path], None] | None = None,
) -> Trained:
    """Train a network and keep it in a new folder.

    Parameters
    ----------
    config : TrainingConfig
    train : sequence of Example
        Images without a class are left out.
    valid : sequence of Example, optional
        Default: a stratified part of ``train``.
    runs : Path
        Folder of the run folders.
    skip_problems : bool
        Leave out images that cannot be used instead of stopping.
    allow_noncommercial : bool
        Accept pretrained weights whose licence is not known to allow commercial use.
    report, decoded, begun : callable, optional
        Told of the training's and the decoding's progress, and of the run's folder.

    Raises
    ------
    DatasetError
        If the dataset cannot be trained on.
    ValueError
        If the configuration does not fit it, or the training fails.
    WeightsUnavailable
        If the weights cannot be had.
    OSError
        If files cannot be read or written.
    """
    train, valid, classes = _parts(config, train, valid)
    with join_processes() as processes:
        # refuse a model that cannot be built before anything is written
        built = _build(config, classes, allow_noncommercial)
        path = RunFolder.new(runs, config, classes, train, valid).path if processes.first else runs
        run = RunFolder(Path(processes.share_text(str(path))), classes)
        if begun is not None and processes.first:
            begun(run.path)
        try:
            return _train(
                run, config, classes, train, valid, built, processes, skip_problems, report, decoded
            )
        except DatasetError:
            if processes.first:
                run.discard()
            raise


def resume_network(
    path: Path,
    *,
    skip_problems: bool = False,
    allow_noncommercial: bool = False,
    report: Report | None = None,
    decoded: Done | None = None,
) -> Trained:
    """Take up a run that was stopped; raises as `train_network`."""
    run, config, classes, train, valid = RunFolder.open(path)
    begun = run.checkpoint.exists()
    progress = read_about(run.checkpoint)["progress"] if begun else None
    if progress is not None and Progress(**progress).ended(config.training):
        run.complete(progress["history"])
        raise ValueError(f"the run {path} has ended: its network is {run.model}")
    with join_processes() as processes:
        built = _build(config, classes, allow_noncommercial, with_weights=not begun)
        return _train(run, config, classes, train, valid, built, processes, skip_problems, report, decoded)


def _build(
    config: TrainingConfig, classes: Sequence[str], allow_noncommercial: bool, *, with_weights: bool = True
) -> Built:
    import torch

    torch.manual_seed(config.training.seed)
    return build_network(
        config.model,
        config.dataset.transform,
        len(classes),
        allow_noncommercial=allow_noncommercial,
        with_weights=with_weights,
    )


def _parts(
    config: TrainingConfig, train: Sequence[Example], valid: Sequence[Example] | None
) -> tuple[list[Example], list[Example], list[str]]:
    every = labelled(train)
    classes = choose_classes(every, config.dataset.names, config.model.num_classes)
    if valid is not None:
        held = labelled(valid)
        encode(held, classes)
        if not held:
            raise DatasetError("the validation set has no labelled image")
        return every, held, classes
    labels = [str(example.label) for example in every]
    learn, hold = split_rows(labels, config.dataset.valid_share, seed=config.training.seed)
    return [every[row] for row in learn], [every[row] for row in hold], classes


def _train(
    run: RunFolder,
    config: TrainingConfig,
    classes: list[str],
    train: list[Example],
    valid: list[Example],
    built: Built,
    processes: Processes,
    skip_problems: bool,
    report: Report | None,
    decoded: Done | None,
) -> Trained:
    both = [*train, *valid]

    def decode() -> Pixels:
        return cache_pixels(both, built.preprocess, run.images, skip_problems=skip_problems, done=decoded)

    pixels = processes.first_then_all(decode)
    material = _material(pixels, both, len(train), classes)
    trainer = Trainer(config, built, material, processes, keeper=run, report=report)
    progress = trainer.fit()
    if processes.first:
        run.finish(progress.history)
    return Trained(run.path, run.model, progress.history, best_of(progress.history), pixels.problems)


def _material(pixels: Pixels, examples: Sequence[Example], n_train: int, classes: list[str]) -> Material:
    _, targets = encode(examples, classes)
    train, valid = pixels.rows[pixels.rows < n_train], pixels.rows[pixels.rows >= n_train]
    counts = Counter(targets[train].tolist())
    if len(counts) < 2 or not len(valid):
        raise DatasetError(
            f"{len(pixels.problems)} images cannot be used, and what is left is too little: {len(train)} images of "
            f"{len(counts)} classes to train on, {len(valid)} to validate"
        )
    return Material(pixels.array, targets, classes, np.asarray(train), np.asarray(valid))
