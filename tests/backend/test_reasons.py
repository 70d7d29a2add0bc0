"""Against a real Label Studio: odd images get their reasons, labelled or not, and so do people who disagree."""

from __future__ import annotations

import base64
import io
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.refresh import Refresher
from backend.refresh_result import RefreshResult
from backend.settings import Settings
from backend.snapshot import SNAPSHOT, SnapshotStore
from demo.label_studio import LabelStudioServer

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="side" toName="image">'
    '<Choice value="left"/><Choice value="right"/></Choices></View>'
)
ORDINARY = 40  # every second one light on the left, the others on the right
SIDE = 24


def uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def ordinary(number: int) -> np.ndarray:
    pixels = np.random.default_rng(number).normal(150, 8, (SIDE, SIDE, 3))
    half = slice(0, SIDE // 2) if number % 2 else slice(SIDE // 2, SIDE)
    pixels[:, half] *= 0.5
    return pixels


def odd() -> dict[str, np.ndarray]:
    """Return one image for each reason, by reason."""
    rng = np.random.default_rng(99)
    ramp = np.linspace(10, 110, SIDE)[None, :, None] * np.ones((SIDE, 1, 3))
    again = ordinary(4).clip(0, 255)
    again[3, 3] += 1
    rings = np.hypot(*np.mgrid[-12:12, -12:12]) % 6 < 3
    return {
        "image dark": ordinary(1000) * 0.2,
        "image bright": 255 - ordinary(1001) * 0.02,
        "image low information": np.full((SIDE, SIDE, 3), 128.0),
        "image blurry": ramp,
        "image odd size": np.hstack([ordinary(n) for n in (1002, 1004, 1006, 1008)]),
        "outlier": np.where(rings[..., None], [250, 60, 10], [20, 60, 200])
        + rng.normal(0, 8, (SIDE, SIDE, 3)),
        "image near-duplicate": again,
    }


@dataclass
class Odd:
    """A project of ordinary and odd images."""

    server: LabelStudioServer
    settings: Settings
    project: int
    numbers: dict[str, int]
    refresher: Refresher

    def refresh(self, *reasons: str) -> RefreshResult:
        return self.refresher.refresh(self.project, reasons, lambda *_: None)

    def reasons(self) -> dict[int, str]:
        """Return what stands in the field, by task id."""
        page = self.server.api(
            "GET", "/api/tasks/", params={"project": self.project, "page_size": 100, "fields": "all"}
        )
        return {task["id"]: task["data"]["lineup_reason"] for task in page["tasks"]}


@pytest.fixture
def odds(label_studio: LabelStudioServer, tmp_path: Path) -> Odd:
    project = label_studio.create_project(f"reasons {tmp_path.name}", CONFIG, maximum_annotations=2)
    first, second = label_studio.admin.id, label_studio.user("second@example.com").id

    def said(label: str, by: int) -> dict[str, Any]:
        value = {"choices": [label]}
        result = [{"from_name": "side", "to_name": "image", "type": "choices", "value": value}]
        return {"result": result, "completed_by": by}

    tasks: list[dict[str, Any]] = [{"data": {"image": uri(ordinary(number))}} for number in range(ORDINARY)]
    for number in range(24):
        tasks[number]["annotations"] = [said(("left", "right")[number % 2], first)]
    tasks[20]["annotations"].append(said("right", second))
    tasks[22]["annotations"].append(said("left", second))
    names = ["unreadable", *odd()]
    tasks.append({"data": {"image": "data:image/png;base64,aGVsbG8="}})
    tasks += [{"data": {"image": uri(pixels)}} for pixels in odd().values()]
    # a dark one that is labelled, and rightly
    tasks[ORDINARY + names.index("image dark")]["annotations"] = [said("left", first)]
    ids = label_studio.import_tasks(project, tasks)
    numbers = {"two say two": ids[20], "two say one": ids[22], "twin": ids[4]}
    settings = Settings(
        _env_file=None,
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.token,
        model_dir=tmp_path / "models",
        embedder="pixels",
        exploration=0.0,
    )
    numbers |= dict(zip(names, ids[ORDINARY:], strict=True))
    return Odd(label_studio, settings, project, numbers, Refresher(settings))


def test_what_is_odd_gets_its_reason(odds: Odd) -> None:
    odds.refresh("connect")
    found = odds.reasons()
    numbers = odds.numbers
    assert {name: found[numbers[name]] for name in odd()} == {name: name for name in odd()}
    assert found[numbers["unreadable"]] == "image unreadable"
    assert found[numbers["two say two"]] == "annotators disagree"
    assert found[numbers["two say one"]] == ""
    assert found[numbers["twin"]] == "image near-duplicate"
    ordinary_ones = [reason for task, reason in found.items() if task not in numbers.values()]
    assert Counter(ordinary_ones)[""] >= 0.9 * len(ordinary_ones)
    # as a Lineup that did not measure images yet left it
    store = SnapshotStore(odds.settings.project_dir(odds.project) / SNAPSHOT)
    store.put_contents({uri: replace(content, measures=None) for uri, content in store.contents().items()})
    odds.settings.outliers = "off"
    odds.refresh("full")
    assert odds.reasons() == {task: reason.replace("outlier", "") for task, reason in found.items()}
