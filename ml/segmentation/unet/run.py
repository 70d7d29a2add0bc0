"""The folder of a UNet's run: besides what every run keeps, which masks it learns from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ml.datasets import DatasetError
from ml.mask_sets import MaskReadOptions, MaskSet, Scene, read_masks
from ml.mask_sets.overlay import overlay
from ml.masks.classes import MaskClasses
from ml.segmentation.unet.changes import NOT_LABELLED
from ml.segmentation.unet.config import UNetConfig
from ml.segmentation.unet.trainer import UNetTrainer
from ml.training.kept import KeptRun, new_folder
from ml.training.plots import contact_sheet, draw_curves
from ml.training.yaml_file import read_config_of, write_config
from ml.vectors import content_key

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

ReadMasks = Callable[[Path, str, MaskReadOptions], MaskSet]

DATASET, CLASSES = "dataset.json", "classes.txt"
_PARTS = ("train", "valid")
_CURVES = (
    (("train_loss", "training loss"),),
    (("mean_dice", "mean Dice"), ("mean_iou", "mean IoU"), ("pixel_accuracy", "pixel accuracy")),
    (("lr", "learning rate"),),
)
_SCALARS = ("lr", "train_loss", "mean_dice", "mean_iou", "pixel_accuracy", "image_dice", "images_per_second")


class MaskRun(KeptRun[UNetTrainer]):
    """Writes a run's files.

    Besides those of every run: ``classes.txt``, and ``dataset.json`` with the place of the masks, how they are read,
    who is trained on and who is held out, and the digests of their images.
    """

    def __init__(self, path: Path, classes: Sequence[str] = ()) -> None:
        super().__init__(path, classes)
        self.images = path / "images.bin"

    @classmethod
    def new(
        cls, runs: Path, config: UNetConfig, found: MaskSet, how: ReadHow, parts: Sequence[Sequence[Scene]]
    ) -> MaskRun:
        """Make the folder of a new run, named by the time.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        run = cls(new_folder(runs), found.classes.names)
        about = {
            **how.as_json(found.classes),
            **{
                name: [[one.where, one.image] for one in scenes]
                for name, scenes in zip(_PARTS, parts, strict=True)
            },
            "contents": {name: _contents(scenes) for name, scenes in zip(_PARTS, parts, strict=True)},
        }
        run.write(DATASET, json.dumps(about, ensure_ascii=False, indent=1) + "\n")
        run.write(CLASSES, "".join(f"{name}\n" for name in found.classes.names))
        # last: a folder that has it can be taken up again
        run.write("config.yaml", write_config(config.anywhere()))
        return run

    @classmethod
    def open(
        cls, path: Path, read: ReadMasks
    ) -> tuple[MaskRun, UNetConfig, MaskSet, list[Scene], list[Scene]]:
        """Return a run that was begun: configuration, masks, and those to train on and to hold out.

        Parameters
        ----------
        path : Path
        read : callable
            Reads masks by source, format and options, and leaves out what cannot be used.

        Raises
        ------
        FileNotFoundError
            If there is none.
        DatasetError
            If its masks are not where they were.
        """
        if not (path / "config.yaml").is_file() or not (path / DATASET).is_file():
            raise FileNotFoundError(
                f"{path} is no run of lineup segment train: it has no config.yaml or no {DATASET}"
            )
        about = json.loads((path / DATASET).read_text(encoding="utf-8"))
        how = ReadHow.from_json(about)
        found = read(Path(how.source), how.format, how.options)
        there = {(scene.where, scene.image): scene for scene in found}
        parts: list[list[Scene]] = []
        for name in _PARTS:
            gone = [where for where, image in about[name] if (where, image) not in there]
            if gone:
                raise DatasetError(
                    f"the run {path} needs its masks to be taken up, where they were when it began: "
                    f"{gone[0]} is not in {how.source}"
                )
            parts.append([there[where, image] for where, image in about[name]])
        config = read_config_of(UNetConfig, path / "config.yaml")
        return cls(path, found.classes.names), config, found, parts[0], parts[1]

    def about(self, trainer: UNetTrainer, record: dict[str, Any]) -> dict[str, Any]:
        """Return what a network's file says of itself: all that is needed to use it."""
        return {
            "unet": trainer.config.model_dump(mode="json", by_alias=True),
            "classes": list(trainer.material.classes.names),
            "ignore": trainer.material.classes.ignore,
            "weights": trainer.built.weights,
            "epoch": record["epoch"],
            "mean_dice": record.get("mean_dice"),
            "trained_on": len(trainer.material.train),
            "class_counts": trainer.class_counts.tolist(),
        }

    def draw(self, history: Sequence[dict[str, Any]]) -> None:
        """Draw the curves."""
        draw_curves(history, self.path / "curves.png", _CURVES)

    def show(self, board: SummaryWriter, record: dict[str, Any], trainer: UNetTrainer) -> None:
        """Add an epoch to TensorBoard."""
        epoch = record["epoch"]
        for key in _SCALARS:
            if key in record:
                board.add_scalar(key, record[key], epoch)
        for figure in ("dice", "iou"):
            for name, value in zip(self.classes, record.get(figure, ()), strict=False):
                if value is not None:
                    board.add_scalar(f"{figure}/{name}", value, epoch)
        if epoch == 1:
            config = trainer.config
            seen = self._seen(trainer, min(config.num_images_to_vis, 64))
            board.add_image("training images", seen, epoch, dataformats="HWC")
            if config.do_visualize:
                Image.fromarray(self._seen(trainer, config.num_images_to_vis)).save(
                    self.path / "training_images.png"
                )

    @staticmethod
    def _seen(trainer: UNetTrainer, count: int) -> np.ndarray:
        """Return training crops with their masks over them, side by side."""
        images, masks = trainer.changed_images(count)
        names = trainer.material.classes.names
        shown = MaskClasses(names, len(names))
        drawn = [
            overlay(Image.fromarray(image), np.where(mask == NOT_LABELLED, len(names), mask), shown)
            for image, mask in zip(images, masks, strict=True)
        ]
        return contact_sheet(np.stack([np.asarray(one) for one in drawn]), 4)


