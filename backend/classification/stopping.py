"""When is it enough: what `lineup status` and the manifest say of the model's accuracy and of the next labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from backend.classification.learning import Classified, agrees
from backend.embedding import Embedded
from backend.targets import Targets
from ml.acquisition.explore import uniform_sample
from ml.heads.ensemble import N_FOLDS
from ml.stopping import look_ahead


@dataclass(frozen=True)
class StopSignal:
    """How good the model is on the whole project, and what more labels would bring.

    Attributes
    ----------
    accuracy, low, high : float
        Estimated accuracy on all images and its 95 % interval, in [0, 1].
    labels : int
        Labels the estimate rests on.
    source : str
        How it was estimated, see `ml.stopping.Accuracy`.
    gain : float or None
        What the next 100 labels are expected to add to the accuracy; None with too few labels to tell, and for
        class sets.
    """

    accuracy: float
    low: float
    high: float
    labels: int
    source: str
    gain: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def stop_signal(targets: Targets, embedded: Embedded, learned: Classified, *, seed: int) -> StopSignal | None:
    """Return the stop signal of a project; None without a model.

    Parameters
    ----------
    seed : int
        Of the subsets that the learning curve is measured on.
    """
    if learned.probs is None:
        return None
    labelled = targets.labelled & embedded.ok
    rows = np.flatnonzero(labelled)
    given, learner = targets.labels[rows], learned.learner
    # what people skipped will not be labelled: it is no part of the collection
    collection = embedded.ok & (labelled | ~targets.touched)
    drawn = np.where(collection, embedded.drawn, np.inf)
    decided, confidence = learner.decide(learned.probs[rows])
    _, pool_confidence = learner.decide(learned.probs[collection & ~labelled])
    outlook = look_ahead(
        embedded.vectors[rows],
        learner.answers(given),
        agrees(decided, given),
        confidence,
        pool_confidence,
        uniform=uniform_sample(drawn[collection], labelled[collection])[labelled[collection]],
        n_folds=N_FOLDS,
        rng=np.random.default_rng(seed),
    )
    if outlook is None:
        return None
    estimate, gain = outlook.accuracy, outlook.gain
    accuracy, low, high = (round(value, 4) for value in (estimate.value, estimate.low, estimate.high))
    return StopSignal(
        accuracy, low, high, estimate.n, estimate.source, None if gain is None else round(gain, 4)
    )
