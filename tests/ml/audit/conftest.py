"""One audit of digits with planted errors, shared by the tests that only look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.audit import Findings, audit
from ml.datasets import Dataset, read_dataset
from ml.embedders.pixels import PixelsEmbedder
from tests.ml.audit.planted import make_digits


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset's file."""
    return make_digits(tmp_path_factory.mktemp("digits"), 700, 0.1)


@pytest.fixture(scope="session")
def dataset(source: Path) -> Dataset:
    return read_dataset(source)


@pytest.fixture(scope="session")
def found(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return audit(dataset, PixelsEmbedder(), cache=tmp_path_factory.mktemp("cache"), truth="truth")
