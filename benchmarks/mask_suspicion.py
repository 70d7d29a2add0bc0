"""How well wrong masks are found, by what is wrong with them, beside cleanlab's soft-minimum of the same probabilities.

``python -m benchmarks mask_suspicion --data DIR --weights FILE``. Street scenes in five classes, of which a share of
the masks is damaged in five ways; the pixel probe learns from the damaged masks and predicts each out of sample. What
was chosen in the judging was chosen on other scenes (the part ``train``) and other lots.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import Counter
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.data import MODEL, Pack, load_pack, require_weights
from benchmarks.metrics import calibration_error
from benchmarks.report import Sheet, Target, at_least, console, drawing, target_sheet
from ml.masks.classes import MaskClasses
from ml.masks.damage import DAMAGES, damage_mask
from ml.segmentation.features import make_pixel_features
from ml.segmentation.probe import fit_probe
from ml.segmentation.pyramid import Pyramid
from ml.segmentation.sizes import shrink_mask
from ml.suspicion.masks import MaskFindings, MaskJudgement, Part, judge_mask, judge_masks

SET = "camvid_320x240"
IGNORE = 255
PART = "test"
SHARE = 0.15
WANTED = 0.05  # of average precision, above the soft-minimum
CHANCE = 0.5


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--damage-seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--damage-images", type=int, help="only so many images, evenly from the part")


@dataclass(frozen=True)
class Streets:
    """Images with right masks, and the features of their pixels."""

    classes: MaskClasses
    masks: np.ndarray
    pyramids: list[Pyramid]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Damage, learn and judge with each seed.

    Raises
    ------
    Missing
        If images or weights are not there.
    """
    streets = read(load_pack(SET, options.data), require_weights(options.weights), options.damage_images)
    runs = [measure(streets, seed) for seed in options.damage_seeds]
    return {"images": len(streets.masks), "damaged": round(SHARE * len(streets.masks)), "runs": runs}


def read(pack: Pack, weights: str, count: int | None) -> Streets:
    """Read the images of the part, and what the backbone makes of their pixels."""
    rows = np.flatnonzero(pack.labels["split"] == PART)
    if count is not None:
        rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
    features = make_pixel_features(f"timm:{MODEL}@{weights}")
    files = pack.images()
    pyramids = [
        features.extract(Image.open(io.BytesIO(files[row])).convert("RGB"))
        for row in track(rows.tolist(), "features of pixels", console=console)
    ]
    masks = pack.labels["map5"].astype(np.uint8)[pack.labels["masks"][rows]]
    return Streets(MaskClasses(tuple(pack.labels["map5_names"].tolist()), IGNORE), masks, pyramids)


def measure(streets: Streets, seed: int) -> dict[str, Any]:
    """Damage some masks, learn from all, judge all."""
    masks, kinds, regions = damage(streets, seed)
    began = time.perf_counter()
    fit = fit_probe(
        [f"{row:032x}" for row in range(len(masks))],
        streets.pyramids.__getitem__,
        masks.__getitem__,
        len(streets.classes.names),
        ignore=IGNORE,
        seed=seed,
    )
    learned = time.perf_counter()
    findings, spent = [], 0.0
    for row in track(range(len(masks)), f"seed {seed}: masks", console=console):
        probs = fit.oos_probabilities(row, streets.pyramids[row])
        label = shrink_mask(masks[row], probs.shape[1:])
        start = time.perf_counter()
        findings.append(judge_mask(label, probs, streets.classes))
        spent += time.perf_counter() - start
    judged = judge_masks(findings)
    return {
        "seconds": {"learn": learned - began, "judge_each": spent / len(masks)},
        "dice": float(np.mean([found.dice for found in findings])),
        **worth(findings, judged, kinds, regions),
    }


