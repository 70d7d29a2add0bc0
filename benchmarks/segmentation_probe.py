"""What the pixel probe is worth by number of masks, and how soon it has learned one more.

``python -m benchmarks segmentation_probe --data DIR --weights FILE``. Street scenes in five classes: learned from the
part ``train``, judged on ``val``, every pixel of which counts. Beside it, in the same run and on as many pixels, the
usual way: a logistic regression (scikit-learn) on the backbone's last stage alone.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.data import MODEL, Pack, load_pack, require_weights
from benchmarks.report import Sheet, at_least, at_most, console, drawing, target_sheet
from ml.segmentation.features import SIDE, PixelFeatures, make_pixel_features
from ml.segmentation.metrics import confusion, dice_per_class, iou_per_class, mean_dice, mean_iou
from ml.segmentation.probe import ProbeFit, fit_probe
from ml.segmentation.pyramid import Pyramid
from ml.segmentation.sampling import Sample, draw
from ml.segmentation.store import PyramidStore
from ml.vectors import content_key

SET = "camvid_320x240"
IGNORE = 255
CACHED = 200  # images that are there when one more mask comes
LIMIT_SECONDS = 10.0
_TIMED = 20
WAYS = {
    "probe": "pixel probe",
    "last": "logistic regression on the last stage",
    "majority": "the most frequent class",
}


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--probe-counts", type=int, nargs="+", default=[25, 50, 100, 200, 367])
    parser.add_argument("--probe-side", type=int, default=SIDE, help="longer side of the images, in pixels")
    parser.add_argument("--probe-seed", type=int, default=0)


class Scenes:
    """Images with masks, and their features in a store."""

    def __init__(self, pack: Pack, features: PixelFeatures, cache: Path) -> None:
        self.files = pack.images()
        self.keys = [content_key(data) for data in self.files]
        self.masks = pack.labels["map5"].astype(np.uint8)[pack.labels["masks"]]
        self.names = pack.labels["map5_names"].tolist()
        self.store = PyramidStore(cache / "pixels", features.fingerprint)
        self.features = features

    def read(self, rows: Sequence[int]) -> tuple[float, float]:
        """Make the features that are not there; return milliseconds and KB an image, of a few made anew."""
        spent, size = [], []
        for row in track(rows, "features of pixels", console=console):
            timed = len(spent) < _TIMED
            if timed or not self.store.has(self.keys[row]):
                image = Image.open(io.BytesIO(self.files[row])).convert("RGB")
                began = time.perf_counter()
                pyramid = self.features.extract(image)
                spent.append(time.perf_counter() - began)
                size.append(len(pyramid.to_bytes()))
                self.store.put(self.keys[row], pyramid)
        return float(np.median(spent) * 1000), float(np.mean(size) / 1000)

    def pyramid(self, row: int) -> Pyramid:
        """Return the features of an image from the store."""
        found = self.store.get(self.keys[row])
        assert found is not None
        return found

    def fit(self, rows: Sequence[int], seed: int, warm: ProbeFit | None = None) -> ProbeFit:
        """Fit a probe on some images."""
        return fit_probe(
            [self.keys[row] for row in rows], lambda i: self.pyramid(rows[i]), lambda i: self.masks[rows[i]],
            len(self.names), ignore=IGNORE, warm=warm, seed=seed,
        )  # fmt: skip

    def judge(self, rows: Sequence[int], predict: Callable[[int], np.ndarray]) -> dict[str, Any]:
        """Return what predictions are worth, given masks by the place of an image in ``rows``."""
        counts = sum(
            confusion(self.masks[row], predict(place), len(self.names), IGNORE)
            for place, row in enumerate(rows)
        )
        return {
            "mean_dice": float(mean_dice(counts)),
            "mean_iou": float(mean_iou(counts)),
            "dice": dice_per_class(counts).tolist(),
            "iou": iou_per_class(counts).tolist(),
        }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure it.

    Raises
    ------
    Missing
        If images or weights are not there.
    """
    pack = load_pack(SET, options.data)
    features = make_pixel_features(
        f"timm:{MODEL}@{require_weights(options.weights)}", side=options.probe_side
    )
    scenes = Scenes(pack, features, options.cache)
    parts = pack.labels["split"]
    train = np.random.default_rng(options.probe_seed).permutation(np.flatnonzero(parts == "train")).tolist()
    val = np.flatnonzero(parts == "val").tolist()
    feature_ms, kb = scenes.read([*train, *val])
    figures: dict[str, Any] = {
        "classes": scenes.names,
        "val": len(val),
        "feature_ms": feature_ms,
        "kb": kb,
        "by_count": {},
    }
    for count in sorted({min(count, len(train)) for count in options.probe_counts}):
        rows = train[:count]
        began = time.perf_counter()
        fitted = scenes.fit(rows, options.probe_seed)
        seconds = time.perf_counter() - began
        figures["by_count"][str(count)] = {
            "probe": scenes.judge(val, served(scenes, fitted, val)) | {"seconds": seconds},
            "last": last_stage(scenes, rows, val, options.probe_seed),
            "majority": majority(scenes, rows, val),
        }
    return figures | retrain(scenes, train[: CACHED + 1], val, options.probe_seed)


def served(scenes: Scenes, fitted: ProbeFit, rows: list[int]) -> Callable[[int], np.ndarray]:
    """Return what predicts the mask of one of the rows, by its place."""
    return lambda i: fitted.head.probabilities(scenes.pyramid(rows[i])).argmax(axis=0)


