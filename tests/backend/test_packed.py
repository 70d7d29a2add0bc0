"""Results with masks are kept small, and come back as they were."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.packed import PackedResult, pack
from backend.snapshot import AnnotationRecord, Judged, SnapshotStore, TaskRecord
from ml.masks import MaskError
from tests.backend.labelstudio.mask_projects import BRUSH, POLYGON, blobs, mask_kind, polygon

BRUSHED = mask_kind(BRUSH).result(blobs((60, 80), 1), 1)
WAVE = [[10 + n / 2, 50 + 20 * float(np.sin(n))] for n in range(100)]


def plain(result: Any) -> list[dict[str, Any]]:
    """Return a result with its outlines as lists again."""
    regions = []
    for region in result:
        value = dict(region["value"])
        if "rle" in value:
            value["rle"] = list(bytes(value["rle"]))
        if "points" in value:
            value["points"] = np.asarray(value["points"]).tolist()
        regions.append({**region, "value": value})
    return regions


def annotated(number: int, result: Any, at: str = "2026-01-01T00:00:00Z") -> TaskRecord:
    annotation = AnnotationRecord(number, 1, False, False, at, at, result)
    return TaskRecord(number, {"image": f"{number}.png"}, True, at, (annotation,), "2026-01-01T00:00:00Z")


@pytest.mark.parametrize("result", [BRUSHED, [polygon(WAVE, "cat")], [*BRUSHED, polygon(WAVE, "dog")]])
def test_what_is_packed_comes_back(result: list[dict[str, Any]]) -> None:
    packed = pack(result)
    assert isinstance(packed, PackedResult)
    assert plain(packed) == result
    assert plain(packed[1:]) == result[1:]
    assert len(packed) == len(result)
    assert len(packed.line) < len(json.dumps(result))
    assert packed == pack(json.loads(json.dumps(result)))
    assert packed != pack(result[::-1] if len(result) > 1 else [polygon(WAVE[::-1], "cat")])


@pytest.mark.parametrize("result", [
    [], [{"type": "choices", "value": {"choices": ["a"]}}], [polygon(WAVE[:5], "cat")], [{"value": "x"}], ["text"],
    [{"value": {"rle": "A" * 100, "brushlabels": ["cat"]}}],
])  # fmt: skip
def test_what_is_short_or_no_outline_stays(result: list[Any]) -> None:
    assert pack(result) is result


def test_the_store_keeps_outlines_apart_and_gives_them_when_asked(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshot.sqlite")
    other = mask_kind(BRUSH).result(blobs((60, 80), 2), 1)
    read = [annotated(1, pack(BRUSHED)), annotated(2, pack(other)), annotated(3, [])]
    stored = store.upsert(read)
    assert stored == read
    loaded = store.load().tasks
    assert list(loaded.values()) == read
    assert plain(loaded[2].annotations[0].result) == other
    # what came from the store can be stored again
    assert plain(store.upsert([replace(loaded[2], is_labeled=False)])[0].annotations[0].result) == other
    held = loaded[1].annotations[0].result
    store.upsert([annotated(1, pack(other))])
    with pytest.raises(MaskError, match="has changed since"):
        plain(held)
    store.delete([1, 2])
    with pytest.raises(MaskError, match="is gone"):
        plain(held)
    assert plain(store.load().tasks[3].annotations[0].result) == []


def test_outlines_are_not_in_memory(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshot.sqlite")
    noise = np.random.default_rng(0).integers(1, 3, (100, 150)).astype(np.uint8)
    drawn = mask_kind(BRUSH).result(noise, 1)
    assert sum(len(region["value"]["rle"]) for region in drawn) > 20_000
    store.upsert(annotated(number, pack(drawn)) for number in range(100))
    tracemalloc.start()
    loaded = store.load()
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(loaded.tasks) == 100
    # as lists of numbers they take 16 MB
    assert held < 500_000
    assert most < 1_000_000


def test_a_mask_is_made_of_what_the_store_has(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshot.sqlite")
    for label_config in (BRUSH, POLYGON):
        kind, mask = mask_kind(label_config), blobs((60, 80), 6)
        result = kind.result(mask, 1)
        store.upsert([annotated(1, pack(result))])
        label = kind.target(store.load().tasks[1].annotations[0].result)
        assert label is not None
        assert label == kind.target(result)
        assert np.array_equal(kind.mask(label), kind.mask(kind.target(result) or label))


def test_findings_stay_with_the_task(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshot.sqlite")
    store.upsert([annotated(1, []), annotated(2, [])])
    first = Judged("cat #0123456789abcdef", {"dice": 0.5, "dice_by_class": {"cat": 0.5}})
    store.put_judged({1: first, 2: first})
    store.put_judged({2: replace(first, findings={"dice": 0.75})})
    assert store.judged() == {1: first, 2: replace(first, findings={"dice": 0.75})}
    store.delete([1])
    assert list(store.judged()) == [2]
