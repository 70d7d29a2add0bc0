"""Predictions that are made when they are sent, in a real Label Studio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.predictions import Prediction, batches, list_predictions
from backend.snapshot import SnapshotStore
from backend.stream import PredictionStream
from demo.label_studio import LabelStudioServer
from tests.backend.labelstudio.mask_projects import BRUSH, blobs, mask_kind

KIND = mask_kind(BRUSH)
REGIONS = KIND.result(blobs((60, 80), 1), 0.5)


class Made:
    """A project, a prediction a task, and what has been made of them."""

    def __init__(self, server: LabelStudioServer, client: LabelStudioClient, path: Path) -> None:
        self.client = client
        self.project = server.create_project("stream of masks", BRUSH)
        self.ids = server.import_tasks(
            self.project, [{"data": {"image": f"s3://b/{n}.png"}} for n in range(6)]
        )
        self.stream = PredictionStream(client, SnapshotStore(path), self.project, BRUSH)
        self.made: list[int] = []
        self.predictions = [Prediction(task, partial(self.make, task), 0.5, "v1") for task in self.ids]

    def make(self, task: int) -> list[dict[str, Any]]:
        self.made.append(task)
        return REGIONS

    def stored(self) -> list[int]:
        """Return the tasks that have a prediction in Label Studio."""
        return sorted(list_predictions(self.client, self.project, "v1").values())


@pytest.fixture
def made(label_studio: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    monkeypatch.setattr("backend.stream.batches", partial(batches, most_bytes=2 * len(str(REGIONS))))
    with LabelStudioClient(label_studio.url, label_studio.token) as client:
        yield Made(label_studio, client, tmp_path / "snapshot.sqlite")


def after(calls: int) -> Callable[[], bool]:
    """Return what says stop from a call on."""
    left = iter([False] * calls)
    return lambda: next(left, True)


def test_idle_work_stops_between_two_requests_and_goes_on(made: Made) -> None:
    assert made.stream.complete(made.predictions, after(2))
    first = made.stored()
    assert 0 < len(first) < 6
    assert made.stream.store.posted("v1").keys() == set(first)
    assert not made.stream.complete(made.predictions, lambda: False)
    assert made.stored() == made.ids
    assert set(made.made) == set(made.ids)
    # what stands there is not made again
    made.made.clear()
    assert not made.stream.complete(made.predictions, lambda: False)
    assert made.made == []


def test_what_is_refused_does_not_keep_idle_work_going(made: Made) -> None:
    broken = [{**REGIONS[0], "value": {**REGIONS[0]["value"], "brushlabels": ["horse"]}}]
    made.predictions[1] = Prediction(made.ids[1], lambda: broken, 0.5, "v1")
    assert not made.stream.complete(made.predictions, lambda: False)
    assert made.stored() == [task for task in made.ids if task != made.ids[1]]
