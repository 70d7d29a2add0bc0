"""What end-to-end training is worth, and what decoding images once saves.

``python -m benchmarks training [--data DIR --weights FILE]``. Digits: scikit-learn's, from scratch. Speed: k folds on
images that are decoded once, beside a plain DataLoader over files that trains the same folds of the same model, in
turns within one run. With --data and --weights: a fine-tuned network beside a logistic regression on frozen vectors,
and the audit by training beside the usual recipe, one label in ten planted wrong.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import v2

from benchmarks.audit import plant
from benchmarks.data import MODEL, SIDE, Missing, embed_files, load_pack, require_weights
from benchmarks.report import Sheet, at_least, at_most, console, drawing, target_sheet
from benchmarks.scoring import usual
from ml.audit.trained import audit_by_training
from ml.datasets import Dataset, Example
from ml.embedders import Embedder
from ml.embedders.threads import usable_cpus
from ml.embedders.timm_backbone import TimmEmbedder
from ml.training.config import TrainingConfig
from ml.training.fit import train_network
from ml.training.folds import train_folds
from ml.training.predict import load_classifiers, predict_images
from ml.training.split import fold_rows
from ml.training.yaml_file import check_config

COLOURS = "colors8_objects"
DIGITS: dict[str, Any] = {
    "Model": {"class_name": "test_resnet", "weights": "scratch"},
    "Training": {"epochs": 10, "lr": 3e-3, "schedule": "cosine", "precision": "fp32", "ema": 0.99},
    "Dataset": {"transform": {"resize": 32, "rotation": 8}},
}
SPEED: dict[str, Any] = {
    "Model": {"class_name": "mobilenetv3_small_100", "weights": "scratch"},
    "Training": {"epochs": 2, "schedule": "constant"},
    "Dataset": {"transform": {"resize": 96, "hflip": True}},
}
TUNED: dict[str, Any] = {
    "Model": {"class_name": MODEL},
    "Training": {"epochs": 12, "batch_size": 16, "schedule": "cosine"},
    "Dataset": {"transform": {"resize": SIDE, "hflip": True, "random_crop": {"scale": [0.6, 1.0]}}},
}
AUDITED = {"Training.epochs": 8, "Dataset.num_folds": 5, "Dataset.num_repeats": 3}
WRONG = 0.1
# thumbnails, what web sites show, and what cameras make
SIZES = {"256 x 256": (256, 256), "640 x 480": (640, 480), "2000 x 1500": (2000, 1500)}
WAYS = {
    "files": "plain DataLoader over files, fp32",
    "cached": "decoded once for all folds, fp32",
    "lineup": "as `lineup` trains by default: channels last, the precision that is faster",
}


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--training-turns", type=int, default=3, help="turns of the comparison of speed")
    parser.add_argument("--photos", type=int, default=100, help="photos it trains on")
    parser.add_argument("--folds", type=int, default=5, help="folds of it")
    parser.add_argument("--epochs", type=int, default=10, help="of the training on digits")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train on digits, measure speed, and fine-tune where there is something to fine-tune."""
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, Any] = {"digits": digits(Path(folder), options.epochs), "speed": {}}
        for name, size in SIZES.items():
            made = photos(Path(folder) / name.replace(" ", ""), options.photos, size)
            figures["speed"][name] = speed(made, options.training_turns, options.folds)
        try:
            figures |= colours(Path(folder), options)
        except Missing as error:
            console.print(f"fine-tuning is left out: {error}", markup=False, soft_wrap=True)
    return figures


def digits(folder: Path, epochs: int) -> dict[str, float]:
    """Train from scratch on scikit-learn's digits; the images it is judged by are not those an epoch is chosen by."""
    found = load_digits()
    (folder / "digits").mkdir()
    examples = []
    for number, (image, label) in enumerate(zip(found.images, found.target, strict=True)):
        path = folder / "digits" / f"{number}.png"
        Image.fromarray((image * (255 / 16)).astype(np.uint8)).save(path)
        examples.append(Example(path.name, str(label), path))
    test = np.random.default_rng(0).permutation(len(examples))[:360]
    learn = [example for row, example in enumerate(examples) if row not in set(test.tolist())]
    held = [examples[row] for row in test.tolist()]
    began = time.perf_counter()
    done = train_network(check_config(DIGITS, {"Training.epochs": epochs}), learn, runs=folder / "runs")
    seconds = time.perf_counter() - began
    return {
        "macro_f1": held_f1(done.model, held),
        "valid_macro_f1": done.best["macro_f1"],
        "seconds": seconds,
    }


