"""Small datasets for the tests of trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from ml.datasets import Example

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 40), "blue": (40, 40, 200)}


def coloured(
    folder: Path, each: int = 12, names: tuple[str, ...] = tuple(COLOURS), side: int = 32
) -> list[Example]:
    """Noisy images of one colour each, as files."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    examples = []
    for number in range(each * len(names)):
        name = names[number % len(names)]
        noise = rng.integers(-40, 40, (side, side, 3))
        pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
        path = folder / f"{number:03}.png"
        Image.fromarray(pixels).save(path)
        examples.append(Example(path.name, name, path, f"labels.csv, line {number + 2}"))
    return examples


def digits(folder: Path, count: int | None = None) -> list[Example]:
    """scikit-learn's handwritten digits, 8 x 8 pixels, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    found = load_digits()
    examples = []
    for number, (image, label) in enumerate(zip(found.images[:count], found.target[:count], strict=True)):
        path = folder / f"{number:04}.png"
        Image.fromarray((image * (255 / 16)).astype(np.uint8)).save(path)
        examples.append(Example(path.name, str(label), path, f"digit {number}"))
    return examples


def scrambled(folder: Path, count: int) -> None:
    """Digits whose pixels are shuffled, each in its own way, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number, image in enumerate(load_digits().images[500 : 500 + count]):
        pixels = rng.permuted((image * (255 / 16)).astype(np.uint8).ravel()).reshape(8, 8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
