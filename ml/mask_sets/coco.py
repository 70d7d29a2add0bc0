"""COCO's JSON: images, categories and annotations, each a piece of an image by polygons or a run-length code.

Annotations of an image are painted in their order, the later on top; what none covers is background. Polygons hold no
holes: what is written here leads to each hole by a seam (`ml.masks.seam`), which pycocotools reads as one. A polygon is
filled by the centres of pixels; pycocotools rounds its corners to fifths of a pixel first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ml.datasets.example import DatasetError, Problem
from ml.datasets.find import find_image, is_uri
from ml.mask_sets.options import MaskReadOptions, MaskWriteOptions
from ml.mask_sets.scene import MaskSet, Scene
from ml.mask_sets.writing import Written, image_name
from ml.masks import MaskError
from ml.masks.classes import MaskClasses
from ml.masks.coco_rle import decode_coco, encode_coco
from ml.masks.fill import fill
from ml.masks.regions import rings_of

# the lists a file has, and what must name each of their rows
_PARTS = {"images": ("id",), "categories": ("id", "name"), "annotations": ("image_id", "category_id")}
_DECIMALS = 4


@dataclass(frozen=True)
class Coco:
    """The format, under one of its names.

    Attributes
    ----------
    NAME : str
    polygons : bool
        What is written: polygons, or run-length codes, which are exact.
    """

    NAME: str
    polygons: bool

    def sniff(self, path: Path) -> bool:
        """Tell whether a file is an object with images and categories."""
        if not (path.is_file() and path.suffix.lower() == ".json") or self.polygons:
            return False
        with path.open(encoding="utf-8-sig") as file:
            if not file.read(100).lstrip().startswith("{"):
                return False
        return all(f'"{part}"' in path.read_text(encoding="utf-8-sig") for part in _PARTS)

    def read(self, path: Path, options: MaskReadOptions) -> MaskSet:
        """Return the set. Images that no annotation is of are background, as COCO has it.

        Raises
        ------
        DatasetError
            If it is no such file, or a class of `options` is none of its categories.
        """
        return read(path, options)

    def write(self, found: MaskSet, out: Path, options: MaskWriteOptions, written: Written) -> None:
        """Write a file; images stay where they are."""
        categories = {name: number for number, name in enumerate(found.classes.drawn, 1)}
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for scene, mask in written.masks(found):
            pieces = _rings(mask, found, options.tolerance) if self.polygons else _codes(mask, found)
            after = np.full_like(mask, found.classes.blank)
            for name, segmentation, piece in pieces:
                after[piece] = found.classes.number_of(name)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": len(images) + 1,
                        "category_id": categories[name],
                        "segmentation": segmentation,
                        "area": int(piece.sum()),
                        "bbox": _box(piece),
                        "iscrowd": 0,
                    }
                )
            images.append(
                {
                    "id": len(images) + 1,
                    "file_name": image_name(scene, options.folder),
                    "width": mask.shape[1],
                    "height": mask.shape[0],
                }
                | ({"split": scene.split} if scene.split else {})
            )
            written.done(scene, mask, after)
        names = [{"id": number, "name": name, "supercategory": ""} for name, number in categories.items()]
        whole = {
            "info": {},
            "licenses": [],
            "images": images,
            "annotations": annotations,
            "categories": names,
        }
        out.write_text(json.dumps(whole, ensure_ascii=False) + "\n", encoding="utf-8")


RLE = Coco("coco", polygons=False)
POLYGONS = Coco("coco-polygons", polygons=True)


def read(path: Path, options: MaskReadOptions) -> MaskSet:
    """Return the set in a file, as `Coco.read`."""
    content = _load(path)
    names = {one["id"]: str(one["name"]) for one in sorted(content["categories"], key=lambda one: one["id"])}
    try:
        classes = MaskClasses(options.classes, options.ignore) if options.classes else None
        classes = classes or MaskClasses.drawn_by(list(dict.fromkeys(names.values())))
    except MaskError as error:
        raise DatasetError(f"{path}: {error}") from error
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    found = MaskSet(path, classes, [])
    folders = options_folders(options, path)
    for image in content["images"]:
        where = f"{path.name}, image {image['id']}"
        name, height, width = image.get("file_name"), image.get("height"), image.get("width")
        if not (isinstance(name, str) and name and isinstance(height, int) and isinstance(width, int)):
            found.problems.append(Problem(where, "has no file_name, height and width"))
            continue
        file = find_image(name, folders)
        if file is None and not is_uri(name):
            looked = " or ".join(map(str, folders))
            found.problems.append(Problem(where, f"there is no image {name} in {looked}"))
            continue
        load = partial(paint_coco, by_image.pop(image["id"], []), names, classes, (height, width))
        found.scenes.append(Scene(name, load, file, str(image.get("split", "")), where))
    known = {image["id"] for image in content["images"]}
    found.problems.extend(
        Problem(f"{path.name}, annotation {annotation.get('id')}", f"is of image {image}, which is not there")
        for image, annotations in by_image.items()
        if image not in known
        for annotation in annotations
    )
    return found


def options_folders(options: MaskReadOptions, path: Path) -> list[Path]:
    """Return where images are looked for: what was named, the file's folder, and the folder ``images`` beside it."""
    own = [path.parent, path.parent / "images", path.parent.parent, path.parent.parent / "images"]
    return [*([options.images] if options.images else []), *own]


