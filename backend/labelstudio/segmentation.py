"""Semantic segmentation: ``<BrushLabels>`` and ``<PolygonLabels>`` on an ``<Image>``."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from backend.labelstudio.elements import Element, UnsupportedConfig
from backend.labelstudio.mask_label import MaskLabel
from backend.labelstudio.on_image import NO_LABEL, OnImage, class_of, data_key, images_of, repeated
from backend.packed import check_outline
from ml.datasets.class_sets import join_classes, split_classes
from ml.masks import MaskError
from ml.masks.classes import BACKGROUND, MaskClasses
from ml.masks.regions import (
    brush_regions,
    kind_of,
    label_of,
    original_size,
    paint,
    polygon_regions,
    same_shape,
)
from ml.masks.specks import least_piece, without_specks

log = logging.getLogger(__name__)

_KINDS = {"BrushLabels": "brush", "PolygonLabels": "polygon"}
# tags that mean masks too, and what to use instead
_REFUSED = {
    "BitmaskLabels": "bitmasks are not read",
    "Brush": "Label Studio takes no predictions for <Labels> with a <Brush>",
    "Polygon": "Label Studio takes no predictions for <Labels> with a <Polygon>",
}
# the id of a region that shows where a mask is suspected to be wrong: no part of a label, also where an annotation
# was made of the prediction
SUSPECT = "lineup-suspect"
# pixels that a predicted polygon may be away from the predicted mask: one, or of so many along the longer side
TOLERANCE, ONE_IN = 1.0, 1000
_TEXT = re.compile(r"(.*) #([0-9a-f]{16})", re.DOTALL)


@dataclass(frozen=True)
class SegmentationKind(OnImage):
    """Masks on one image; a label is a `MaskLabel`.

    Attributes
    ----------
    classes : tuple of str
        ``background``, which is implied, then the labels in the order of the config.
    shape : str
        What predictions are: ``brush`` or ``polygon``.
    controls : tuple of str
        Names of the controls whose regions count: the one predictions go to, and one of the other kind with the
        same labels on the same image, if there is one.
    aside : tuple of str
        Names of the config's other controls; what is drawn with them is left aside.
    required : bool
        Whether Label Studio insists on a region.
    """

    shape: str = "brush"
    controls: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    required: bool = False
    name: ClassVar[str] = "segmentation"
    several: ClassVar[bool] = True
    graded: ClassVar[bool] = True

    @classmethod
    def find(cls, elements: Sequence[Element]) -> Self | None:
        """Return the kind for the first control for masks on an image; None where there is none.

        Raises
        ------
        UnsupportedConfig
            If there are such controls, but none Lineup can learn.
        """
        images = images_of(elements)
        problems = []
        there = [e for e in elements if e.tag in _KINDS and e.get("toName") in images]
        for control in there:
            problem = _problem(control, elements)
            if problem is not None:
                problems.append(f'<{control.tag} name="{control.get("name")}"> {problem}')
                continue
            to_name, names = control.get("toName"), _names(control, elements)
            same = [
                e.get("name") for e in there if e.get("toName") == to_name and _names(e, elements) == names
            ]
            return cls(
                control.get("name"),
                to_name,
                data_key(images[to_name]),
                MaskClasses.drawn_by(names).names,
                _KINDS[control.tag],
                tuple(same),
                tuple(e.get("name") for e in elements if e.get("toName") and e.get("name") not in same),
                control.get("required") == "true",
            )
        problems += [
            f'<{e.tag} name="{e.get("name")}">: {_REFUSED[e.tag]}'
            for e in elements
            if e.tag in _REFUSED and e.get("toName") in images
        ]
        if problems:
            raise UnsupportedConfig(
                "; ".join(problems)
                + "; Lineup works with <BrushLabels> or <PolygonLabels> with <Label>s on an <Image>"
            )
        return None

    @cached_property
    def mask_classes(self) -> MaskClasses:
        """The classes as index masks have them."""
        return MaskClasses.drawn_by(self.classes)

    def target(self, result: Sequence[Mapping[str, Any]], task_id: int | None = None) -> MaskLabel | None:
        """Return the mask an annotation draws; nothing is decoded.

        A submitted annotation without regions says that all is background, unless the control is ``required``. One
        with a region that is broken, has no class, or a class or control that is not in the config does not count at
        all, since the mask without it might be wrong.

        Parameters
        ----------
        result : sequence of mapping
            The ``result`` of an annotation that was submitted, not skipped.
        task_id : int, optional
            For the log.

        Returns
        -------
        MaskLabel or None
            None where the annotation does not count.
        """
        sha, names = hashlib.sha256(), set[str]()
        size: tuple[int, int] | None = None
        for region in _drawn(result):
            if region.get("from_name") in self.aside:
                continue
            try:
                if region.get("from_name") not in self.controls:
                    raise MaskError(
                        f"was drawn with {region.get('from_name')!r}, which is no control of the label config"
                    )
                name = label_of(region)
                if name is None:
                    raise MaskError("has no class")
                if name not in self.classes:
                    self.report(name, task_id)
                    return None
                own, digest = original_size(region), check_outline(region)
                if size is not None and not same_shape(own, size):
                    raise MaskError("was drawn on an image of another shape than the regions before it")
            except MaskError as error:
                self._report_broken(region, task_id, error)
                return None
            size = own if size is None else max(size, own)
            names.add(name)
            sha.update(json.dumps([name, kind_of(region), digest, own]).encode())
        if self.required and not names:
            return None
        drawn = tuple(name for name in self.classes if name in names)
        return MaskLabel(sha.hexdigest()[:16], drawn, size, result)

    def mask(self, label: MaskLabel, shape: tuple[int, int] | None = None) -> np.ndarray:
        """Return a label's index mask, (H, W), upright.

        Parameters
        ----------
        shape : (int, int), optional
            Height and width of the image, upright; without it the size the annotation was drawn at.

        Raises
        ------
        MaskError
            If nothing is drawn and no shape is given, if the image has another shape than the one drawn on, or if the
            label is only remembered.
        """
        if label.result is None:
            raise MaskError(f"of the mask {label.digest} only the digest is kept")
        size = shape or label.size
        if size is None:
            raise MaskError("nothing is drawn, so the image must tell the mask's size")
        return paint(list(self.regions(label.result)), self.mask_classes, size)

    def consensus(self, labels: Sequence[MaskLabel]) -> MaskLabel:
        """Return the newest mask: a majority of pixels would be a mask that nobody has drawn."""
        return labels[-1]

    def blank(self, n: int) -> np.ndarray:
        """Return -1 for each of n tasks, objects of shape (n,)."""
        return np.full(n, NO_LABEL, dtype=object)

    def text(self, label: Any) -> str:
        """Return the classes drawn, and the digest: ``cat, dog #9f86d081884c7d65``."""
        return f"{join_classes(label.names)} #{label.digest}"

    def parse(self, text: str) -> MaskLabel | None:
        """Return the label in a line, without its pixels; it is equal to the one the line was made of."""
        names, digest = _split(text)
        if names is None or not digest or not set(names) <= set(self.classes):
            return None
        return MaskLabel(digest, tuple(names))

    def named(self, text: str) -> list[str]:
        """Return the classes in a line."""
        names, _ = _split(text)
        return [text] if names is None else names

    def result(self, label: Any, confidence: float | Mapping[str, float]) -> list[dict[str, Any]]:
        """Return the regions of a mask, with a confidence in [0, 1] each as their score.

        A brush has the mask as it is. Polygons stay within `tolerance` of it, and pieces smaller than
        `ml.masks.specks.least_piece` are left out.

        Parameters
        ----------
        label : ndarray, shape (H, W)
            Index mask at the size of the image, upright.
        confidence : float or mapping of class to float
        """
        mask = np.asarray(label)
        if self.shape == "brush":
            regions = brush_regions(mask, self.mask_classes, self.from_name, self.to_name)
        else:
            mask = without_specks(mask, least_piece(mask.shape))
            regions = polygon_regions(
                mask, self.mask_classes, self.from_name, self.to_name, tolerance=tolerance(mask.shape)
            )
        for region in regions:
            sure = confidence if isinstance(confidence, int | float) else confidence[label_of(region) or ""]
            region["score"] = round(float(sure), 4)
        return regions

    def suspect_region(
        self, region: np.ndarray, reason: str, suspicion: float | None = None
    ) -> list[dict[str, Any]]:
        """Return what shows reviewers where a mask is suspected to be wrong: regions of no class, with the reason.

        They go with the prediction of a task that has a label. An annotation that is made of such a prediction has
        the mask alone: `target` leaves them aside.

        Parameters
        ----------
        region : ndarray of bool, shape (H, W)
            At the size of the image, upright.
        reason : str
            Stands in the region's details.
        suspicion : float, optional
            In [0, 1]; stands beside the region, as scores do.
        """
        one = MaskClasses((BACKGROUND, SUSPECT))
        mask = region.astype(np.uint8)
        if self.shape == "brush":
            regions = brush_regions(mask, one, self.from_name, self.to_name)
        else:
            regions = polygon_regions(
                mask, one, self.from_name, self.to_name, tolerance=tolerance(mask.shape)
            )
        for number, found in enumerate(regions, 1):
            found["id"] = f"{SUSPECT}-{number}"
            found["value"][f"{self.shape}labels"] = []
            found["meta"] = {"text": [reason]}
            if suspicion is not None:
                found["score"] = round(float(suspicion), 4)
        return regions

    def regions(self, result: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Return the regions that count."""
        return (region for region in _drawn(result) if region.get("from_name") in self.controls)

    def _report_broken(self, region: Mapping[str, Any], task_id: int | None, error: MaskError) -> None:
        what = f"task {task_id}: region {region.get('id')!r} cannot be used: {error}"
        if what not in self._reported:
            self._reported.add(what)
            log.warning("%s; its annotation does not count", what)


def is_suspect(region: Mapping[str, Any]) -> bool:
    """Tell whether a region is one of `SegmentationKind.suspect_region`; one that was given a class is drawn."""
    value = region.get("value")
    labelled = isinstance(value, Mapping) and any(value.get(f"{kind}labels") for kind in _KINDS.values())
    return str(region.get("id", "")).startswith(SUSPECT) and not labelled


def _drawn(result: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the regions that people drew as masks."""
    regions = (region for region in result if isinstance(region, Mapping))
    return (region for region in regions if kind_of(region) is not None and not is_suspect(region))


def tolerance(shape: tuple[int, ...]) -> float:
    """Return how many pixels a predicted polygon may be away from the predicted mask."""
    return max(TOLERANCE, max(shape) / ONE_IN)


def _split(text: str) -> tuple[list[str] | None, str]:
    found = _TEXT.fullmatch(text)
    return split_classes(found[1] if found else text), found[2] if found else ""


def _labels(control: Element, elements: Sequence[Element]) -> list[Element]:
    return [e for e in elements if e.tag == "Label" and e.inside(control)]


def _names(control: Element, elements: Sequence[Element]) -> list[str]:
    return [class_of(e) for e in _labels(control, elements)]


def _problem(control: Element, elements: Sequence[Element]) -> str | None:
    """Return why a control cannot be learned, or None."""
    if control.get("value"):
        return "takes its labels from the task data"
    if control.get("choice") == "multiple":
        return 'gives a region several labels; a pixel has one class: choice="single"'
    names = _names(control, elements)
    if not all(names):
        return "has a <Label> without a value"
    if not set(names) - {BACKGROUND}:
        return "has no <Label>" if not names else f"has no <Label> but {BACKGROUND!r}, which is implied"
    twice = repeated(names)
    return None if twice is None else f"has a label twice ({twice!r})"
