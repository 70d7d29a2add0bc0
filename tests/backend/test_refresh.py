"""Refreshes against a real Label Studio: what people see afterwards, and that nothing else happened to the project."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend import idle, publish
from backend.project import TAKE_BACK, Project, pin
from backend.refresh import Refresher
from backend.refresh_result import RefreshResult
from backend.registry import UNTRAINED
from backend.settings import Settings
from demo.label_studio import LabelStudioServer

CLASSES = ("dark", "light")
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="tone" toName="image">'
    '<Choice value="dark"/><Choice value="light"/></Choices></View>'
)


def picture(seed: int, light: bool) -> str:
    rng = np.random.default_rng(seed)
    pixels = rng.normal(190 if light else 60, 15, (24, 24, 3)).clip(0, 255).astype(np.uint8)
    pixels[:, : 12 if light else 4] //= 2
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def choice(label: str) -> list[dict[str, Any]]:
    return [{"from_name": "tone", "to_name": "image", "type": "choices", "value": {"choices": [label]}}]


@dataclass
class Bench:
    """One project of light and dark pictures, every second one light, and a Refresher on it."""

    server: LabelStudioServer
    settings: Settings
    project: int
    tasks: list[int]
    refresher: Refresher = field(init=False)

    def __post_init__(self) -> None:
        self.refresher = Refresher(self.settings)

    def refresh(
        self, *reasons: str, progress: Callable[[str, int, int], None] = lambda *_: None
    ) -> RefreshResult:
        return self.refresher.refresh(self.project, reasons or ("poll",), progress)

    def annotate(self, number: int, label: str | None = None) -> None:
        label = label or CLASSES[number % 2]
        self.server.api("POST", f"/api/tasks/{self.tasks[number]}/annotations/", {"result": choice(label)})

    def task(self, number: int) -> dict[str, Any]:
        return dict(self.server.api("GET", f"/api/tasks/{self.tasks[number]}/"))

    def shown(self, number: int) -> dict[str, Any]:
        data = self.task(number)["data"]
        return {name.removeprefix("lineup_"): v for name, v in data.items() if name.startswith("lineup_")}

    def versions(self) -> dict[str, int]:
        return dict(self.server.api("GET", f"/api/projects/{self.project}/model-versions/"))

    def info(self) -> dict[str, Any]:
        return dict(self.server.api("GET", f"/api/projects/{self.project}/"))

    def titles(self) -> list[str]:
        views = self.server.api("GET", "/api/dm/views/", params={"project": self.project})
        return [view["data"]["title"] for view in views]

    def next_task(self) -> dict[str, Any]:
        return dict(
            self.server.api("POST", "/api/dm/actions", {}, {"id": "next_task", "project": self.project})
        )

    def state(self) -> Project:
        from backend.labelstudio.reader import read_project

        return Project.open(self.settings, read_project(self.refresher.client, self.project))


@pytest.fixture
def bench(
    label_studio: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Bench]:
    monkeypatch.setattr(publish, "FIELD_BUDGET", 60.0)  # on a busy machine two seconds may be too few for all

    def make(count: int = 16, labelled: int = 8, **settings: Any) -> Bench:
        project = label_studio.create_project(f"refresh {tmp_path.name}", CONFIG)
        tasks: list[dict[str, Any]] = [
            {"data": {"image": picture(number, light=number % 2 == 1), "own": {"number": number}}}
            for number in range(count)
        ]
        for number in range(labelled):
            tasks[number]["annotations"] = [{"result": choice(CLASSES[number % 2])}]
        task_ids = label_studio.import_tasks(project, tasks)
        values = {"embedder": "pixels", "idle_after": 3600.0, "head_size": 4, "exploration": 0.0, **settings}
        return Bench(
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
        )

    return make


def test_the_first_refresh_lines_up_the_project(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.annotate(6, "light")  # the second annotation of a task is wrong: one to one, the newest counts
    result = b.refresh("connect")
    assert result.version.startswith("choices-1-")
    assert (result.tasks, result.labels, result.note) == (16, 8, None)
    assert b.versions() == {result.version: 16}
    info = b.info()
    assert (info["model_version"], info["sampling"]) == (result.version, "Uncertainty sampling")
    wrong, right, unlabelled = b.shown(6), b.shown(2), b.shown(12)
    assert wrong["suspicion"] >= 0.5
    assert (wrong["suggestion"], wrong["reason"], wrong["priority"]) == ("dark", "model disagrees", 0)
    assert right["suspicion"] < 0.5
    assert (unlabelled["suspicion"], unlabelled["suggestion"]) == (0, "dark")
    assert 0 < unlabelled["priority"] < 1
    assert b.task(12)["data"]["own"] == {"number": 12}
    assert b.titles() == ["Label next", "Review suspects"]
    # the big button serves the task of the highest priority, with its pre-annotation
    served = b.next_task()
    assert served["data"]["lineup_priority"] == max(b.shown(n)["priority"] for n in range(16))
    assert served["predictions"][0]["result"][0]["value"]["choices"] == [served["data"]["lineup_suggestion"]]


def test_nothing_changed_means_nothing_is_done(bench: Callable[..., Bench]) -> None:
    b = bench()
    first = b.refresh("connect")
    steps: list[str] = []
    again = b.refresh("poll", progress=lambda step, *_: steps.append(step))
    assert steps == []
    assert again == replace(first, learned=False)
    forced = b.refresh("start")
    assert (forced.version, forced.written) == (first.version, {"predictions": 0, "fields": 0})
    assert b.versions() == {first.version: 16}


def test_while_people_work_only_the_head_is_written_and_idleness_completes_it(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    first = b.refresh("connect")
    b.annotate(8)
    second = b.refresh("ANNOTATION_CREATED")
    assert second.learned
    assert second.version.startswith("choices-2-")
    # the first version has few predictions: it is gone at once, and the head is all there is
    assert b.versions() == {second.version: 4}
    assert b.info()["model_version"] == second.version
    assert b.next_task()["data"]["lineup_priority"] == 0.999
    assert first.version != second.version
    assert b.refresher.idle_step(b.project, lambda: False)  # somebody has just submitted
    assert b.versions() == {second.version: 4}
    b.settings.idle_after = 0.0
    assert not b.refresher.idle_step(b.project, lambda: False)
    assert b.versions() == {second.version: 16}


def test_idle_work_stops_when_someone_comes(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    b = bench()
    b.refresh("connect")
    b.annotate(8)
    result = b.refresh("ANNOTATION_CREATED")
    b.settings.idle_after = 0.0
    monkeypatch.setattr("backend.stream.BULK_TASKS", 0)
    asked = 0

    def someone_comes() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    assert b.refresher.idle_step(b.project, someone_comes)
    assert 4 <= b.versions()[result.version] < 16
    assert not b.refresher.idle_step(b.project, lambda: False)
    assert b.versions() == {result.version: 16}


def test_with_nothing_left_to_label_the_project_serves_what_it_served(bench: Callable[..., Bench]) -> None:
    b = bench(count=9, labelled=8)
    first = b.refresh("connect")
    b.annotate(8)
    second = b.refresh("ANNOTATION_CREATED")
    assert second.learned
    assert b.info()["model_version"] == first.version
    assert b.versions() == {first.version: 9}
    b.settings.idle_after = 0.0
    assert not b.refresher.idle_step(b.project, lambda: False)
    assert b.info()["model_version"] == second.version
    assert b.versions() == {second.version: 9}


def test_one_class_gives_an_order_and_says_why_there_are_no_scores(bench: Callable[..., Bench]) -> None:
    b = bench(labelled=1)
    result = b.refresh("connect")
    assert result.version == UNTRAINED
    assert result.note is not None
    assert "at least 2 classes" in result.note
    assert b.versions() == {UNTRAINED: 16}
    assert b.shown(5)["priority"] > 0
    assert b.shown(5)["suggestion"] == ""
    b.annotate(1)  # the first light one: two labels of two classes are enough
    trained = b.refresh("ANNOTATION_CREATED")
    assert trained.version.startswith("choices-1-")
    assert b.shown(0)["reason"] == "not enough labels"


def test_a_review_ends_the_suspicion(bench: Callable[..., Bench]) -> None:
    b = bench(count=24, labelled=20)
    b.annotate(6, "light")
    b.refresh("connect")
    assert b.shown(6)["suspicion"] >= 0.5
    newest = max(b.task(6)["annotations"], key=lambda a: a["id"])
    b.server.api("PATCH", f"/api/annotations/{newest['id']}/", {"result": choice("light")})
    b.refresh("ANNOTATION_UPDATED")
    assert (b.shown(6)["suspicion"], b.shown(6)["reason"]) == (0, "reviewed")


def test_a_rollback_stays_until_there_is_something_new_to_learn(bench: Callable[..., Bench]) -> None:
    b = bench()
    first = b.refresh("connect")
    b.annotate(8)
    b.refresh("ANNOTATION_CREATED")
    b.state().registry.publish(first.version)
    pin(b.settings, b.project)
    assert b.refresh("rollback").version == first.version
    assert b.info()["model_version"] == first.version
    assert b.refresh("start").version == first.version
    b.annotate(9)
    assert b.refresh("ANNOTATION_CREATED").version.startswith("choices-3-")


def test_new_tasks_and_old_ones_stand_in_one_order(bench: Callable[..., Bench]) -> None:
    b = bench()
    first = b.refresh("connect")
    more = [{"data": {"image": picture(n, light=n % 2 == 1)}} for n in range(50, 60)]
    b.tasks += b.server.import_tasks(b.project, more)
    second = b.refresh("TASKS_CREATED")
    assert second.version == first.version
    tasks = [b.task(number) for number in range(8, 26)]
    priorities = {task["id"]: task["data"]["lineup_priority"] for task in tasks}
    scores = {task["id"]: task["predictions"][0]["score"] for task in tasks}
    head = sorted(priorities, key=priorities.__getitem__, reverse=True)[:4]
    assert sorted(scores, key=scores.__getitem__)[:4] == head
    assert b.next_task()["id"] == head[0]


def test_a_skipped_task_does_not_hold_up_the_head(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.refresh("connect")
    for _ in range(4):
        task = b.next_task()
        b.server.api("POST", f"/api/tasks/{task['id']}/annotations/", {"result": [], "was_cancelled": True})
    result = b.refresh("ANNOTATION_CREATED")
    assert [p["model_version"] for p in b.next_task()["predictions"]] == [result.version]


def test_a_correction_taken_back_is_learned(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.refresh("connect")
    annotation = b.task(2)["annotations"][0]["id"]
    seen = []
    for label in ("light", "dark"):
        b.server.api("PATCH", f"/api/annotations/{annotation}/", {"result": choice(label)})
        seen.append(b.refresh("ANNOTATION_UPDATED").version)
    assert seen[1].startswith("choices-3-")


def test_a_publish_cut_short_is_finished_under_its_own_version(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    b = bench()
    real = publish.Publisher.switch
    monkeypatch.setattr(publish.Publisher, "switch", lambda *_: pytest.fail("the answer got lost"))
    with pytest.raises(pytest.fail.Exception, match="got lost"):
        b.refresh("connect")
    b.state().store.delete_posted(b.state().registry.ids()[0])
    monkeypatch.setattr(publish.Publisher, "switch", real)
    result = b.refresh("poll")
    assert result.version.startswith("choices-1-")
    assert b.versions() == {result.version: 16}


def test_a_changed_config_is_a_new_problem_for_the_head_but_not_for_the_vectors(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    b = bench()
    before = b.refresh("connect")
    wider = CONFIG.replace('<Choice value="light"/>', '<Choice value="light"/><Choice value="odd"/>')
    b.server.api("PATCH", f"/api/projects/{b.project}/", {"label_config": wider})
    monkeypatch.setattr(b.refresher.fetcher, "fetch", lambda *_: pytest.fail("an image was fetched again"))
    after = b.refresh("PROJECT_UPDATED")
    assert after.version.startswith("choices-2-")
    assert after.version != before.version
    assert b.state().registry.manifest(after.version)["classes"] == ["dark", "light", "odd"]


def test_a_control_that_now_allows_several_choices_is_learned_anew(bench: Callable[..., Bench]) -> None:
    b = bench(count=24, labelled=16)
    b.refresh("connect")
    many = CONFIG.replace("<Choices ", '<Choices choice="multiple" ')
    b.server.api("PATCH", f"/api/projects/{b.project}/", {"label_config": many})
    several = b.refresh("PROJECT_UPDATED")
    assert several.version.startswith("multilabel-2-")
    assert several.labels == 16
    assert b.info()["model_version"] == several.version
    # nothing chosen, and both
    for number, names in ((16, []), (17, ["dark", "light"])):
        result = [{**choice("dark")[0], "value": {"choices": names}}] if names else []
        b.server.api("POST", f"/api/tasks/{b.tasks[number]}/annotations/", {"result": result})
    last = b.refresh("ANNOTATION_CREATED")
    assert last.labels == 18
    manifest = b.state().registry.manifest(last.version)
    assert (manifest["kind"], manifest["labels_by_class"]) == ("multilabel", [9, 9])
    assert b.shown(18)["suggestion"] == "dark"
    given = {number: b.state().store.histories()[b.tasks[number]].given for number in (0, 16, 17)}
    assert given == {0: "dark", 16: "none", 17: "dark, light"}
    assert b.shown(0)["suspicion"] < 0.5, "a label of the former config is a set of one"
    assert Refresher(b.settings).refresh(b.project, ("start",), lambda *_: None).version == last.version


def test_a_broken_image_costs_only_its_task(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.tasks += b.server.import_tasks(b.project, [{"data": {"image": "data:image/png;base64,aGVsbG8="}}] * 2)
    b.server.api("PATCH", f"/api/tasks/{b.tasks[17]}/", {"data": {"other": 1}})
    result = b.refresh("connect")
    assert b.versions() == {result.version: 16}
    for number in (16, 17):
        assert (b.shown(number)["reason"], b.shown(number)["priority"]) == ("image unreadable", 0)


def test_deleted_tasks_and_annotations_disappear(bench: Callable[..., Bench]) -> None:
    b = bench()
    assert b.refresh("connect").labels == 8
    b.server.api("DELETE", f"/api/tasks/{b.tasks[15]}/")
    b.server.api("DELETE", f"/api/annotations/{b.task(0)['annotations'][0]['id']}/")
    result = b.refresh("poll")
    assert (result.tasks, result.labels) == (15, 7)


def test_a_new_task_under_a_deleted_ones_number_has_no_past(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.annotate(15, "light")
    b.refresh("connect")
    b.server.api("DELETE", f"/api/tasks/{b.tasks[15]}/")
    [number] = b.server.import_tasks(b.project, [{"data": {"image": picture(99, light=False)}}])
    assert (
        number == b.tasks[15]
    )  # what SQLite does; another database counts on, and this test says nothing there
    result = b.refresh("poll")
    assert number not in b.state().store.histories()
    assert (b.task(15)["predictions"][0]["model_version"], b.shown(15)["suggestion"]) == (
        result.version,
        "dark",
    )


def test_a_prediction_that_a_kill_left_unrecorded_is_found(bench: Callable[..., Bench]) -> None:
    b = bench()
    first = b.refresh("connect")
    stray = {"result": choice("dark"), "score": 0.1, "project": b.project}
    for task, version in (
        (b.tasks[9], first.version),
        (b.tasks[9], "choices-2-deadbeef"),
        (b.tasks[9], "by hand"),
    ):
        b.server.api("POST", "/api/predictions/", {**stray, "task": task, "model_version": version})
    b.annotate(8)
    b.refresher = Refresher(b.settings)
    result = b.refresh("start")
    assert b.versions() == {result.version: 4, "by hand": 1}


def test_what_arrives_after_a_kill_is_not_there_twice_for_long(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    b = bench(idle_after=0.0)

    def killed(name: str, done: int, total: int) -> None:
        if name == "publish predictions":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        b.refresh("connect", progress=killed)
    b.refresher = Refresher(b.settings)
    result = b.refresh("start")
    assert b.versions() == {result.version: 16}
    late = [
        {"task": task, "result": choice("dark"), "score": 0.5, "model_version": result.version}
        for task in b.tasks
    ]
    b.server.api("POST", f"/api/projects/{b.project}/import/predictions", late)
    assert b.versions() == {result.version: 32}
    assert b.refresher.idle_step(b.project, lambda: False), "the last of it may still be on its way"
    monkeypatch.setattr(idle, "LATE", 0.0)
    assert not b.refresher.idle_step(b.project, lambda: False)
    assert b.versions() == {result.version: 16}
    assert all(len(b.task(number)["predictions"]) == 1 for number in range(16))


def test_a_deleted_project_is_looked_after_no_longer(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.refresh("connect")
    assert b.refresher.known_projects() == [b.project]
    b.server.api("DELETE", f"/api/projects/{b.project}/")
    assert "does not have this project" in str(b.refresh("poll").note)
    assert b.refresher.known_projects() == []


def test_queue_off_writes_nothing_and_still_learns(bench: Callable[..., Bench]) -> None:
    b = bench(queue="off")
    before = b.info()
    result = b.refresh("connect")
    assert result.version.startswith("choices-1-")
    assert b.state().served() == result.version
    assert b.versions() == {}
    assert b.shown(3) == {}
    assert b.server.api("GET", "/api/dm/views/", params={"project": b.project}) == []
    assert b.info() == before


def test_what_a_person_set_afterwards_is_left_alone(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.refresh("connect")
    b.server.api("PATCH", f"/api/projects/{b.project}/", {"sampling": "Sequential sampling"})
    view = b.server.api("GET", "/api/dm/views/", params={"project": b.project})[0]
    b.server.api("DELETE", f"/api/dm/views/{view['id']}/")
    for number in (8, 9):
        b.annotate(number)
        b.refresh("ANNOTATION_CREATED")
    assert b.info()["sampling"] == "Sequential sampling"
    assert b.titles() == ["Review suspects"]
    # until Lineup is connected again
    b.state().store.set_meta(TAKE_BACK, True)
    b.refresh("connect")
    assert b.info()["sampling"] == "Uncertainty sampling"
    assert sorted(b.titles()) == ["Label next", "Review suspects"]


@pytest.mark.parametrize(
    "at", [("publish predictions", 0), ("publish predictions", 2), ("publish fields", 1), ("order", 0)]
)
def test_a_refresh_cut_short_is_healed_by_the_next(bench: Callable[..., Bench], at: tuple[str, int]) -> None:
    b = bench()
    first = b.refresh("connect")
    b.annotate(8)
    step, times = at
    seen = 0

    def cut(name: str, done: int, total: int) -> None:
        nonlocal seen
        if name == step:
            seen += 1
            if seen > times:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        b.refresh("ANNOTATION_CREATED", progress=cut)
    assert b.info()["model_version"] in (first.version, b.state().served())
    b.refresher = Refresher(b.settings)
    healed = b.refresh("start")
    assert b.versions() == {healed.version: 4}
    assert b.info()["model_version"] == healed.version == b.state().served()
    assert b.next_task()["data"]["lineup_priority"] == 0.999
    assert b.refresh("start").written == {"predictions": 0, "fields": 0}
