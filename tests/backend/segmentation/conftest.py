"""Projects of masks in a real Label Studio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import publish
from backend.labelstudio.config import find_kind
from backend.segmentation import evidence
from backend.settings import Settings
from demo.label_studio import LabelStudioServer
from tests.backend.segmentation.shapes import ShapesBench, config, picture, scene, uri


@pytest.fixture
def shapes(
    label_studio: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ShapesBench]:
    """Make a project of ``count`` scenes, the first ``drawn`` of them annotated; ``masks`` are drawn instead."""
    monkeypatch.setattr(publish, "FIELD_BUDGET", 60.0)
    monkeypatch.setattr(evidence, "SECONDS", 600.0)

    def make(
        count: int = 16,
        drawn: int = 10,
        *,
        tag: str = "BrushLabels",
        masks: dict[int, np.ndarray] | None = None,
        uris: dict[int, str] | None = None,
        **settings: Any,
    ) -> ShapesBench:
        label_config = config(tag)
        kind = find_kind(label_config)
        project = label_studio.create_project(f"masks {tmp_path.name}", label_config)
        tasks: list[dict[str, Any]] = [
            {"data": {"image": (uris or {}).get(number) or uri(picture(number))}} for number in range(count)
        ]
        for number in range(drawn):
            mask = (masks or {}).get(number)
            tasks[number]["annotations"] = [
                {"result": kind.result(scene(number) if mask is None else mask, 1.0)}
            ]
        task_ids = label_studio.import_tasks(project, tasks)
        values = {"embedder": "pixels", "idle_after": 0.0, "head_size": 4, "exploration": 0.0, **settings}
        return ShapesBench(
            label_studio,
            Settings(
                _env_file=None,
                label_studio_url=label_studio.url,
                label_studio_api_key=label_studio.token,
                model_dir=tmp_path / "models",
                **values,
            ),
            project,
            task_ids,
            label_config,
        )

    return make