def paint_coco(
    annotations: Sequence[dict[str, Any]], names: dict[Any, str], classes: MaskClasses, shape: tuple[int, int]
) -> np.ndarray:
    """Return the index mask that an image's annotations show.

    Raises
    ------
    MaskError
        If an annotation is broken, or of an unknown category; its id is named.
    """
    mask = np.full(shape, classes.blank, dtype=classes.dtype)
    for annotation in annotations:
        try:
            if annotation["category_id"] not in names:
                raise MaskError(f"category {annotation['category_id']} is not among the categories")
            number = classes.number_of(names[annotation["category_id"]])
            mask[_piece(annotation.get("segmentation"), shape)] = number
        except MaskError as error:
            raise MaskError(f"annotation {annotation.get('id')}: {error}") from error
    return mask


def _piece(segmentation: Any, shape: tuple[int, int]) -> np.ndarray:
    if isinstance(segmentation, dict):
        return decode_coco(segmentation, shape)
    if not isinstance(segmentation, list) or not segmentation:
        raise MaskError("has no segmentation: a box alone does not say which pixels are meant")
    piece = np.zeros(shape, dtype=bool)
    for polygon in segmentation:
        try:
            points = np.array(polygon, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise MaskError(f"a polygon is no list of numbers: {error}") from error
        if points.ndim != 1 or len(points) % 2:
            raise MaskError("a polygon is no list of x, y, x, y, ...")
        piece |= fill([points.reshape(-1, 2)], shape, even_odd=True)
    return piece


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    for part, keys in _PARTS.items():
        rows = content.get(part) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DatasetError(f"{path} is no COCO file: it has no list {part!r}")
        for number, row in enumerate(rows, 1):
            for key in keys:
                if not isinstance(row.get(key), str | int):
                    raise DatasetError(f"{path}: entry {number} of {part!r} has no {key!r}")
    return dict(content)


def _codes(mask: np.ndarray, found: MaskSet) -> list[tuple[str, Any, np.ndarray]]:
    pieces = ((name, mask == number) for name, number in found.classes.drawn.items())
    return [(name, encode_coco(piece), piece) for name, piece in pieces if piece.any()]


def _rings(mask: np.ndarray, found: MaskSet, tolerance: float) -> list[tuple[str, Any, np.ndarray]]:
    pieces = []
    for name, ring in rings_of(mask, found.classes, tolerance):
        points = np.round(ring, _DECIMALS)
        piece = fill([points], mask.shape, even_odd=True)
        pieces.append((name, [points.ravel().tolist()], piece))
    return pieces


def _box(piece: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(piece.any(axis=1)), np.flatnonzero(piece.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
