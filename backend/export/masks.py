"""Export the masks of a project, with a table of what Lineup says of each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from backend.columns import REASON
from backend.export.exported import Exported
from backend.export.known import Known
from backend.export.rows import ExportRow, build_row, count_by_status, revise
from backend.import_masks import SPLIT
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.mask_label import MaskLabel
from backend.labelstudio.reader import read_tasks
from backend.labelstudio.segmentation import SegmentationKind
from backend.labelstudio.targets import resolve
from backend.project_images import ProjectImages
from backend.settings import Settings
from backend.snapshot import Judged, TaskRecord
from backend.spooled import spool
from ml import datasets, mask_sets
from ml.datasets.embedding import default_cache
from ml.datasets.example import DatasetError, Example, Problem, list_problems
from ml.datasets.label_studio import SOURCE
from ml.datasets.place import placed, refuse_overwrite
from ml.images import upright_size
from ml.mask_sets.folders import PairFolders
from ml.mask_sets.formats import find_format
from ml.mask_sets.options import MaskWriteOptions
from ml.mask_sets.scene import LIMITS, MaskSet, Scene
from ml.mask_sets.writing import Written

log = logging.getLogger(__name__)

TABLE = "masks.csv"
# the table alone
TABLE_FORMATS = ("csv", "jsonl", "json")
MASK_FORMATS = ("masks", *(name for name in mask_sets.FORMATS if name != "masks"), *TABLE_FORMATS)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A task with a mask, and its row."""

    row: ExportRow
    label: MaskLabel
    columns: dict[str, str | float | None]
    name: str
    split: str

    def as_example(self) -> Example:
        example = self.row.as_example()
        return replace(example, more={**example.more, **self.columns})


def export_masks(
    client: LabelStudioClient,
    settings: Settings,
    project_id: int,
    kind: SegmentationKind,
    known: Known,
    format: str,
    out: Path,
    *,
    drop_suspects: bool,
    force: bool,
) -> Exported:
    """Write the masks of a project, one at a time, and the table ``masks.csv`` of them.

    Images go with the masks in formats that are folders; in others they are named by their URI. The table stands in the
    folder, or beside the file.

    Parameters
    ----------
    format : str
        A name in `MASK_FORMATS`; one of `TABLE_FORMATS` writes the table alone.
    drop_suspects : bool
        Leave out masks that are suspect and not reviewed.

    Raises
    ------
    DatasetError
        If no mask can be written.
    FileExistsError
        If ``out``, or the table beside it, exists and may not be written over.
    LabelStudioError
        If Label Studio cannot be reached or refuses.
    """
    drawn = {
        one.row.task: one
        for page in spool(read_tasks(client, project_id), default_cache())
        for task in page
        if (one := _drawn(task, kind, known, settings)) is not None
    }
    revision = revise([one.row for one in drawn.values()], kind.classes, drop_suspects=drop_suspects)
    kept = [drawn[row.task] for row in revision.rows]
    left_out: list[Problem] = []
    lost, table = "", out
    if format in TABLE_FORMATS:
        with placed(out, force=force) as draft:
            _write_table(kept, draft, format)
    else:
        writer = find_format(format)
        folder = isinstance(writer, PairFolders)
        table = out / TABLE if folder else out.with_name(f"{out.stem}.{TABLE}")
        if not folder:
            refuse_overwrite(table, force=force)
        found = _mask_set(client, settings, project_id, kind, kept, with_images=folder)
        written = Written()
        with placed(out, force=force) as draft:
            writer.write(found, draft, MaskWriteOptions(folder=out.absolute().parent), written)
            left_out = [*found.problems, *written.problems]
            if not written.count:
                raise DatasetError(
                    f"project {project_id} has no mask that can be written:\n{list_problems(left_out)}"
                )
            missing = {problem.where for problem in left_out}
            kept = [one for one in kept if _where(project_id, one) not in missing]
            if folder:
                _write_table(kept, draft / TABLE, "csv")
            else:
                with placed(table, force=force) as beside:
                    _write_table(kept, beside, "csv")
        lost = str(written.loss)
    for problem in left_out:
        log.warning("not exported: %s", problem)
    return Exported(
        out=out,
        rows=len(kept),
        statuses=count_by_status(one.row for one in kept),
        dropped=revision.dropped,
        left_out=[str(problem) for problem in left_out],
        lost=lost,
        table=table,
    )


def _drawn(task: TaskRecord, kind: SegmentationKind, known: Known, settings: Settings) -> _Drawn | None:
    resolved = resolve(task, kind, settings.reviewers)
    if resolved is None or not isinstance(resolved.label, MaskLabel):
        return None
    row = build_row(
        task, resolved, kind, known.histories.get(task.id), known.emails, settings, known.threshold
    )
    label = resolved.label
    columns: dict[str, str | float | None] = {
        "reason": str(task.data.get(settings.field_prefix + REASON) or ""),
        **_dice(known.judged.get(task.id), kind.text(label), kind),
    }
    return _Drawn(row, label, columns, str(task.data.get(SOURCE) or ""), str(task.data.get(SPLIT) or ""))


def _dice(judged: Judged | None, label: str, kind: SegmentationKind) -> dict[str, float | None]:
    """Return Dice of label and prediction, overall and by class; None for what was not judged as it is now."""
    findings = judged.findings if judged is not None and judged.label == label else {}
    by_class = findings.get("dice_by_class") or {}
    return {"dice": findings.get("dice")} | {f"dice {name}": by_class.get(name) for name in kind.classes}


def _write_table(drawn: Sequence[_Drawn], out: Path, format: str) -> None:
    examples = [one.as_example() for one in drawn]
    datasets.find_format(format).write(examples, out, datasets.WriteOptions())


def _mask_set(
    client: LabelStudioClient,
    settings: Settings,
    project_id: int,
    kind: SegmentationKind,
    drawn: Sequence[_Drawn],
    *,
    with_images: bool,
) -> MaskSet:
    """Return the masks as a set; images are fetched where they are needed, or tell the size of an empty mask."""
    wanted = [(one.row.task, one.row.image or None) for one in drawn if with_images or one.label.size is None]
    with ProjectImages.opened(client, settings, project_id, None, None) as images:
        brought = images.bring(wanted, kind.data_key, lambda done, total: None)
    found = MaskSet(Path(f"project-{project_id}"), kind.mask_classes, [])
    for one in drawn:
        image = brought.get(one.row.task)
        if isinstance(image, Problem):
            found.problems.append(image)
            continue
        path = image.path if image is not None else None
        load = partial(_load, kind, one.label, path)
        where, name = _where(project_id, one), one.name or one.row.image
        found.scenes.append(Scene(one.row.image, load, path if with_images else None, one.split, where, name))
    return found


def _where(project_id: int, one: _Drawn) -> str:
    return f"project {project_id}, task {one.row.task}"


def _load(kind: SegmentationKind, label: MaskLabel, path: Path | None) -> np.ndarray:
    if path is None:
        return kind.mask(label)
    width, height = upright_size(path.read_bytes(), limits=LIMITS)
    return kind.mask(label, (height, width))
