"""Make a Label Studio project of images on this machine: whole, or not at all."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioError
from ml.datasets import DatasetError, Example
from ml.datasets.find import is_uri
from ml.datasets.folders import file_name
from ml.datasets.label_studio import served_uri

log = logging.getLogger(__name__)

_UPLOADED, _UPLOADED_BYTES = 20, 50_000_000  # at a time; Label Studio takes 100 files a request
_IMPORTED, _IMPORTED_NUMBERS = 500, 2_000_000  # at a time: tasks, and numbers of brush codes
_TITLE = 50  # characters Label Studio gives a title

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class NewProject:
    """The project that was made.

    Attributes
    ----------
    project_id : int
    tasks : int
    url : str
        Its data, in the tab that was made for it.
    """

    project_id: int
    tasks: int
    url: str


def make_project(
    client: LabelStudioClient,
    examples: Sequence[Example],
    make_task: Callable[[int, str], dict[str, Any]],
    *,
    title: str,
    label_config: str,
    tab: Mapping[str, Any] | None = None,
    document_root: Path | None = None,
    check: Callable[[int, Sequence[int]], None] = lambda project_id, task_ids: None,
    progress: Progress = lambda done, total: None,
) -> NewProject:
    """Make a project with a task for each image, in order; if anything fails it is deleted again.

    Parameters
    ----------
    make_task : callable
        Returns the task of a row, given the URI of its image.
    title : str
        Cut to the 50 characters Label Studio takes.
    tab : mapping, optional
        ``data`` of a tab of the Data Manager.
    document_root : Path, optional
        The folder that Label Studio, on this machine, serves as local files: images stay where they are. Default:
        images are uploaded, but for those that are a URI only.
    check : callable
        Called with the project and its tasks, in order, when all are there; what it raises undoes the project.
    progress : callable
        Called with the number of images that are in the project, and of all.

    Raises
    ------
    DatasetError
        If an image is not in a folder below ``document_root``.
    LabelStudioError
        If Label Studio refuses.
    """
    served = None if document_root is None else [served_uri(one, document_root) for one in examples]
    folders = [] if document_root is None else served_folders(examples, document_root)
    made = client.post("/api/projects", {"title": title[:_TITLE], "label_config": label_config})
    project_id = int(made["id"])
    url = f"{client.url}/projects/{project_id}/data"
    try:
        for folder in folders:
            _serve(client, project_id, folder)
        uris = served if served is not None else _upload(client, project_id, examples)
        ids: list[int] = []
        for part in _lots(make_task(row, uri) for row, uri in enumerate(uris)):
            ids += import_tasks(client, project_id, part)
            progress(len(ids), len(examples))
        check(project_id, ids)
        if tab is not None:
            view = client.post("/api/dm/views/", {"project": project_id, "data": tab})["id"]
            url += f"?tab={view}"
    except BaseException:
        _delete(client, project_id)
        raise
    return NewProject(project_id, len(examples), url)


def _lots(tasks: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield a few tasks at a time; those with masks are heavy."""
    lot: list[dict[str, Any]] = []
    held = 0
    for task in tasks:
        lot.append(task)
        given = (one for kind in ("annotations", "predictions") for one in task.get(kind, ()))
        held += sum(len(region["value"].get("rle", ())) for one in given for region in one["result"])
        if len(lot) == _IMPORTED or held >= _IMPORTED_NUMBERS:
            yield lot
            lot, held = [], 0
    if lot:
        yield lot


def import_tasks(client: LabelStudioClient, project_id: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
    """Import tasks with the annotations and predictions they carry; return their ids, in order."""
    answer = client.request(
        "POST",
        f"/api/projects/{project_id}/import",
        params={"return_task_ids": "true", "commit_to_project": "true"},
        json=list(tasks),
        timeout=600,
    )
    ids = [int(task_id) for task_id in answer["task_ids"]]
    # on SQLite, an import that has to wait for another write is tried again without what its tasks came with
    for kind, count in (("annotations", "annotation_count"), ("predictions", "prediction_count")):
        given = [
            (task_id, one) for task_id, task in zip(ids, tasks, strict=True) for one in task.get(kind, [])
        ]
        for task_id, one in given if (answer[count] or 0) < len(given) else []:
            if kind == "annotations":
                client.post(f"/api/tasks/{task_id}/annotations/", one)
            else:
                client.post("/api/predictions/", {"task": task_id, **one})
    return ids


def served_folders(examples: Sequence[Example], document_root: Path) -> list[Path]:
    """Return the folders for which a project needs a local-files storage, so that it shows the images.

    Label Studio refuses its document root itself: images that have no other folder in common are served by the
    folders directly in it.

    Raises
    ------
    DatasetError
        If an image lies directly in the document root.
    """
    root = document_root.resolve()
    paths = [one.path.resolve() for one in examples if one.path and not is_uri(one.image)]
    if not paths:
        return []
    common = Path(os.path.commonpath([path.parent for path in paths]))
    if common != root:
        return [common]
    bare = next((path for path in paths if path.parent == root), None)
    if bare is not None:
        raise DatasetError(
            f"{bare} lies directly in {document_root}, which Label Studio serves by its folders only: move it into one"
        )
    return sorted({root / path.relative_to(root).parts[0] for path in paths})


def _serve(client: LabelStudioClient, project_id: int, folder: Path) -> None:
    client.post(
        "/api/storages/localfiles",
        {"project": project_id, "title": folder.name, "path": str(folder), "use_blob_urls": True},
    )


def _upload(client: LabelStudioClient, project_id: int, examples: Sequence[Example]) -> Iterator[str]:
    """Upload the images and yield their URIs, in order."""
    for part in _portions(examples):
        files = {str(number): file for number, file in enumerate(part) if not isinstance(file, str)}
        stored = iter(_store(client, project_id, files) if files else ())
        yield from (file if isinstance(file, str) else next(stored) for file in part)


def _store(client: LabelStudioClient, project_id: int, files: dict[str, tuple[str, bytes]]) -> list[str]:
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
    return [f"/data/{stored[number]}" for number in ids]


def _portions(examples: Sequence[Example]) -> Iterator[list[tuple[str, bytes] | str]]:
    """Yield names and bytes of a few files at a time; of an image that is nowhere here, the URI."""
    part: list[tuple[str, bytes] | str] = []
    held = 0
    for example in examples:
        if example.path is None and "://" not in example.image:
            raise DatasetError(f"{example.where}: {example.image} is not a file on this machine")
        if example.path is None:
            part.append(example.image)
        else:
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
