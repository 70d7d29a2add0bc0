"""How a published version of each kind answers ``/predict``: one module a kind, one registry line each.

The server must answer at once after its start, so nothing here imports what learns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from backend.labelstudio.kind import Kind
from backend.registry import Version
from backend.settings import Settings


class Answers(Protocol):
    """A published version, ready to predict images by the digest of their content."""

    def known(self, keys: Sequence[str]) -> np.ndarray:
        """Return which images it has what it needs of, bool of shape (n,)."""
        ...

    def predict(self, kind: Kind, keys: Sequence[str]) -> Iterator[tuple[list[dict[str, Any]], float] | None]:
        """Yield result and confidence in [0, 1] of each image; None where what it needs is not there."""
        ...


def _classification(settings: Settings, project_id: int, version: Version) -> Answers:
    from backend.classification.serving import VectorAnswers

    return VectorAnswers(settings, version)


def _segmentation(settings: Settings, project_id: int, version: Version) -> Answers:
    from backend.segmentation.serving import PixelAnswers

    return PixelAnswers(settings, project_id, version)


ANSWERS: dict[str, Callable[[Settings, int, Version], Answers]] = {
    "choices": _classification,
    "multilabel": _classification,
    "segmentation": _segmentation,
}


def make_answers(settings: Settings, project_id: int, version: Version) -> Answers:
    """Return what a version answers with.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    kind = version.manifest["kind"]
    if kind not in ANSWERS:
        raise ValueError(f"versions of kind {kind!r} cannot be served: there are {', '.join(ANSWERS)}")
    return ANSWERS[kind](settings, project_id, version)
