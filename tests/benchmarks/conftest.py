"""scikit-learn's digits in the form of the benchmarks' sets, with labels as wrong as people's."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

from benchmarks.__main__ import main
from benchmarks.data import MODEL, SIDE
from benchmarks.report import load


def human_errors(X: np.ndarray, y: np.ndarray, share: float) -> np.ndarray:
    """Return labels of which ``share`` are wrong: hard images more often, mostly for what they look like."""
    rng = np.random.default_rng(0)
    likely = GaussianNB(var_smoothing=0.1).fit(X, y).predict_proba(X) + 0.02
    likely[np.arange(len(y)), y] = 0.0
    hard = likely.sum(axis=1)
    wrong = rng.choice(len(y), round(share * len(y)), replace=False, p=(0.2 + hard) / (0.2 + hard).sum())
    labels = y.copy()
    labels[wrong] = [rng.choice(10, p=likely[row] / hard[row]) for row in wrong]
    return labels


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two sets of digits, and in `cache` the vectors of both (pixels)."""
    folder = tmp_path_factory.mktemp("sets")
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    files = [_jpeg(image) for image in X.reshape(-1, 8, 8)]
    images = {
        "jpeg": np.frombuffer(b"".join(files), dtype=np.uint8),
        "offset": np.cumsum([0, *map(len, files)]),
    }
    few, many = human_errors(X, y, 0.1), human_errors(X, y, 0.35)
    np.savez(folder / "cifar10n_20k.npz", **images, clean_label=y, aggre_label=few, worse_label=many)
    np.savez(folder / "flowers5_128.npz", **images, labels=y)
    (folder / "cache").mkdir()
    for name in ("cifar10n_20k", "flowers5_128"):
        np.save(folder / "cache" / f"{name}-{MODEL}-{SIDE}.npy", X.astype(np.float16))
    return folder


Bench = Callable[..., dict[str, Any]]


@pytest.fixture
def bench(digits: Path, tmp_path: Path) -> Bench:
    """A call that runs a benchmark on the digits as the command line does, and returns what it wrote."""

    def run(name: str, *arguments: str) -> dict[str, Any]:
        places = ("--data", str(digits), "--cache", str(digits / "cache"), "--results", str(tmp_path))
        assert main([name, *places, *arguments]) == 0
        figures = load(name, tmp_path)
        assert figures is not None
        picture = tmp_path / f"{name}.png"
        assert 5_000 < picture.stat().st_size < 150_000
        return figures

    return run


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((255 * image).astype(np.uint8)).resize((32, 32)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
