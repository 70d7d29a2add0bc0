"""Which predicts a project's masks better, its pixel probe or a network: on images that neither has learned from."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from backend.labelstudio.config import find_kind
from backend.labelstudio.fetch import ImageFetcher
from backend.labelstudio.segmentation import SegmentationKind
from backend.segmentation.labels import FOLDER, MaskFiles
from backend.segmentation.network import paint
from backend.settings import Settings
from backend.snapshot import SNAPSHOT, SnapshotStore
from backend.targets import build_targets
from ml.images import ImageLimits, upright_size
from ml.segmentation.metrics import confusion, mean_dice
from ml.segmentation.sizes import shrink_mask

if TYPE_CHECKING:
    from ml.segmentation.unet.model import UNetModel

# images: by fewer nothing is told
FEWEST = 5


class CannotCompare(ValueError):
    """A network cannot be compared on a project; the message says why and what to do."""


@dataclass(frozen=True)
class Comparison:
    """Mean Dice over images that neither has learned from, and how many there are."""

    network: float
    probe: float
    images: int

    @property
    def better(self) -> bool:
        """Whether the network is."""
        return self.network > self.probe


def compare(
    settings: Settings,
    project_id: int,
    model: UNetModel,
    seen: Collection[str],
    fetcher: ImageFetcher,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Compare a network with the project's probe, whose Dice out of sample is that of the last refresh.

    Parameters
    ----------
    seen : collection of str
        Content digests of the images that the network was trained on.

    Raises
    ------
    CannotCompare
        If the project or its classes are others, or too few masks are left.
    ImageFetchError, ImageError, LabelStudioError
        If an image cannot be had.
    """
    folder = settings.project_dir(project_id)
    store = SnapshotStore(folder / SNAPSHOT)
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
    files, contents, judged = MaskFiles(folder / FOLDER, kind), store.contents(), store.judged()
    held: list[tuple[int, str]] = []
    for row in np.flatnonzero(targets.labelled).tolist():
        content = contents.get(targets.uris[row] or "")
        found = judged.get(int(targets.ids[row]))
        if content is None or content.key is None or content.key in seen or found is None:
            continue
        label = targets.labels[row]
        if (
            found.label == kind.text(label)
            and found.findings["dice"] is not None
            and files.has(label, content.key)
        ):
            held.append((row, content.key))
    if len(held) < FEWEST:
        raise CannotCompare(
            f"project {project_id} has {len(held)} masks that were judged and that the network was not trained on; "
            f"{FEWEST} are the fewest that tell something. Label more images, or hold more out: Dataset.valid_share"
        )
    ignore, count = kind.mask_classes.ignore, len(kind.classes)
    network, probe = [], []
    for done, (row, key) in enumerate(held):
        progress(done, len(held))
        task_id = int(targets.ids[row])
        data = fetcher.fetch(cast(str, targets.uris[row]), task_id, project_id)
        mask = files.mask(targets.labels[row], key, partial(_shape, data, settings.image_limits))
        drawn = shrink_mask(paint(model, data, settings.image_limits).mask, mask.shape)
        network.append(float(mean_dice(confusion(mask, drawn, count, ignore))))
        probe.append(float(judged[task_id].findings["dice"]))
    return Comparison(round(float(np.mean(network)), 4), round(float(np.mean(probe)), 4), len(held))


def _shape(data: bytes, limits: ImageLimits) -> tuple[int, int]:
    width, height = upright_size(data, limits=limits)
    return height, width
