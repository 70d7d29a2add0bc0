"""How fast masks become Label Studio's brush code and are read again, beside its SDK; what polygons cost.

``python -m benchmarks masks [--data DIR]``. Both codecs take the same masks in turns within one run, so that the ratio
holds on a busy machine. Polygons are measured on street scenes where the set is there, and on drawn shapes always.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from PIL import Image, ImageDraw

from benchmarks.data import Missing, load_pack
from benchmarks.report import Sheet, Target, at_least, at_most, console, drawing, target_sheet
from ml.mask_sets.loss import Loss
from ml.masks.brush import decode_brush, encode_brush
from ml.masks.classes import MaskClasses
from ml.masks.regions import paint, polygon_regions

SIZES = {"VGA": (480, 640), "1080p": (1080, 1920), "8 megapixels": (2448, 3264)}
TOLERANCES = (0.0, 0.5, 1.0, 2.0, 4.0)
SET = "camvid_320x240"
LIMIT_MS = 50.0  # a 1080p mask, either way


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--mask-rounds", type=int, default=7)
    parser.add_argument("--mask-count", type=int, default=40, help="masks that polygons are measured on")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both codecs on masks of three sizes, and polygons at five tolerances."""
    rng = np.random.default_rng(0)
    figures: dict[str, Any] = {
        "codec": {
            name: codec([shapes(size, rng, 1) > 0 for _ in range(3)], options.mask_rounds)
            for name, size in SIZES.items()
        },
        "polygons": {
            "drawn shapes": polygons(
                [shapes((240, 320), rng, 4) for _ in range(options.mask_count)],
                MaskClasses(("background", *(f"class {number}" for number in range(1, 5)))),
            )
        },
    }
    try:
        streets = load_pack(SET, options.data).labels
    except Missing as error:
        console.print(f"a set is left out: {error}", markup=False, soft_wrap=True)
    else:
        step = max(1, len(streets["masks"]) // options.mask_count)
        masks = streets["map5"][streets["masks"][::step]]
        figures["polygons"]["street scenes"] = polygons(
            masks, MaskClasses(tuple(streets["map5_names"].tolist()))
        )
    return figures


def shapes(size: tuple[int, int], rng: np.random.Generator, classes: int) -> np.ndarray:
    """Return a mask as people draw one: a dozen smooth blobs with holes, one on the other."""
    height, width = size
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    for number in range(12):
        waves = sum(rng.normal() * np.cos(k * angles + rng.uniform(0, 6)) / k for k in range(2, 7))
        centre, radius = rng.uniform((0, 0), (width, height)), rng.uniform(0.05, 0.2) * height
        for scale, fill in ((1.0, 1 + number % classes), (0.4, 0)):
            reach = radius * scale * (1 + 0.3 * waves)
            points = centre + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            draw.polygon([tuple(point) for point in points], fill=fill)
    return np.array(image)


def codec(masks: list[np.ndarray], rounds: int) -> dict[str, float]:
    """Return milliseconds a mask of both codecs, and how many times the SDK's Lineup's are.

    Raises
    ------
    RuntimeError
        If they disagree.
    """
    codes = [encode_brush(mask) for mask in masks]
    for mask, code in zip(masks, codes, strict=True):
        if code != mask2rle(mask.astype(np.uint8) * 255) or not np.array_equal(
            decode_brush(code, mask.shape) > 0, mask
        ):
            raise RuntimeError("the code is not the SDK's, or does not come back")
    ways: dict[str, Callable[[], object]] = {
        "encode": lambda: [encode_brush(mask) for mask in masks],
        "sdk_encode": lambda: [mask2rle(mask.astype(np.uint8) * 255) for mask in masks],
        "decode": lambda: [decode_brush(code, mask.shape) for mask, code in zip(masks, codes, strict=True)],
        "sdk_decode": lambda: [
            decode_rle(code).reshape(*mask.shape, 4)[:, :, 3] for mask, code in zip(masks, codes, strict=True)
        ],
    }
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            began = time.perf_counter()
            work()
            spent[way].append((time.perf_counter() - began) * 1000 / len(masks))
    figures = {f"{way}_ms": float(np.median(values)) for way, values in spent.items()}
    for way in ("encode", "decode"):
        ratios = np.array(spent[f"sdk_{way}"]) / spent[way]
        figures[f"{way}_times"] = float(np.median(ratios))
    return figures | {"code_kb": float(np.mean([len(code) for code in codes]) / 1000)}


def polygons(masks: Iterable[np.ndarray], classes: MaskClasses) -> dict[str, dict[str, float]]:
    """Return what polygons of a tolerance cost: pixels, IoU, points, kilobytes and time a mask."""
    found = {}
    for tolerance in TOLERANCES:
        loss, points, size, count, spent = Loss(), 0, 0, 0, 0.0
        for mask in masks:
            began = time.perf_counter()
            regions = polygon_regions(mask, classes, "polygon", "image", tolerance=tolerance)
            spent += time.perf_counter() - began
            loss.add(mask, paint(regions, classes, mask.shape), "")
            points += sum(len(region["value"]["points"]) for region in regions)
            size += len(json.dumps(regions))
            count += 1
        found[f"{tolerance:g}"] = {
            "changed": loss.share,
            "iou": loss.iou,
            "points": points / count,
            "kb": size / count / 1000,
            "ms": 1000 * spent / count,
        }
    return found


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at."""
    large = figures["codec"]["1080p"]
    least = {
        way: min(one[f"{way}_times"] for one in figures["codec"].values()) for way in ("encode", "decode")
    }
    return [
        at_least("encoding, times as fast as the SDK's", least["encode"], 1, "{:.1f}"),
        at_least("decoding, times as fast as the SDK's", least["decode"], 1, "{:.1f}"),
        at_most("a 1080p mask, encoded, ms", large["encode_ms"], LIMIT_MS, "{:.1f}"),
        at_most("a 1080p mask, decoded, ms", large["decode_ms"], LIMIT_MS, "{:.1f}"),
        *(
            at_most(f"pixels changed by exact polygons, {name}", one["0"]["changed"], 0.0, "{:.4f}")
            for name, one in figures["polygons"].items()
        ),
    ]


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    rows = [
        (name, *(f"{one[key]:.1f}" for key in ("code_kb", "encode_ms", "sdk_encode_ms", "encode_times", "decode_ms",
                                               "sdk_decode_ms", "decode_times")))
        for name, one in figures["codec"].items()
    ]  # fmt: skip
    columns = ("mask", "code, KB", "encoded, ms", "by the SDK", "times", "decoded, ms", "by the SDK", "times")
    costs = [
        (f"{name}, {tolerance} px", f"{one['changed']:.3%}", f"{one['iou']:.4f}", f"{one['points']:.0f}",
         f"{one['kb']:.1f}", f"{one['ms']:.1f}")
        for name, by_tolerance in figures["polygons"].items()
        for tolerance, one in by_tolerance.items()
    ]  # fmt: skip
    return {
        "targets": target_sheet("masks", targets(figures)),
        "codec": Sheet("brush code", columns, rows),
        "polygons": Sheet(
            "polygons, a mask", ("masks, tolerance", "pixels changed", "IoU", "points", "KB", "ms"), costs
        ),
    }


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw what is lost against the points that are kept."""
    with drawing(path) as (axis,):
        for name, by_tolerance in figures["polygons"].items():
            points = [one["points"] for one in by_tolerance.values()]
            axis.plot(points, [one["iou"] for one in by_tolerance.values()], marker="o", label=name)
            for tolerance, one in by_tolerance.items():
                axis.annotate(f"{tolerance} px", (one["points"], one["iou"]), fontsize=7)
        axis.set(xlabel="points a mask", ylabel="IoU with the mask", xscale="log")
