"""Outlines of masks are on disk while a project is exported or read as a set."""

from __future__ import annotations

import csv
import gc
import tracemalloc
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from backend.export import masks as exporting
from backend.export.known import Known
from backend.labelstudio.client import LabelStudioClient
from backend.packed import pack
from backend.settings import Settings
from backend.snapshot import TaskRecord
from backend.spooled import spool
from tests.backend.labelstudio.mask_projects import BRUSH, mask_kind
from tests.backend.test_packed import annotated, plain

KIND = mask_kind(BRUSH)
SHAPE = (100, 150)
TASKS = 400


@cache
def drawn(seed: int) -> list[dict[str, Any]]:
    """Return a result whose outlines take 20 kB, and compressed hardly less."""
    return KIND.result(np.random.default_rng(seed).integers(1, 3, SHAPE).astype(np.uint8), 1)


def pages(*_: object, **__: object) -> Iterator[list[TaskRecord]]:
    for first in range(1, TASKS + 1, 10):
        yield [annotated(number, pack(drawn(number % 5))) for number in range(first, first + 10)]


def test_outlines_are_there_as_long_as_a_task_is(tmp_path: Path) -> None:
    read = [task for page in spool(pages(), tmp_path / "cache") for task in page]
    assert [task.id for task in read] == list(range(1, TASKS + 1))
    one = read[6].annotations[0].result
    del read
    gc.collect()
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert plain(one) == drawn(2)
    del one
    gc.collect()
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_export_holds_no_outlines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "read_tasks", pages)
    monkeypatch.setattr(exporting, "default_cache", lambda: tmp_path / "cache")
    settings = Settings(_env_file=None, label_studio_url="http://localhost", model_dir=tmp_path / "models")
    client = cast(LabelStudioClient, None)  # it is not asked for anything
    tracemalloc.start()
    exporting.export_masks(
        client,
        settings,
        3,
        KIND,
        Known({}, {}, {}, 0.5),
        "csv",
        tmp_path / "out.csv",
        drop_suspects=False,
        force=False,
    )
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with (tmp_path / "out.csv").open() as file:
        assert len(list(csv.DictReader(file))) == TASKS
    size = sum(len(pack(drawn(number % 5)).read()) for number in range(TASKS))
    assert most < size / 2
    gc.collect()
    assert list((tmp_path / "cache").iterdir()) == []
