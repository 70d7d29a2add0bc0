"""Epochs and steps of a training, whatever it learns: rates, precision, checkpoints, the best so far."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ml.embedders.threads import usable_cpus
from ml.training.augment import image_seed
from ml.training.batches import EpochBatches
from ml.training.config import LoopBlock
from ml.training.network import freeze_backbone, keep_statistics
from ml.training.optimizer import make_optimizer, pack_optimizer, unpack_optimizer
from ml.training.precision import Precision
from ml.training.processes import Processes
from ml.training.schedules import Schedule
from ml.training.tensor_file import below, read_tensors, write_tensors

_TOLD = 0.2  # seconds between two reports
_FEW = 2_000  # images whose own batch statistics are worse than those of the weights

L_contra = TypeVar("L_contra", contravariant=True)


class TrainingError(ValueError):
    """A training cannot go on; the message says why and what to change."""


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands, for a progress bar."""

    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_second: float
    record: dict[str, Any] | None = None


Report = Callable[[TrainingProgress], None]


class Keeper(Protocol[L_contra]):
    """What keeps a training: see `ml.training.kept.KeptRun`."""

    checkpoint: Path

    def keep_epoch(self, record: dict[str, Any], history: list[dict[str, Any]], trainer: L_contra) -> None:
        """Keep what an epoch was worth."""
        ...

    def keep_best(self, trainer: L_contra, record: dict[str, Any]) -> None:
        """Keep the weights, the best so far."""
        ...


