"""Pictures of a training: learning curves, a confusion matrix, and contact sheets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_MOST_NAMED = 40  # classes whose names still fit beside a matrix


def draw_curves(
    history: Sequence[dict[str, Any]], path: Path, curves: Sequence[Sequence[tuple[str, str]]]
) -> None:
    """Draw figures over epochs.

    Parameters
    ----------
    history : sequence of dict
        A record an epoch, with ``epoch`` and the learning rate ``lr`` among its keys.
    path : Path
        Of the PNG file.
    curves : sequence of sequences of (str, str)
        Key and title of the curves of each chart; that of ``lr`` alone is drawn logarithmically.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(curves), 3.6), layout="constrained")
    axes = figure.subplots(1, len(curves))
    epochs = [record["epoch"] for record in history]
    for axis, names in zip(axes, curves, strict=True):
        for key, title in names:
            if any(key in record for record in history):
                axis.plot(epochs, [record.get(key, np.nan) for record in history], label=title, marker=".")
        axis.set_xlabel("epoch")
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        if [key for key, _ in names] == ["lr"]:
            axis.set_yscale("log")
    _save(figure, path)


def draw_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix as shares of the given classes."""
    _save(_confusion(confusion, classes), path)


def confusion_image(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> np.ndarray:
    """Return the picture of a confusion matrix, uint8 of shape (height, width, 3)."""
    file = BytesIO()
    _confusion(confusion, classes).savefig(file, dpi=80, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def _confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Any:
    from matplotlib.figure import Figure

    counts = np.array(confusion, dtype=float)
    side = float(np.clip(2.5 + 0.35 * len(classes), 4, 14))
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    axis.set_xlabel("predicted")
    axis.set_ylabel("given")
    if len(classes) <= _MOST_NAMED:
        # a dollar sign would start a formula
        names = [name.replace("$", r"\$") for name in classes]
        axis.set_xticks(range(len(classes)), names, rotation=90)
        axis.set_yticks(range(len(classes)), names)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = count > 0.5 * counts[row].sum()
                axis.text(
                    column,
                    row,
                    f"{count:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if dark else "black",
                )
    return figure


def contact_sheet(images: np.ndarray, columns: int = 8) -> np.ndarray:
    """Return images of shape (n, height, width, 3) side by side as one picture, uint8."""
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    height, width = images.shape[1:3]
    sheet = np.full((lines * height, columns * width, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = image
    return sheet


def _save(figure: Any, path: Path) -> None:
    draft = path.with_name(f".{path.name}.part")
    figure.savefig(draft, dpi=100, format="png")
    os.replace(draft, path)
