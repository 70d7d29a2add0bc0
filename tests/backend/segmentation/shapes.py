"""Projects of drawn shapes in a real Label Studio: red discs and blue squares on grey, with masks."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from backend.labelstudio.config import find_kind
from backend.labelstudio.segmentation import SegmentationKind
from backend.project import Project
from backend.refresh import Refresher
from backend.refresh_result import RefreshResult
from backend.settings import Settings
from demo.label_studio import LabelStudioServer
from ml.segmentation.metrics import confusion, mean_dice

SIDE = 64
CLASSES = ("background", "disc", "square")
_COLOURS = np.array([(120, 120, 120), (205, 60, 60), (60, 70, 200)], dtype=np.float64)
LABELS = '<Label value="disc"/><Label value="square"/>'


def config(tag: str = "BrushLabels", labels: str = LABELS) -> str:
    """Return a label config with one control for masks."""
    return f'<View><Image name="image" value="$image"/><{tag} name="shape" toName="image">{labels}</{tag}></View>'


def scene(seed: int) -> np.ndarray:
    """Return the mask of a scene: a disc and a square, that do not touch."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    left, right = rng.integers(14, 19), SIDE - rng.integers(14, 19)
    if rng.random() < 0.5:
        left, right = right, left
    row, other = rng.integers(18, SIDE - 18, 2)
    mask[(y - row) ** 2 + (x - left) ** 2 <= rng.integers(8, 12) ** 2] = 1
    half = rng.integers(7, 11)
    mask[(abs(y - other) <= half) & (abs(x - right) <= half)] = 2
    return mask


def picture(seed: int) -> Image.Image:
    """Return the image of a scene."""
    noise = np.random.default_rng(seed + 10_000).normal(0, 12, (SIDE, SIDE, 3))
    return Image.fromarray((_COLOURS[scene(seed)] + noise).clip(0, 255).astype(np.uint8))


def uri(image: Image.Image) -> str:
    """Return an image as an address that holds it."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean Dice of two masks."""
    return float(mean_dice(confusion(truth, mask, len(CLASSES))))


@dataclass
class ShapesBench:
    """One project of scenes, the first of them drawn, and a Refresher on it."""

    server: LabelStudioServer
    settings: Settings
    project: int
    tasks: list[int]
    label_config: str
    refresher: Refresher = field(init=False)

    def __post_init__(self) -> None:
        self.refresher = Refresher(self.settings)

    @property
    def kind(self) -> SegmentationKind:
        kind = find_kind(self.label_config)
        assert isinstance(kind, SegmentationKind)
        return kind

    def refresh(self, *reasons: str, progress: Any = lambda *_: None) -> RefreshResult:
        return self.refresher.refresh(self.project, reasons or ("poll",), progress)

    def draw(self, number: int, mask: np.ndarray | None = None) -> None:
        """Annotate a task, with its own mask or another."""
        result = self.kind.result(scene(number) if mask is None else mask, 1.0)
        self.annotate(number, result)

    def annotate(self, number: int, result: list[dict[str, Any]]) -> None:
        self.server.api("POST", f"/api/tasks/{self.tasks[number]}/annotations/", {"result": result})

    def idle(self) -> None:
        """Do what waits for a pause."""
        while self.refresher.idle_step(self.project, lambda: False):
            pass

    def task(self, number: int) -> dict[str, Any]:
        return dict(self.server.api("GET", f"/api/tasks/{self.tasks[number]}/"))

    def info(self) -> dict[str, Any]:
        return dict(self.server.api("GET", f"/api/projects/{self.project}/"))

    def versions(self) -> dict[str, int]:
        return dict(self.server.api("GET", f"/api/projects/{self.project}/model-versions/"))

    def shown(self, number: int) -> dict[str, Any]:
        data = self.task(number)["data"]
        return {name.removeprefix("lineup_"): v for name, v in data.items() if name.startswith("lineup_")}

    def predicted(self, number: int) -> list[dict[str, Any]]:
        """Return the result of the newest prediction of a task."""
        predictions = self.task(number)["predictions"]
        return list(max(predictions, key=lambda one: one["id"])["result"]) if predictions else []

    def mask(self, result: list[dict[str, Any]]) -> np.ndarray:
        """Return the mask of a result."""
        label = self.kind.target(result)
        assert label is not None
        return self.kind.mask(label, (SIDE, SIDE))

    def state(self) -> Project:
        from backend.labelstudio.reader import read_project

        return Project.open(self.settings, read_project(self.refresher.client, self.project))
