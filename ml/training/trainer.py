"""The training of one network: epochs, steps, and what is kept of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader

from ml.embedders.threads import usable_cpus
from ml.training.augment import AugmentedImages, image_seed, plain_transform, training_transform
from ml.training.batches import EpochBatches
from ml.training.config import TrainingBlock, TrainingConfig
from ml.training.head_start import choose_rows, start_head
from ml.training.losses import make_loss
from ml.training.material import Material
from ml.training.metrics import judge_classifier
from ml.training.mixing import make_mixing
from ml.training.network import Built, freeze_backbone, keep_statistics
from ml.training.optimizer import make_optimizer, pack_optimizer, unpack_optimizer
from ml.training.precision import Precision
from ml.training.processes import Processes
from ml.training.schedules import Schedule
from ml.training.tensor_file import below, read_tensors, write_tensors
from ml.training.views import View

_TOLD = 0.2  # seconds between two reports
_FEW = 2_000  # images whose own batch statistics are worse than those of the weights


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


class Keeper(Protocol):
    """What keeps a training: see `ml.training.run.RunFolder`."""

    checkpoint: Path

    def keep_epoch(self, record: dict[str, Any], history: list[dict[str, Any]], trainer: Trainer) -> None:
        """Keep what an epoch was worth."""
        ...

    def keep_best(self, trainer: Trainer, record: dict[str, Any]) -> None:
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
        Macro F1 and negative log-loss of the best epoch.
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

    def ended(self, config: TrainingBlock) -> bool:
        """Tell whether all epochs are done, or the last ones were worth nothing."""
        return self.epoch >= config.epochs or 0 < config.early_stop <= self.idle


class Trainer:
    """Trains one network.

    All chance hangs on the seed, the epoch and the step: a training that is taken up again from a checkpoint, even
    in the middle of an epoch, does the same steps as one that was never stopped.

    Parameters
    ----------
    config : TrainingConfig
    built : Built
        The network, that is changed.
    material : Material
    processes : Processes
    keeper : Keeper, optional
        Where checkpoints go; without one nothing is kept.
    report : callable, optional
        Told of the progress.
    """

    def __init__(
        self,
        config: TrainingConfig,
        built: Built,
        material: Material,
        processes: Processes,
        *,
        keeper: Keeper | None = None,
        report: Report | None = None,
    ) -> None:
        self.config, self.material, self.built = config, material, built
        self.processes, self.keeper, self.report = processes, keeper, report
        training, self.device = config.training, processes.device
        self._precision = Precision(training.precision, self.device, built.network)
        # in bfloat16 on a processor, gradients of a batch norm that is channels last are NaN now and then (torch 2.15)
        unsafe = self.device.type == "cpu" and self._precision.dtype == torch.bfloat16
        self._layout = (
            torch.channels_last if training.channels_last and not unsafe else torch.contiguous_format
        )
        self.network: nn.Module = built.network.to(self.device, memory_format=self._layout)
        targets = material.targets[material.train]
        self._batches = EpochBatches(
            material.train, targets, training.batch_size, seed=training.seed,
            weighted=training.weighted_sampler, rank=processes.rank, world=processes.world,
        )  # fmt: skip
        classes = len(material.classes)
        self._targets = torch.from_numpy(material.targets).to(self.device)
        self._loss = make_loss(training, targets, classes).to(self.device)
        self._mixing = make_mixing(training, classes)
        self._optimizer = make_optimizer(self.network, built.head, training, fresh=built.fresh)
        few = not built.fresh and len(material.train) <= _FEW
        self._keep_norm = few if training.keep_norm is None else training.keep_norm
        self._schedule = Schedule(self._optimizer, training, self._batches.steps)
        self._ema = ModelEmaV3(self.network, decay=training.ema, use_warmup=True) if training.ema else None
        self._plain = plain_transform(config.dataset.transform)
        self._images = AugmentedImages(
            material.pixels, training_transform(config.dataset.transform, built.preprocess.shape)
        )
        self.progress = Progress()
        self._saved = time.monotonic()
        self._wrapped: nn.Module | None = None

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
            self._start_head()
        training = self.config.training
        while not self.progress.ended(training):
            self._set_phase()
            rate = self._schedule.rate()
            self._train_epoch()
            self._end_epoch(rate)
        return self.progress

    def probabilities(self, rows: np.ndarray, views: Sequence[View] = ()) -> np.ndarray:
        """Return the probabilities of the classes for cached images, float32 of shape (len(rows), classes).

        Parameters
        ----------
        rows : ndarray of int
        views : sequence of callable
            Of `ml.training.views.make_views`: averaged over; without any, images as they are.
        """
        network = self.judge
        self.processes.share_buffers(network)

        def work(some: np.ndarray) -> torch.Tensor:
            seen = [self._logits(network, some, view).softmax(dim=1) for view in views or (None,)]
            return torch.stack(seen).mean(dim=0)

        return self._over(rows, work, len(self.material.classes))

    def _over(self, rows: np.ndarray, work: Callable[[np.ndarray], torch.Tensor], width: int) -> np.ndarray:
        """Return what comes of a piece of work on batches of rows, float32 of shape (len(rows), width)."""
        processes = self.processes
        own = rows[processes.rank :: processes.world]
        size = max(self.config.training.batch_size, 32)
        parts = [work(own[at : at + size]).cpu().numpy() for at in range(0, len(own), size)]
        return processes.gather(np.concatenate([np.zeros((0, width), dtype=np.float32), *parts]), len(rows))

    def _start_head(self) -> None:
        """Begin with a head that frozen vectors lead to, where the backbone has learned before."""
        training, material = self.config.training, self.material
        names = {name.rpartition(".")[0] for name in self.built.head}
        linear = self.network.get_submodule(names.pop()) if len(names) == 1 else None
        if self.built.fresh or not training.head_start or not isinstance(linear, nn.Linear):
            return
        rows = choose_rows(material.train, material.targets[material.train], training.seed)
        if not len(rows):
            return
        inputs: list[torch.Tensor] = []

        def vectors(some: np.ndarray) -> torch.Tensor:
            self._logits(self.network, some)
            return inputs.pop().float()

        hook = linear.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        found = self._over(rows, vectors, linear.in_features)
        hook.remove()
        start_head(linear, found, material.targets[rows], seed=training.seed)
        if self._ema is not None:
            self._ema.set(self.network)

    def changed_images(self, count: int) -> np.ndarray:
        """Return training images as the network sees them, uint8 of shape (count, height, width, 3)."""
        rows = self.material.train[:count]
        seed = self.config.training.seed
        images, _ = self._images.__getitems__([(int(row), image_seed(seed, int(row))) for row in rows])
        return images.numpy()

    @torch.no_grad()
    def _logits(self, network: nn.Module, rows: np.ndarray, view: View | None = None) -> torch.Tensor:
        network.eval()
        images = torch.from_numpy(self.material.pixels[rows])
        if view is not None:
            images = view(images.movedim(-1, 1)).movedim(1, -1)
        if self._plain is not None:
            images = self._plain(images.movedim(-1, 1)).movedim(1, -1)
        with self._precision():
            logits: torch.Tensor = network(self._input(images))
        return logits.float()

    def _input(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.to(self.device, non_blocking=True)
        return self.built.normalise(pixels).contiguous(memory_format=self._layout)

    def _set_phase(self) -> None:
        """Freeze or unfreeze; in parallel, the gradients that are averaged are those of what learns."""
        frozen = self.progress.epoch < self.config.training.freeze_epochs
        if self._wrapped is None or self.progress.epoch == self.config.training.freeze_epochs:
            freeze_backbone(self.network, self.built.head, frozen=frozen)
            self._wrapped = self.processes.wrap(self.network)
        self._wrapped.train(not frozen)
        if self._keep_norm:
            keep_statistics(self._wrapped)
        for name in {name.rpartition(".")[0] for name in self.built.head}:
            self.network.get_submodule(name).train()

    def _train_epoch(self) -> None:
        training, progress = self.config.training, self.progress
        self._batches.epoch, self._batches.skip = progress.epoch, progress.step
        began, seen, told = time.monotonic(), 0, 0.0
        earlier, total = progress.loss, torch.zeros((), device=self.device)
        for images, rows in self._loader():
            loss = self._step(images, rows)
            total += loss
            seen += len(rows) * self.processes.world
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

    def _step(self, images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        training, progress = self.config.training, self.progress
        # whatever drops out or is mixed depends on the step alone
        torch.manual_seed(image_seed(training.seed, progress.epoch, progress.step, self.processes.rank))
        batch, targets = self._input(images), self._targets[rows.to(self.device)]
        if self._mixing is not None:
            batch, targets = self._mixing(batch, targets)
        assert self._wrapped is not None
        with self._precision():
            loss: torch.Tensor = self._loss(self._wrapped(batch), targets)
        scaler = self._precision.scaler
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
        valid, better = self.material.valid, True
        if len(valid):
            targets = self.material.targets[valid]
            found = judge_classifier(self.probabilities(valid), targets, len(self.material.classes))
            record |= found
            worth = [found["macro_f1"], -found["log_loss"]]
            better = worth > progress.best
            progress.idle = 0 if worth[0] > progress.best[0] else progress.idle + 1
            progress.best = max(worth, progress.best)
        self._schedule.epoch_end(record.get("macro_f1", -record["train_loss"]))
        progress.history.append(record)
        progress.epoch, progress.step, progress.loss, progress.seconds = progress.epoch + 1, 0, 0.0, 0.0
        if self.keeper is not None and self.processes.first:
            if better:
                self.keeper.keep_best(self, record)
            self._save()
            self.keeper.keep_epoch(record, progress.history, self)
        self._tell(record["images_per_second"], record)

    def _loader(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        workers = self.config.training.num_workers
        if workers is None:
            spare = usable_cpus() // self.processes.world - 1
            # mirroring costs less than what another process costs
            workers = 0 if self.config.dataset.transform.only_mirrors else max(0, min(8, spare))
        cuda = self.device.type == "cuda"
        loader: DataLoader[Any] = DataLoader(
            self._images, batch_sampler=self._batches, num_workers=workers, collate_fn=_as_is, pin_memory=cuda
        )
        return iter(loader)

    def _tell(self, speed: float, record: dict[str, Any] | None = None) -> None:
        if self.report is not None and self.processes.first:
            progress, training = self.progress, self.config.training
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
            "scaler": self._precision.scaler.state_dict(),
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
        self._precision.scaler.load_state_dict(about["scaler"])
        self.progress = Progress(**about["progress"])


def _as_is(batch: Any) -> Any:
    return batch