class ReadHow:
    """How a set of masks was read, so that a run that is taken up reads it again in the same way.

    Parameters
    ----------
    source : Path
        File or folder, or whatever else ``read`` of `MaskRun.open` takes for one.
    format : str
        One of `ml.mask_sets.FORMATS`; empty: what it looks like.
    options : MaskReadOptions, optional
    """

    def __init__(self, source: Path, format: str = "", options: MaskReadOptions | None = None) -> None:
        self.source = str(source.absolute() if source.exists() else source)
        self.format, self.options = format, options or MaskReadOptions()

    def as_json(self, classes: MaskClasses) -> dict[str, Any]:
        """Return it for a file, with the classes that were found."""
        options = asdict(self.options) | {"classes": list(classes.names), "ignore": classes.ignore}
        options["images"] = str(self.options.images.absolute()) if self.options.images else None
        return {"source": self.source, "format": self.format, "options": options}

    @classmethod
    def from_json(cls, about: dict[str, Any]) -> ReadHow:
        """Return what `as_json` wrote."""
        options = about["options"]
        images = Path(options["images"]) if options["images"] else None
        return cls(
            Path(about["source"]),
            about["format"],
            MaskReadOptions(images, tuple(options["classes"]), options["ignore"], options["image_column"]),
        )


def read_set(source: Path, format: str, options: MaskReadOptions) -> MaskSet:
    """Read masks from a file or a folder, for `MaskRun.open`."""
    return read_masks(source, format=format, options=options, skip_problems=True)


def seen_by(path: Path) -> tuple[list[str], list[str]]:
    """Return the digests of the images that a run was trained on and that it chose its epoch by, wherever they are now.

    Raises
    ------
    FileNotFoundError
        If it is no run.
    ValueError
        If it does not say.
    """
    found = json.loads((path / DATASET).read_text(encoding="utf-8")).get("contents")
    if found is None:
        raise ValueError(f"{path / DATASET} does not say which images were seen: train once more")
    return found["train"], found["valid"]


def _contents(scenes: Sequence[Scene]) -> list[str]:
    files = [scene.path for scene in scenes if scene.path and scene.path.is_file()]
    return sorted({content_key(file.read_bytes()) for file in files})


def best_of(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of the epoch whose network is kept: best by mean Dice, then by pixel accuracy."""
    return max(history, key=lambda one: (one["mean_dice"], one["pixel_accuracy"]))
