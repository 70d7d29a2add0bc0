"""The audit by training: networks on folds, end to end, judge the images they have not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ml.audit.evidence import Evidence, learn_from_vectors, take_predictions
from ml.audit.findings import Findings, class_numbers, find
from ml.audit.run import true_classes
from ml.datasets import Dataset
from ml.datasets.embedding import Embedded, Progress, embed_dataset
from ml.embedders import Embedder
from ml.heads.head import softmax
from ml.heads.temperature import fit_temperature
from ml.space import make_space
from ml.training.config import TrainingConfig
from ml.training.folds import OutOfFold, train_folds
from ml.training.loop import Report, TrainingProgress
from ml.training.material import choose_classes, labelled
from ml.training.network import resolve_model

_TINY = 1e-12


def audit_by_training(
    dataset: Dataset,
    config: TrainingConfig,
    embedder: Embedder,
    *,
    cache: Path | None = None,
    precision: float | None = 0.9,
    truth: str = "",
    skip_problems: bool = False,
    allow_noncommercial: bool = False,
    progress: Progress = lambda done, total: None,
    step: Callable[[str], None] = lambda name: None,
) -> Findings:
    """Audit a dataset by ``Dataset.num_folds`` networks, each trained without the images it judges.

    A small dataset is split and judged several times (``Dataset.num_repeats``). The out-of-fold probabilities, joined,
    are what labels are judged by, tempered by one number: networks that were trained to the end are too sure.
    Near-duplicates are in one fold. Frozen vectors give what is not about labels (near-duplicates, outliers,
    neighbours, the map), and the disagreement is that of the networks with the models of the fast mode.

    Parameters
    ----------
    dataset : Dataset
        One class an image; images without a label are looked at, too, by all networks.
    config : TrainingConfig
    embedder : Embedder
    cache : Path, optional
        Folder for vectors and, while the networks train, for decoded images; default:
        `ml.datasets.embedding.default_cache`.
    precision, truth, skip_problems
        As in `ml.audit.audit`.
    allow_noncommercial : bool
        As in `ml.training.fit.train_network`.
    progress : callable
        Called with how much of a step is done, and of how much: images, or steps of a training.
    step : callable
        Called with the name of what begins.

    Raises
    ------
    DatasetError
        As `ml.audit.audit`, or if the configuration names other classes.
    ValueError, WeightsUnavailable, OSError
        As `ml.training.fit.train_network`.
    """
    # what cannot be audited is not embedded first
    resolve_model(config.model.class_name)
    classes = choose_classes(labelled(dataset.examples), config.dataset.names, config.model.num_classes)
    class_numbers(dataset.examples, classes)
    if truth:
        true_classes(dataset.examples, classes, truth)
    step("embedding")
    embedded = embed_dataset(dataset, embedder, cache=cache, skip_problems=skip_problems, progress=progress)
    groups = make_space(embedded.keys, embedded.vectors).groups
    step("decoding")
    joined = train_folds(
        config,
        embedded.examples,
        groups=groups.tolist(),
        skip_problems=skip_problems,
        allow_noncommercial=allow_noncommercial,
        cache=cache,
        report=lambda number, networks: _told(number, networks, config.training.epochs, progress, step),
        decoded=progress,
    )
    step("judging")
    embedded = replace(embedded.take(joined.rows), problems=[*embedded.problems, *joined.problems])
    evidence = _evidence(joined, embedded, config.model.class_name)
    known = true_classes(embedded.examples, classes, truth) if truth else None
    return find(embedded, joined.targets, classes, evidence, precision=precision, truth=known)


def _evidence(joined: OutOfFold, embedded: Embedded, network: str) -> Evidence:
    rows = np.flatnonzero(joined.targets >= 0)
    log_probs = np.log(np.maximum(joined.probabilities, _TINY))
    log_probs /= np.float32(fit_temperature(log_probs[rows], joined.targets[rows]))
    frozen = learn_from_vectors(embedded.vectors, joined.targets, len(joined.classes), embedded.keys)
    number = joined.repeats * joined.folds
    return take_predictions(
        softmax(log_probs),
        embedded.vectors,
        joined.targets,
        embedded.keys,
        joined.fold[rows],
        method=f"{number} networks ({network}), each trained on the other {joined.folds - 1} of {joined.folds} folds",
        members=[log_probs[rows], np.log(np.maximum(frozen.probs[rows], _TINY))],
    )


def _told(number: int, networks: int, epochs: int, progress: Progress, step: Callable[[str], None]) -> Report:
    """Return what tells of one network's progress as a part of that of all."""
    if number == 0:
        step(f"training {networks} networks, {epochs} epochs each")

    def report(now: TrainingProgress) -> None:
        done = number * epochs * now.steps + (now.epoch - 1) * now.steps + now.step
        progress(done, networks * epochs * now.steps)

    return report
