"""Export one project's labels, read through Label Studio's own SDK."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from backend.export.exported import Exported
from backend.export.known import read_known
from backend.export.masks import MASK_FORMATS, export_masks
from backend.export.rows import build_rows, count_by_status, revise
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.config import find_kind
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.fetch import ImageFetcher
from backend.labelstudio.reader import read_project
from backend.labelstudio.segmentation import SegmentationKind
from backend.settings import Settings
from ml.datasets import Example, WriteOptions, find_format
from ml.datasets.place import placed, refuse_overwrite

log = logging.getLogger(__name__)

READ_TIMEOUT = 600.0
# those of `ml.datasets` that have room for what Lineup says of a label
LABEL_FORMATS = ("jsonl", "csv", "json", "folders")
FORMATS = tuple(dict.fromkeys((*LABEL_FORMATS, *MASK_FORMATS)))


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
        A name in `LABEL_FORMATS`, or for masks in `MASK_FORMATS`; empty: the first of the project's kind.
    out : Path
        File, or folder for ``folders`` and some of masks; appears complete or not at all.
    drop_suspects : bool
        Leave out labels that are suspect and not reviewed.
    apply_suggestions : float or None
        Least confidence, in [0, 1], at which a suspect's label becomes the suggestion.
    force : bool
        Write over what an earlier export left.

    Raises
    ------
    ValueError
        If the format is unknown or not one of the project's kind, or ``apply_suggestions`` is outside [0, 1], or asked
        for masks.
    FileExistsError
        If ``out`` exists and may not be written over.
    LabelStudioError
        If Label Studio cannot be reached or refuses.
    UnsupportedConfig
        If the label config is not one Lineup knows.
    """
    if format and format not in FORMATS:
        raise ValueError(f"unknown export format {format!r}; there are {', '.join(FORMATS)}")
    if apply_suggestions is not None and not 0 <= apply_suggestions <= 1:
        raise ValueError(f"--apply-suggestions is a confidence from 0 to 1, not {apply_suggestions}")
    refuse_overwrite(out, force=force)
    with LabelStudioClient(settings.label_studio_url, settings.api_key) as client:
        kind = find_kind(read_project(client, project_id).label_config)
        masks = isinstance(kind, SegmentationKind)
        fitting = MASK_FORMATS if masks else LABEL_FORMATS
        if format and format not in fitting:
            what = "masks" if masks else "choices"
            raise ValueError(f"project {project_id} has {what}: --format is one of {', '.join(fitting)}")
        if masks and apply_suggestions is not None:
            raise ValueError("--apply-suggestions is for choices: a mask has no other one to take its place")
        known = read_known(settings, project_id)
        if isinstance(kind, SegmentationKind):
            return export_masks(
                client,
                settings,
                project_id,
                kind,
                known,
                format or fitting[0],
                out,
                drop_suspects=drop_suspects,
                force=force,
            )
        rows = build_rows(
            _read(settings, project_id), kind, known.histories, known.emails, settings, known.threshold
        )
        revision = revise(
            rows, kind.classes, drop_suspects=drop_suspects, apply_suggestions=apply_suggestions
        )
        fetcher = ImageFetcher(client, allow_hosts=settings.allow_hosts, max_bytes=settings.max_image_bytes)

        def fetch(example: Example) -> bytes:
            return fetcher.fetch(example.image, int(example.more["task"]), project_id)

        with placed(out, force=force) as draft:
            examples = [row.as_example() for row in revision.rows]
            writer = find_format(format or fitting[0])
            left_out = [
                problem.what for problem in writer.write(examples, draft, WriteOptions(read_image=fetch))
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


def _read(settings: Settings, project_id: int) -> list[dict[str, Any]]:
    sdk = LabelStudio(base_url=settings.label_studio_url, api_key=settings.api_key, timeout=READ_TIMEOUT)
    try:
        tasks = sdk.projects.exports.as_json(project_id)
    except ApiError as error:
        path = f"/api/projects/{project_id}/export"
        raise LabelStudioError(error.status_code or 0, "GET", path, str(error.body)[:500]) from error
    return sorted(tasks, key=lambda task: task["id"])
