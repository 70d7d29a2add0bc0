"""The folder of a run, whatever it trains: what all of them keep, each file replaced in one step."""

from __future__ import annotations

import json
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ml.training.tensor_file import write_tensors

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

    from ml.training.loop import TrainingLoop

MODEL = "model.safetensors"
_DRAWN_EVERY = 20.0  # seconds

T = TypeVar("T", bound="TrainingLoop")


class KeptRun(ABC, Generic[T]):
    """Writes a run's files, so that a kill leaves whole ones.

    ``config.yaml`` says what was asked for; ``metrics.jsonl``, ``curves.png`` and ``tensorboard/`` what came of it;
    ``model.safetensors`` is the best epoch's network, ``checkpoint.safetensors`` where the training stands, and
    ``images.npy`` the decoded images, which are removed at the end.

    Parameters
    ----------
    path : Path
    classes : sequence of str
    """

    def __init__(self, path: Path, classes: Sequence[str] = ()) -> None:
        self.path, self.classes = path, list(classes)
        self.checkpoint = path / "checkpoint.safetensors"
        self.model = path / MODEL
        self.images = path / "images.npy"
        self._drawn = time.monotonic()

    @abstractmethod
    def about(self, trainer: T, record: dict[str, Any]) -> dict[str, Any]:
        """Return what a network's file says of itself: all that is needed to use it."""

    @abstractmethod
    def draw(self, history: Sequence[dict[str, Any]]) -> None:
        """Draw the course so far."""

    @abstractmethod
    def show(self, board: SummaryWriter, record: dict[str, Any], trainer: T) -> None:
        """Add an epoch to TensorBoard."""

    def discard(self) -> None:
        """Remove the folder of a run that did not begin."""
        if not self.checkpoint.exists():
            shutil.rmtree(self.path)

    def keep_epoch(self, record: dict[str, Any], history: list[dict[str, Any]], trainer: T) -> None:
        """Write metrics, curves and what TensorBoard shows."""
        from tensorboardX import SummaryWriter

        self._write_metrics(history)
        # what a run that was killed has written beyond its checkpoint is to be forgotten
        with SummaryWriter(str(self.path / "tensorboard"), purge_step=record["epoch"]) as board:
            self.show(board, record, trainer)
        # a picture takes longer than a short epoch; the last one is drawn at the end
        if time.monotonic() - self._drawn > _DRAWN_EVERY:
            self.draw(history)
            self._drawn = time.monotonic()

    def keep_best(self, trainer: T, record: dict[str, Any]) -> None:
        """Write the network."""
        write_tensors(self.model, trainer.judge.state_dict(), self.about(trainer, record))

    def complete(self, history: Sequence[dict[str, Any]]) -> None:
        """Write what a run that was killed after its last epoch has not written any more."""
        self._write_metrics(history)
        self.finish(history)

    def finish(self, history: Sequence[dict[str, Any]]) -> None:
        """Draw the whole course, and remove what only an unfinished run needs."""
        self.draw(history)
        for path in self.path.glob(f"{self.images.stem}.*"):
            path.unlink()

    def write(self, name: str, text: str) -> None:
        """Write a file of the run in one step."""
        draft = self.path / f".{name}.part"
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, self.path / name)

    def _write_metrics(self, history: Sequence[dict[str, Any]]) -> None:
        self.write("metrics.jsonl", "".join(json.dumps(one) + "\n" for one in history))


def new_folder(runs: Path) -> Path:
    """Make the folder of a new run, named by the time; two runs of one second get a number.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    runs.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        path = runs / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{runs} has a thousand runs of this second")
