"""COCO's JSON: images, categories and annotations, each a piece of an image by polygons or a run-length code.

Annotations of an image are painted in their order, the later on top; what none covers is background. Polygons hold no
holes: what is written here leads to each hole by a seam (`ml.masks.seam`), which pycocotools reads as one. A polygon is
filled by the centres of pixels; pycocotools rounds its corners to fifths of a pixel first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ml.datasets.example import DatasetError, Problem
from ml.datasets.find import find_image, is_uri
from ml.datasets.json import mentions
from ml.mask_sets.options import MaskReadOptions, MaskWriteOptions
from ml.mask_sets.scene import MaskSet, Scene
from ml.mask_sets.writing import Written, image_name
from ml.masks import MaskError, check_size
from ml.masks.classes import MaskClasses
from ml.masks.coco_rle import decode_coco, encode_coco
from ml.masks.fill import Patch, fill_patch
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
        with path.open("rb") as file:
            if not file.read(100).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                return False
        return mentions(path, _PARTS) == set(_PARTS)

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
        count = 0
        names = [{"id": number, "name": name, "supercategory": ""} for name, number in categories.items()]
        with out.open("w", encoding="utf-8") as file:
            # points of polygons as numbers take many times the memory of their text: they are not kept
            begin = {"info": {}, "licenses": [], "categories": names}
            file.write(json.dumps(begin, ensure_ascii=False)[:-1] + ', "annotations": [')
            for scene, mask in written.masks(found):
                images.append(_image(scene, mask, len(images) + 1, options))
                pieces = _rings(mask, found, options.tolerance) if self.polygons else _codes(mask, found)
                after = np.full_like(mask, found.classes.blank)
                for name, segmentation, piece in pieces:
                    piece.put(after, found.classes.number_of(name))
                    count += 1
                    annotation = {
                        "id": count,
                        "image_id": len(images),
                        "category_id": categories[name],
                        "segmentation": segmentation,
                        "area": int(piece.inside.sum()),
                        "bbox": _box(piece),
                        "iscrowd": 0,
                    }
                    file.write(("" if count == 1 else ",\n") + json.dumps(annotation))
                written.done(scene, mask, after)
            file.write('], "images": ' + json.dumps(images, ensure_ascii=False) + "}\n")


RLE = Coco("coco", polygons=False)
POLYGONS = Coco("coco-polygons", polygons=True)


def _image(scene: Scene, mask: np.ndarray, number: int, options: MaskWriteOptions) -> dict[str, Any]:
    height, width = mask.shape
    name = image_name(scene, options.folder)
    image = {"id": number, "file_name": name, "width": width, "height": height}
    return image | ({"split": scene.split} if scene.split else {})


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
    check_size(*shape)
    mask = np.full(shape, classes.blank, dtype=classes.dtype)
    for annotation in annotations:
        try:
            if annotation["category_id"] not in names:
                raise MaskError(f"category {annotation['category_id']} is not among the categories")
            number = classes.number_of(names[annotation["category_id"]])
            for piece in _pieces(annotation.get("segmentation"), shape):
                piece.put(mask, number)
        except MaskError as error:
            raise MaskError(f"annotation {annotation.get('id')}: {error}") from error
    return mask


def _pieces(segmentation: Any, shape: tuple[int, int]) -> Iterator[Patch]:
    if isinstance(segmentation, dict):
        yield Patch(0, 0, decode_coco(segmentation, shape))
        return
    if not isinstance(segmentation, list) or not segmentation:
        raise MaskError("has no segmentation: a box alone does not say which pixels are meant")
    for polygon in segmentation:
        try:
            points = np.array(polygon, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise MaskError(f"a polygon is no list of numbers: {error}") from error
        if points.ndim != 1 or len(points) % 2:
            raise MaskError("a polygon is no list of x, y, x, y, ...")
        yield fill_patch([points.reshape(-1, 2)], shape, even_odd=True)


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_hook=_packed)
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


def _packed(row: dict[str, Any]) -> dict[str, Any]:
    """Return an object of the file with its polygons as arrays, which take a quarter of the memory of numbers."""
    if not isinstance(row.get("segmentation"), list):
        return row
    try:
        row["segmentation"] = [np.array(polygon, dtype=np.float64) for polygon in row["segmentation"]]
    except (TypeError, ValueError):  # named where it is painted
        return row
    return row


def _codes(mask: np.ndarray, found: MaskSet) -> Iterator[tuple[str, Any, Patch]]:
    for name, number in found.classes.drawn_in(mask).items():
        piece = mask == number
        yield name, encode_coco(piece), Patch(0, 0, piece)


def _rings(mask: np.ndarray, found: MaskSet, tolerance: float) -> Iterator[tuple[str, Any, Patch]]:
    for name, ring in rings_of(mask, found.classes, tolerance):
        points = np.round(ring, _DECIMALS)
        yield (
            name,
            [points.ravel().tolist()],
            fill_patch([points], (mask.shape[0], mask.shape[1]), even_odd=True),
        )


def _box(piece: Patch) -> list[int]:
    rows, columns = np.flatnonzero(piece.inside.any(axis=1)), np.flatnonzero(piece.inside.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    left, top = int(columns[0]), int(rows[0])
    size = [int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
    return [piece.left + left, piece.top + top, *size]