def held_f1(model: Path, held: Sequence[Example]) -> float:
    """Return the macro F1 of a network on labelled images."""
    found = predict_images(load_classifiers([model]), held)
    said = [found.classes[place] for place in found.probabilities.argmax(axis=1)]
    return float(f1_score([example.label for example in found.examples], said, average="macro"))


def photos(folder: Path, count: int, size: tuple[int, int]) -> list[Example]:
    """Make JPEG files of two classes, as rich in detail as photos: smooth colours with grain."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    examples = []
    for number in range(count):
        colours = Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8))
        rough = colours.resize(size, Image.Resampling.BICUBIC)
        grain = rng.normal(0, 6, (size[1], size[0], 1))
        path = folder / f"{number}.jpg"
        Image.fromarray(np.clip(np.asarray(rough) + grain, 0, 255).astype(np.uint8)).save(path, quality=90)
        examples.append(Example(path.name, "ab"[number % 2], path))
    return examples


class Files(TorchDataset[tuple[torch.Tensor, int]]):
    """What a training script usually has: an image is opened, resized and flipped each time it is asked for."""

    def __init__(self, examples: Sequence[Example], side: int) -> None:
        self.examples = examples
        self.change = v2.Compose(
            [
                v2.Resize((side, side), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        example = self.examples[row]
        with Image.open(str(example.path)) as image:
            return self.change(image.convert("RGB")), int(example.label == "b")


def train_files(examples: Sequence[Example], config: TrainingConfig) -> None:
    """Train the folds as a plain script does."""
    training = config.training
    folds = fold_rows([str(example.label) for example in examples], config.dataset.num_folds)
    side = config.dataset.transform.resize
    assert side is not None
    for fold in range(config.dataset.num_folds):
        network = timm.create_model(config.model.class_name, num_classes=2).train()
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=training.lr, weight_decay=training.weight_decay
        )
        learn = [examples[row] for row in np.flatnonzero(folds != fold)]
        hold = [examples[row] for row in np.flatnonzero(folds == fold)]
        loader = partial(DataLoader, batch_size=training.batch_size, num_workers=usable_cpus())
        for _ in range(training.epochs):
            for images, targets in loader(Files(learn, side.height), shuffle=True, drop_last=True):
                loss = torch.nn.functional.cross_entropy(network(images), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.inference_mode():
            network.eval()
            for images, _ in loader(Files(hold, side.height)):
                network(images)


def speed(examples: Sequence[Example], turns: int, folds: int) -> dict[str, Any]:
    """Train the folds in each way, in turns; images a second count decoding, training and judging."""
    number = {"Dataset.num_folds": folds, "Dataset.num_repeats": 1}  # the plain loop trains each fold once
    plain = check_config(SPEED, number | {"Training.precision": "fp32", "Training.channels_last": False})
    whole = check_config(SPEED, number)
    works = {
        "files": partial(train_files, examples, plain),
        "cached": partial(train_folds, plain, examples),
        "lineup": partial(train_folds, whole, examples),
    }
    images = len(examples) * (plain.dataset.num_folds - 1) * plain.training.epochs
    rates: dict[str, list[float]] = {way: [] for way in works}
    for turn in track(range(turns + 1), "speed", console=console):
        for way, work in works.items():
            began = time.perf_counter()
            work()
            if turn:  # the first one only warms up
                rates[way].append(images / (time.perf_counter() - began))
    reference = np.array(rates["files"])
    return {
        way: {
            "images_per_s": float(np.median(found)),
            "times_files": float(np.median(np.array(found) / reference)),
        }
        for way, found in rates.items()
    }


def colours(folder: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Fine-tune on photos of objects by colour, and compare with what frozen vectors give.

    Raises
    ------
    Missing
        If images or weights are not there.
    """
    weights = require_weights(options.weights)
    pack = load_pack(COLOURS, options.data)
    names, labels, part = (pack.labels[key] for key in ("class_names", "labels", "split"))
    files = pack.images()
    (folder / "colours").mkdir()
    examples = []
    for number, data in enumerate(files):
        path = folder / "colours" / f"{number}.jpg"
        path.write_bytes(data)
        examples.append(Example(path.name, str(names[labels[number]]), path))
    train, test = np.flatnonzero(part != "test"), np.flatnonzero(part == "test")
    embedder = TimmEmbedder(MODEL, checkpoint=weights, image_size=SIDE)
    vectors = embed_files(embedder, files, "embedding")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    frozen = LogisticRegression(C=10, max_iter=2000).fit(unit[train], labels[train]).predict(unit[test])
    config = check_config(TUNED, {"Model.weights": weights})
    began = time.perf_counter()
    done = train_network(config, [examples[row] for row in train], runs=folder / "runs")
    found = {
        "macro_f1": held_f1(done.model, [examples[row] for row in test]),
        "frozen_macro_f1": float(f1_score(labels[test], frozen, average="macro")),
        "train": len(train),
        "test": len(test),
        "seconds": time.perf_counter() - began,
    }
    audited = check_config(TUNED, AUDITED | {"Model.weights": weights})
    planted = audit_planted(examples, labels.astype(np.int64), vectors, audited, embedder, folder / "cache")
    return {"colours": found, "audit": planted}


