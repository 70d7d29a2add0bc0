"""A set of masks becomes a Label Studio project, and is read back: what Label Studio drops, it drops silently."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.reader import read_tasks
from backend.new_project import NewProject, make_project
from ml.datasets.example import DatasetError, Example, Problem, list_problems
from ml.datasets.label_studio import IMAGE, SOURCE
from ml.mask_sets import MaskSet, refuse
from ml.mask_sets.label_studio import BRUSH, LabelStudioMasks
from ml.mask_sets.writing import Progress, Written
from ml.masks.regions import paint

SPLIT = "split"  # the task field with the part of the set


def import_masks(
    client: LabelStudioClient,
    found: MaskSet,
    *,
    title: str,
    kind: LabelStudioMasks = BRUSH,
    tolerance: float = 1.0,
    document_root: Path | None = None,
    skip_problems: bool = False,
    progress: Progress = lambda done, total: None,
    step: Callable[[str], None] = lambda name: None,
) -> tuple[NewProject, Written]:
    """Make a project of a set of masks: its label config, a task an image, the mask as an annotation.

    ``source`` is the image's name in the set, ``split`` its part. Every mask is read before the project is made, and
    compared afterwards with what stands in Label Studio; one mask at a time is in memory.

    Parameters
    ----------
    kind : LabelStudioMasks
        Brush regions, which are exact, or polygons.
    tolerance : float
        Pixels that a polygon may be away from the outline of its mask; 0: exact.
    document_root : Path, optional
        As in `backend.new_project.make_project`.
    skip_problems : bool
        Leave out masks that are broken, and name them, instead of making nothing.
    progress : callable
        Called with the number of masks done, and of all.
    step : callable
        Called with the name of what begins.

    Returns
    -------
    made : NewProject
    written : Written
        What was left out, and what the masks lost.

    Raises
    ------
    DatasetError
        If masks are broken and not skipped, an image cannot be shown, or masks came back as others than were sent.
    LabelStudioError
        If Label Studio refuses.
    """
    step("reading masks")
    written = Written(progress=progress)
    # an upload of gigabytes must not end at a broken mask
    scenes = [scene for scene, _ in written.masks(found)]
    if written.problems and not skip_problems:
        refuse(found, written.problems)
    if not scenes:
        raise DatasetError(f"{found.source}: no mask can be used:\n{list_problems(written.problems)}")
    sent = SentMasks(found)

    def make_task(row: int, uri: str) -> dict[str, Any]:
        scene = scenes[row]
        mask = found.mask(scene)
        regions = kind.regions(mask, found.classes, tolerance)
        shown = paint(regions, found.classes, (mask.shape[0], mask.shape[1]))
        written.done(scene, mask, shown)
        sent.add(scene.where, shown)
        data = {SOURCE: scene.name or scene.image} | ({SPLIT: scene.split} if scene.split else {})
        return {"data": {**data, IMAGE: uri}, "annotations": [{"result": regions}]}

    def check(project_id: int, ids: Sequence[int]) -> None:
        step("comparing with what Label Studio has")
        sent.compare(client, project_id, ids, progress)

    step("importing")
    made = make_project(
        client,
        [Example(scene.image, None, scene.path, scene.where) for scene in scenes],
        make_task,
        title=title,
        label_config=kind.label_config(found.classes.drawn),
        document_root=document_root,
        check=check,
        progress=progress,
    )
    return made, written


@dataclass
class SentMasks:
    """What Label Studio was given, to be compared with what it has: it may drop an annotation without a word.

    Attributes
    ----------
    found : MaskSet
        Of which the masks are.
    """

    found: MaskSet
    _sent: list[_Sent] = field(default_factory=list)

    def add(self, where: str, mask: np.ndarray) -> None:
        """Note the mask of a further task, in order."""
        self._sent.append(_Sent(where, (mask.shape[0], mask.shape[1]), _digest(mask)))

    def compare(
        self, client: LabelStudioClient, project_id: int, ids: Sequence[int], progress: Progress
    ) -> None:
        """See that tasks have the masks that were sent, one annotation each.

        Raises
        ------
        DatasetError
            If one has another, or none.
        """
        missing = dict(zip(ids, self._sent, strict=True))
        other = []
        for page in read_tasks(client, project_id):
            for task in page:
                sent = missing.pop(task.id)
                masks = [paint(one.result, self.found.classes, sent.shape) for one in task.annotations]
                if [_digest(mask) for mask in masks] != [sent.digest]:
                    other.append(Problem(sent.where, f"task {task.id} has another mask"))
                progress(len(ids) - len(missing), len(ids))
        other += [Problem(sent.where, f"task {task_id} is not there") for task_id, sent in missing.items()]
        if other:
            raise DatasetError(
                f"{self.found.source}: of {len(ids)} masks, {len(other)} came back from Label Studio as others than "
                f"were sent, so the project was deleted again:\n{list_problems(other)}"
            )


@dataclass(frozen=True, slots=True)
class _Sent:
    where: str
    shape: tuple[int, int]
    digest: bytes


def _digest(mask: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(mask).data).digest()
