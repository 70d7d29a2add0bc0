"""A Label Studio project of the images that `lineup propagate` has for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backend.columns import CONFIDENCE, PRIORITY, SUGGESTION, rank_priorities
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.tabs import LABEL_NEXT, wanted_tab
from backend.new_project import NewProject, Progress, make_project
from ml.datasets import DatasetError, Example
from ml.datasets.label_studio import IMAGE, SOURCE, choose, label_config

MODEL_VERSION = "lineup propagate"
_HEAD = 900  # tasks with a priority of their own; the tab's order of the others is coarse


def create_questions(
    client: LabelStudioClient,
    questions: Sequence[Example],
    classes: Sequence[str],
    *,
    title: str,
    prefix: str,
    document_root: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> NewProject:
    """Make a project of images without labels, in this order, each with its suggestion as a prediction.

    Parameters
    ----------
    questions : sequence of Example
        As `ml.propagation.folder.questions` returns them.
    classes : sequence of str
    title : str
    prefix : str
        Of the task fields.
    document_root : Path, optional
        As `backend.new_project.make_project`.

    Raises
    ------
    DatasetError
        If there is no question, or an image is not below ``document_root``.
    LabelStudioError
        If Label Studio refuses.
    """
    if not questions:
        raise DatasetError("no image needs a person: there is nothing to ask")
    priorities = rank_priorities(len(questions), min(len(questions), _HEAD)).tolist()

    def task(row: int, uri: str) -> dict[str, Any]:
        more = questions[row].more
        said = {
            PRIORITY: priorities[row],
            SUGGESTION: more["suggestion"],
            CONFIDENCE: more["confidence"],
        }
        fields = {prefix + name: value for name, value in said.items()}
        prediction = {
            "result": choose(more["suggestion"]),
            "score": more["confidence"],
            "model_version": MODEL_VERSION,
        }
        return {"data": {IMAGE: uri, SOURCE: questions[row].image, **fields}, "predictions": [prediction]}

    return make_project(
        client,
        questions,
        task,
        title=title,
        label_config=label_config(classes),
        tab=wanted_tab(LABEL_NEXT, prefix, 0.0),
        document_root=document_root,
        progress=progress,
    )
