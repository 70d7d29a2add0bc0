"""Learn a project: a new version, or the served one where it was learned from the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backend import __version__
from backend.courses import Before, Course, Learned, Lesson
from backend.project import LEARNED, PINNED
from backend.registry import Version


@dataclass(frozen=True)
class Learning:
    """What learning came to.

    Attributes
    ----------
    learned : Learned
    version : Version or None
        What is to be served; None without a head.
    new : bool
        Whether it was learned now.
    """

    learned: Learned
    version: Version | None
    new: bool


class Fits:
    """The last fit of each project, to start the next one from, and the question it answers."""

    def __init__(self) -> None:
        self._fits: dict[int, tuple[str, Before]] = {}

    def learn(self, course: Course, lesson: Lesson) -> Learning:
        """Learn a project; what is served goes on if that was learned from the same."""
        project, kind, targets = lesson.project, lesson.kind, lesson.targets
        fingerprint = course.fingerprint(lesson.parts)
        backbone = lesson.scene.backbone
        # a network that vectors are not made with is no part of the fingerprint
        learned_on = fingerprint if backbone == lesson.parts.backbone else f"{fingerprint}+{backbone}"
        digest = targets.digest(kind, learned_on, lesson.usable)
        labels = targets.digest(kind, "", lesson.usable)
        served = project.served_version(kind.digest, fingerprint)
        question = f"{kind.digest} {fingerprint}"
        of, before = self._fits.get(project.id, ("", None))
        before = before if of == question else None
        if before is None and served is not None:
            before = Before(course.restore(served.arrays), served.manifest["digest"])
        learned = course.learn(lesson, digest, before)
        if learned.fit is None:
            return Learning(learned, None, False)
        self._fits[project.id] = question, Before(learned.fit, digest)
        if served and project.keeps(served, digest, labels, backbone):
            return Learning(course.served_by(lesson, learned, served), served, False)
        project.store.set_meta(LEARNED, labels)
        project.store.set_meta(PINNED, None)
        version_id = project.begun(digest) or project.registry.next_id(kind.name, digest)
        embedder = lesson.parts.embedder
        manifest: dict[str, Any] = {
            "version": version_id,
            "kind": kind.name,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "digest": digest,
            "label_config": kind.digest,
            "classes": list(kind.classes),
            "labels": int(targets.labelled.sum()),
            **course.manifest(lesson, learned),
            "accuracy": learned.accuracy,
            "embedder": embedder.name,
            "fingerprint": fingerprint,
            "backbone": backbone,
            "note": embedder.note,
            "lineup": __version__,
        }
        return Learning(learned, Version(version_id, manifest, learned.fit.to_arrays()), True)
