"""Tasks of Label Studio: its JSON export, and what its import takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ml.datasets.example import DatasetError, Example, Problem
from ml.datasets.find import SUFFIXES, is_uri, path_of
from ml.datasets.json import load_array
from ml.datasets.options import ReadOptions, WriteOptions
from ml.datasets.rows import IMAGE_COLUMNS, locate

NAME = "label-studio"
HOLDS_PATHS = False
# names in the label config that the tasks are written for
CHOICES, IMAGE = "label", "image"
SOURCE = "source"  # the task field with the image's name in the dataset


def sniff(path: Path) -> bool:
    """Tell whether a file begins like a list of tasks: an object with ``data``, among the first kilobytes."""
    if not (path.is_file() and path.suffix.lower() == ".json"):
        return False
    with path.open(encoding="utf-8-sig") as file:
        start = file.read(100_000)
    return start.lstrip().startswith("[") and '"data"' in start


def read(path: Path, options: ReadOptions) -> Iterator[Example | Problem]:
    """Yield an example a task: the last annotation that chose a class, a ground truth before all others.

    Image URIs are looked for, whole or by their last parts, below ``options.images`` or the file's folder; a task
    whose image is not there keeps its URI.

    Raises
    ------
    DatasetError
        If choices of several controls were made, and ``options.label_column`` names none of them.
    """
    tasks = load_array(path)
    control = _control(path, tasks, options.label_column)
    for number, task in enumerate(tasks, 1):
        known = task.get("id", number) if isinstance(task, dict) else number
        where = f"{path.name}, task {known}"
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            yield Problem(where, 'is no task with "data": export the project as JSON, not as JSON-MIN')
            continue
        yield _example(task, where, path.parent, options, control)


def _control(path: Path, tasks: list[Any], wanted: str) -> str:
    """Return the name of the control whose choices are the labels."""
    names = sorted(
        {
            str(region.get("from_name"))
            for task in tasks
            if isinstance(task, dict)
            for annotation in task.get("annotations") or []
            for region in _choices(annotation)
        }
    )
    if wanted and names and wanted not in names:
        raise DatasetError(f"{path} has no choices of a control {wanted!r}; it has {', '.join(names)}")
    if len(names) > 1 and not wanted:
        raise DatasetError(
            f"{path} has choices of several controls, {', '.join(names)}: say which is the label, --label-column NAME"
        )
    return wanted or next(iter(names), "")


def _choices(annotation: dict[str, Any]) -> list[dict[str, Any]]:
    regions = annotation.get("result") or []
    return [one for one in regions if isinstance(one, dict) and one.get("type") == "choices"]


def _example(
    task: dict[str, Any], where: str, folder: Path, options: ReadOptions, control: str
) -> Example | Problem:
    column = options.image_column or _image_field(task["data"])
    name = task["data"].get(column) if column else None
    if not isinstance(name, str) or not name:
        fields = ", ".join(map(repr, task["data"])) or "nothing"
        return Problem(
            where, f"no field of its data is an image (it has {fields}): say which, --image-column"
        )
    label = _label(task.get("annotations") or [], control)
    if isinstance(label, Problem):
        return Problem(where, label.what)
    return locate(Example(name, label, None, where), options.folders(folder))


def _image_field(data: dict[str, Any]) -> str | None:
    texts = {name: value for name, value in data.items() if isinstance(value, str)}
    usual = (name for name in IMAGE_COLUMNS if name in texts)
    likely = (name for name, value in texts.items() if path_of(value).suffix.lower() in SUFFIXES)
    return next(usual, None) or next(likely, None)


def _label(annotations: list[dict[str, Any]], control: str) -> str | Problem | None:
    given = [one for one in reversed(annotations) if not one.get("was_cancelled")]
    for annotation in sorted(given, key=lambda one: not one.get("ground_truth")):
        chosen = [
            name
            for region in _choices(annotation)
            if region.get("from_name") == control
            for name in region.get("value", {}).get("choices", [])
        ]
        if len(chosen) > 1:
            return Problem(
                "", f"has several classes, {', '.join(map(str, chosen))}: one an image can be used"
            )
        if chosen:
            return str(chosen[0])
    return None


def write(examples: Iterable[Example], out: Path, options: WriteOptions) -> list[Problem]:
    """Write tasks to import, with an annotation where there is a label, for a `label_config`.

    Raises
    ------
    DatasetError
        If an image is a file outside the folder that Label Studio serves, or that is not known.
    """
    tasks = [_task(example, options) for example in examples]
    out.write_text(json.dumps(tasks, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return []


def _task(example: Example, options: WriteOptions) -> dict[str, Any]:
    data = {IMAGE: served_uri(example, options.document_root), **example.more}
    if example.label is None:
        return {"data": data}
    return {"data": data, "annotations": [{"result": choose(example.label)}]}


def choose(label: str | list[str]) -> list[dict[str, Any]]:
    """Return a result that chooses a class, or several."""
    names = [label] if isinstance(label, str) else label
    return [{"from_name": CHOICES, "to_name": IMAGE, "type": "choices", "value": {"choices": names}}]


def served_uri(example: Example, document_root: Path | None) -> str:
    """Return the URI under which Label Studio serves an image.

    Raises
    ------
    DatasetError
        If it does not serve the image's file.
    """
    if is_uri(example.image) or example.path is None:
        return example.image
    if document_root is None:
        raise DatasetError(
            f"{example.where}: for tasks with files, say which folder Label Studio serves as local files: "
            "--document-root FOLDER (its LOCAL_FILES_DOCUMENT_ROOT)"
        )
    try:
        inside = example.path.resolve().relative_to(document_root.resolve())
    except ValueError:
        raise DatasetError(
            f"{example.where}: {example.path} is not below {document_root}, which Label Studio serves"
        ) from None
    return f"/data/local-files/?d={quote(inside.as_posix())}"


def label_config(classes: Iterable[str], *, several: bool = False) -> str:
    """Return the label config that the tasks written here belong to.

    Parameters
    ----------
    several : bool
        Whether an image may have several classes.
    """
    from xml.sax.saxutils import quoteattr

    choice = "multiple" if several else "single-radio"
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in classes)
    return (
        f'<View>\n  <Image name="{IMAGE}" value="${IMAGE}"/>\n'
        f'  <Choices name="{CHOICES}" toName="{IMAGE}" choice="{choice}" showInline="true">\n{choices}\n'
        "  </Choices>\n</View>\n"
    )