def audit_planted(
    examples: Sequence[Example],
    truth: np.ndarray,
    vectors: np.ndarray,
    config: TrainingConfig,
    embedder: Embedder,
    cache: Path,
) -> dict[str, float]:
    """Plant wrong labels and find them by training, and by the usual recipe on frozen vectors."""
    labels = plant(truth, WRONG, 0)
    wrong = labels != truth
    name_of = {int(label): str(example.label) for label, example in zip(truth, examples, strict=True)}
    given = [replace(one, label=name_of[int(label)]) for one, label in zip(examples, labels, strict=True)]
    began = time.perf_counter()
    found = audit_by_training(Dataset(cache, given), config, embedder, cache=cache)
    _, quality = usual(vectors, labels)
    return {
        "ap": float(average_precision_score(wrong, found.suspicion)),
        "usual_ap": float(average_precision_score(wrong, 1 - quality)),
        "seconds": time.perf_counter() - began,
    }


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables: worth, speed, targets."""
    found = figures["digits"]
    worth = [("digits, from scratch", "-", f"{found['macro_f1']:.3f}", f"{found['seconds']:.0f}")]
    if tuned := figures.get("colours"):
        worth.append(
            (
                f"{COLOURS}, fine-tuned on {tuned['train']} photos", f"{tuned['frozen_macro_f1']:.3f}",
                f"{tuned['macro_f1']:.3f}", f"{tuned['seconds']:.0f}",
            )
        )  # fmt: skip
    rates = [
        (f"{size} JPEG", WAYS[way], f"{one['images_per_s']:.0f}", f"{one['times_files']:.2f}")
        for size, ways in figures["speed"].items()
        for way, one in ways.items()
    ]
    targets = [
        at_least("digits: macro F1", found["macro_f1"], 0.98),
        at_most("digits: seconds", found["seconds"], 180, "{:.0f}"),
        *(
            at_least(f"k folds, {size}: times files", ways["lineup"]["times_files"], 1.5, "{:.2f}")
            for size, ways in figures["speed"].items()
        ),
    ]
    if tuned:
        worst = tuned["frozen_macro_f1"]
        targets.append(at_least("fine-tuned: macro F1, beside frozen vectors", tuned["macro_f1"], worst))
    audits = []
    if planted := figures.get("audit"):
        ours, theirs = planted["ap"], planted["usual_ap"]
        audits = [
            (f"{COLOURS}, {WRONG:.0%} wrong", f"{theirs:.3f}", f"{ours:.3f}", f"{planted['seconds']:.0f}")
        ]
        # 0.9 or twice the usual recipe, whichever is less
        targets.append(at_least("audit by training: average precision", ours, min(0.9, 2 * theirs)))
    return {
        "audit": Sheet(
            "Average precision of an audit",
            ("", "cleanlab on logistic regression", "audit --train", "seconds"),
            audits,
        ),
        "worth": Sheet(
            "Test macro F1", ("", "logistic regression on frozen vectors", "trained", "seconds"), worth
        ),
        "speed": Sheet("Training k folds", ("photos", "way", "images/s", "times files"), rates),
        "targets": target_sheet("training", targets),
    }


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw the speeds."""
    with drawing(path, len(figures["speed"]), (9, 3)) as axes:
        for axis, (size, ways) in zip(axes, figures["speed"].items(), strict=True):
            axis.barh(list(ways), [one["images_per_s"] for one in ways.values()], color="#4c78a8")
            axis.set_title(f"k folds of {size} photos, images/s", fontsize=9)
            axis.invert_yaxis()
