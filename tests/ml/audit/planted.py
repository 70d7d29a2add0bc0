"""Digits on disk with errors planted among their labels, for tests of the audit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

LONG_AGO = 1_600_000_000  # files that are not just being written


def plant(truth: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Return labels of which a share is another digit."""
    rng = np.random.default_rng(seed)
    labels = truth.copy()
    rows = rng.permutation(len(truth))[: round(share * len(truth))]
    labels[rows] = (labels[rows] + rng.integers(1, 10, len(rows))) % 10
    return labels


def make_digits(folder: Path, n: int, share: float, seed: int = 0) -> Path:
    """Write ``labels.jsonl`` and its images, with the true class in the column ``truth``."""
    digits = load_digits()
    labels = plant(digits.target[:n], share, seed)
    (folder / "images").mkdir(parents=True)
    lines = []
    for row in range(n):
        path = folder / "images" / f"{row:04d}.png"
        pixels = Image.fromarray(np.uint8(255 - digits.images[row] * (255 / 16)))
        pixels.resize((32, 32), Image.Resampling.BICUBIC).save(path)
        os.utime(path, (LONG_AGO, LONG_AGO))
        entry = {
            "image": f"images/{path.name}",
            "label": str(labels[row]),
            "truth": str(digits.target[row]),
            "given": "the user's own column",
        }
        lines.append(json.dumps(entry))
    path = folder / "labels.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
