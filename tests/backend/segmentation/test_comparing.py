"""A network and a project's probe are compared on what neither has learned from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.segmentation import comparing
from backend.segmentation.comparing import CannotCompare, compare
from backend.segmentation.network import Drawn
from backend.snapshot import Judged
from ml.masks.classes import MaskClasses
from ml.segmentation.unet.model import UNetModel
from ml.vectors import content_key
from tests.backend.segmentation.shapes import CLASSES, ShapesBench, picture, scene, uri

Make = Callable[..., ShapesBench]


def test_each_is_measured_now_on_what_it_has_not_seen(shapes: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    b = shapes(count=14, drawn=12)
    b.refresh("connect")
    state = b.state()
    # another machine, where nothing is decoded; and what an earlier head has found does not count
    shutil.rmtree(b.settings.model_dir / "pyramids")
    shutil.rmtree(state.folder / "masks")
    judged = state.store.judged()
    state.store.put_judged({task: Judged(one.label, {"dice": 0.0}) for task, one in judged.items()})
    contents = state.store.contents()
    keys = [str(contents[uri(picture(number))].key) for number in range(12)]

    class Fetcher:
        def fetch(self, image: str, task_id: int, project_id: int) -> bytes:
            if task_id == b.tasks[11]:
                raise ImageFetchError(task_id, image, "it is gone")
            return b.refresher.fetcher.fetch(image, task_id, project_id)

    def paint(model: Any, data: bytes, limits: Any) -> Drawn:
        return Drawn(scene(keys.index(content_key(data))), np.ones(3, dtype=np.float32))

    monkeypatch.setattr(comparing, "paint", paint)
    model = cast(UNetModel, SimpleNamespace(classes=MaskClasses(CLASSES, 255)))
    fetcher = cast(ImageFetcher, Fetcher())

    found = compare(b.settings, b.project, model, set(keys[:4]), set(keys[4:6]), fetcher)
    assert (found.images, found.chosen_by, found.skipped) == (5, 0, 1)
    assert found.network == 1.0
    assert 0.7 < found.probe < 1.0

    few = compare(b.settings, b.project, model, set(keys[:4]), set(keys[4:9]), fetcher)
    assert (few.images, few.chosen_by, few.skipped) == (7, 5, 1), (
        "with too few others they count, and are told of"
    )

    with pytest.raises(CannotCompare, match=r"4 masks .* besides 1 that cannot be used"):
        compare(b.settings, b.project, model, set(keys[:7]), set(), fetcher)
