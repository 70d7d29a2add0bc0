"""What `lineup check` writes: faults and classes as tables, and a picture of classes and sizes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ml.datasets.cells import cell
from ml.mask_sets.check import Checked, shares

FAULTS, CLASSES, PICTURE = "faults.csv", "classes.csv", "check.png"
_MOST_BARS = 60


def write_check(checked: Checked, out: Path) -> None:
    """Write the files into a new folder."""
    out.mkdir()
    write_table(
        out / FAULTS, ("kind", "where", "what"), ((one.kind, one.where, one.what) for one in checked.faults)
    )
    write_table(
        out / CLASSES,
        ("class", "part", "pixels", "share_of_pixels", "images", "share_of_images"),
        (
            (name, part, int(one.pixels[number]), round(float(shares(one.pixels)[number]), 6),
             int(one.images[number]), round(int(one.images[number]) / max(one.count, 1), 6))
            for part, one in checked.parts.items()
            for number, name in enumerate(checked.names)
        ),
    )  # fmt: skip
    _draw(checked, out / PICTURE)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([cell(value) for value in row] for row in rows)


def _draw(checked: Checked, path: Path) -> None:
    from matplotlib.figure import Figure

    count = min(len(checked.names), _MOST_BARS)
    figure = Figure(figsize=(14, max(4.0, 0.22 * count * len(checked.parts) + 1.5)), layout="constrained")
    by_pixels, by_images, by_size = figure.subplots(1, 3)
    places = np.arange(count)
    height = 0.8 / max(len(checked.parts), 1)
    for number, (name, part) in enumerate(checked.parts.items()):
        label = f"{name or 'all'} ({part.count})"
        by_pixels.barh(places + number * height, shares(part.pixels)[:count], height, label=label)
        by_images.barh(
            places + number * height, part.images[:count] / max(part.count, 1), height, label=label
        )
        sizes = np.array(list(part.sizes)).reshape(-1, 2)
        amount = np.array(list(part.sizes.values()))
        by_size.scatter(sizes[:, 1], sizes[:, 0], s=20 + 30 * np.log1p(amount), alpha=0.6, label=label)
    for axis, title in ((by_pixels, "share of the pixels"), (by_images, "share of the masks that have it")):
        axis.set_yticks(places + 0.4 - height / 2, checked.names[:count], fontsize=8)
        axis.invert_yaxis()
        axis.set_xlabel(title)
    by_size.set(xlabel="width", ylabel="height", title="sizes of the images", ylim=(0, None), xlim=(0, None))
    for axis in (by_pixels, by_images, by_size):
        axis.spines[["top", "right"]].set_visible(False)
    if checked.parts:
        by_pixels.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=90)
