"""Learning rates over time: warm-up, and one of several ways down."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from ml.training.config import LoopBlock

_FIRST = 0.01  # share of the rate that warm-up starts from


class Schedule:
    """A learning rate by step, and for ``plateau`` by what an epoch was worth.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups have the highest rates.
    config : LoopBlock
    steps : int
        Steps an epoch.
    """

    def __init__(self, optimizer: Optimizer, config: LoopBlock, steps: int) -> None:
        self.optimizer = optimizer
        total = config.epochs * steps
        warm = min(round(config.warmup * steps), total - 1)
        self._warm = warm
        self._step = 0
        self._plateau: ReduceLROnPlateau | None = None
        if config.schedule == "plateau":
            self._plateau = ReduceLROnPlateau(
                optimizer, mode="max", factor=config.factor, patience=config.patience, min_lr=config.min_lr,
                threshold=1e-4, threshold_mode="abs",
            )  # fmt: skip
        self._by_step = _by_step(optimizer, config, steps, warm, total)

    def step(self) -> None:
        """Set the rates for the next step."""
        self._step += 1
        # plateau's own changes stay: after the warm-up nothing else touches the rates
        if self._plateau is None or self._step <= self._warm:
            self._by_step.step()

    def epoch_end(self, worth: float) -> None:
        """Lower the rates if the epochs are no longer worth more.

        Parameters
        ----------
        worth : float
            Macro F1 on images held out; without such images minus the training loss.
        """
        if self._plateau is not None and self._step >= self._warm:
            self._plateau.step(worth)

    def rate(self) -> float:
        """Return the highest rate of the next step."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def state_dict(self) -> dict[str, Any]:
        """Return its state, made of what JSON has."""
        plateau = self._plateau
        kept = {"step": self._step, "by_step": _plain(self._by_step)}
        if plateau is not None:
            kept["plateau"] = {"best": plateau.best, "bad_epochs": plateau.num_bad_epochs}
        return kept

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where another one stood; the optimizer's rates are its own affair."""
        self._step = state["step"]
        _restore(self._by_step, state["by_step"])
        if self._plateau is not None:
            self._plateau.best = state["plateau"]["best"]
            self._plateau.num_bad_epochs = state["plateau"]["bad_epochs"]


def _by_step(optimizer: Optimizer, config: LoopBlock, steps: int, warm: int, total: int) -> LRScheduler:
    if config.schedule == "noam":
        # Vaswani et al., NeurIPS 2017, scaled so that the highest rate is `lr`; it has its own warm-up
        peak = max(1, warm)
        return LambdaLR(optimizer, lambda step: min((step + 1) / peak, math.sqrt(peak / (step + 1))))
    left = total - warm
    match config.schedule:
        case "cosine":
            after: LRScheduler = CosineAnnealingLR(optimizer, T_max=left, eta_min=config.min_lr)
        case "step":
            after = StepLR(optimizer, step_size=config.step_epochs * steps, gamma=config.step_factor)
        case "polynomial":
            after = PolynomialLR(optimizer, total_iters=left, power=config.power)
        case _:
            after = LambdaLR(optimizer, lambda step: 1.0)
    if not warm:
        return after
    # building `after` has set the rates already; the warm-up starts from the highest ones all the same
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"]
    return SequentialLR(optimizer, [LinearLR(optimizer, _FIRST, total_iters=warm), after], [warm])


def _plain(scheduler: LRScheduler) -> dict[str, Any]:
    inner = [_plain(one) for one in getattr(scheduler, "_schedulers", ())]
    return {
        "last_epoch": scheduler.last_epoch,
        "rates": list(map(float, scheduler.get_last_lr())),
        "inner": inner,
    }


def _restore(scheduler: LRScheduler, state: dict[str, Any]) -> None:
    scheduler.last_epoch = state["last_epoch"]
    scheduler._last_lr = list(state["rates"])
    for one, kept in zip(getattr(scheduler, "_schedulers", ()), state["inner"], strict=True):
        _restore(one, kept)
