"""The course of classification: heads on image vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backend.backbones import NETWORK
from backend.classification.judging import judge_labels, verdict
from backend.classification.learning import Classified, learn
from backend.classification.stopping import stop_signal
from backend.courses.base import Before, Lesson, Scene, Verdict
from backend.embedding.parts import EmbeddingParts
from backend.labelstudio.kind import Kind
from backend.project import open_backbones
from backend.registry import Version
from backend.settings import Settings
from backend.snapshot import History
from ml.learners import Fit, find_learner


class ClassificationCourse:
    """Learns classes of whole images from their vectors.

    Parameters
    ----------
    kind : str
        One of `ml.learners.LEARNERS`.
    settings : Settings
    """

    def __init__(self, kind: str, settings: Settings) -> None:
        self.learner = find_learner(kind)
        self.settings = settings

    def fingerprint(self, parts: EmbeddingParts) -> str:
        """Return the embedder's."""
        return parts.embedder.fingerprint

    def backbone(self, project_id: int, published: str | None, kind: Kind) -> str | None:
        """Return the published one, unless it draws masks: vectors are made with it."""
        if published is None:
            return None
        manifest = open_backbones(self.settings, project_id).load(published).manifest
        return None if NETWORK in manifest else published

    def embeds_with(self, backbone: str | None) -> str | None:
        """Return the backbone itself."""
        return backbone

    def gather(self, scene: Scene) -> dict[str, str]:
        """Return nothing: vectors are all there is to know."""
        return {}

    def has_broken_before(self, folder: Path, tried_at: float) -> bool:
        """Return False: vectors are all there is to read."""
        return False

    def tidy(self, folder: Path, served: Version | None) -> None:
        """Do nothing: versions leave nothing."""

    def prepare(self, scene: Scene) -> dict[str, str]:
        """Return nothing, too."""
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Fit:
        """Return a fit to start the next one from."""
        return self.learner.restore(arrays)

    def learn(self, lesson: Lesson, digest: str, before: Before | None) -> Classified:
        """Fit a head, see `backend.classification.learning.learn`; from where the last one ended it takes no time."""
        return learn(lesson.targets, lesson.embedded, lesson.kind, warm=before.fit if before else None)

    def served_by(self, lesson: Lesson, learned: Classified, version: Version) -> Classified:
        """Return the same with the unlabelled tasks predicted by a published version."""
        return learned.served_by(version, lesson.targets, lesson.embedded)

    def judge(
        self, lesson: Lesson, learned: Classified, reviewed: np.ndarray, histories: Mapping[int, History]
    ) -> Verdict | None:
        """Judge the labels by the probabilities out of sample."""
        targets, embedded = lesson.targets, lesson.embedded
        judgement = judge_labels(
            targets, embedded, learned, lesson.kind, reviewed, histories, lesson.looks, self.settings
        )
        return verdict(judgement, targets, embedded, lesson.kind) if judgement else None

    def stop(self, lesson: Lesson, learned: Classified, *, seed: int) -> dict[str, Any] | None:
        """Return the stop signal."""
        signal = stop_signal(lesson.targets, lesson.embedded, learned, seed=seed)
        return signal.as_dict() if signal else None

    def manifest(self, lesson: Lesson, learned: Classified) -> dict[str, Any]:
        """Return how many labels there are of each class."""
        targets, kind = lesson.targets, lesson.kind
        return {
            "labels_by_class": self.learner.count(targets.labels[targets.labelled], len(kind.classes)),
        }
