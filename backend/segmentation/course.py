"""The course of segmentation: heads on the features of pixels, learned from masks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from backend.backbones import NETWORK
from backend.courses.base import Before, Lesson, Scene, Verdict
from backend.embedding.parts import EmbeddingParts
from backend.labelstudio.fetch import ImageFetchError
from backend.labelstudio.kind import Kind
from backend.labelstudio.segmentation import SegmentationKind
from backend.project import open_backbones
from backend.registry import Version
from backend.segmentation.desk import Desk
from backend.segmentation.judging import judge
from backend.segmentation.labels import FOLDER, MaskFiles
from backend.segmentation.learning import Segmented, learn
from backend.segmentation.memory import FILE, Memory
from backend.segmentation.network import DrawnMasks, Painter, forget_drawn
from backend.segmentation.pixels import BROKEN, PixelRoom
from backend.segmentation.places import open_pyramids
from backend.settings import Settings
from backend.snapshot import History
from ml.images import ImageError
from ml.segmentation.features import PixelFeatures, make_pixel_features
from ml.segmentation.probe import ProbeFit
from ml.segmentation.store import PyramidStore

if TYPE_CHECKING:
    from ml.segmentation.unet.model import UNetModel

log = logging.getLogger(__name__)


class SegmentationCourse:
    """Learns masks from the features of pixels; those of the setting's backbone, whatever images are embedded with.

    Parameters
    ----------
    kind : str
        ``segmentation``.
    settings : Settings
    """

    def __init__(self, kind: str, settings: Settings) -> None:
        self.settings = settings
        self._network: tuple[str, UNetModel] | None = None

    @cached_property
    def features(self) -> PixelFeatures:
        """The backbone that features come from; loading it can take seconds."""
        return make_pixel_features(
            self.settings.embedder, allow_noncommercial=self.settings.allow_noncommercial
        )

    @cached_property
    def pyramids(self) -> PyramidStore:
        """Where features are kept."""
        return open_pyramids(self.settings, self.features.fingerprint)

    def backbone(self, project_id: int, published: str | None, kind: Kind) -> str | None:
        """Return the published network, if it draws masks of the classes that the label config has now."""
        if published is None:
            return None
        manifest = open_backbones(self.settings, project_id).load(published).manifest
        if NETWORK not in manifest:
            return None
        if manifest["classes"] != list(kind.classes):
            log.warning(
                "project %d: its network %s draws the classes %s, the label config has %s now: the probe predicts. "
                "Train one on these, lineup segment train project:%d, or drop it, lineup train --project %d --drop",
                project_id,
                published,
                ", ".join(manifest["classes"]),
                ", ".join(kind.classes),
                project_id,
                project_id,
            )
            return None
        return published

    def embeds_with(self, backbone: str | None) -> str | None:
        """Return None: a network that draws masks makes no vectors."""
        return None

    def fingerprint(self, parts: EmbeddingParts) -> str:
        """Return that of the features."""
        return self.features.fingerprint

    def gather(self, scene: Scene) -> dict[str, str]:
        """Read the features of images that have none yet; see `backend.segmentation.pixels`."""
        memory = Memory(scene.folder / FILE)
        memory.keep_only(BROKEN, [key for key in scene.embedded.keys if key])
        return self._fill(scene, memory)

    def _fill(self, scene: Scene, memory: Memory) -> dict[str, str]:
        stage = scene.parts.stage
        room = PixelRoom.make(self.features, self.pyramids, stage.fetcher, stage.limits, memory, scene.store)
        images = {
            key: (task_id, uri)
            for key, task_id, uri in zip(scene.embedded.keys, scene.task_ids, scene.uris, strict=True)
            if key and uri
        }
        return room.fill(scene.project_id, images, scene.progress)

    def has_broken_before(self, folder: Path, tried_at: float) -> bool:
        """Tell whether features that could not be read are to be tried again."""
        known = Memory(folder / FILE).recall(BROKEN)
        return any(found.value[1] < tried_at for found in known.values())

    def tidy(self, folder: Path, served: Version | None) -> None:
        """Delete the masks of other networks than the one that is served."""
        forget_drawn(folder, served.manifest["backbone"] if served else None)

    def prepare(self, scene: Scene) -> dict[str, str]:
        """Gather features, and have the project's network, if it has one, draw what it has not drawn yet."""
        missing = self._fill(scene, Memory(scene.folder / FILE))
        painter = self._painter(scene)
        for key, task_id, uri in zip(scene.embedded.keys, scene.task_ids, scene.uris, strict=True):
            if painter is None or not key or not uri or key in missing:
                continue
            try:
                painter.draw(scene.project_id, (task_id, uri), key)
            except (ImageFetchError, ImageError) as error:
                missing[key] = str(error)
        return missing

    def restore(self, arrays: Mapping[str, np.ndarray]) -> ProbeFit:
        """Return a fit to start the next one from."""
        return ProbeFit.from_arrays(arrays)

    def learn(self, lesson: Lesson, digest: str, before: Before | None) -> Segmented:
        """Fit a head and judge the masks by it; with nothing new, neither."""
        return learn(self._desk(lesson), digest, before)

    def served_by(self, lesson: Lesson, learned: Segmented, version: Version) -> Segmented:
        """Return the same with the unlabelled tasks predicted by a published version."""
        return learned.served_by(version)

    def judge(
        self, lesson: Lesson, learned: Segmented, reviewed: np.ndarray, histories: Mapping[int, History]
    ) -> Verdict | None:
        """Judge the masks by what was found about each."""
        return judge(learned, reviewed, self.settings)

    def stop(self, lesson: Lesson, learned: Segmented, *, seed: int) -> dict[str, Any] | None:
        """Return None: Dice has no stop signal."""
        return None

    def manifest(self, lesson: Lesson, learned: Segmented) -> dict[str, Any]:
        """Return how many masks there are with each class, and what their Dice is of."""
        names = [set(learned.desk.label(row).names) for row in learned.rows.tolist()]
        return {
            "labels_by_class": [sum(name in drawn for drawn in names) for name in lesson.kind.classes],
            "masks": len(learned.rows),
            "measure": "mean Dice of masks and predictions out of sample",
            "features": self.features.name,
        }

    def _desk(self, lesson: Lesson) -> Desk:
        folder = lesson.scene.folder
        files = MaskFiles(folder / FOLDER, cast(SegmentationKind, lesson.kind))
        return Desk(lesson, self.pyramids, files, Memory(folder / FILE), self._painter(lesson.scene))

    def _painter(self, scene: Scene) -> Painter | None:
        """Return the project's own network at work; the last one stays loaded."""
        if scene.backbone is None:
            return None
        if self._network is None or self._network[0] != scene.backbone:
            from ml.segmentation.unet.model import UNetModel

            path = open_backbones(self.settings, scene.project_id).load(scene.backbone).path
            self._network = scene.backbone, UNetModel.load(path)
        stage = scene.parts.stage
        masks = DrawnMasks(scene.folder, scene.backbone)
        return Painter(self._network[1], masks, stage.fetcher, stage.limits)
