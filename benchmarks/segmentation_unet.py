"""What fine-tuning gives a UNet beside a plain one from scratch, in the same minutes.

``python -m benchmarks segmentation_unet --data DIR --weights FILE [--unet-minutes 6]``. Street scenes in five classes.
First `lineup segment train` with its defaults on an encoder with weights, for about so many minutes; then, for just as
many seconds, segmentation-models-pytorch's UNet on the same encoder from scratch, as its tutorials train it:
cross-entropy, Adam, images as they are. Both are judged on the part ``val`` after every epoch, which counts as their
time, and the best epoch counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional

from benchmarks.data import MODEL, Pack, load_pack, require_weights
from benchmarks.report import Sheet, at_least, console, drawing, target_sheet
from ml.mask_sets import MaskSet, read_masks
from ml.masks.png import write_png
from ml.segmentation.metrics import confusion
from ml.segmentation.unet.cache import CachedScenes, cache_scenes
from ml.segmentation.unet.config import STRIDE, UNetConfig
from ml.segmentation.unet.fit import train_unet
from ml.segmentation.unet.trainer import figures as worth
from ml.training.loop import TrainingProgress
from ml.training.yaml_file import check_config_of, parse_override

SET = "camvid_320x240"
IGNORE = 255
BATCH = 8
WANTED = 0.05  # of mean Dice, above the plain one
_PROBE = 6  # batches that tell how long an epoch takes
WAYS = {"plain": "plain UNet, from scratch, cross-entropy", "lineup": "`lineup segment train`"}


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--unet-minutes", type=float, default=6.0, help="of each of the two trainings")
    parser.add_argument("--unet-side", type=int, default=320, help="longer side of the images")
    parser.add_argument("--unet-seed", type=int, default=0)
    parser.add_argument(
        "--unet-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another key of Lineup's training",
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train both.

    Raises
    ------
    Missing
        If images or weights are not there.
    """
    weights = require_weights(options.weights)
    pack = load_pack(SET, options.data)
    with tempfile.TemporaryDirectory() as folder:
        found = read_masks(write_scenes(pack, Path(folder) / "set"))
        config = check_config_of(
            UNetConfig,
            {},
            {
                "Model.class_name": MODEL, "Model.weights": weights, "Dataset.side": options.unet_side,
                "Training.seed": options.unet_seed,
            }
            | dict(map(parse_override, options.unet_set)),
        )  # fmt: skip
        return compare(found, config, 60 * options.unet_minutes, Path(folder))


def compare(found: MaskSet, config: UNetConfig, seconds: float, folder: Path) -> dict[str, Any]:
    """Return what both networks are worth after about so many seconds."""
    config.training.epochs = max(2, round(seconds / epoch_seconds(found, config, folder)))
    console.print(f"{config.training.epochs} epochs", markup=False)
    ours, took = train_ours(found, config, folder)
    plain = train_plain(found, config, took, folder)
    return {
        "lineup": ours,
        "plain": plain,
        "seconds": took,
        "classes": list(found.classes.names),
        "train": sum(scene.split == "train" for scene in found),
        "val": sum(scene.split == "val" for scene in found),
    }


def write_scenes(pack: Pack, folder: Path) -> Path:
    """Write a set of street scenes in five classes as MMSegmentation has them."""
    labels = pack.labels
    masks = labels["map5"].astype(np.uint8)[labels["masks"]]
    for number, (data, mask, part) in enumerate(zip(pack.images(), masks, labels["split"], strict=True)):
        files = (
            ("img", f"{number:03}.jpg", data),
            ("labels", f"{number:03}.png", write_png(mask)),
        )
        for place, name, content in files:
            path = folder / place / str(part) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    (folder / "classes.txt").write_text(
        "".join(f"{name}\n" for name in labels["map5_names"]), encoding="utf-8"
    )
    return folder


def epoch_seconds(found: MaskSet, config: UNetConfig, folder: Path) -> float:
    """Return how long an epoch takes, judging included, by a small one."""
    learn = [scene for scene in found if scene.split == "train"]
    hold = [scene for scene in found if scene.split == "val"]
    some = learn[: _PROBE * BATCH], hold[: 2 * BATCH]
    small = config.model_copy(deep=True)
    small.training.epochs = 2
    moments: list[float] = []
    began: list[float] = []

    def report(now: TrainingProgress) -> None:
        moments.append(time.perf_counter())
        if now.record is not None:
            began.append(now.record["seconds"])

    train_unet(small, found, parts=some, runs=folder / "probe", report=report)
    # the second epoch: the first one warms up
    judged = moments[-1] - moments[-2]
    return began[-1] * len(learn) / len(some[0]) + judged * len(hold) / len(some[1])


