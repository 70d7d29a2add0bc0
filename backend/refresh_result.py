"""What one refresh did."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RefreshResult:
    """What one refresh did; what `lineup status` shows of it.

    Attributes
    ----------
    version : str
        The version served afterwards.
    learned : bool
        Whether a new version was learned.
    labels : int
        Labelled tasks.
    accuracy : float or None
        Out-of-sample agreement with the given labels, in [0, 1].
    suspects : int
        Labelled tasks at or above the review threshold.
    expected_wrong : float or None
        How many of the labels that nobody has reviewed are wrong, by the calibrated suspicions; None without a
        model.
    stop : dict or None
        The stop signal, see `backend.classification.stopping.StopSignal`; None without a model.
    note : str or None
        Why there is no model, or that the embedder is a fallback.
    seconds : dict
        Seconds by step.
    written : dict
        Predictions and field values written.
    """

    version: str
    learned: bool = False
    tasks: int = 0
    labels: int = 0
    accuracy: float | None = None
    suspects: int = 0
    expected_wrong: float | None = None
    stop: dict[str, Any] | None = None
    note: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure a step."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[step] = round(time.monotonic() - start, 3)
