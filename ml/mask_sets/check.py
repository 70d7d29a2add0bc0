"""Look through a set of masks before a network learns from it: what is missing, broken or out of balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ml.images import ImageError, decode_reduced
from ml.mask_sets.scene import LIMITS, MaskSet, Scene, describe
from ml.mask_sets.writing import Progress
from ml.masks import MaskError

# what is wrong, and whether a set can be learned from all the same
KINDS = {
    "no pair": "an image without a mask, or a mask without an image",
    "unreadable image": "a file that is no image, or is cut off",
    "unreadable mask": "a file that holds no class numbers",
    "other size": "image and mask have different sizes",
    "no class": "numbers that are not in the list of classes",
    "leak": "the same picture, or nearly, in two parts",
    "class unseen": "a class that other parts have and train has not",
    "empty mask": "nothing but background",
    "class absent": "a class that no mask of a part has",
}
HARMLESS = ("empty mask", "class absent")
_SIDE = 32  # that images are decoded to, to see whether they can be
TRAIN = "train"
_ORDER = (TRAIN, "val", "test")  # of what is told; other parts follow as they come


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in a set.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    where : str
        The image, mask or part.
    what : str
    """

    kind: str
    where: str
    what: str

    @property
    def harmless(self) -> bool:
        """Whether it may be as it should be."""
        return self.kind in HARMLESS


@dataclass
class Part:
    """What is in one part of a set.

    Attributes
    ----------
    pixels, images : ndarray of int64, shape (k,)
        Pixels of each class, and masks that have any.
    ignored : int
        Pixels that nobody labelled.
    sizes : Counter of (int, int)
        Heights and widths of the images.
    count : int
        Masks that could be read.
    """

    pixels: np.ndarray
    images: np.ndarray
    ignored: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    count: int = 0


@dataclass
class Checked:
    """What a look through a set found.

    Attributes
    ----------
    names : tuple of str
        The classes.
    parts : dict of str to Part
        ``""`` where the set has none.
    faults : list of Fault
    """

    names: tuple[str, ...]
    parts: dict[str, Part] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the set can be used as it is."""
        return all(fault.harmless for fault in self.faults)

    def by_kind(self) -> dict[str, list[Fault]]:
        """Return the faults of each kind there is, in the order of `KINDS`."""
        found = {kind: [fault for fault in self.faults if fault.kind == kind] for kind in KINDS}
        return {kind: faults for kind, faults in found.items() if faults}


def check(found: MaskSet, *, progress: Progress = lambda done, total: None) -> Checked:
    """Read every image and mask of a set once, and tell what is in it and what is wrong.

    Only counts stay in memory. Pictures that are in two parts are another look: `ml.mask_sets.leaks`.

    Parameters
    ----------
    found : MaskSet
        Read with ``skip_problems``, so that they are told of here.
    progress : callable
        Called with the number of scenes done, and of all.
    """
    checked = Checked(found.classes.names)
    checked.faults += [Fault("no pair", problem.where, problem.what) for problem in found.problems]
    for number, scene in enumerate(found, 1):
        part = checked.parts.setdefault(scene.split, _new_part(len(checked.names)))
        checked.faults += _look(found, scene, part)
        progress(number, len(found))
    checked.parts = dict(sorted(checked.parts.items(), key=lambda one: (*_ORDER, one[0]).index(one[0])))
    checked.faults += _balance(checked)
    return checked


def _new_part(classes: int) -> Part:
    return Part(np.zeros(classes, dtype=np.int64), np.zeros(classes, dtype=np.int64))


def _look(found: MaskSet, scene: Scene, part: Part) -> Iterator[Fault]:
    """Count what is in a scene, and yield what is wrong with it."""
    size = None
    if scene.path is not None:
        try:
            _, (width, height) = decode_reduced(scene.path.read_bytes(), limits=LIMITS, side=_SIDE)
            size = (height, width)
            part.sizes[size] += 1
        except (ImageError, OSError) as error:
            yield Fault("unreadable image", scene.image, str(error))
    try:
        mask = scene.load()
    except (MaskError, OSError, ImageError) as error:
        yield Fault("unreadable mask", scene.where, str(error))
        return
    if size is not None and mask.shape != size:
        yield Fault("other size", scene.where, f"{describe(mask.shape)}, but the image {describe(size)}")
    unknown = found.classes.unknown(mask)
    if unknown:
        numbers = ", ".join(f"{number} ({count} pixels)" for number, count in unknown.items())
        yield Fault("no class", scene.where, numbers)
    counts = np.bincount(mask.ravel(), minlength=len(part.pixels))
    part.count += 1
    part.pixels += counts[: len(part.pixels)]
    part.images += counts[: len(part.pixels)] > 0
    if found.classes.ignore is not None:
        part.ignored += int(np.count_nonzero(mask == found.classes.ignore))
    if not counts[list(found.classes.drawn.values())].any() and not unknown:
        yield Fault("empty mask", scene.where, "has no pixel of any class that is drawn")


def _balance(checked: Checked) -> Iterator[Fault]:
    """Yield classes that are not where they would have to be."""
    anywhere = np.sum([part.images for part in checked.parts.values()], axis=0) > 0
    for name, part in checked.parts.items():
        for number in np.flatnonzero((part.images == 0) & (part.count > 0)).tolist():
            if name == TRAIN and len(checked.parts) > 1 and anywhere[number]:
                yield Fault("class unseen", name, f"{checked.names[number]} is in other parts alone")
            else:
                yield Fault("class absent", name or "the set", f"no mask has {checked.names[number]}")


def shares(pixels: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return counts as shares of their sum, zeros where it is none."""
    counts = np.asarray(pixels, dtype=np.float64)
    return counts / max(counts.sum(), 1.0)
