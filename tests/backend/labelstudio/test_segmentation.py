"""From drawn regions to masks and back, and what cannot be learned."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface
from scipy import ndimage

from backend.labelstudio.config import KINDS, find_kind
from backend.labelstudio.elements import UnsupportedConfig
from backend.labelstudio.mask_label import MaskLabel
from backend.labelstudio.predictions import (
    Prediction,
    import_predictions,
    list_predictions,
    post_prediction,
)
from backend.labelstudio.segmentation import SegmentationKind, tolerance
from backend.labelstudio.targets import resolve
from backend.packed import pack
from backend.snapshot import AnnotationRecord, TaskRecord
from ml.masks import MaskError
from ml.masks.specks import least_piece, without_specks
from tests.backend.labelstudio.mask_projects import (
    BRUSH,
    CLASSES,
    IMAGE,
    LABELS,
    POLYGON,
    blobs,
    config,
    mask_kind,
    polygon,
)

BOTH = config("PolygonLabels", "BrushLabels")
SQUARE = [[25, 25], [75, 25], [75, 75], [25, 75]]


def labelled(kind: SegmentationKind, result: list[dict[str, Any]]) -> MaskLabel:
    """Return the label of a result that counts."""
    label = kind.target(result, 1)
    assert label is not None
    return label


# configs ------------------------------------------------------------------------------------------------
def test_the_first_control_that_can_be_learned_is_taken() -> None:
    kind = mask_kind(config("PolygonLabels", "BrushLabels"))
    assert (kind.name, kind.from_name, kind.to_name, kind.data_key) == ("segmentation", "p", "img", "image")
    assert (kind.shape, kind.controls, kind.classes) == ("polygon", ("p", "b"), CLASSES)
    assert kind.name in KINDS
    broken = '<BrushLabels name="x" toName="img" value="$labels"/>'
    assert mask_kind(f"<View>{IMAGE}{broken}{BRUSH[6:-7].replace(IMAGE, '')}</View>").from_name == "b"


def test_controls_with_other_labels_are_not_mixed() -> None:
    other = '<BrushLabels name="o" toName="img"><Label value="cow"/></BrushLabels>'
    kind = mask_kind(POLYGON.replace("</View>", other + "</View>"))
    assert (kind.controls, kind.aside) == (("p",), ("o",))
    cow = {**polygon(SQUARE, "cow"), "from_name": "o"}
    assert labelled(kind, [cow, polygon(SQUARE, "cat")]) == labelled(kind, [polygon(SQUARE, "cat")])


def test_a_label_background_is_the_implied_class() -> None:
    kind = mask_kind(config("BrushLabels", labels=LABELS + '<Label value="background"/>'))
    assert kind.classes == CLASSES
    cat, erased = (dict(kind.result(np.full((60, 80), n, dtype=np.uint8), 1)[0]) for n in (1, 2))
    erased["value"] = {**erased["value"], "brushlabels": ["background"]}
    assert not kind.mask(labelled(kind, [cat, erased])).any()


def test_choices_come_first() -> None:
    choices = '<Choices name="c" toName="img"><Choice value="a"/><Choice value="b"/></Choices>'
    assert find_kind(BRUSH.replace("</View>", choices + "</View>")).name == "choices"


@pytest.mark.parametrize(("label_config", "words"), [
    (config("BrushLabels", labels=""), "has no <Label>"),
    (config("BrushLabels", labels='<Label value="background"/>'), "implied"),
    (config("PolygonLabels", attributes='value="$labels"'), "task data"),
    (config("PolygonLabels", attributes='choice="multiple"'), "one class"),
    (config("PolygonLabels", labels=LABELS + '<Label value="dog"/>'), r"twice \('dog'\)"),
    (config("PolygonLabels", labels="<Label/>"), "without a value"),
    (config("BitmaskLabels"), "bitmasks .* <BrushLabels>"),
    (f'<View>{IMAGE}<Labels name="l" toName="img">{LABELS}</Labels><Brush name="x" toName="img"/></View>',
     "no predictions for <Labels> with a <Brush>"),
    (BRUSH.replace('value="$image"', 'valueList="$images"'), "valueList"),
])  # fmt: skip
def test_what_cannot_be_learned_is_named(label_config: str, words: str) -> None:
    with pytest.raises(UnsupportedConfig, match=words):
        find_kind(label_config)


# annotations --------------------------------------------------------------------------------------------
@given(
    st.integers(0, 10_000),
    st.sampled_from([(40, 56), (97, 33), (1, 7), (64, 64)]),
    st.integers(2, 5),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_brush_comes_back_exactly(seed: int, shape: tuple[int, int], classes: int, packed: bool) -> None:
    names = "".join(f'<Label value="c{number}"/>' for number in range(1, classes))
    kind = mask_kind(config("BrushLabels", labels=names))
    mask = blobs(shape, seed, classes)
    result = kind.result(mask, 0.5)
    label = kind.target(pack(result) if packed else result)
    assert label is not None
    assert label == kind.target(result)
    assert label.names == tuple(kind.classes[number] for number in np.unique(mask) if number)
    assert np.array_equal(kind.mask(label, shape), mask)
    assert kind.parse(kind.text(label)) == label


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=20, deadline=None)
def test_polygons_come_back_within_the_tolerance(seed: int, packed: bool) -> None:
    kind, mask = mask_kind(POLYGON), blobs((120, 160), seed)
    result = kind.result(mask, 0.5)
    label = kind.target(pack(result) if packed else result)
    assert label is not None
    back = kind.mask(label, mask.shape)
    clean = np.pad(without_specks(mask, least_piece(mask.shape)), 1, constant_values=9)
    down, right = clean[1:] != clean[:-1], clean[:, 1:] != clean[:, :-1]
    rims = np.pad(down, ((1, 0), (0, 0))) | np.pad(down, ((0, 1), (0, 0)))
    rims |= np.pad(right, ((0, 0), (1, 0))) | np.pad(right, ((0, 0), (0, 1)))
    far = ndimage.distance_transform_edt(~rims)[1:-1, 1:-1] > tolerance(mask.shape)
    assert not (far & (back != clean[1:-1, 1:-1])).any()
    assert (back != mask).mean() < 0.05


def test_either_kind_of_region_counts_and_later_ones_lie_on_top() -> None:
    kind = mask_kind(BOTH)
    below = {**mask_kind(BRUSH).result(np.full((60, 80), 1, dtype=np.uint8), 1)[0]}
    mask = kind.mask(labelled(kind, [below, polygon(SQUARE, "dog")]))
    assert (mask[15:45, 20:60] == 2).all()
    assert (mask == 2).sum() == 30 * 40
    assert (mask == 1).sum() == 60 * 80 - 30 * 40
    assert (kind.mask(labelled(kind, [polygon(SQUARE, "dog"), below])) == 1).all()


def test_points_outside_and_holes_by_a_seam() -> None:
    kind = mask_kind(POLYGON)
    outside = [[-50, -50], [50, -50], [50, 150], [-50, 150]]
    assert np.array_equal(np.unique(kind.mask(labelled(kind, [polygon(outside, "cat")]))[:, :40]), [1])
    ring = np.zeros((60, 80), dtype=np.uint8)
    ring[10:50, 10:70], ring[20:40, 20:60] = 1, 0
    assert np.array_equal(kind.mask(labelled(kind, kind.result(ring, 1))), ring)


def test_a_turned_view_moves_nothing_and_another_size_is_scaled() -> None:
    kind, mask = mask_kind(BRUSH), blobs((60, 80), 3)
    turned = [{**region, "image_rotation": 90} for region in kind.result(mask, 1)]
    label = labelled(kind, turned)
    assert np.array_equal(kind.mask(label), mask)
    assert label.size == (60, 80)
    assert np.array_equal(kind.mask(label, (120, 160))[::2, ::2], mask)
    with pytest.raises(MaskError, match="not turned as its EXIF orientation says"):
        kind.mask(label, (80, 60))


def test_nothing_drawn_is_a_label_unless_the_control_asks() -> None:
    kind = mask_kind(BRUSH)
    box = {
        "id": "r",
        "from_name": "r",
        "type": "rectanglelabels",
        "value": {"x": 1, "rectanglelabels": ["cat"]},
    }
    label = labelled(kind, [box])
    assert label == labelled(kind, [])
    assert (label.names, label.size) == ((), None)
    assert kind.text(label) == f"none #{label.digest}"
    assert not kind.mask(label, (3, 4)).any()
    with pytest.raises(MaskError, match="the image must tell"):
        kind.mask(label)
    assert mask_kind(config("BrushLabels", attributes='required="true"')).target([]) is None


def region(**change: Any) -> dict[str, Any]:
    """Return a brush region with something changed in it or in its value."""
    good = mask_kind(BRUSH).result(blobs((60, 80), 1), 1)[0]
    value = {**good["value"], **{key: change.pop(key) for key in list(change) if key in good["value"]}}
    return {**good, "value": value, **change}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("broken", "words"), [
    (region(brushlabels=[]), "has no class"),
    (region(brushlabels=["cat", "dog"]), "several classes"),
    (region(rle=region()["value"]["rle"][:-40]), "ends after"),
    (region(rle=[300] * 100), "0 to 255"),
    (region(rle="abc"), "list of bytes"),
    (region(original_width=40), "pixels, but the image has"),
    (region(original_width=None), "not a size"),
    (polygon([[1, 2], [3, 4]], "cat"), "three points"),
    (polygon([[1, 2]] * 80 + [[float("nan"), 4]], "cat"), "not a number"),
    (polygon([[1, 2], ["a", 4], [5, 6]], "cat"), "pairs of numbers"),
    (polygon(SQUARE, "cat", size=(80, 60)), "another shape"),
    (region(from_name="former"), "no control of the label config"),
])  # fmt: skip
def test_a_broken_region_costs_its_annotation_and_is_named_once(
    broken: dict[str, Any], words: str, packed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    kind = mask_kind(config("BrushLabels", "PolygonLabels"))
    result = [region(), {**broken, "id": "bad"}]
    given_result = pack(result) if packed else result
    with caplog.at_level(logging.WARNING):
        assert kind.target(given_result, 41) is None
        assert kind.target(given_result, 41) is None
    [record] = caplog.records
    assert record.getMessage().startswith("task 41: region 'bad' cannot be used: ")
    assert words in record.getMessage()


GOOD = [region(), polygon([[10 + n / 2, 50 + n % 7] for n in range(80)], "cat"), polygon(SQUARE, "dog")]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 300)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "cat", "rle"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["rle", "points", "packed"]), inner)
    ),
    max_leaves=6,
)


def paths_of(value: Any) -> list[list[Any]]:
    """Return the way to everything in a result; of lists to the beginning."""
    keys = range(min(len(value), 3)) if isinstance(value, list) else value if isinstance(value, dict) else ()
    return [[key, *rest] for key in keys for rest in ([], *paths_of(value[key]))]


@given(st.sampled_from(paths_of(GOOD)), JSON, st.booleans())
@settings(max_examples=400, deadline=None)
def test_whatever_stands_in_a_region_stops_nothing(path: list[Any], value: Any, packed: bool) -> None:
    kind = mask_kind(config("BrushLabels", "PolygonLabels"))
    result = json.loads(json.dumps(GOOD))
    place: Any = result
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    label = kind.target(pack(result) if packed else result, 1)
    assert label is None or kind.mask(label, label.size or (60, 80)).shape == (label.size or (60, 80))


def test_an_unknown_label_costs_its_annotation(caplog: pytest.LogCaptureFixture) -> None:
    kind = mask_kind(POLYGON)
    assert kind.target([polygon(SQUARE, "cat"), polygon(SQUARE, "horse")], 7) is None
    assert "task 7: label 'horse' is not in the label config" in caplog.text


def test_labels_are_told_apart_by_what_is_drawn() -> None:
    kind = mask_kind(BOTH)
    one = labelled(kind, [polygon(SQUARE, "cat")])
    assert one == labelled(kind, [polygon(SQUARE, "cat", id="other")])
    others = [polygon(SQUARE, "dog"), polygon(SQUARE[::-1], "cat"), polygon(SQUARE, "cat", size=(30, 40))]
    assert len({one, *(labelled(kind, [other]) for other in others)}) == 4
    assert (kind.text(one), kind.named(kind.text(one))) == (f"cat #{one.digest}", ["cat"])
    assert kind.parse(f"horse #{one.digest}") is None
    assert kind.parse("cat") is None
    assert kind.named("none #0123456789abcdef") == []


def test_the_newest_mask_counts_and_a_reviewers_before_all() -> None:
    kind = mask_kind(POLYGON)

    def record(number: int, by: int, label: str) -> AnnotationRecord:
        at = f"2026-01-01T00:00:0{number}Z"
        return AnnotationRecord(number, by, False, False, at, at, [polygon(SQUARE, label)])

    task = TaskRecord(
        1, {}, True, "", tuple(record(*one) for one in ((1, 9, "dog"), (2, 2, "cat"), (3, 3, "dog")))
    )
    resolved, reviewers = resolve(task, kind), resolve(task, kind, {"2"})
    assert resolved is not None
    assert reviewers is not None
    assert (resolved.annotation.id, resolved.annotator, np.isnan(resolved.agreement)) == (3, 3, True)
    assert (reviewers.annotation.id, reviewers.annotator) == (2, 2)


# predictions --------------------------------------------------------------------------------------------
def test_regions_have_their_score_size_and_a_stable_id() -> None:
    for label_config in (BRUSH, POLYGON):
        kind, mask = mask_kind(label_config), blobs((60, 80), 5)
        result = kind.result(mask, {"cat": 0.25, "dog": 0.123456})
        assert result == kind.result(mask, {"cat": 0.25, "dog": 0.123456})
        assert {region["score"] for region in result} == {0.25, 0.1235}
        assert {(r["original_height"], r["original_width"]) for r in result} == {(60, 80)}
        assert len({region["id"] for region in result}) == len(result)
        prediction = {"task": 1, "result": result, "score": 0.5, "model_version": "v"}
        assert LabelInterface(label_config).validate_prediction(prediction, return_errors=True) == []
        assert kind.result(np.zeros_like(mask), 0.5) == []


def test_specks_are_left_out_of_polygons_and_things_kept() -> None:
    mask = np.zeros((200, 300), dtype=np.uint8)
    mask[50:150, 50:150] = 1
    mask[100, 100], mask[10, 10], mask[0, :3], mask[180:186, 280:290] = 0, 2, 2, 2
    kind = mask_kind(POLYGON)
    back = kind.mask(labelled(kind, kind.result(mask, 1)))
    wanted = mask.copy()
    wanted[100, 100], wanted[10, 10], wanted[0, :3] = 1, 0, 0
    assert np.array_equal(back, wanted)


@pytest.mark.parametrize("label_config", [BRUSH, POLYGON])
def test_the_suspected_place_is_no_part_of_a_label(label_config: str) -> None:
    kind, mask = mask_kind(label_config), blobs((60, 80), 2)
    where = np.zeros((60, 80), dtype=bool)
    where[5:20, 5:30] = where[40:50, 50:70] = True
    shown = kind.suspect_region(where, "object missing", 0.87654)
    assert {region["score"] for region in shown} == {0.8765}
    assert all(region["meta"] == {"text": ["object missing"]} for region in shown)
    result = [*kind.result(mask, 0.5), *shown]
    prediction = {"task": 1, "result": result, "score": 0.5, "model_version": "v"}
    assert LabelInterface(label_config).validate_prediction(prediction, return_errors=True) == []
    assert kind.target(result) == kind.target(result[: -len(shown)])
    assert kind.suspect_region(np.zeros_like(where), "nothing") == []
    # somebody says that there is a thing indeed
    key = f"{kind.shape}labels"
    taken = [{**region, "value": {**region["value"], key: ["cat"]}} for region in shown]
    assert (kind.mask(labelled(kind, taken)) == where).all()


class TestReal:
    @pytest.mark.parametrize("label_config", [BRUSH, POLYGON])
    def test_masks_and_suspected_places_are_stored_and_come_back(
        self, label_studio: Any, live: Any, label_config: str
    ) -> None:
        kind, mask = mask_kind(label_config), blobs((60, 80), 4)
        project = label_studio.create_project("predicted masks", label_config)
        ids = label_studio.import_tasks(project, [{"data": {"image": f"s3://b/{n}.png"}} for n in range(4)])
        where = np.zeros((60, 80), dtype=bool)
        where[5:20, 5:30] = True
        plain = kind.result(mask, 0.75)
        marked = [*plain, *kind.suspect_region(where, "object missing")]
        made = []

        def make() -> list[dict[str, Any]]:
            made.append(1)
            return marked

        late = [Prediction(task, make, 0.5, "v1") for task in ids[2:]]
        assert (
            import_predictions(
                live, project, label_config, [Prediction(ids[0], plain, 0.5, "v1"), late[0]]
            ).created
            == 2
        )
        post_prediction(live, project, Prediction(ids[1], plain, 0.5, "v1"))
        post_prediction(live, project, late[1])
        assert len(made) == 2
        stored = {
            task: live.get(f"/api/predictions/{number}/")["result"]
            for number, task in list_predictions(live, project, "v1").items()
        }
        assert [stored[task] for task in ids] == [plain, plain, marked, marked]
        # the server's own way from predictions to annotations
        label_studio.api(
            "POST",
            "/api/dm/actions",
            {"selectedItems": {"all": True, "excluded": []}, "model_version": "v1"},
            {"id": "predictions_to_annotations", "project": project},
        )
        for task in ids:
            [annotation] = live.get(f"/api/tasks/{task}/")["annotations"]
            label = kind.target(annotation["result"])
            assert label == kind.target(plain)
