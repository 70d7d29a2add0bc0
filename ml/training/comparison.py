"""Is a backbone better than another? The same head on the vectors of each, judged on images neither has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.learners import choices
from ml.training.metrics import judge_classifier

_DRAWS = 500
# standard errors a gain must exceed: by chance alone one in twenty does
_SURE = 1.645
_SCORES = ("macro_f1", "accuracy", "log_loss")


@dataclass(frozen=True)
class Comparison:
    """What two backbones are worth, out of sample.

    Attributes
    ----------
    held : int
        Images they were judged on.
    before, after : dict of str to float
        ``macro_f1``, ``accuracy`` and ``log_loss`` of each.
    f1_gain, f1_error : float
        How much macro F1 the second has more, and the standard error of that over bootstrap samples of the groups of
        images (Efron, Annals of Statistics 7, 1979), both judged on the same sample each time.
    loss_gain, loss_error : float
        How much less log-loss an image it has, and the standard error of that mean, by the sums of the groups.
    """

    held: int
    before: dict[str, float]
    after: dict[str, float]
    f1_gain: float
    f1_error: float
    loss_gain: float
    loss_error: float

    @property
    def better(self) -> bool:
        """Whether macro F1 is higher by more than 1.645 standard errors, and log-loss not higher by more than that."""
        surely = self.f1_gain > max(_SURE * self.f1_error, 1e-9)
        return surely and self.loss_gain >= -_SURE * self.loss_error

    def text(self) -> str:
        """Return it as a line."""
        return (
            f"macro F1 {self.before['macro_f1']:.3f} -> {self.after['macro_f1']:.3f} "
            f"(difference {self.f1_gain:+.3f}, standard error {self.f1_error:.3f}), log-loss "
            f"{self.before['log_loss']:.3f} -> {self.after['log_loss']:.3f} on {self.held} images held out"
        )


def compare_backbones(
    before: np.ndarray,
    after: np.ndarray,
    labels: np.ndarray,
    keys: Sequence[str],
    train: np.ndarray,
    held: np.ndarray,
    n_classes: int,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Comparison:
    """Fit `ml.learners.choices` to some rows on the vectors of either backbone, and judge it on others.

    Parameters
    ----------
    before, after : ndarray of float32, shape (n, d), (n, d')
        Vectors of the same images.
    labels : ndarray of int, shape (n,)
    keys : sequence of str, length n
        Content digests.
    train, held : ndarray of int
        Rows to fit to, and to judge on.
    n_classes : int
    groups : ndarray of int, shape (n,), optional
        Near-duplicates have the same number: they are right or wrong together, so that ten of them say no more than
        one. Default: each image for itself.
    seed : int
        Of the bootstrap.

    Raises
    ------
    NotEnoughClasses
        If the rows to fit to have one class.
    """
    of_train, truth = [keys[row] for row in train], labels[held]
    probs = []
    for vectors in (before, after):
        fit = choices.fit(vectors[train], labels[train], n_classes, of_train)
        probs.append(fit.head.predict_proba(vectors[held]))
    scores = [judge_classifier(one, truth, n_classes) for one in probs]
    losses = [-np.log(np.maximum(one[np.arange(len(held)), truth], 1e-12)) for one in probs]
    rng = np.random.default_rng(seed)
    predicted = [one.argmax(axis=1) for one in probs]
    known, group = np.unique(held if groups is None else groups[held], return_inverse=True)
    gains = []
    for drawn in rng.integers(0, len(known), (_DRAWS, len(known))):
        times = np.bincount(drawn, minlength=len(known))[group]
        gains.append(
            _macro_f1(truth, predicted[1], times, n_classes)
            - _macro_f1(truth, predicted[0], times, n_classes)
        )
    saved = losses[0] - losses[1]
    spread = np.bincount(group, saved - saved.mean())
    first, second = ({name: float(found[name]) for name in _SCORES} for found in scores)
    return Comparison(
        len(held),
        first,
        second,
        second["macro_f1"] - first["macro_f1"],
        float(np.std(gains)),
        float(saved.mean()),
        float(np.sqrt((spread**2).sum() * len(known) / (len(known) - 1)) / len(held))
        if len(known) > 1
        else np.inf,
    )


def _macro_f1(truth: np.ndarray, predicted: np.ndarray, times: np.ndarray, n_classes: int) -> float:
    """F1 averaged over the classes there are, as in `judge_classifier`, which is too slow for hundreds of samples.

    ``times`` says how often the sample has each image.
    """
    given = np.bincount(truth, times, minlength=n_classes)
    said = np.bincount(predicted, times, minlength=n_classes)
    right = np.bincount(truth, times * (truth == predicted), minlength=n_classes)
    there = given + said > 0
    return float((2 * right[there] / (given + said)[there]).mean())