@dataclass
class Progress:
    """All of a training that is not in tensors; JSON has it.

    Attributes
    ----------
    epoch, step : int
        Epochs that are done, and steps of the one that is not.
    loss, seconds : float
        Sum over these steps.
    history : list of dict
        A record an epoch.
    best : list of float
        What the best epoch was worth; a classifier's macro F1 and negative log-loss.
    idle : int
        Epochs since then.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: list[float] = field(default_factory=lambda: [-1.0, 0.0])
    idle: int = 0

    def ended(self, config: LoopBlock) -> bool:
        """Tell whether all epochs are done, or the last ones were worth nothing."""
        return self.epoch >= config.epochs or 0 < config.early_stop <= self.idle


class TrainingLoop(ABC):
    """Trains one network.

    All chance hangs on the seed, the epoch and the step: a training that is taken up again from a checkpoint, even
    in the middle of an epoch, does the same steps as one that was never stopped.

    Parameters
    ----------
    training : LoopBlock
    network : torch.nn.Module
        That is changed.
    head : tuple of str
        Names of the parameters that begin anew.
    fresh : bool
        Whether all of it begins from scratch.
    batches : EpochBatches
        Which images each step is about.
    processes : Processes
    keeper : Keeper, optional
        Where checkpoints go; without one nothing is kept.
    report : callable, optional
        Told of the progress.
    """

    def __init__(
        self,
        training: LoopBlock,
        network: nn.Module,
        head: tuple[str, ...],
        *,
        fresh: bool,
        batches: EpochBatches,
        processes: Processes,
        keeper: Keeper[Any] | None = None,
        report: Report | None = None,
    ) -> None:
        self.training, self.head, self.fresh = training, head, fresh
        self.processes, self.keeper, self.report = processes, keeper, report
        self.device = processes.device
        self.precision = Precision(training.precision, self.device, network)
        # in bfloat16 on a processor, gradients of a batch norm that is channels last are NaN now and then (torch 2.15)
        unsafe = self.device.type == "cpu" and self.precision.dtype == torch.bfloat16
        self.layout = (
            torch.channels_last if training.channels_last and not unsafe else torch.contiguous_format
        )
        self.network: nn.Module = network.to(self.device, memory_format=self.layout)
        self._batches = batches
        self._optimizer = make_optimizer(self.network, head, training, fresh=fresh)
        few = not fresh and len(batches.rows) <= _FEW
        self._keep_norm = few if training.keep_norm is None else training.keep_norm
        self._schedule = Schedule(self._optimizer, training, batches.steps)
        self._ema = ModelEmaV3(self.network, decay=training.ema, use_warmup=True) if training.ema else None
        self.progress = Progress()
        self._saved = time.monotonic()
        self._wrapped: nn.Module | None = None

    @property
    @abstractmethod
    def _images(self) -> Dataset[Any]:
        """What a batch is taken from, by the rows and seeds of `EpochBatches`: tensors of the same length."""

    @property
    @abstractmethod
    def _changes_cheaply(self) -> bool:
        """Whether changing an image costs less than having another process do it."""

    @abstractmethod
    def _loss_of(self, network: nn.Module, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return what a step makes small."""

    @abstractmethod
    def _judge(self) -> tuple[dict[str, Any], list[float]] | None:
        """Return figures on images held out, and what they are worth, the first counting most; None without any."""

    def _begin(self) -> None:  # noqa: B027
        """Do what comes before the first step of a training that was not taken up again."""

    @property
    def judge(self) -> nn.Module:
        """The network that is judged and kept: the running mean of weights where there is one."""
        module: nn.Module = self._ema.module if self._ema is not None else self.network
        return module

    def fit(self) -> Progress:
        """Train all epochs, from the checkpoint if there is one.

        Raises
        ------
        TrainingError
            If the loss is no longer a number.
        OSError
            If a checkpoint cannot be written.
        """
        if self.keeper is not None and self.keeper.checkpoint.exists():
            self._load(self.keeper.checkpoint)
        else:
            self._begin()
        while not self.progress.ended(self.training):
            self._set_phase()
            rate = self._schedule.rate()
            self._train_epoch()
            self._end_epoch(rate)
        return self.progress

    def over(self, rows: np.ndarray, work: Callable[[np.ndarray], torch.Tensor], width: int) -> np.ndarray:
        """Return what comes of a piece of work on batches of rows, float32 of shape (len(rows), width)."""
        processes = self.processes
        own = rows[processes.rank :: processes.world]
        size = max(self.training.batch_size, 32)
        parts = [work(own[at : at + size]).cpu().numpy() for at in range(0, len(own), size)]
        return processes.gather(np.concatenate([np.zeros((0, width), dtype=np.float32), *parts]), len(rows))

    def _set_phase(self) -> None:
        """Freeze or unfreeze; in parallel, the gradients that are averaged are those of what learns."""
        frozen = self.progress.epoch < self.training.freeze_epochs
        if self._wrapped is None or self.progress.epoch == self.training.freeze_epochs:
            freeze_backbone(self.network, self.head, frozen=frozen)
            self._wrapped = self.processes.wrap(self.network)
        self._wrapped.train(not frozen)
        if self._keep_norm:
            keep_statistics(self._wrapped)
        for name in {name.rpartition(".")[0] for name in self.head}:
            self.network.get_submodule(name).train()

    def _train_epoch(self) -> None:
        training, progress = self.training, self.progress
        self._batches.epoch, self._batches.skip = progress.epoch, progress.step
        began, seen, told = time.monotonic(), 0, 0.0
        earlier, total = progress.loss, torch.zeros((), device=self.device)
        for batch in self._loader():
            total += self._step(batch)
            seen += len(batch[0]) * self.processes.world
            progress.step += 1
            now = time.monotonic()
            due = now - self._saved > 60 * training.checkpoint_minutes
            last = progress.step == self._batches.steps
            if due or last or now - told > _TOLD:
                told = now
                progress.loss = earlier + float(total)
                if not np.isfinite(progress.loss):
                    raise TrainingError(
                        f"the loss is {progress.loss} in epoch {progress.epoch + 1}, step {progress.step}: "
                        "lower Training.lr, or set Training.clip or a longer Training.warmup"
                    )
                self._tell(seen / max(now - began, 1e-9))
            if due and not last:
                progress.seconds += now - began
                began, seen = now, 0
                self._save()
        progress.seconds += time.monotonic() - began

    def _step(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        training, progress = self.training, self.progress
        # whatever drops out or is mixed depends on the step alone
        torch.manual_seed(image_seed(training.seed, progress.epoch, progress.step, self.processes.rank))
        assert self._wrapped is not None
        loss = self._loss_of(self._wrapped, batch)
        scaler = self.precision.scaler
        self._optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        if training.clip:
            scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), training.clip)
        scaler.step(self._optimizer)
        scaler.update()
        self._schedule.step()
        if self._ema is not None:
            self._ema.update(self.network, step=progress.epoch * self._batches.steps + progress.step)
        return loss.detach()

    def _end_epoch(self, rate: float) -> None:
        progress, steps = self.progress, self._batches.steps
        record: dict[str, Any] = {
            "epoch": progress.epoch + 1,
            "lr": rate,
            "train_loss": progress.loss / steps,
            "seconds": progress.seconds,
            "images_per_second": steps
            * self._batches.size
            * self.processes.world
            / max(progress.seconds, 1e-9),
        }
        better, judged = True, self._judge()
        if judged is not None:
            found, worth = judged
            record |= found
            better = worth > progress.best
            progress.idle = 0 if worth[0] > progress.best[0] else progress.idle + 1
            progress.best = max(worth, progress.best)
        self._schedule.epoch_end(-record["train_loss"] if judged is None else judged[1][0])
        progress.history.append(record)
        progress.epoch, progress.step, progress.loss, progress.seconds = progress.epoch + 1, 0, 0.0, 0.0
        if self.keeper is not None and self.processes.first:
            if better:
                self.keeper.keep_best(self, record)
            self._save()
            self.keeper.keep_epoch(record, progress.history, self)
        self._tell(record["images_per_second"], record)

    def _loader(self) -> Iterator[Sequence[torch.Tensor]]:
        workers = self.training.num_workers
        if workers is None:
            spare = usable_cpus() // self.processes.world - 1
            workers = 0 if self._changes_cheaply else max(0, min(8, spare))
        cuda = self.device.type == "cuda"
        loader: DataLoader[Any] = DataLoader(
            self._images, batch_sampler=self._batches, num_workers=workers, collate_fn=_as_is, pin_memory=cuda
        )
        return iter(loader)

    def _tell(self, speed: float, record: dict[str, Any] | None = None) -> None:
        if self.report is not None and self.processes.first:
            progress, training = self.progress, self.training
            epoch = progress.epoch if record else progress.epoch + 1
            step = self._batches.steps if record else progress.step
            self.report(TrainingProgress(epoch, training.epochs, step, self._batches.steps, speed, record))

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self.keeper is None or not self.processes.first:
            return
        optimizer, groups = pack_optimizer(self._optimizer)
        parts = {"network": self.network.state_dict(), "optimizer": optimizer}
        if self._ema is not None:
            parts["ema"] = self._ema.module.state_dict()
        tensors = {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}
        about = {
            "progress": vars(self.progress),
            "groups": groups,
            "schedule": self._schedule.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
        }
        write_tensors(self.keeper.checkpoint, tensors, about)

    def _load(self, path: Path) -> None:
        tensors, about = read_tensors(path)
        try:
            self.network.load_state_dict(below(tensors, "network"))
        except RuntimeError as error:
            raise TrainingError(f"checkpoint {path} does not fit the run's network: {error}") from error
        if self._ema is not None:
            self._ema.module.load_state_dict(below(tensors, "ema"))
        unpack_optimizer(self._optimizer, below(tensors, "optimizer"), about["groups"])
        self._schedule.load_state_dict(about["schedule"])
        self.precision.scaler.load_state_dict(about["scaler"])
        self.progress = Progress(**about["progress"])


def _as_is(batch: Any) -> Any:
    return batch
