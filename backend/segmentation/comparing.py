"""Which predicts a project's masks better, its pixel probe or a network: on images that neither has learned from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, cast

import numpy as np

from backend.labelstudio.config import find_kind
from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.labelstudio.segmentation import SegmentationKind
from backend.project import open_registry
from backend.registry import Version
from backend.segmentation.labels import FOLDER, MaskFiles
from backend.segmentation.network import paint
from backend.segmentation.pixels import read_pyramid
from backend.segmentation.places import open_pyramids
from backend.settings import Settings
from backend.shared.folder import share
from backend.snapshot import SNAPSHOT, SnapshotStore
from backend.targets import build_targets
from ml.images import ImageError
from ml.masks import MaskError
from ml.segmentation.features import PixelFeatures, make_pixel_features
from ml.segmentation.metrics import confusion, mean_dice
from ml.segmentation.probe import ProbeFit
from ml.segmentation.pyramid import Pyramid
from ml.segmentation.sizes import shrink_mask
from ml.vectors import content_key

if TYPE_CHECKING:
    from ml.segmentation.unet.model import UNetModel

log = logging.getLogger(__name__)

# images: by fewer nothing is told
FEWEST = 5


class CannotCompare(ValueError):
    """A network cannot be compared on a project; the message says why and what to do."""


@dataclass(frozen=True)
class Comparison:
    """Mean Dice over images that neither has learned from.

    Attributes
    ----------
    network, probe : float
    images : int
    chosen_by : int
        Of the images, those by which the network's epoch was chosen: not zero only where there are too few others.
    skipped : int
        Images that could not be had, or whose masks do not fit them.
    """

    network: float
    probe: float
    images: int
    chosen_by: int = 0
    skipped: int = 0

    @property
    def better(self) -> bool:
        """Whether the network is."""
        return self.network > self.probe


def compare(
    settings: Settings,
    project_id: int,
    model: UNetModel,
    trained: Collection[str],
    chosen_by: Collection[str],
    fetcher: ImageFetcher,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Compare a network with the project's probe as it is served: each mask by a head that has not seen it.

    Parameters
    ----------
    trained, chosen_by : collection of str
        Content digests of the images that the network was trained on, and by which its epoch was chosen.

    Raises
    ------
    CannotCompare
        If the project or its classes are others, or too few masks are left.
    LabelStudioError
        If Label Studio cannot be reached.
    """
    if shared := share(settings):
        shared.project(project_id).turns.freshen()
    folder = settings.project_dir(project_id)
    store = SnapshotStore.for_reading(folder / SNAPSHOT)
    snapshot = store.load()
    kind = find_kind(snapshot.info.label_config) if snapshot.info else None
    if not isinstance(kind, SegmentationKind):
        raise CannotCompare(f"project {project_id} has no masks, or was not read yet: lineup refresh")
    if tuple(model.classes.names) != tuple(kind.classes):
        raise CannotCompare(
            f"the network knows the classes {', '.join(model.classes.names)}, project {project_id} has "
            f"{', '.join(kind.classes)}: train one on the project, lineup segment train project:{project_id}"
        )
    targets = build_targets(snapshot, kind, settings.reviewers)
    contents = store.contents()
    held: list[tuple[int, str]] = []
    for row in np.flatnonzero(targets.labelled).tolist():
        content = contents.get(targets.uris[row] or "")
        if content is not None and content.key is not None and content.key not in trained:
            held.append((row, content.key))
    others = [one for one in held if one[1] not in chosen_by]
    if len(others) >= FEWEST:
        held = others
    probe = _Probe.served(settings, project_id, kind)
    files = MaskFiles(folder / FOLDER, kind)
    scores: list[tuple[float, float]] = []
    chose = skipped = 0
    for done, (row, key) in enumerate(held):
        progress(done, len(held))
        task_id, label = int(targets.ids[row]), targets.labels[row]
        try:
            data = fetcher.fetch(cast(str, targets.uris[row]), task_id, project_id)
            if content_key(data) != key:
                raise ImageError("its file is another one than at the last refresh")
            pyramid = probe.pyramid(key, data)
            mask = files.mask(label, key, partial(_upright, pyramid))
            drawn = shrink_mask(paint(model, data, settings.image_limits).mask, mask.shape)
        except (ImageFetchError, ImageError, MaskError) as error:
            log.warning("task %d: left out of the comparison: %s", task_id, error)
            skipped += 1
            continue
        guess = probe.fit.unseen_content(key).probabilities(pyramid).argmax(axis=0)
        pair = _dice(kind, mask, drawn), _dice(kind, mask, guess)
        if np.isfinite(pair).all():  # nan: nobody has labelled a pixel
            scores.append(pair)
            chose += key in chosen_by
    if len(scores) < FEWEST:
        raise CannotCompare(
            f"project {project_id} has {len(scores)} masks that the network was not trained on, besides {skipped} that "
            f"cannot be used; {FEWEST} are the fewest that tell something. Label more images, or hold more out: "
            "Dataset.valid_share"
        )
    network, of_probe = np.mean(scores, axis=0)
    return Comparison(round(float(network), 4), round(float(of_probe), 4), len(scores), chose, skipped)


def _upright(pyramid: Pyramid) -> tuple[int, int]:
    return pyramid.size


def _dice(kind: SegmentationKind, mask: np.ndarray, drawn: np.ndarray) -> float:
    return float(mean_dice(confusion(mask, drawn, len(kind.classes), kind.mask_classes.ignore)))


class _Probe:
    """The probe that is served, and features of images; those that this machine does not have are read."""

    def __init__(self, settings: Settings, version: Version) -> None:
        self._settings = settings
        self.fit = ProbeFit.from_arrays(version.arrays)
        self._fingerprint = version.manifest["fingerprint"]
        self._pyramids = open_pyramids(settings, self._fingerprint)

    @classmethod
    def served(cls, settings: Settings, project_id: int, kind: SegmentationKind) -> _Probe:
        registry = open_registry(settings, project_id)
        version_id = registry.published()
        if version_id is None or registry.manifest(version_id)["label_config"] != kind.digest:
            raise CannotCompare(
                f"project {project_id} has no probe for its label config yet: label two images, and "
                f"lineup refresh --project {project_id}"
            )
        return cls(settings, registry.load(version_id))

    @cached_property
    def _features(self) -> PixelFeatures:
        settings = self._settings
        features = make_pixel_features(settings.embedder, allow_noncommercial=settings.allow_noncommercial)
        if features.fingerprint != self._fingerprint:
            raise CannotCompare(
                f"the probe's features are {self._fingerprint}, EMBEDDER={settings.embedder} makes "
                f"{features.fingerprint}: set it as the worker has it, or refresh the project"
            )
        return features

    def pyramid(self, key: str, data: bytes) -> Pyramid:
        found = self._pyramids.get(key)
        if found is None:
            found = read_pyramid(self._features, data, self._settings.image_limits)
            self._pyramids.put(key, found)
        return found