def train_ours(found: MaskSet, config: UNetConfig, folder: Path) -> tuple[dict[str, Any], float]:
    """Return the figures of a network that Lineup trains, and the seconds it took, decoding left aside."""
    decoded: list[float] = []

    def report(now: TrainingProgress) -> None:
        if now.record is not None:
            console.print(f"epoch {now.epoch}: mean Dice {now.record['mean_dice']:.4f}", markup=False)

    done = train_unet(
        config, found, runs=folder / "runs", report=report,
        decoded=lambda one, total: decoded.append(time.perf_counter()),
    )  # fmt: skip
    took = time.perf_counter() - decoded[-1]
    history = [{"epoch": one["epoch"], "mean_dice": one["mean_dice"]} for one in done.history]
    return _figures(done.best, history), took


def train_plain(found: MaskSet, config: UNetConfig, seconds: float, folder: Path) -> dict[str, Any]:
    """Return the figures of a plain network after so many seconds."""
    torch.manual_seed(config.training.seed)
    learn = [scene for scene in found if scene.split == "train"]
    hold = [scene for scene in found if scene.split == "val"]
    scenes = cache_scenes(found, [*learn, *hold], config.dataset.side, folder / "plain.bin")
    train, valid = np.arange(len(learn)), np.arange(len(learn), len(scenes.places))
    network = smp.Unet(
        f"tu-{config.model.class_name}", encoder_weights=None, classes=len(found.classes.names)
    )
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    began, history, best = time.perf_counter(), [], None
    rng = np.random.default_rng(config.training.seed)

    def spent() -> bool:
        return time.perf_counter() - began >= seconds

    while not spent():
        network.train()
        order = rng.permutation(train)
        for at in range(0, len(order) - BATCH + 1, BATCH):
            images, masks = batch(scenes, order[at : at + BATCH])
            loss = functional.cross_entropy(network(images), masks, ignore_index=IGNORE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if spent():
                break
        figures = worth(
            np.stack([judge_plain(network, scenes, row, len(found.classes.names)) for row in valid])
        )
        history.append({"epoch": len(history) + 1, "mean_dice": figures["mean_dice"]})
        console.print(f"plain, epoch {len(history)}: mean Dice {figures['mean_dice']:.4f}", markup=False)
        if best is None or figures["mean_dice"] > best["mean_dice"]:
            best = figures | {"epoch": len(history)}
    assert best is not None
    return _figures(best, history)


def batch(scenes: CachedScenes, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and masks, continued to the size a UNet takes."""
    images = torch.from_numpy(np.stack([scenes.image(row) for row in rows])).permute(0, 3, 1, 2).float()
    masks = torch.from_numpy(np.stack([scenes.mask(row) for row in rows])).long()
    mean, std = (
        torch.tensor(one).view(1, 3, 1, 1) * 255 for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    padding = (0, -images.shape[-1] % STRIDE, 0, -images.shape[-2] % STRIDE)
    images = functional.pad((images - mean) / std, padding, mode="replicate")
    return images.contiguous(memory_format=torch.channels_last), functional.pad(masks, padding, value=IGNORE)


@torch.no_grad()
def judge_plain(network: torch.nn.Module, scenes: CachedScenes, row: int, classes: int) -> np.ndarray:
    """Return how label and prediction of a scene agree."""
    network.eval()
    images, _ = batch(scenes, np.array([row]))
    mask = scenes.mask(row)
    found = network(images)[0].argmax(dim=0)[: mask.shape[0], : mask.shape[1]].numpy()
    return confusion(mask, found.astype(np.uint8), classes, IGNORE)


def _figures(best: dict[str, Any], history: list[dict[str, Any]]) -> dict[str, Any]:
    kept = {
        key: best[key] for key in ("mean_dice", "mean_iou", "pixel_accuracy", "image_dice", "dice", "epoch")
    }
    return kept | {"history": history}


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables: what both are worth, by class, and the target."""
    rows = [
        (
            title, f"{one['mean_dice']:.3f}", f"{one['mean_iou']:.3f}", f"{one['pixel_accuracy']:.3f}",
            f"{one['image_dice']:.3f}", f"{one['epoch']} of {len(one['history'])}", f"{figures['seconds']:.0f}",
        )
        for way, title in WAYS.items()
        for one in [figures[way]]
    ]  # fmt: skip
    by_class = [
        (name, *(f"{figures[way]['dice'][number]:.3f}" for way in WAYS))
        for number, name in enumerate(figures["classes"])
    ]
    gain = figures["lineup"]["mean_dice"] - figures["plain"]["mean_dice"]
    return {
        "worth": Sheet(
            f"Validation on {figures['val']} street scenes, {figures['train']} to learn from",
            ("", "mean Dice", "mean IoU", "pixel accuracy", "mean Dice of an image", "best epoch", "seconds"),
            rows,
        ),
        "classes": Sheet("Dice by class", ("class", *WAYS.values()), by_class),
        "targets": target_sheet("unet", [at_least("mean Dice above the plain UNet's", gain, WANTED)]),
    }


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw mean Dice over the minutes."""
    with drawing(path) as (axis,):
        for way, title in WAYS.items():
            history = figures[way]["history"]
            minutes = np.arange(1, len(history) + 1) * figures["seconds"] / 60 / len(history)
            axis.plot(
                minutes, [one["mean_dice"] for one in history], marker=".", label=title.replace("`", "")
            )
        axis.set(xlabel="minutes", ylabel="mean Dice on val")
