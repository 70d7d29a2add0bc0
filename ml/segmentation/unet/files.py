"""What `lineup segment eval` and `predict` write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ml.contact_sheet import contact_sheet
from ml.datasets import DatasetError, Problem
from ml.datasets.example import unusable
from ml.datasets.find import is_uri, list_images
from ml.images import ImageError
from ml.mask_sets import MaskSet, Scene
from ml.mask_sets.check_files import write_table
from ml.mask_sets.folders import CLASSES, MASKS
from ml.mask_sets.overlay import overlay, with_legend
from ml.mask_sets.writing import Progress
from ml.masks.png import write_png
from ml.segmentation.unet.cache import open_image
from ml.segmentation.unet.judge import CELL, Judged, draw_compared
from ml.segmentation.unet.model import UNetModel

PER_IMAGE, PER_CLASS, METRICS = "per_image.csv", "per_class.csv", "metrics.json"
_MOST = 10  # images of a sheet
_PICTURE = 1024  # pixels of the longer side
_QUALITY = 90


def write_judged(
    judged: Judged,
    model: UNetModel,
    found: MaskSet,
    out: Path,
    *,
    pictures: int = 0,
    progress: Progress = lambda done, total: None,
) -> None:
    """Write figures by image and class, sheets of the ten best and ten worst, and pictures, into a new folder.

    Parameters
    ----------
    judged : Judged
    model, found
        What it is of.
    out : Path
    pictures : int
        Images, evenly from the worst to the best, that get a picture of their own.
    progress : callable
        Called with the number of pictures drawn, and of all.
    """
    out.mkdir()
    _write_figures(judged, out)
    order = judged.order()
    best, worst = order[::-1][:_MOST], order[:_MOST]
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(pictures, len(order))).round().astype(int))]
    total, drawn = len(best) + len(worst) + len(shown), 0
    for name, rows in (("best.png", best), ("worst.png", worst)):
        cells: list[tuple[Image.Image, str]] = []
        for row in rows.tolist():
            scene = judged.scenes[row]
            titles = (scene.image, "label", f"prediction, Dice {judged.mean_dice[row]:.3f}")
            cells += zip(draw_compared(model, found, scene, CELL), titles, strict=True)
            drawn += 1
            progress(drawn, total)
        if cells:
            contact_sheet(cells, 3, CELL).save(out / name, "PNG")
    for number, row in enumerate(shown.tolist(), 1):
        scene = judged.scenes[row]
        three = draw_compared(model, found, scene)
        picture = contact_sheet(zip(three, ("image", "label", "prediction"), strict=True), 3, 2 * CELL)
        folder = out / "pictures"
        folder.mkdir(exist_ok=True)
        dice = f"{judged.mean_dice[row]:.3f}".replace(".", "")
        picture.save(folder / f"{number:03d}-{dice}-{Path(scene.image).stem}.jpg", quality=_QUALITY)
        drawn += 1
        progress(drawn, total)


def _write_figures(judged: Judged, out: Path) -> None:
    figures = judged.as_dict()
    (out / METRICS).write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    write_table(
        out / PER_CLASS,
        ("class", "dice", "iou", "pixels"),
        (
            (name, _cell(one["dice"]), _cell(one["iou"]), one["pixels"])
            for name, one in figures["classes"].items()
        ),
    )
    columns = ["image", "part", "mean_dice", "mean_iou", "pixel_accuracy"]
    columns += [f"{figure} {name}" for figure in ("dice", "iou") for name in judged.names]
    rows = (
        (scene.image, scene.split, *map(_cell, (judged.mean_dice[row], judged.mean_iou[row],
                                                judged.pixel_accuracy[row], *judged.dice[row], *judged.iou[row])))
        for row, scene in enumerate(judged.scenes)
    )  # fmt: skip
    write_table(out / PER_IMAGE, columns, rows)


def _cell(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.5f}"


@dataclass
class Predicted:
    """What came of predicting.

    Attributes
    ----------
    count : int
        Masks written.
    problems : list of Problem
        Images that could not be used.
    """

    count: int = 0
    problems: list[Problem] = field(default_factory=list)


def images_in(path: Path) -> list[Scene]:
    """Return the images of a folder, or the one of a file, as scenes without masks.

    Raises
    ------
    DatasetError
        If there is none.
    OSError
        If there is no such file or folder.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    found = [path] if path.is_file() else list(list_images(path))
    if not found:
        raise DatasetError(f"{path} holds no images")
    root = path.parent if path.is_file() else path
    return [
        Scene(one.relative_to(root).as_posix(), _no_mask, one, where=one.relative_to(root).as_posix())
        for one in found
    ]


def write_predicted(
    model: UNetModel,
    scenes: Sequence[Scene],
    out: Path,
    *,
    overlays: bool = False,
    skip_problems: bool = False,
    progress: Progress = lambda done, total: None,
) -> Predicted:
    """Write a mask an image, of its size, and the list of classes, as folders of masks have them, into a new folder.

    Parameters
    ----------
    model : UNetModel
    scenes : sequence of Scene
        Their masks are not looked at.
    out : Path
    overlays : bool
        Also draw each mask over its image.
    skip_problems : bool
        Leave out what cannot be used instead of refusing it all.
    progress : callable
        Called with the number of images done, and of all.

    Raises
    ------
    DatasetError
        If images cannot be used and are not skipped, or none can.
    """
    done = Predicted()
    out.mkdir()
    for number, (scene, name) in enumerate(_named(scenes), 1):
        try:
            image, size = open_image(scene, model.side)
        except (ImageError, OSError) as error:
            done.problems.append(Problem(scene.where or scene.image, str(error)))
        else:
            mask = model.mask(image, size)
            place = out / MASKS.mask_folder / f"{name}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(write_png(mask))
            if overlays:
                image.thumbnail((_PICTURE, _PICTURE))
                picture = with_legend(overlay(image, mask, model.classes), mask, model.classes)
                place = out / "overlays" / f"{name}.jpg"
                place.parent.mkdir(parents=True, exist_ok=True)
                picture.save(place, quality=_QUALITY)
            done.count += 1
        progress(number, len(scenes))
    if done.problems and (not skip_problems or not done.count):
        raise DatasetError(unusable(done.problems, len(scenes)))
    (out / CLASSES).write_text("".join(f"{name}\n" for name in model.classes.names), encoding="utf-8")
    return done


def _named(scenes: Sequence[Scene]) -> Iterator[tuple[Scene, str]]:
    """Yield scenes with names that are each other's own, below a part where there is one."""
    taken: set[str] = set()
    for scene in scenes:
        told = scene.name or scene.image
        path = PurePosixPath(told)
        if scene.path is not None and (is_uri(told) or path.is_absolute() or ".." in path.parts):
            path = PurePosixPath(scene.path.name)
        stem = path.with_suffix("").as_posix()
        stem = stem if not scene.split or stem.startswith(f"{scene.split}/") else f"{scene.split}/{stem}"
        name, number = stem, 2
        while name.lower() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.lower())
        yield scene, name


def _no_mask() -> np.ndarray:
    raise DatasetError("this image comes without a mask")
