"""Refreshes of projects of masks against a real Label Studio: what people see afterwards."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from backend import refresh
from backend.labelstudio.segmentation import is_suspect
from backend.predict import Predictor
from backend.refresh import Refresher
from backend.registry import UNTRAINED
from backend.segmentation import evidence, pixels
from backend.segmentation.memory import FILE, Memory
from ml.images import ImageError
from ml.segmentation.probe import ProbeFit
from ml.segmentation.sizes import shrink_mask
from ml.vectors import content_key
from tests.backend.segmentation.shapes import CLASSES, SIDE, ShapesBench, config, dice, picture, scene, uri

Make = Callable[..., ShapesBench]


def without(number: int, gone: int) -> np.ndarray:
    """Return the mask of a scene without one of its things."""
    mask = scene(number).copy()
    mask[mask == gone] = 0
    return mask


def test_masks_are_learned_and_come_back_as_predictions(shapes: Make) -> None:
    b = shapes()
    result = b.refresh("connect")
    assert result.version.startswith("segmentation-1-")
    assert (result.tasks, result.labels, result.note) == (16, 10, None)
    assert result.accuracy is not None
    assert result.accuracy > 0.8, "the colours tell the classes"
    assert result.stop is None
    b.idle()
    assert b.info()["model_version"] == result.version
    for number in (10, 13, 15):
        found = b.predicted(number)
        assert {region["type"] for region in found} == {"brushlabels"}
        assert dice(b.mask(found), scene(number)) > 0.8
        shown = b.shown(number)
        assert 0 < shown["priority"] < 1
        assert shown["suspicion"] == 0
        assert "disc" in shown["suggestion"]
        assert "square" in shown["suggestion"]
        assert 0.5 < shown["confidence"] <= 1
    manifest = b.state().registry.manifest(result.version)
    assert manifest["classes"] == list(CLASSES)
    assert manifest["labels_by_class"][1:] == [10, 10]
    assert manifest["masks"] == 10


def test_a_damaged_mask_is_the_first_suspect_and_shows_where(shapes: Make) -> None:
    b = shapes(count=24, drawn=20, masks={7: without(7, 1)})
    b.refresh("connect")
    b.idle()
    suspicion = {number: b.shown(number)["suspicion"] for number in range(20)}
    shown = b.shown(7)
    others = [value for number, value in suspicion.items() if number != 7]
    assert shown["suspicion"] > 3 * max(others)
    assert shown["reason"] == "object missing"
    assert "disc" in shown["suggestion"]
    pointed = [region for region in b.predicted(7) if is_suspect(region)]
    assert pointed
    assert pointed[0]["meta"]["text"] == ["object missing"]
    assert dice(b.mask(b.predicted(7)), scene(7)) > 0.8, "the region is no part of the mask"
    assert not any(is_suspect(region) for region in b.predicted(21))
    judged = b.state().store.judged()
    assert set(judged) == set(b.tasks[:20])
    assert judged[b.tasks[7]].findings["dice"] == min(one.findings["dice"] for one in judged.values())


def test_the_same_again_learns_and_writes_nothing(shapes: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    b = shapes()
    first = b.refresh("connect")
    b.idle()
    fit = Mock(side_effect=AssertionError("there is nothing new to learn"))
    monkeypatch.setattr("backend.segmentation.learning.fit_probe", fit)
    again = b.refresh("full")
    assert (again.version, again.learned) == (first.version, False)
    assert again.written == {"predictions": 0, "fields": 0}
    b.refresher = Refresher(b.settings)  # another process
    later = b.refresh("full")
    assert (later.version, later.learned) == (first.version, False)
    assert later.written == {"predictions": 0, "fields": 0}


def test_near_duplicates_are_judged_by_a_head_that_has_seen_neither(shapes: Make) -> None:
    brighter = {
        number: picture(number - 5).point(lambda value: min(value + 1, 255)) for number in range(5, 10)
    }
    masks = {number: scene(number - 5) for number in brighter}
    b = shapes(uris={number: uri(image) for number, image in brighter.items()}, masks=masks)
    result = b.refresh("connect")
    registry = b.state().registry
    folds = ProbeFit.from_arrays(registry.load(result.version).arrays).folds
    assert folds[:5].tolist() == folds[5:].tolist()
    assert len(set(folds.tolist())) == 5


def test_one_more_mask_is_a_new_version(shapes: Make) -> None:
    b = shapes()
    first = b.refresh("connect")
    b.draw(12)
    second = b.refresh("ANNOTATION_CREATED")
    assert second.learned
    assert (first.labels, second.labels) == (10, 11)
    assert second.version.startswith("segmentation-2-")


def test_without_two_masks_the_queue_goes_by_the_images(shapes: Make) -> None:
    b = shapes(drawn=1)
    result = b.refresh("connect")
    assert result.version == UNTRAINED
    assert result.note
    assert b.shown(5)["priority"] > 0
    assert b.shown(5)["suggestion"] == ""


def test_a_changed_config_is_learned_anew(shapes: Make) -> None:
    b = shapes()
    first = b.refresh("connect")
    b.label_config = config(labels='<Label value="disc"/><Label value="square"/><Label value="third"/>')
    b.server.api("PATCH", f"/api/projects/{b.project}/", {"label_config": b.label_config})
    second = b.refresh()
    assert second.learned
    assert second.version != first.version
    assert b.state().registry.manifest(second.version)["classes"] == [*CLASSES, "third"]
    b.idle()
    assert dice(b.mask(b.predicted(14)), scene(14)) > 0.8


@pytest.mark.parametrize(
    "labels",
    [
        '<Label value="square"/><Label value="disc"/>',
        '<Label value="disc"/><Label value="square"/><Label value="third"/>',
    ],
)
def test_what_was_found_with_other_labels_is_not_taken_up(
    shapes: Make, monkeypatch: pytest.MonkeyPatch, labels: str
) -> None:
    b = shapes(masks={7: without(7, 1)})
    b.refresh("connect")
    monkeypatch.setattr(evidence, "SECONDS", -1.0)  # nothing old is asked about again
    b.label_config = config(labels=labels)
    b.server.api("PATCH", f"/api/projects/{b.project}/", {"label_config": b.label_config})
    assert b.refresh().learned
    shares = [float(b.shown(number)["suggestion"].split("disc ")[1].split(" ")[0]) for number in (8, 14)]
    real = [100 * float((scene(number) == 1).mean()) for number in (8, 14)]
    assert np.allclose(shares, real, atol=1.5)


def test_predict_answers_with_a_mask(shapes: Make) -> None:
    b = shapes()
    version = b.refresh("connect").version
    predictor = Predictor(b.settings, lambda *_: None)
    try:
        known = {"id": b.tasks[11], "data": b.task(11)["data"]}
        new = {"id": 10**6, "data": {"image": uri(picture(500))}}
        broken = {"id": 10**6 + 1, "data": {"image": "data:image/png;base64,AAAA"}}
        answers = predictor.predict(b.project, [known, new, broken], b.label_config)
    finally:
        predictor.close()
    assert [answer["model_version"] for answer in answers] == [version] * 3
    assert dice(b.mask(answers[0]["result"]), scene(11)) > 0.8
    assert dice(b.mask(answers[1]["result"]), scene(500)) > 0.8
    assert answers[2]["result"] == []


def test_a_broken_image_and_a_broken_region_cost_one_task_each(shapes: Make) -> None:
    b = shapes(uris={3: "data:image/png;base64,AAAA", 14: "data:image/png;base64,AAAA"})
    regions = b.kind.result(scene(12), 1.0)
    regions[0]["value"]["rle"] = regions[0]["value"]["rle"][:10]
    b.annotate(12, regions)
    turned = b.kind.result(np.zeros((SIDE // 2, SIDE), np.uint8) + 1, 1.0)
    b.annotate(13, turned)  # drawn on an image of another shape
    result = b.refresh("connect")
    assert result.learned
    assert b.state().registry.manifest(result.version)["masks"] == 9
    assert b.shown(3)["reason"] == "image unreadable"
    assert b.shown(14)["priority"] == 0
    b.idle()
    assert b.predicted(14) == []
    assert dice(b.mask(b.predicted(15)), scene(15)) > 0.8


def test_images_without_features_are_tried_again_and_then_learned_and_predicted(
    shapes: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = shapes()
    real = pixels.decode_reduced

    def damaged(data: bytes, **how: Any) -> Any:
        if content_key(data) in {content_key(base64.b64decode(uri(picture(n))[22:])) for n in (3, 12)}:
            raise ImageError("it cannot be read at this moment")
        return real(data, **how)

    with monkeypatch.context() as patched:
        patched.setattr(pixels, "decode_reduced", damaged)
        first = b.refresh("connect")
    assert b.state().registry.manifest(first.version)["masks"] == 9
    b.idle()
    assert b.versions() == {first.version: 14}, "nothing is said of an image that cannot be read"
    assert b.refresh("poll").version == first.version
    for module in (refresh, pixels):
        monkeypatch.setattr(module, "RETRY_BROKEN_AFTER", -1.0)
    second = b.refresh("poll")
    assert second.learned
    assert b.state().registry.manifest(second.version)["masks"] == 10
    b.idle()
    assert dice(b.mask(b.predicted(12)), scene(12)) > 0.8
    begun = Mock()
    b.refresher.refresh(b.project, ("poll",), lambda *_: None, begun)
    assert not begun.called, "nothing is left to try"


@pytest.mark.parametrize("step", ["pixels", "masks", "learn", "judge", "predict", "switch"])
def test_a_kill_between_steps_is_made_good(shapes: Make, step: str) -> None:
    b = shapes()

    class Killed(Exception):
        pass

    def progress(name: str, done: int, total: int) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        b.refresh("connect", progress=progress)
    b.refresher = Refresher(b.settings)
    result = b.refresh("poll")
    assert result.version.startswith("segmentation-1-")
    b.idle()
    assert dice(b.mask(b.predicted(15)), scene(15)) > 0.8
    assert b.versions() == {result.version: 16}


def test_polygons_are_learned_and_predicted(shapes: Make) -> None:
    b = shapes(tag="PolygonLabels")
    result = b.refresh("connect")
    assert result.accuracy is not None
    assert result.accuracy > 0.8
    b.idle()
    found = b.predicted(12)
    assert {region["type"] for region in found} == {"polygonlabels"}
    assert dice(b.mask(found), scene(12)) > 0.75


def test_features_and_masks_are_made_once(shapes: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    b = shapes()
    b.refresh("connect")
    b.draw(12)
    decoded = Mock(side_effect=shrink_mask)
    monkeypatch.setattr(pixels, "decode_reduced", Mock(side_effect=AssertionError("the features are there")))
    monkeypatch.setattr("backend.segmentation.labels.shrink_mask", decoded)
    assert b.refresh("ANNOTATION_CREATED").learned
    assert decoded.call_count == 1


def test_in_a_large_project_some_images_are_asked_about_at_a_time(
    shapes: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "IMAGES", 4)
    monkeypatch.setattr(evidence, "MASKS", 3)
    b = shapes()
    b.refresh("connect")
    memory = Memory(b.state().folder / FILE)

    def asked(name: str, digest: str) -> set[str]:
        return {key for key, found in memory.recall(name).items() if found.source == digest}

    def learned(number: int) -> str:
        b.draw(number)
        return str(b.state().registry.manifest(b.refresh("ANNOTATION_CREATED").version)["digest"])

    second = learned(12)
    images = asked("summaries", second)
    assert len(images) == 4
    assert len(asked("findings", second)) == 3 + 1
    third = learned(13)
    assert len(asked("summaries", third)) == 4
    assert not asked("summaries", third) & images, "those asked about longest ago come first"
    assert len(memory.recall("summaries")) == 16
    assert len(memory.recall("findings")) == 12
    assert all(0 < b.shown(number)["priority"] < 1 for number in (14, 15))


def test_masks_are_judged_by_as_many_threads_as_memory_allows(
    shapes: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.embedders.threads.usable_cpus", lambda: 4)
    monkeypatch.setattr("ml.embedders.threads.WORKER_BYTES", 45_000_000)
    pool = Mock(side_effect=evidence.worker_threads)
    monkeypatch.setattr(evidence, "worker_threads", pool)
    assert shapes().refresh("connect").learned
    assert {call.args[1]: call.args[0] for call in pool.call_args_list} == {"findings": 2, "summaries": 2}
