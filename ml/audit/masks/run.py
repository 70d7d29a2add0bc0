"""The audit of a set of masks, from files to findings."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np

from ml.audit.findings import OUTLIERS
from ml.audit.masks.findings import MaskAudit, Twins
from ml.audit.masks.material import Material, prepare
from ml.datasets.example import DatasetError, list_problems
from ml.embedders import Embedder
from ml.heads.logistic import NotEnoughClasses
from ml.mask_sets import MaskSet
from ml.mask_sets.scene import of_part
from ml.mask_sets.writing import Progress
from ml.masks.classes import MaskClasses
from ml.quality import judge_images
from ml.segmentation.features import PixelFeatures
from ml.segmentation.metrics import confusion, mean_dice
from ml.segmentation.probe import ProbeFit, fit_probe
from ml.segmentation.sizes import shrink_mask
from ml.survey import make_survey, members_of
from ml.suspicion.masks import judge_mask, judge_masks
from ml.suspicion.multilabel import find_unseen

_ALIKE = 0.9  # Dice from which two masks are the same to the eye
_COMPARED = 8  # of a group of near-duplicates


def audit_masks(
    found: MaskSet,
    features: PixelFeatures,
    embedder: Embedder,
    *,
    part: str = "",
    precision: float | None = None,
    cache: Path | None = None,
    seed: int = 0,
    skip_problems: bool = False,
    progress: Progress = lambda done, total: None,
    step: Callable[[str], None] = lambda name: None,
) -> MaskAudit:
    """Judge masks by predictions of a probe that has not seen them (`ml.segmentation.probe`).

    Near-duplicates are in one fold. One image's probabilities are in memory at a time, masks compressed at work size.

    Parameters
    ----------
    found : MaskSet
    features : PixelFeatures
        What the probe learns on.
    embedder : Embedder
        Whose vectors tell near-duplicates.
    part : str
        Judge this part of the set alone; it is learned from all. Empty: all.
    precision : float, optional
        Wanted share of wrong masks among the suspects, in (0, 1]; None: as `judge_masks` chooses.
    cache : Path, optional
        Folder for vectors and features; default: `ml.datasets.embedding.default_cache`.
    seed : int
    skip_problems : bool
        Leave out images and masks that cannot be used.
    progress : callable
        Called with how much of a step is done, and of how much.
    step : callable
        Called with the name of what begins.

    Raises
    ------
    DatasetError
        If images or masks cannot be used and are not skipped, there is no such part or nothing in it
        that can be used, or nothing to tell apart.
    """
    of_part(found, part)  # what is not there is told first
    material = prepare(
        found,
        features,
        embedder,
        cache=cache,
        skip_problems=skip_problems,
        progress=progress,
        step=step,
    )
    rows = [row for row, scene in enumerate(material.scenes) if not part or scene.split == part]
    if not rows:
        raise DatasetError(
            f"{found.source}: no mask of part {part!r} can be used:\n{list_problems(material.problems)}"
        )
    keys = material.embedded.keys
    survey = make_survey(keys, material.embedded.vectors, OUTLIERS)
    step("learning")
    fit = _fit(found, material, survey.groups, seed, progress)
    step("judging")
    findings = []
    counts = np.zeros((len(found.classes.names),) * 2, dtype=np.int64)
    for done, row in enumerate(rows, 1):
        given, probs = material.mask(row), fit.oos_probabilities(row, material.pyramid(row))
        findings.append(judge_mask(given, probs, found.classes))
        counts += confusion(given, probs.argmax(axis=0), len(counts), found.classes.ignore)
        progress(done, len(rows))
    fault = judge_images(material.embedded.measures)
    judgement = judge_masks(
        findings,
        keys=[keys[row] for row in rows],
        unseen=_unseen(material, found.classes, fit.folds)[rows],
        groups=survey.groups[rows],
        precision=precision,
        outlier=survey.outlier[rows],
        image=[fault[row] for row in rows],
    )
    return MaskAudit(
        source=found.source,
        classes=found.classes,
        scenes=[material.scenes[row] for row in rows],
        findings=findings,
        judgement=judgement,
        counts=counts,
        fault=[fault[row] for row in rows],
        groups=survey.groups[rows],
        twins=_twins(survey.groups[rows], lambda row: material.mask(rows[row]), found.classes),
        method=f"probes on the features of pixels ({features.name})",
        problems=material.problems,
        given=lambda row: material.mask(rows[row]),
        probabilities=lambda row: fit.oos_probabilities(rows[row], material.pyramid(rows[row])),
    )


def _fit(found: MaskSet, material: Material, groups: np.ndarray, seed: int, progress: Progress) -> ProbeFit:
    classes = found.classes
    try:
        return fit_probe(
            material.embedded.keys,
            material.pyramid,
            material.mask,
            len(classes.names),
            ignore=classes.ignore,
            groups=groups,
            seed=seed,
            progress=progress,
        )
    except NotEnoughClasses as error:
        raise DatasetError(f"{found.source} cannot be audited: {error}") from error


def _unseen(material: Material, classes: MaskClasses, folds: np.ndarray) -> np.ndarray:
    """Return which masks have a class that was learned from none but those of their own fold."""
    count = len(classes.names)
    pixels = [
        np.bincount(material.mask(row).ravel(), minlength=count)[:count] for row in range(len(material))
    ]
    return find_unseen(np.array(pixels) > 0, folds)


def _twins(groups: np.ndarray, mask: Callable[[int], np.ndarray], classes: MaskClasses) -> list[Twins]:
    """Return pairs of near-duplicates whose masks differ, the most different first."""
    found = []
    for rows in members_of(groups):
        for one, other in combinations(rows[:_COMPARED].tolist(), 2):
            given = mask(one)
            shown = shrink_mask(mask(other), (given.shape[0], given.shape[1]))
            dice = float(mean_dice(confusion(given, shown, len(classes.names), classes.ignore)))
            if dice < _ALIKE:
                found.append(Twins((one, other), dice))
    return sorted(found, key=lambda one: one.dice)
