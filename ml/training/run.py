"""The folder of a run: what it was asked for, what it was worth, its weights, and where it stands."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ml.datasets import DatasetError, Example, read_dataset, write_dataset
from ml.training.config import TrainingConfig
from ml.training.plots import confusion_image, contact_sheet, draw_confusion, draw_curves
from ml.training.tensor_file import write_tensors
from ml.training.trainer import Trainer
from ml.training.yaml_file import read_config, write_config

MODEL = "model.safetensors"
_DRAWN_EVERY = 20.0  # seconds


class RunFolder:
    """Writes a run's files; each is replaced in one step, so that a kill leaves whole ones.

    ``config.yaml``, ``classes.json``, ``train_.csv`` and ``valid_.csv`` say what was asked for; ``metrics.jsonl``,
    ``curves.png``, ``confusion.png`` and ``tensorboard/`` what came of it; ``model.safetensors`` is the best epoch's
    network, ``checkpoint.safetensors`` where the training stands, and ``images.npy`` the decoded images, which are
    removed at the end.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.safetensors"
        self.model = path / MODEL
        self.images = path / "images.npy"
        self._drawn = time.monotonic()

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
        folder = cls(_free(runs, datetime.now().strftime("%Y-%m-%d_%H-%M-%S")))
        write_dataset(train, folder.path / "train_.csv")
        write_dataset(valid, folder.path / "valid_.csv")
        folder._write("classes.json", json.dumps(list(classes), ensure_ascii=False, indent=1) + "\n")
        config = config.model_copy(deep=True)
        if config.model.weights not in ("pretrained", "scratch"):
            config.model.weights = str(Path(config.model.weights).absolute())
        # last: a folder that has it can be taken up again
        folder._write("config.yaml", write_config(config))
        return folder

    def discard(self) -> None:
        """Remove the folder of a run that did not begin."""
        if not self.checkpoint.exists():
            shutil.rmtree(self.path)

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
        return cls(path), read_config(path / "config.yaml"), classes, train, valid

    def keep_epoch(self, record: dict[str, Any], history: list[dict[str, Any]], trainer: Trainer) -> None:
        """Write metrics, curves and what TensorBoard shows."""
        self._write_metrics(history)
        self._show(record, trainer)
        # a picture takes longer than a short epoch; the last one is drawn at the end
        if time.monotonic() - self._drawn > _DRAWN_EVERY:
            self._draw(history, trainer.material.classes)

    def keep_best(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Write the network."""
        write_tensors(self.model, trainer.judge.state_dict(), about_model(trainer, record))

    def complete(self, history: Sequence[dict[str, Any]], classes: Sequence[str]) -> None:
        """Write what a run that was killed after its last epoch has not written any more."""
        self._write_metrics(history)
        self.finish(history, classes)

    def _write_metrics(self, history: Sequence[dict[str, Any]]) -> None:
        self._write("metrics.jsonl", "".join(json.dumps(one) + "\n" for one in history))

    def finish(self, history: Sequence[dict[str, Any]], classes: Sequence[str]) -> None:
        """Draw the curves and the best epoch's confusion matrix, and remove what only an unfinished run needs."""
        self._draw(history, classes)
        for path in (self.images, self.images.with_suffix(".bad.npy")):
            path.unlink(missing_ok=True)

    def _draw(self, history: Sequence[dict[str, Any]], classes: Sequence[str]) -> None:
        draw_curves(history, self.path / "curves.png")
        draw_confusion(best_of(history)["confusion"], classes, self.path / "confusion.png")
        self._drawn = time.monotonic()

    def _show(self, record: dict[str, Any], trainer: Trainer) -> None:
        from tensorboardX import SummaryWriter

        epoch, classes = record["epoch"], trainer.material.classes
        # what a run that was killed has written beyond its checkpoint is to be forgotten
        with SummaryWriter(str(self.path / "tensorboard"), purge_step=epoch) as board:
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

    def _write(self, name: str, text: str) -> None:
        draft = self.path / f".{name}.part"
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, self.path / name)


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


def _free(runs: Path, name: str) -> Path:
    """Make a folder that was not there; two runs of one second get a number."""
    runs.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        path = runs / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{runs} has a thousand runs of this second")
