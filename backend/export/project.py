"""Export one project's labels, read through Label Studio's own SDK."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from backend.export.rows import build_rows, count_by_status, revise
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.config import find_kind
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.fetch import ImageFetcher
from backend.labelstudio.reader import read_project
from backend.project import THRESHOLD
from backend.settings import Settings
from backend.shared.folder import share
from backend.snapshot import SNAPSHOT, SnapshotStore
from ml.datasets import Example, WriteOptions, find_format
from ml.datasets.place import placed, refuse_overwrite

log = logging.getLogger(__name__)

READ_TIMEOUT = 600.0
# those of `ml.datasets` that have room for what Lineup says of a label
FORMATS = ("jsonl", "csv", "json", "folders")


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes
    ----------
    out : Path
    rows : int
        Labelled tasks written.
    statuses : dict of str to int
        Rows by status, as written.
    dropped, applied : int
        Suspects left out, and suspects whose label became the suggestion.
    left_out : list of str
        A line for each image that could not be fetched (format ``folders``).
    """

    out: Path
    rows: int
    statuses: dict[str, int]
    dropped: int = 0
    applied: int = 0
    left_out: list[str] = field(default_factory=list)


def export_project(
    settings: Settings,
    project_id: int,
    format: str,
    out: Path,
    *,
    drop_suspects: bool = False,
    apply_suggestions: float | None = None,
    force: bool = False,
) -> Exported:
    """Write the labels of a project.

    Parameters
    ----------
    format : str
        A name in `FORMATS`.
    out : Path
        File, or folder for ``folders``; appears complete or not at all.
    drop_suspects : bool
        Leave out labels that are suspect and not reviewed.
    apply_suggestions : float or None
        Least confidence, in [0, 1], at which a suspect's label becomes the suggestion.
    force : bool
        Write over what an earlier export left.

    Raises
    ------
    ValueError
        If the format is unknown, or ``apply_suggestions`` is outside [0, 1].
    FileExistsError
        If ``out`` exists and may not be written over.
    LabelStudioError
        If Label Studio cannot be reached or refuses.
    UnsupportedConfig
        If the label config is not one Lineup knows.
    """
    if format not in FORMATS:
        raise ValueError(f"unknown export format {format!r}; there are {', '.join(FORMATS)}")
    if apply_suggestions is not None and not 0 <= apply_suggestions <= 1:
        raise ValueError(f"--apply-suggestions is a confidence from 0 to 1, not {apply_suggestions}")
    refuse_overwrite(out, force=force)
    with LabelStudioClient(settings.label_studio_url, settings.api_key) as client:
        kind = find_kind(read_project(client, project_id).label_config)
        tasks, emails = _read(settings, project_id)
        if shared := share(settings):
            shared.project(project_id).turns.freshen(strict=True)
        snapshot = settings.project_dir(project_id) / SNAPSHOT
        store = SnapshotStore(snapshot) if snapshot.exists() else None
        histories = store.histories() if store else {}
        threshold = store.get_meta(THRESHOLD) if store else None
        if not histories:
            log.warning("project %d: Lineup knows no history of its labels; all count as kept", project_id)
        # without a threshold no label was ever judged
        rows = build_rows(tasks, kind, histories, emails, settings, 1.0 if threshold is None else threshold)
        revision = revise(
            rows, kind.classes, drop_suspects=drop_suspects, apply_suggestions=apply_suggestions
        )
        fetcher = ImageFetcher(client, allow_hosts=settings.allow_hosts, max_bytes=settings.max_image_bytes)

        def fetch(example: Example) -> bytes:
            return fetcher.fetch(example.image, int(example.more["task"]), project_id)

        with placed(out, force=force) as draft:
            examples = [row.as_example() for row in revision.rows]
            left_out = [
                problem.what
                for problem in find_format(format).write(examples, draft, WriteOptions(read_image=fetch))
            ]
    for line in left_out:
        log.warning("project %d, not exported: %s", project_id, line)
    return Exported(
        out=out,
        rows=len(revision.rows) - len(left_out),
        statuses=count_by_status(revision.rows),
        dropped=revision.dropped,
        applied=revision.applied,
        left_out=left_out,
    )


def _read(settings: Settings, project_id: int) -> tuple[list[dict[str, Any]], dict[int, str]]:
    sdk = LabelStudio(base_url=settings.label_studio_url, api_key=settings.api_key, timeout=READ_TIMEOUT)
    try:
        tasks = sdk.projects.exports.as_json(project_id)
        emails = {user.id: user.email for user in sdk.users.list() if user.id and user.email}
    except ApiError as error:
        path = f"/api/projects/{project_id}/export"
        raise LabelStudioError(error.status_code or 0, "GET", path, str(error.body)[:500]) from error
    return sorted(tasks, key=lambda task: task["id"]), emails