def retrain(scenes: Scenes, train: list[int], val: list[int], seed: int) -> dict[str, Any]:
    """Return the seconds a fit takes, features from the store and folds included, and those of predictions."""
    before = scenes.fit(train[:-1], seed)
    began = time.perf_counter()
    after = scenes.fit(train, seed, warm=before)
    warm = time.perf_counter() - began
    began = time.perf_counter()
    scenes.fit(train, seed)
    cold = time.perf_counter() - began
    pyramid = scenes.pyramid(val[0])

    def milliseconds(work: Callable[[Pyramid], object]) -> float:
        spent = []
        for _ in range(_TIMED):
            start = time.perf_counter()
            work(pyramid)
            spent.append(time.perf_counter() - start)
        return float(np.median(spent) * 1000)

    return {
        "cached": len(train) - 1,
        "warm_seconds": warm,
        "cold_seconds": cold,
        "warm": scenes.judge(val, served(scenes, after, val)),
        "out_of_sample": scenes.judge(
            train, lambda i: after.oos_probabilities(i, scenes.pyramid(train[i])).argmax(axis=0)
        ),
        "predict_ms": milliseconds(after.head.probabilities),
        "summary_ms": milliseconds(after.head.summary),
    }


def last_stage(scenes: Scenes, rows: list[int], val: list[int], seed: int) -> dict[str, Any]:
    """Return what a logistic regression on the last stage, brought to every pixel, is worth.

    It learns from the pixels that the probe does, and counts each class as often as it is in the images, as that does.
    """
    sample = draw(
        [scenes.keys[row] for row in rows], lambda i: scenes.pyramid(rows[i]), lambda i: scenes.masks[rows[i]],
        len(scenes.names), ignore=IGNORE, seed=seed, progress=lambda done, total: None,
    )  # fmt: skip
    wide = sample.channels[-1]
    own = slice(sum(sample.channels) - wide, sum(sample.channels))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, C=0.01))
    model.fit(sample.X[:, own], sample.y, logisticregression__sample_weight=frequencies(sample)[sample.y])
    return scenes.judge(val, lambda i: _linear(model, scenes.pyramid(val[i])))


def frequencies(sample: Sample) -> np.ndarray:
    """Return for each class how much more frequent it is in images than among the pixels drawn, shape (K,)."""
    whole, drawn = sample.whole.sum(axis=0), sample.drawn.sum(axis=0)
    share: np.ndarray = (whole / whole.sum()) / np.maximum(drawn / drawn.sum(), 1e-12)
    return share


def _linear(model: Pipeline, pyramid: Pyramid) -> np.ndarray:
    level = pyramid.levels[-1]
    scores = model.decision_function(level.features().reshape(-1, level.channels))
    coarse = scores.reshape(*level.values.shape[:2], -1)
    rows, columns = level.resampling(pyramid.size[0], 0), level.resampling(pyramid.size[1], 1)
    classes: np.ndarray = model.classes_[
        np.einsum("ah,hwk,bw->abk", rows, coarse, columns, optimize=True).argmax(axis=2)
    ]
    return classes


def majority(scenes: Scenes, rows: list[int], val: list[int]) -> dict[str, Any]:
    """Return what the most frequent class everywhere is worth."""
    counts = np.bincount(scenes.masks[rows].ravel(), minlength=IGNORE + 1)[: len(scenes.names)]
    everywhere = np.full_like(scenes.masks[0], counts.argmax())
    return scenes.judge(val, lambda i: everywhere)


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    counts = figures["by_count"]
    most = list(counts)[-1]
    targets = [
        at_most(
            f"seconds after one new mask, {figures['cached']} images cached, folds included",
            figures["warm_seconds"], LIMIT_SECONDS, "{:.1f}",
        ),
        at_least(
            f"mean Dice of {most} masks, at least the last stage's",
            counts[most]["probe"]["mean_dice"], counts[most]["last"]["mean_dice"],
        ),
    ]  # fmt: skip
    by_count = [
        (
            count,
            *(f"{one[way]['mean_dice']:.3f}" for way in WAYS),
            f"{one['probe']['mean_iou']:.3f}",
            f"{one['probe']['seconds']:.1f}",
        )
        for count, one in counts.items()
    ]
    shown = {
        **{way: counts[most][key] for key, way in WAYS.items()},
        f"pixel probe, out of sample, {figures['cached'] + 1} masks": figures["out_of_sample"],
    }
    by_class = [
        (way, f"{one['mean_dice']:.3f}", *(f"{value:.3f}" for value in one["dice"]))
        for way, one in shown.items()
    ]
    costs = [
        ("features of an image, ms", f"{figures['feature_ms']:.0f}"),
        ("kept, KB", f"{figures['kb']:.0f}"),
        ("masks predicted, ms an image", f"{figures['predict_ms']:.0f}"),
        ("summary for the order, ms an image", f"{figures['summary_ms']:.1f}"),
        (f"fit on {figures['cached'] + 1} masks, anew, s", f"{figures['cold_seconds']:.1f}"),
        (f"fit after one mask more than {figures['cached']}, s", f"{figures['warm_seconds']:.1f}"),
        ("mean Dice after it", f"{figures['warm']['mean_dice']:.3f}"),
    ]
    return {
        "targets": target_sheet("segmentation_probe", targets),
        "masks": Sheet(
            "mean Dice by masks", ("masks", *WAYS.values(), "IoU of the probe", "fitted anew, s"), by_count
        ),
        "classes": Sheet(f"Dice of {most} masks", ("way", "mean", *figures["classes"]), by_class),
        "costs": Sheet("costs", ("what", "measured"), costs),
    }


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw mean Dice by the number of masks."""
    counts = figures["by_count"]
    with drawing(path) as (axis,):
        for way, name in WAYS.items():
            axis.plot(
                [int(count) for count in counts],
                [one[way]["mean_dice"] for one in counts.values()],
                marker="o",
                label=name,
            )
        axis.set(xlabel="masks", ylabel="mean Dice on other images", ylim=(0, 1))
