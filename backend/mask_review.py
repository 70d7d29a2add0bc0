"""A Label Studio project made of the suspects among masks, so that people decide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backend.columns import CONFIDENCE, PRIORITY, REASON, SUGGESTION, SUSPICION
from backend.import_masks import SPLIT, SentMasks
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.config import LabelConfig
from backend.labelstudio.segmentation import SegmentationKind
from backend.labelstudio.tabs import REVIEW_SUSPECTS, wanted_tab
from backend.new_project import NewProject, Progress, make_project
from backend.segmentation.drawing import draw, in_words
from backend.segmentation.network import Drawn
from ml.audit.masks import MaskAudit
from ml.audit.masks.words import what_is_wrong
from ml.datasets.example import DatasetError, Example
from ml.datasets.label_studio import IMAGE, SOURCE
from ml.mask_sets import MaskSet
from ml.mask_sets.label_studio import BRUSH
from ml.masks.classes import MaskClasses
from ml.masks.regions import paint
from ml.segmentation.sizes import shrink_mask

MODEL_VERSION = "lineup-audit"
_DIGITS = 4


def create_mask_review(
    client: LabelStudioClient,
    audit: MaskAudit,
    found: MaskSet,
    *,
    title: str,
    prefix: str,
    everything: bool = False,
    document_root: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> NewProject:
    """Make a project of the suspects, the most suspicious first.

    The mask as given is an annotation, which a person updates or changes. The prediction beside it has the mask as
    predicted, and a region of no class over what is suspected. Tasks carry what the audit says in the fields the loop
    keeps. Annotations are compared with what was sent; if anything fails the project is deleted again.

    Parameters
    ----------
    audit : MaskAudit
    found : MaskSet
        What was audited: its masks are taken at full size.
    title : str
        Cut to the 50 characters Label Studio takes.
    prefix : str
        Of the task fields.
    everything : bool
        Import the other images, too, after the suspects.
    document_root : Path, optional
        As in `backend.new_project.make_project`.
    progress : callable
        Called with the number of images that are in the project, and of all.

    Raises
    ------
    DatasetError
        If no mask is suspect, an image is not below ``document_root``, or Label Studio did not keep a mask.
    LabelStudioError
        If Label Studio refuses.
    """
    rows = audit.suspects.tolist()
    if not rows:
        raise DatasetError("no mask is suspect: there is nothing to review")
    if everything:
        rows += sorted(set(range(len(audit))) - set(rows))
    label_config = BRUSH.label_config(found.classes.drawn)
    kind = SegmentationKind.find(LabelConfig.parse(label_config).elements)
    if kind is None:
        raise DatasetError(f"{found.source} has no class that people draw: there is nothing to review")
    sent = SentMasks(found)

    def make_task(place: int, uri: str) -> dict[str, Any]:
        row = rows[place]
        scene = audit.scenes[row]
        mask = found.mask(scene)
        size = (mask.shape[0], mask.shape[1])
        regions = BRUSH.regions(mask, found.classes, 0.0)
        sent.add(scene.where, paint(regions, found.classes, size))
        suspicion, region = float(audit.suspicion[row]), shrink_mask(audit.region(row), size)
        shown = kind.suspect_region(region, what_is_wrong(audit, row), suspicion) if region.any() else []
        probs = _in_order_of(kind, found.classes, audit.probabilities(row))
        prediction = {
            "model_version": MODEL_VERSION,
            "score": round(1.0 - suspicion, _DIGITS),
            "result": [*draw(kind, Drawn.of(probs, size)), *shown],
        }
        data = {SOURCE: scene.name or scene.image, **_said(audit, row, prefix)}
        return {
            "data": {**data, **({SPLIT: scene.split} if scene.split else {}), IMAGE: uri},
            "annotations": [{"result": regions}],
            "predictions": [prediction],
        }

    def check(project_id: int, ids: Sequence[int]) -> None:
        sent.compare(client, project_id, ids, progress)

    scenes = [audit.scenes[row] for row in rows]
    return make_project(
        client,
        [Example(scene.image, None, scene.path, scene.where) for scene in scenes],
        make_task,
        title=title,
        label_config=label_config,
        tab=wanted_tab(REVIEW_SUSPECTS, prefix, audit.judgement.threshold),
        document_root=document_root,
        check=check,
        progress=progress,
    )


def _in_order_of(kind: SegmentationKind, classes: MaskClasses, probs: np.ndarray) -> np.ndarray:
    """Return probabilities (K, h, w) with the background first, as projects have it."""
    known = {name: number for number, name in enumerate(classes.names)}
    nothing = np.zeros(probs.shape[1:], probs.dtype)
    return np.stack([probs[known[name]] if name in known else nothing for name in kind.classes])


def _said(audit: MaskAudit, row: int, prefix: str) -> dict[str, Any]:
    classes = audit.classes
    said = {
        PRIORITY: 0.0,
        SUSPICION: round(float(audit.suspicion[row]), _DIGITS),
        SUGGESTION: in_words(classes.names, audit.findings[row].shares, 0 if classes.implied else None),
        CONFIDENCE: round(float(audit.judgement.confidence[row]), _DIGITS),
        REASON: what_is_wrong(audit, row),
    }
    return {prefix + name: value for name, value in said.items()}
