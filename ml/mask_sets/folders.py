"""A folder of images and one of index masks with the same names, in parts or not, as MMSegmentation has them.

``img/train/a.jpg`` has its mask in ``labels/train/a.png``. Names of the classes by number stand a line each in
``classes.txt``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from ml.datasets.example import DatasetError, Example, Problem
from ml.datasets.find import list_images
from ml.datasets.folders import file_name, folder_name
from ml.mask_sets.options import MaskReadOptions, MaskWriteOptions
from ml.mask_sets.scene import MaskSet, Scene
from ml.mask_sets.writing import Written
from ml.masks import MaskError
from ml.masks.classes import MaskClasses
from ml.masks.png import read_png, write_png

CLASSES = "classes.txt"
# the first of each are written
IMAGE_FOLDERS = ("img", "images", "img_dir", "imgs", "JPEGImages")
MASK_FOLDERS = ("labels", "masks", "annotations", "ann_dir", "mask", "SegmentationClass")
PARTS = ("train", "val", "test")
_MASKS = (".png", ".tif", ".tiff", ".bmp")


@dataclass
class Pairs:
    """Images and masks of one name in a folder.

    Attributes
    ----------
    both : list of (str, Path, Path)
        Name without its extension, image and mask.
    images, masks : list of Path
        Those that have no other half.
    twice : list of Path
        Images whose mask is another image's already: ``a.jpg`` and ``a.png``.
    """

    both: list[tuple[str, Path, Path]] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    twice: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class PairFolders:
    """The format, under one of its names.

    Attributes
    ----------
    NAME : str
    image_folder, mask_folder : str
        Those that are written.
    parts : bool
        Whether a set without parts becomes the part ``train``.
    """

    NAME: str
    image_folder: str
    mask_folder: str
    parts: bool

    def sniff(self, path: Path) -> bool:
        """Tell whether a folder holds both, in parts or not as this name has them."""
        if not path.is_dir() or (folders := _folders(path)) is None:
            return False
        if any((folders[1] / part).is_dir() for part in PARTS) != self.parts:
            return False
        return next(_mask_files(folders[1]), None) is not None

    def read(self, path: Path, options: MaskReadOptions) -> MaskSet:
        """Return the set; an image without a mask, or a mask without an image, is a problem.

        Raises
        ------
        DatasetError
            If the folders are not there, or the list of classes is none.
        """
        return read(path, options)

    def write(self, found: MaskSet, out: Path, options: MaskWriteOptions, written: Written) -> None:
        """Copy images and write masks as PNG files with a palette, exact."""
        taken: set[str] = set()
        for scene, mask in written.masks(found):
            if scene.path is None:
                what = f"the image {scene.image} is not on this machine: --images FOLDER"
                written.problems.append(Problem(scene.where, what))
                continue
            part = folder_name(scene.split) if scene.split else "train" if self.parts else ""
            data = scene.path.read_bytes()
            own = Path(file_name(Example(scene.name, None), data)) if scene.name else scene.path
            name = _free_name(own.stem, part, taken)
            image = out / self.image_folder / part / (name + own.suffix.lower())
            place = out / self.mask_folder / part / f"{name}.png"
            for one in (image, place):
                one.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(data)
            place.write_bytes(write_png(mask))
            written.done(scene, mask, mask)
        out.mkdir(exist_ok=True)
        names = "".join(f"{name}\n" for name in found.classes.names)
        (out / CLASSES).write_text(names, encoding="utf-8")


MMSEG = PairFolders("mmseg", "img", "labels", parts=True)
MASKS = PairFolders("masks", "images", "masks", parts=False)


def read(path: Path, options: MaskReadOptions) -> MaskSet:
    """Return the set in a folder, as `PairFolders.read`."""
    folders = _folders(path, options.images)
    if folders is None:
        raise DatasetError(
            f"{path} does not hold a folder of images ({', '.join(IMAGE_FOLDERS)}) "
            f"and one of masks ({', '.join(MASK_FOLDERS)})"
        )
    images, masks = folders
    pairs = find_pairs(images, masks)
    scenes = [
        Scene(
            image.relative_to(images).as_posix(),
            partial(load_png, mask),
            image,
            PurePosixPath(name).parts[0] if len(PurePosixPath(name).parts) > 1 else "",
            mask.relative_to(path).as_posix() if mask.is_relative_to(path) else str(mask),
        )
        for name, image, mask in pairs.both
    ]
    problems = [
        Problem(str(image.relative_to(images)), f"has no mask in {masks.name}") for image in pairs.images
    ]
    problems += [
        Problem(str(mask.relative_to(masks)), f"has no image in {images.name}") for mask in pairs.masks
    ]
    problems += [
        Problem(str(image.relative_to(images)), "has the mask of another image") for image in pairs.twice
    ]
    return MaskSet(path, read_classes(path, options, scenes), scenes, problems)


def find_pairs(images: Path, masks: Path) -> Pairs:
    """Return what in two folders belongs together, by path and name without its extension."""
    pairs = Pairs()
    waiting = {mask.relative_to(masks).with_suffix("").as_posix(): mask for mask in _mask_files(masks)}
    used: set[str] = set()
    for image in list_images(images):
        name = image.relative_to(images).with_suffix("").as_posix()
        if name in used:
            pairs.twice.append(image)
        elif name in waiting:
            used.add(name)
            pairs.both.append((name, image, waiting.pop(name)))
        else:
            pairs.images.append(image)
    pairs.masks = list(waiting.values())
    return pairs


def _mask_files(folder: Path) -> Iterator[Path]:
    return (path for path in list_images(folder) if path.suffix.lower() in _MASKS)


def load_png(path: Path) -> np.ndarray:
    """Return the numbers in a mask's file.

    Raises
    ------
    MaskError
        If it holds none.
    OSError
        If it cannot be read.
    """
    return read_png(path.read_bytes())


def read_classes(path: Path, options: MaskReadOptions, scenes: list[Scene]) -> MaskClasses:
    """Return the classes: those that were given, those of ``classes.txt``, or else a name for each number found.

    Raises
    ------
    DatasetError
        If the list is none.
    """
    names = options.classes
    if not names and (path / CLASSES).is_file():
        names = names_in(path / CLASSES)
    if not names:
        names = tuple(map(str, range(_highest(scenes, options.ignore) + 1)))
    try:
        return MaskClasses(names, options.ignore)
    except MaskError as error:
        raise DatasetError(f"{path}: {error}") from error


def names_in(path: Path) -> tuple[str, ...]:
    """Return the names in a file, one a line; a line between others that is empty is an empty name.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines())


def _highest(scenes: list[Scene], ignore: int | None) -> int:
    highest = 0
    for mask in _readable(scenes):
        numbers = mask if ignore is None else mask[mask != ignore]
        highest = max(highest, int(numbers.max(initial=0)))
    return highest


def _readable(scenes: list[Scene]) -> Iterator[np.ndarray]:
    for scene in scenes:
        try:
            mask = scene.load()
        except (OSError, MaskError):  # named when it is read for its own sake
            continue
        yield mask


def _folders(path: Path, images: Path | None = None) -> tuple[Path, Path] | None:
    of_images = images or next((path / name for name in IMAGE_FOLDERS if (path / name).is_dir()), None)
    of_masks = next((path / name for name in MASK_FOLDERS if (path / name).is_dir()), None)
    return (of_images, of_masks) if of_images and of_masks else None


def _free_name(stem: str, part: str, taken: set[str]) -> str:
    """Return a name that no other image of the part has: masks are found by it."""
    name, number = stem, 2
    while f"{part}/{name}".lower() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(f"{part}/{name}".lower())
    return name