def damage(streets: Streets, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Damage a share of the masks, all ways in turns; return masks, how each was damaged ('': not), and where."""
    rng = np.random.default_rng(seed)
    masks = streets.masks.copy()
    kinds, regions = np.full(len(masks), "", dtype=object), np.zeros(masks.shape, dtype=bool)
    for turn, row in enumerate(rng.permutation(len(masks))[: round(SHARE * len(masks))].tolist()):
        kind = list(DAMAGES)[turn % len(DAMAGES)]
        masks[row], kinds[row], regions[row] = damage_mask(masks[row], streets.classes, rng, kind=kind)
    return masks, kinds, regions


def worth(
    findings: list[MaskFindings], judged: MaskJudgement, kinds: np.ndarray, regions: np.ndarray
) -> dict[str, Any]:
    """Return how well damaged masks are found, and where they are damaged."""
    bad = kinds != ""
    plain = np.array([-found.softmin for found in findings])
    overlap = np.array(
        [
            _iou(found, part, region)
            for found, part, region in zip(findings, judged.part, regions, strict=True)
        ]
    )
    by_kind = {}
    for kind in DAMAGES:
        these = (kinds == kind) | ~bad
        by_kind[kind] = {
            "auc": float(roc_auc_score(bad[these], judged.suspicion[these])),
            "auc_softmin": float(roc_auc_score(bad[these], plain[these])),
            "suspect": float(judged.suspect[kinds == kind].mean()),
            "iou": float(overlap[kinds == kind].mean()),
            "reasons": sorted(judged.reason[row] for row in np.flatnonzero((kinds == kind) & judged.suspect)),
        }
    found = bad & judged.suspect
    return {
        "ap": float(average_precision_score(bad, judged.suspicion)),
        "ap_softmin": float(average_precision_score(bad, plain)),
        "kinds": by_kind,
        "threshold": judged.threshold,
        "suspects": int(judged.suspect.sum()),
        "precision": float(bad[judged.suspect].mean()) if judged.suspect.any() else float("nan"),
        "recall": float(judged.suspect[bad].mean()),
        "expected_wrong": judged.expected_wrong,
        "wrong": int(bad.sum()),
        "ece": calibration_error(judged.suspicion, bad),
        "iou": float(overlap[bad].mean()),
        "iou_found": float(overlap[found].mean()) if found.any() else float("nan"),
    }


def _iou(found: MaskFindings, part: Part | None, region: np.ndarray) -> float:
    """Overlap of the place that is pointed at with the damage."""
    if part is None:
        return 0.0
    shown, hurt = found.region(part), shrink_mask(region, found.size)
    return float((shown & hurt).sum() / max((shown | hurt).sum(), 1))


def mean_of(figures: dict[str, Any], *path: str) -> float:
    """Return the mean over seeds of a figure."""
    return float(np.mean([reduce(getitem, path, one) for one in figures["runs"]]))


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at."""
    gain = mean_of(figures, "ap") - mean_of(figures, "ap_softmin")
    least = min(DAMAGES, key=lambda kind: mean_of(figures, "kinds", kind, "auc"))
    return [
        at_least("average precision above the soft-minimum's", gain, WANTED),
        at_least(
            f"area under the ROC curve of the damage found worst, {least}",
            mean_of(figures, "kinds", least, "auc"),
            CHANCE,
        ),
    ]


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    runs = [
        (
            f"seed {number}",
            f"{one['ap']:.3f}",
            f"{one['ap_softmin']:.3f}",
            f"{one['suspects']}",
            f"{one['precision']:.2f}",
            f"{one['recall']:.2f}",
            f"{one['expected_wrong']:.1f} of {one['wrong']}",
            f"{one['ece']:.3f}",
            f"{one['iou_found']:.2f}",
        )
        for number, one in enumerate(figures["runs"], 1)
    ]
    kinds = [
        (
            kind,
            f"{mean_of(figures, 'kinds', kind, 'auc'):.3f}",
            f"{mean_of(figures, 'kinds', kind, 'auc_softmin'):.3f}",
            f"{mean_of(figures, 'kinds', kind, 'suspect'):.2f}",
            f"{mean_of(figures, 'kinds', kind, 'iou'):.2f}",
            _named(figures, kind),
        )
        for kind in DAMAGES
    ]
    return {
        "targets": target_sheet("mask suspicion", targets(figures)),
        "runs": Sheet(
            f"{figures['images']} street scenes, {figures['damaged']} masks damaged",
            (
                "", "average precision", "soft-minimum's", "suspects", "precision", "recall",
                "expected wrong", "calibration error", "IoU where found",
            ),
            runs,
        ),
        "kinds": Sheet(
            "By damage",
            ("damage", "AUC", "soft-minimum's", "suspect", "IoU", "reasons"),
            kinds,
        ),
    }  # fmt: skip


def _named(figures: dict[str, Any], kind: str) -> str:
    """The reasons given to one kind of damage, the most frequent first."""
    count = Counter(reason for one in figures["runs"] for reason in one["kinds"][kind]["reasons"])
    return ", ".join(f"{reason} {number}" for reason, number in count.most_common())


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw how well each damage is found, and how far the pointed-at place is the damaged one."""
    places = np.arange(len(DAMAGES))
    with drawing(path, 2) as (order, where):
        for shift, key, title in ((-0.2, "auc", "Lineup"), (0.2, "auc_softmin", "soft-minimum")):
            height = [mean_of(figures, "kinds", kind, key) for kind in DAMAGES]
            order.bar(places + shift, height, 0.4, label=title)
        order.axhline(CHANCE, color="grey", linewidth=0.7)
        where.bar(places, [mean_of(figures, "kinds", kind, "iou") for kind in DAMAGES], label="mean IoU")
        order.set(xticks=places, xticklabels=list(DAMAGES), ylabel="AUC", title="damaged masks found")
        where.set(xticks=places, xticklabels=list(DAMAGES), ylabel="IoU", title="pointed at, and damaged")
