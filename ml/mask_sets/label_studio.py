"""Tasks of Label Studio with brush or polygon regions: its JSON export, and what its import takes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from ml.datasets import label_studio
from ml.datasets.example import DatasetError, Example, Problem
from ml.datasets.json import mentions, read_array
from ml.datasets.label_studio import IMAGE, image_field, served_uri
from ml.datasets.rows import locate
from ml.images import upright_size
from ml.mask_sets.coco import options_folders
from ml.mask_sets.options import MaskReadOptions, MaskWriteOptions
from ml.mask_sets.scene import LIMITS, MaskSet, Scene
from ml.mask_sets.writing import Written
from ml.masks import MaskError
from ml.masks.classes import MaskClasses
from ml.masks.png import palette
from ml.masks.regions import Region, brush_regions, kind_of, label_of, paint, polygon_regions, size_of

_TAGS = {"brush": "BrushLabels", "polygon": "PolygonLabels"}
_REGIONS = ("brushlabels", "polygonlabels")


@dataclass(frozen=True)
class LabelStudioMasks:
    """The format, under one of its names.

    Attributes
    ----------
    NAME : str
    kind : str
        What is written: ``brush``, which is exact, or ``polygon``.
    """

    NAME: str
    kind: str

    def sniff(self, path: Path) -> bool:
        """Tell whether a file holds tasks with regions."""
        if self.kind != "brush" or not label_studio.sniff(path):
            return False
        return bool(mentions(path, _REGIONS))

    def read(self, path: Path, options: MaskReadOptions) -> MaskSet:
        """Return a scene a task: its last annotation, a ground truth before all others.

        Without a list, the classes are those that were drawn, sorted, after the background.

        Raises
        ------
        DatasetError
            If it is no list of tasks.
        """
        return read(path, options)

    def write(self, found: MaskSet, out: Path, options: MaskWriteOptions, written: Written) -> None:
        """Write tasks to import, with an annotation each, for a `label_config`."""
        between = "["
        with out.open("w", encoding="utf-8") as file:
            for scene, mask in written.masks(found):
                regions = self.regions(mask, found.classes, options.tolerance)
                uri = served_uri(Example(scene.image, None, scene.path, scene.where), options.document_root)
                data = {IMAGE: uri} | ({"split": scene.split} if scene.split else {})
                task = {"data": data, "annotations": [{"result": regions}]}
                file.write(between + json.dumps(task, ensure_ascii=False))
                between = ",\n"
                written.done(scene, mask, paint(regions, found.classes, (mask.shape[0], mask.shape[1])))
            file.write("]\n" if written.count else "[]\n")

    def regions(self, mask: np.ndarray, classes: MaskClasses, tolerance: float) -> list[dict[str, Any]]:
        """Return a mask as a result for the `label_config`."""
        if self.kind == "brush":
            return brush_regions(mask, classes, self.kind, IMAGE)
        return polygon_regions(mask, classes, self.kind, IMAGE, tolerance=tolerance)

    def label_config(self, classes: Iterable[str]) -> str:
        """Return the label config that the tasks written here belong to, in the colours that overlays have."""
        tag, colours = _TAGS[self.kind], palette().tolist()
        labels = "\n".join(
            '    <Label value={} background="#{:02x}{:02x}{:02x}"/>'.format(
                quoteattr(name), *colours[number % len(colours)]
            )
            for number, name in enumerate(classes, 1)
        )
        return (
            f'<View>\n  <Image name="{IMAGE}" value="${IMAGE}" zoom="true"/>\n'
            f'  <{tag} name="{self.kind}" toName="{IMAGE}">\n{labels}\n  </{tag}>\n</View>\n'
        )


BRUSH = LabelStudioMasks("label-studio-brush", "brush")
POLYGONS = LabelStudioMasks("label-studio-polygons", "polygon")


def read(path: Path, options: MaskReadOptions) -> MaskSet:
    """Return the set in a file, as `LabelStudioMasks.read`."""
    drawn: list[tuple[Example, list[Region], str]] = []
    problems, unlabelled = [], 0
    for number, task in enumerate(read_array(path), 1):
        where = f"{path.name}, task {task.get('id', number) if isinstance(task, dict) else number}"
        example = _example(task, where, path, options)
        if isinstance(example, Problem):
            problems.append(example)
            continue
        regions = _regions(task.get("annotations") or [])
        if regions is None:
            unlabelled += 1
        else:
            drawn.append((example, regions, str(task["data"].get("split", ""))))
    classes = _classes(path, options, [regions for _, regions, _ in drawn])
    scenes = [
        Scene(
            example.image, partial(_load, regions, classes, example.path), example.path, split, example.where
        )
        for example, regions, split in drawn
    ]
    return MaskSet(path, classes, scenes, problems, unlabelled)


def _example(task: Any, where: str, path: Path, options: MaskReadOptions) -> Example | Problem:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        return Problem(where, 'is no task with "data": export the project as JSON, not as JSON-MIN')
    column = options.image_column or image_field(task["data"])
    name = task["data"].get(column) if column else None
    if not isinstance(name, str) or not name:
        return Problem(where, "no field of its data is an image: say which, --image-column")
    return locate(Example(name, None, None, where), options_folders(options, path))


def _regions(annotations: list[dict[str, Any]]) -> list[Region] | None:
    """Return the regions that count, None where nobody has submitted any answer."""
    given = [one for one in reversed(annotations) if not one.get("was_cancelled")]
    if not given:
        return None
    chosen = next((one for one in given if one.get("ground_truth")), given[0])
    return [_packed(region) for region in chosen.get("result") or []]


def _packed(region: dict[str, Any]) -> Region:
    """Return a region with its brush code as bytes, which take an eighth of the memory of numbers."""
    value = region.get("value")
    if not isinstance(value, dict) or not isinstance(value.get("rle"), list):
        return region
    try:
        return region | {"value": value | {"rle": bytes(value["rle"])}}
    except (TypeError, ValueError):  # named where it is painted
        return region


def _classes(path: Path, options: MaskReadOptions, drawn: list[list[Region]]) -> MaskClasses:
    try:
        if options.classes:
            return MaskClasses(options.classes, options.ignore)
        names = {label_of(region) for regions in drawn for region in regions if kind_of(region)}
        return MaskClasses.drawn_by(sorted(name for name in names if name))
    except MaskError as error:
        raise DatasetError(f"{path}: {error}") from error


def _load(regions: list[Region], classes: MaskClasses, path: Path | None) -> np.ndarray:
    if path is not None:
        width, height = upright_size(path.read_bytes(), limits=LIMITS)
        return paint(regions, classes, (height, width))
    shape = size_of(regions)
    if shape is None:
        raise MaskError(
            "nothing is drawn, and without the image's file its size is not known: --images FOLDER"
        )
    return paint(regions, classes, shape)
