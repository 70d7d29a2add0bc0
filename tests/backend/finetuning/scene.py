"""A real project of dominoes on a real Label Studio, and a small network that tells them apart."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.finetuning.record import TrainingRecord, ask_training
from backend.finetuning.run import run_training
from backend.project import Project, open_backbones, open_registry
from backend.refresh import Refresher
from backend.refresh_result import RefreshResult
from backend.settings import Settings
from demo.label_studio import LabelStudioServer
from tests.ml.training.dominoes import CLASSES, domino_file

LABEL_CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="order" toName="image">'
    f'<Choice value="{CLASSES[0]}"/><Choice value="{CLASSES[1]}"/></Choices></View>'
)
# learns dominoes in three seconds
SMALL: dict[str, Any] = {
    "Model": {"class_name": "test_resnet", "weights": "scratch"},
    "Training": {"epochs": 10, "batch_size": 16, "lr": 0.003},
    "Dataset": {"transform": {"resize": 32}},
}


def choice(label: str) -> list[dict[str, Any]]:
    """An annotation's result."""
    return [{"from_name": "order", "to_name": "image", "type": "choices", "value": {"choices": [label]}}]


def uri(number: int) -> str:
    """A domino as a data URI."""
    return "data:image/png;base64," + base64.b64encode(domino_file(number)).decode()


@dataclass
class Scene:
    """A project of dominoes.

    Attributes
    ----------
    tasks : list of int
        Ids, in the order of the dominoes.
    """

    server: LabelStudioServer
    settings: Settings
    project: int
    tasks: list[int]

    def refresh(self, *reasons: str) -> RefreshResult:
        return Refresher(self.settings).refresh(self.project, reasons or ("poll",), lambda *_: None)

    def train(self, *, force: bool = False, **changes: Any) -> TrainingRecord:
        ask_training(self.settings, self.project, {**SMALL, **changes}, force=force)
        return run_training(self.settings, self.project)

    def served(self) -> str | None:
        return open_registry(self.settings, self.project).published()

    def manifest(self) -> dict[str, Any]:
        return open_registry(self.settings, self.project).manifest(str(self.served()))

    def backbone(self) -> str | None:
        return open_backbones(self.settings, self.project).published()

    def annotate(self, number: int) -> None:
        result = choice(CLASSES[number % 2])
        self.server.api("POST", f"/api/tasks/{self.tasks[number]}/annotations/", {"result": result})

    def state(self) -> Project:
        from backend.labelstudio.reader import read_project

        return Project.open(self.settings, read_project(Refresher(self.settings).client, self.project))


def make_scene(
    server: LabelStudioServer, model_dir: Path | str, count: int = 130, labelled: int = 120, **settings: Any
) -> Scene:
    """Make a project whose first dominoes are labelled, the last two of these wrongly."""
    project = server.create_project("dominoes", LABEL_CONFIG)
    tasks: list[dict[str, Any]] = [{"data": {"image": uri(number)}} for number in range(count)]
    for number in range(labelled):
        given = CLASSES[(number + (number >= labelled - 2)) % 2]
        tasks[number]["annotations"] = [{"result": choice(given)}]
    ids = server.import_tasks(project, tasks)
    values = {"embedder": "pixels", "idle_after": 3600.0, "head_size": 4, **settings}
    found = Settings(
        _env_file=None,
        label_studio_url=server.url,
        label_studio_api_key=server.token,
        model_dir=model_dir,
        **values,
    )
    return Scene(server, found, project, ids)
