"""A Label Studio project made of what an audit found, so that people decide on the suspects."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from backend.columns import CONFIDENCE, PRIORITY, REASON, SUGGESTION, SUSPICION
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.tabs import REVIEW_SUSPECTS, wanted_tab
from ml.audit import Findings
from ml.datasets import DatasetError, Example
from ml.datasets.folders import file_name
from ml.datasets.label_studio import CHOICES, IMAGE, label_config, served_uri

log = logging.getLogger(__name__)

SOURCE = "source"  # the task field with the image's name in the dataset
_UPLOADED, _UPLOADED_BYTES = 20, 50_000_000  # at a time; Label Studio takes 100 files a request
_IMPORTED = 500
_DIGITS = 4
_TITLE = 50  # characters Label Studio gives a title


@dataclass(frozen=True)
class Review:
    """The project that was made.

    Attributes
    ----------
    project_id : int
    tasks : int
    url : str
        Its tab *Review suspects*.
    """

    project_id: int
    tasks: int
    url: str


def create_review(
    client: LabelStudioClient,
    found: Findings,
    *,
    title: str,
    prefix: str,
    everything: bool = False,
    document_root: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Review:
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
    examples = [found.examples[row] for row in rows]
    served = None if document_root is None else [served_uri(one, document_root) for one in examples]
    project_id = int(
        client.post("/api/projects", {"title": title[:_TITLE], "label_config": label_config(found.classes)})[
            "id"
        ]
    )
    try:
        if document_root is not None:
            _serve(client, project_id, examples)
        uris = iter(served) if served is not None else _upload(client, project_id, examples)
        done = 0
        while part := list(islice(uris, _IMPORTED)):
            tasks = [_task(found, rows[done + place], uri, prefix) for place, uri in enumerate(part)]
            client.post(f"/api/projects/{project_id}/import", tasks, timeout=600)
            done += len(part)
            progress(done, len(rows))
        tab = {"project": project_id, "data": wanted_tab(REVIEW_SUSPECTS, prefix, found.judgement.threshold)}
        view = client.post("/api/dm/views/", tab)["id"]
    except BaseException:
        _delete(client, project_id)
        raise
    return Review(project_id, len(rows), f"{client.url}/projects/{project_id}/data?tab={view}")


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
        region = {"from_name": CHOICES, "to_name": IMAGE, "type": "choices", "value": {"choices": [label]}}
        task["annotations"] = [{"result": [region]}]
    fields = {prefix + name: value for name, value in said.items()}
    return {"data": {IMAGE: uri, SOURCE: found.examples[row].image, **fields}, **task}


def _serve(client: LabelStudioClient, project_id: int, examples: Sequence[Example]) -> None:
    """Let the project show the files of the images' common folder."""
    folder = os.path.commonpath([one.path.resolve().parent for one in examples if one.path])
    client.post(
        "/api/storages/localfiles",
        {"project": project_id, "title": "images of the audit", "path": folder, "use_blob_urls": True},
    )


def _upload(client: LabelStudioClient, project_id: int, examples: Sequence[Example]) -> Iterator[str]:
    """Upload the images and yield their URIs, in order."""
    for part in _portions(examples):
        files = {str(number): file for number, file in enumerate(part)}
        answer = client.request(
            "POST",
            f"/api/projects/{project_id}/import",
            params={"commit_to_project": "false"},
            files=files,
            timeout=600,
        )
        ids = answer["file_upload_ids"]
        listed = client.get(f"/api/projects/{project_id}/file-uploads", {"ids": json.dumps(ids)})
        stored = {one["id"]: one["file"] for one in listed}
        yield from (f"/data/{stored[number]}" for number in ids)


def _portions(examples: Sequence[Example]) -> Iterator[list[tuple[str, bytes]]]:
    """Yield names and bytes of a few files at a time."""
    part: list[tuple[str, bytes]] = []
    held = 0
    for example in examples:
        if example.path is None:
            raise DatasetError(f"{example.where}: {example.image} is not a file on this machine")
        data = example.path.read_bytes()
        part.append((file_name(example, data), data))
        held += len(data)
        if len(part) == _UPLOADED or held >= _UPLOADED_BYTES:
            yield part
            part, held = [], 0
    if part:
        yield part


def _delete(client: LabelStudioClient, project_id: int) -> None:
    try:
        client.delete(f"/api/projects/{project_id}/")
    except LabelStudioError as error:
        log.warning("project %d was not finished and could not be deleted: %s", project_id, error)
