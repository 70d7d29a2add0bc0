"""The folder of a classifier's run: what it was asked for, what it was worth, its weights, and where it stands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ml.datasets import DatasetError, Example, read_dataset, write_dataset
from ml.training.config import TrainingConfig
from ml.training.kept import KeptRun, new_folder
from ml.training.plots import confusion_image, contact_sheet, draw_confusion, draw_curves
from ml.training.trainer import Trainer
from ml.training.yaml_file import read_config, write_config

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

_CURVES = (
    (("train_loss", "training loss"), ("log_loss", "validation log-loss")),
    (("macro_f1", "macro F1"), ("accuracy", "accuracy")),
    (("lr", "learning rate"),),
)


class RunFolder(KeptRun[Trainer]):
    """Writes a run's files.

    Besides those of every run: ``classes.json``, ``train_.csv`` and ``valid_.csv`` say what it was asked for, and
    ``confusion.png`` what came of it.
    """

    @classmethod
    def new(
        cls,
        runs: Path,
        config: TrainingConfig,
        classes: Sequence[str],
        train: Sequence[Example],
        valid: Sequence[Example],
    ) -> RunFolder:
        """Make the folder of a new run, named by the time.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        folder = cls(new_folder(runs), classes)
        write_dataset(train, folder.path / "train_.csv")
        write_dataset(valid, folder.path / "valid_.csv")
        folder.write("classes.json", json.dumps(list(classes), ensure_ascii=False, indent=1) + "\n")
        # last: a folder that has it can be taken up again
        folder.write("config.yaml", write_config(config.anywhere()))
        return folder

    @classmethod
    def open(cls, path: Path) -> tuple[RunFolder, TrainingConfig, list[str], list[Example], list[Example]]:
        """Return a run that was begun: configuration, classes, training and validation images.

        Raises
        ------
        FileNotFoundError
            If there is none.
        DatasetError
            If its images are not where they were.
        """
        if not (path / "config.yaml").is_file():
            raise FileNotFoundError(f"{path} is no folder of a run: there is no config.yaml in it")
        try:
            parts = [read_dataset(path / f"{part}_.csv", skip_problems=False) for part in ("train", "valid")]
        except DatasetError as error:
            raise DatasetError(
                f"the run {path} needs its images to be taken up, where they were when it began: {error}"
            ) from error
        classes: list[str] = json.loads((path / "classes.json").read_text(encoding="utf-8"))
        train, valid = (part.examples for part in parts)
        return cls(path, classes), read_config(path / "config.yaml"), classes, train, valid

    def about(self, trainer: Trainer, record: dict[str, Any]) -> dict[str, Any]:
        """Return what a network's file says of itself: all that is needed to use it."""
        return about_model(trainer, record)

    def draw(self, history: Sequence[dict[str, Any]]) -> None:
        """Draw the curves and the best epoch's confusion matrix."""
        draw_curves(history, self.path / "curves.png", _CURVES)
        draw_confusion(best_of(history)["confusion"], self.classes, self.path / "confusion.png")

    def show(self, board: SummaryWriter, record: dict[str, Any], trainer: Trainer) -> None:
        """Add an epoch to TensorBoard."""
        epoch, classes = record["epoch"], trainer.material.classes
        for key in ("lr", "train_loss", "log_loss", "accuracy", "macro_f1", "images_per_second"):
            if key in record:
                board.add_scalar(key, record[key], epoch)
        for name, value in zip(classes, record.get("f1", ()), strict=False):
            if value is not None:
                board.add_scalar(f"f1/{name}", value, epoch)
        if epoch == 1:
            config = trainer.config
            images = trainer.changed_images(min(config.num_images_to_vis, 64))
            board.add_image("training images", contact_sheet(images), epoch, dataformats="HWC")
            if config.do_visualize:
                Image.fromarray(contact_sheet(trainer.changed_images(config.num_images_to_vis))).save(
                    self.path / "training_images.png"
                )
        if "confusion" in record:
            board.add_image(
                "confusion", confusion_image(record["confusion"], classes), epoch, dataformats="HWC"
            )


def best_of(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of the epoch whose network is kept: best by macro F1, then by log-loss."""
    return max(history, key=lambda one: (one["macro_f1"], -one["log_loss"]))


def about_model(trainer: Trainer, record: dict[str, Any]) -> dict[str, Any]:
    """Return what a network's file says of itself: all that is needed to use it."""
    return {
        "config": trainer.config.model_dump(mode="json", by_alias=True),
        "classes": trainer.material.classes,
        "weights": trainer.built.weights,
        "epoch": record["epoch"],
        "macro_f1": record.get("macro_f1"),
        "trained_on": len(trainer.material.train),
        "class_counts": np.bincount(
            trainer.material.targets[trainer.material.train], minlength=len(trainer.material.classes)
        ).tolist(),
    }
