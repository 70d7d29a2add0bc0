"""A Label Studio project made of what an audit found, so that people decide on the suspects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.columns import CONFIDENCE, PRIORITY, REASON, SUGGESTION, SUSPICION
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.tabs import REVIEW_SUSPECTS, wanted_tab
from backend.new_project import NewProject, make_project
from ml.audit import Findings
from ml.datasets import DatasetError
from ml.datasets.label_studio import IMAGE, SOURCE, choose, label_config

_DIGITS = 4


def create_review(
    client: LabelStudioClient,
    found: Findings,
    *,
    title: str,
    prefix: str,
    everything: bool = False,
    document_root: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NewProject:
    """Make a project of the suspects, corrected ones among them, the most suspicious first.

    Tasks carry what the audit says in the fields the loop keeps, and the given label as an annotation, which a person
    updates or changes. If anything fails the project is deleted again.

    Parameters
    ----------
    title : str
        Cut to the 50 characters Label Studio takes.
    prefix : str
        Of the task fields.
    everything : bool
        Import the other images, too, after the suspects.
    document_root : Path, optional
        The folder that Label Studio, on this machine, serves as local files: images stay where they are. Default:
        images are uploaded.
    progress : callable
        Called with the number of images that are in the project, and of all.

    Raises
    ------
    DatasetError
        If no label is suspect, or an image is not below ``document_root``.
    LabelStudioError
        If Label Studio refuses.
    """
    rows = found.suspects.tolist()
    if not rows:
        raise DatasetError("no label is suspect: there is nothing to review")
    if everything:
        rows += sorted(set(range(len(found))) - set(rows))
    return make_project(
        client,
        [found.examples[row] for row in rows],
        lambda place, uri: _task(found, rows[place], uri, prefix),
        title=title,
        label_config=label_config(found.classes),
        tab=wanted_tab(REVIEW_SUSPECTS, prefix, found.judgement.threshold),
        document_root=document_root,
        progress=progress,
    )


def _task(found: Findings, row: int, uri: str, prefix: str) -> dict[str, Any]:
    said: dict[str, Any] = {
        PRIORITY: 0.0,
        SUSPICION: 0.0,
        SUGGESTION: found.name(int(found.suggestion[row])),
        CONFIDENCE: round(float(found.confidence[row]), _DIGITS),
        REASON: found.reason[row],
    }
    label = found.name(int(found.labels[row]))
    task: dict[str, Any] = {}
    if label is not None:
        said[SUSPICION] = round(float(found.suspicion[row]), _DIGITS)
        task["annotations"] = [{"result": choose(label)}]
    fields = {prefix + name: value for name, value in said.items()}
    return {"data": {IMAGE: uri, SOURCE: found.examples[row].image, **fields}, **task}
