"""How each kind of problem is learned in a refresh: one course a kind, one registry line each."""

from __future__ import annotations

from collections.abc import Callable

from backend.courses.base import Before, Course, Learned, Lesson, Scene, Verdict
from backend.settings import Settings

__all__ = ["COURSES", "Before", "Course", "Learned", "Lesson", "Scene", "Verdict", "make_course"]


def _classification(kind: str, settings: Settings) -> Course:
    from backend.classification.course import ClassificationCourse

    return ClassificationCourse(kind, settings)


def _segmentation(kind: str, settings: Settings) -> Course:
    from backend.segmentation.course import SegmentationCourse

    return SegmentationCourse(kind, settings)


COURSES: dict[str, Callable[[str, Settings], Course]] = {
    "choices": _classification,
    "multilabel": _classification,
    "segmentation": _segmentation,
}


def make_course(kind: str, settings: Settings) -> Course:
    """Return the course of a kind of problem.

    Raises
    ------
    ValueError
        If there is none.
    """
    if kind not in COURSES:
        raise ValueError(f"no course for problems of kind {kind!r}: there are {', '.join(COURSES)}")
    return COURSES[kind](kind, settings)
