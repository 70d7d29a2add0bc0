"""A dataset becomes a Label Studio project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.labelstudio.client import LabelStudioClient
from backend.new_project import NewProject, Progress, make_project
from ml.datasets import Dataset, DatasetError, Example
from ml.datasets.label_studio import IMAGE, SOURCE, choose, label_config


def import_dataset(
    client: LabelStudioClient,
    dataset: Dataset,
    *,
    title: str,
    document_root: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> NewProject:
    """Make a project of a dataset: its label config, a task an image, a label as an annotation.

    Further columns become fields of the task, and ``source`` is the image's name in the dataset.

    Raises
    ------
    DatasetError
        If fewer than two classes are there to choose from, or an image cannot be shown.
    LabelStudioError
        If Label Studio refuses.
    """
    if len(dataset.classes) < 2:
        there = f"only {dataset.classes[0]!r}" if dataset.classes else "none"
        raise DatasetError(
            f"{dataset.source} has fewer than two classes, {there}: a project needs something to choose"
        )
    several = any(isinstance(example.label, list) for example in dataset)
    return make_project(
        client,
        dataset.examples,
        lambda row, uri: _task(dataset.examples[row], uri),
        title=title,
        label_config=label_config(dataset.classes, several=several),
        document_root=document_root,
        progress=progress,
    )


def _task(example: Example, uri: str) -> dict[str, Any]:
    task: dict[str, Any] = {"data": {SOURCE: example.image, **example.more, IMAGE: uri}}
    if example.label:
        task["annotations"] = [{"result": choose(example.label)}]
    return task
