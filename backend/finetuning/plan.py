"""What a training of a project learns from, and what it is judged on; written down, so that a kill changes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from backend.classification.judging import judge_labels
from backend.classification.learning import learn
from backend.embedding import Embedded
from backend.embedding.parts import EmbeddingParts
from backend.finetuning.embed import embed_contents
from backend.labelstudio.config import find_kind
from backend.labelstudio.kind import Kind
from backend.looks import OFF, look
from backend.settings import Settings
from backend.snapshot import Snapshot, SnapshotStore
from backend.status import replace_text
from backend.targets import Targets, build_targets, reviewed
from ml.acquisition.explore import lottery
from ml.quality import MEASURES
from ml.training.holdout import hold_out

FILE = "plan.json"
# labels with which a training can begin: a fifth of fewer says nothing
MIN_LABELS = 50
# times as many labels as when it was made, from which on a plan is no longer gone on with
_GROWN = 1.1


class CannotTrain(ValueError):
    """A project cannot be trained on; the message names it and says what to do."""


@dataclass(frozen=True)
class Plan:
    """One training; entry i of each list is one labelled image with a vector.

    Attributes
    ----------
    asked : dict
        What the training was asked for: another one has another plan.
    asked_at : float or None
        When; see `backend.finetuning.record.TrainingRecord`.
    against : str or None
        The backbone that is published; None: the setting's.
    classes : list of str
    tasks : list of int
    uris, keys : list of str
        Where the image is, and its content digest.
    labels : list of int
        Positions in ``classes``.
    held : list of bool
        Whether it is only judged on.
    trained : list of bool
        Whether it is trained on: neither held out nor suspect.
    groups : list of int
        Near-duplicates have the same number.
    labelled : int
        Labelled images of the project, with a vector or without.
    """

    asked: dict[str, Any]
    asked_at: float | None
    against: str | None
    classes: list[str]
    tasks: list[int]
    uris: list[str]
    keys: list[str]
    labels: list[int]
    held: list[bool]
    trained: list[bool]
    groups: list[int]
    labelled: int

    @property
    def suspects(self) -> int:
        """How many labels are left out because they are probably wrong."""
        return len(self.labels) - sum(self.held) - sum(self.trained)

    def still_holds(self, snapshot: Snapshot, settings: Settings) -> bool:
        """Tell whether a project's labels are those it was made of, but for a few new ones.

        A label that was corrected or taken back since must not be trained on.
        """
        if snapshot.info is None:
            return False
        kind = find_kind(snapshot.info.label_config)
        if kind.several or list(kind.classes) != self.classes:
            return False
        targets = build_targets(snapshot, kind, settings.reviewers)
        now = {
            int(targets.ids[row]): (targets.uris[row], int(targets.labels[row]))
            for row in np.flatnonzero(targets.labelled).tolist()
        }
        then = zip(self.tasks, self.uris, self.labels, strict=True)
        return len(now) <= _GROWN * self.labelled and all(
            now.get(task) == (uri, label) for task, uri, label in then
        )


def read_plan(
    folder: Path, asked: dict[str, Any], asked_at: float | None, against: str | None
) -> Plan | None:
    """Return the plan of a training that was begun, None where there is none or it was another one."""
    path = folder / FILE
    if not path.is_file():
        return None
    raw = json.loads(path.read_text(encoding="utf-8"))
    if raw.keys() != {entry.name for entry in fields(Plan)}:  # another release's
        return None
    plan = Plan(**raw)
    return plan if (plan.asked, plan.asked_at, plan.against) == (asked, asked_at, against) else None


def write_plan(folder: Path, plan: Plan) -> None:
    """Write a plan down."""
    replace_text(folder / FILE, json.dumps(asdict(plan)))


def require_classes(project_id: int, classes: list[str], names: list[str] | None, number: int | None) -> None:
    """See that classes a configuration names, or counts, are a project's.

    Raises
    ------
    CannotTrain
        If they are not.
    """
    if names is not None and set(names) != set(classes):
        odd = ", ".join(sorted(set(names) ^ set(classes)))
        raise CannotTrain(
            f"project {project_id} has other classes than Dataset.names, which differ in: {odd}. Leave it out"
        )
    if number is not None and number != len(classes):
        raise CannotTrain(
            f"project {project_id} has {len(classes)} classes, Model.num_classes is {number}. Leave it out"
        )


def make_plan(
    settings: Settings,
    project_id: int,
    store: SnapshotStore,
    base: EmbeddingParts,
    parts: EmbeddingParts,
    seen: set[str],
    asked: dict[str, Any],
    asked_at: float | None,
    share: float,
) -> Plan:
    """Choose what to learn from: labelled images whose labels are not suspect, but for a part that is held out.

    A backbone that was trained on a wrong label would defend it afterwards, and so would the one that is published
    now: suspicion is judged on the setting's embedder, which has never seen a label. Those held out stay in whether
    suspect or not, as suspicion would take away what is hard.

    Parameters
    ----------
    store : SnapshotStore
        The project as the last refresh read it.
    base : EmbeddingParts
        The setting's embedder.
    parts : EmbeddingParts
        The published backbone, which gets a vector of every image, too.
    seen : set of str
        Content digests of what it was trained on.
    asked, asked_at
        As in `Plan`.
    share : float
        Of the images, to hold out.

    Raises
    ------
    CannotTrain
        If there are too few labels or classes, or the project is of another kind.
    LabelStudioError
        If Label Studio cannot be reached.
    """
    snapshot = store.load()
    if snapshot.info is None:
        raise CannotTrain(
            f"project {project_id} has not been read yet: lineup refresh --project {project_id}"
        )
    kind = find_kind(snapshot.info.label_config)
    if kind.several:
        raise CannotTrain(
            f"project {project_id}: its images may have several classes, and a backbone is trained on one class an "
            "image. The loop goes on with EMBEDDER"
        )
    targets = build_targets(_labelled(snapshot, kind, settings), kind, settings.reviewers)
    embedded = _embedded(project_id, store, base, targets)
    rows = np.flatnonzero(embedded.ok & targets.labelled)
    classes = np.unique(targets.labels[rows])
    if len(rows) < MIN_LABELS or len(classes) < 2:
        raise CannotTrain(
            f"project {project_id} has {len(rows)} labelled images of {len(classes)} classes: a training needs "
            f"{MIN_LABELS} of two classes at least, or nothing could be held out to compare by. Label more of them"
        )
    keys = [str(embedded.keys[row]) for row in rows.tolist()]
    learned = learn(targets, embedded, kind, warm=None)
    looks, _ = look(embedded, OFF, None)
    histories = store.histories()
    judgement = judge_labels(
        targets, embedded, learned, kind, reviewed(targets, histories), histories, looks, settings
    )
    suspect = judgement.suspect if judgement else np.zeros(len(rows), dtype=bool)
    held = hold_out(
        targets.labels[rows],
        looks.groups[rows],
        lottery(keys),
        share,
        np.array([key in seen for key in keys]),
    )
    if not held.any():
        raise CannotTrain(
            f"project {project_id}: its backbone has seen all images that could be held out. Label more of them, or "
            f"begin anew: lineup train --project {project_id} --drop"
        )
    uris = [str(targets.uris[row]) for row in rows.tolist()]
    if parts.backbone is not None:
        embed_contents(parts, project_id, list(zip(targets.ids[rows].tolist(), uris, keys, strict=True)))
    return Plan(
        asked,
        asked_at,
        parts.backbone,
        list(kind.classes),
        targets.ids[rows].tolist(),
        uris,
        keys,
        targets.labels[rows].tolist(),
        held.tolist(),
        (~held & ~suspect).tolist(),
        looks.groups[rows].tolist(),
        int(targets.labelled.sum()),
    )


def _labelled(snapshot: Snapshot, kind: Kind, settings: Settings) -> Snapshot:
    """Return the part of a snapshot that has labels."""
    targets = build_targets(snapshot, kind, settings.reviewers)
    ids = targets.ids[targets.labelled].tolist()
    return Snapshot(snapshot.info, {task_id: snapshot.tasks[task_id] for task_id in ids})


def _embedded(project_id: int, store: SnapshotStore, parts: EmbeddingParts, targets: Targets) -> Embedded:
    """Return the vectors of labelled tasks; what cannot be had now is left out."""
    contents = store.contents({uri for uri in targets.uris if uri})
    known = [contents.get(uri) if uri else None for uri in targets.uris]
    keys = [content.key if content else None for content in known]
    items = [
        (task_id, uri, key)
        for task_id, uri, key in zip(targets.ids.tolist(), targets.uris, keys, strict=True)
        if uri and key
    ]
    embed_contents(parts, project_id, items)
    vectors = np.zeros((len(keys), parts.embedder.dim), dtype=np.float32)
    rows = [row for row, key in enumerate(keys) if key]
    if rows:
        vectors[rows], there = parts.vectors.get([str(keys[row]) for row in rows])
        for row, found in zip(rows, there, strict=True):
            keys[row] = keys[row] if found else None
    measures = np.full((len(keys), len(MEASURES)), np.nan, dtype=np.float32)
    return Embedded(keys, vectors, [None] * len(keys), measures)
