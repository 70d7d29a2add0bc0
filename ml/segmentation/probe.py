"""Learn masks in seconds: a small network on the features of pixels, out of sample by folds over images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from ml.folds import first_keys, stable_folds
from ml.heads.logistic import NotEnoughClasses
from ml.heads.temperature import fit_temperature, log_loss
from ml.segmentation.heads import BATCH, Heads, train
from ml.segmentation.pixel_head import PixelProbe
from ml.segmentation.pyramid import Pyramid
from ml.segmentation.sampling import Sample, draw
from ml.segmentation.sizes import SIDE
from ml.segmentation.summary import PixelSummary

__all__ = ["NotEnoughClasses", "PixelProbe", "PixelSummary", "ProbeFit", "fit_probe"]

N_FOLDS = 5
HIDDEN = 96
FEW = 4 * N_FOLDS  # images; with fewer, folds by lot could leave one without any
_EPOCHS, _LEAST_STEPS, _RATE = 3, 120, 8e-3
_WARM_EPOCHS, _WARM_LEAST_STEPS, _WARM_RATE = 1, 40, 1e-3
# going on and on learns images by heart: after so many fits, or with so many more images, it begins anew
_MOST_CONTINUED, _GROWTH = 8, 1.25
_SMOOTHING = 1e-4  # of a class's share, so that one without an example is unlikely, not impossible
_HELD_OUT = 20_000  # pixels the temperature is fitted on


@dataclass(frozen=True)
class ProbeFit:
    """A fitted probe, and the probes that have not seen a fold.

    Attributes
    ----------
    head : PixelProbe
        Fitted on all images.
    folds : ndarray of int64, shape (n,)
        Of each image.
    known : ndarray of uint64, shape (n,)
        Digests of the images' keys: whose folds these are.
    heads : Heads
        On features as they are: one of each fold, fitted on the others, then that of all; before temperature.
    channels : tuple of int
        Features of each level.
    temperature : float
        Logits are divided by it; fitted out of sample.
    log_loss : float
        Mean over pixels, out of sample, in nats, every class as frequent as it is.
    stable : bool
        Whether folds follow from content alone, so that a later fit can go on from this one.
    continued : int
        How many fits ago it was begun anew.
    begun_with : int
        Images it had then.
    """

    head: PixelProbe
    folds: np.ndarray
    known: np.ndarray
    heads: Heads
    channels: tuple[int, ...]
    temperature: float
    log_loss: float
    stable: bool
    continued: int = 0
    begun_with: int = 0

    def oos_probabilities(self, i: int, pyramid: Pyramid, side: int = SIDE) -> np.ndarray:
        """Return an image's probabilities by the probe that has not seen its fold, float32 of shape (K, h, w)."""
        return self.unseen(i).probabilities(pyramid, side)

    def unseen(self, i: int) -> PixelProbe:
        """Return the probe that has not seen image ``i``, nor any of its group."""
        return _served(self.heads, int(self.folds[i]), self.temperature, self.channels)

    def unseen_content(self, key: str) -> PixelProbe:
        """Return the probe that has not seen a content: the head itself, where no image of the fit has it."""
        found = np.flatnonzero(self.known == np.uint64(_digest(key)))
        return self.unseen(int(found[0])) if len(found) else self.head

    def is_of(self, keys: Sequence[str]) -> bool:
        """Tell whether its images are those of these contents, in this order."""
        return np.array_equal(self.known, np.array([_digest(key) for key in keys], dtype=np.uint64))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store: the head's, and under ``warm_`` what a later fit starts from."""
        state = [self.temperature, self.log_loss, self.stable, self.continued, self.begun_with]
        return self.head.to_arrays() | {
            "warm_W1": self.heads.W1,
            "warm_b1": self.heads.b1,
            "warm_W2": self.heads.W2,
            "warm_b2": self.heads.b2,
            "warm_folds": self.folds,
            "warm_known": self.known,
            "warm_state": np.array(state, dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ProbeFit:
        """Build from what `to_arrays` returned."""
        head = PixelProbe.from_arrays(arrays)
        heads = Heads(arrays["warm_W1"], arrays["warm_b1"], arrays["warm_W2"], arrays["warm_b2"])
        temperature, loss, stable, continued, begun_with = arrays["warm_state"].tolist()
        return cls(
            head, arrays["warm_folds"], arrays["warm_known"], heads, head.channels, temperature, loss,
            stable=bool(stable), continued=int(continued), begun_with=int(begun_with),
        )  # fmt: skip


def fit_probe(
    keys: Sequence[str],
    pyramids: Callable[[int], Pyramid],
    masks: Callable[[int], np.ndarray],
    n_classes: int,
    *,
    ignore: int | None,
    groups: np.ndarray | None = None,
    warm: ProbeFit | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ProbeFit:
    """Fit a probe on images with masks.

    Memory and time are bounded by the number of pixels drawn (`ml.segmentation.sampling`), not by that of images;
    of more than a few thousand images some are not looked at, and are predicted out of sample all the same.

    Parameters
    ----------
    keys : sequence of str, length n
        Content keys; images of the same content share a fold.
    pyramids, masks : callable
        Give an image's features and its index mask at work size, (h, w). Each is asked for once at most.
    n_classes : int
        K; classes without an example get a low probability.
    ignore : int or None
        Number of the pixels that count for nothing.
    groups : ndarray of int, shape (n,), optional
        Near-duplicates, which share a fold too, have one number.
    warm : ProbeFit, optional
        An earlier fit to go on from, of the same kind of features and the same classes, which the caller sees to. One
        of another number of features or classes is left alone, and so is one in which an
        image was of another fold, that has been gone on from several times, or was begun with far fewer images.
    seed : int
    progress : callable
        Called with what is done and the total, first of reading and then of training.

    Raises
    ------
    NotEnoughClasses
        If there are fewer than two images, or of fewer than two classes.
    ValueError
        If a mask has a number of no class, or images have features of different kinds.
    """
    keys = list(keys)
    folds, stable = _folds(keys if groups is None else first_keys(keys, groups))
    known = np.array([_digest(key) for key in keys], dtype=np.uint64)
    sample = draw(keys, pyramids, masks, n_classes, ignore=ignore, seed=seed, progress=progress)
    _check(sample)
    n_heads = int(folds.max()) + 2 if not stable else N_FOLDS + 1
    seen_by = np.ones((len(keys), n_heads), dtype=np.float32)
    seen_by[np.arange(len(keys)), folds] = 0.0
    prior, adjust = _frequencies(sample, seen_by)
    X = sample.X
    mean = X.mean(axis=0, dtype=np.float64).astype(np.float32)
    X -= mean
    # a feature that is nearly constant is not blown up
    scale = np.sqrt(np.einsum("nd,nd->d", X, X) / len(X) + np.float32(1e-6))
    X /= scale
    rounds = -(-len(X) // BATCH)
    continued, begun_with = 0, len(keys)
    if warm is not None and stable and _fits(warm, sample.channels, n_classes, known, folds):
        continued, begun_with = warm.continued + 1, warm.begun_with
        start, rate = warm.heads.shifted(mean, scale), _WARM_RATE
        epochs = max(_WARM_EPOCHS, -(-_WARM_LEAST_STEPS // rounds))
    else:
        start, rate = Heads.drawn(X.shape[1], n_heads, HIDDEN, prior, seed), _RATE
        epochs = max(_EPOCHS, -(-_LEAST_STEPS // rounds))
    heads = train(
        start,
        X,
        sample.y,
        seen_by[sample.image],
        adjust,
        epochs=epochs,
        rate=rate,
        seed=seed,
        progress=progress,
    )
    temperature, loss = _calibrate(heads, sample, folds, prior, adjust, seed)
    heads = heads.unshifted(mean, scale)
    head = _served(heads, n_heads - 1, temperature, sample.channels)
    return ProbeFit(
        head, folds, known, heads, sample.channels, temperature, loss, stable, continued, begun_with
    )


def _folds(keys: list[str]) -> tuple[np.ndarray, bool]:
    """Return the fold of each image, and whether it is by content alone: few are dealt out in the order of keys."""
    distinct = sorted(set(keys))
    if len(distinct) < 2:
        raise NotEnoughClasses(f"{len(distinct)} image with a mask so far: a probe needs at least 2")
    if len(distinct) >= FEW:
        return stable_folds(keys, N_FOLDS), True
    place = {key: number % N_FOLDS for number, key in enumerate(distinct)}
    return np.array([place[key] for key in keys], dtype=np.int64), False


def _check(sample: Sample) -> None:
    images = len(np.unique(sample.image))
    if images < 2:
        raise NotEnoughClasses(f"{images} image with labelled pixels so far: a probe needs at least 2")
    classes = np.unique(sample.y)
    if len(classes) < 2:
        raise NotEnoughClasses(
            f"the masks of {images} images have pixels of class {classes[0]} alone so far: a probe needs 2 classes"
        )


def _frequencies(sample: Sample, seen_by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of each head's images the log shares of classes, and how much more frequent they are among the rows."""
    whole = seen_by.T @ sample.whole
    drawn = seen_by.T @ sample.drawn
    whole = whole / np.maximum(whole.sum(axis=1, keepdims=True), 1e-9) + _SMOOTHING
    drawn = drawn / np.maximum(drawn.sum(axis=1, keepdims=True), 1e-9) + _SMOOTHING
    prior = np.log(whole / whole.sum(axis=1, keepdims=True))
    adjust = np.log(drawn / drawn.sum(axis=1, keepdims=True)) - prior
    return prior.astype(np.float32), adjust.astype(np.float32)


def _fits(
    warm: ProbeFit, channels: tuple[int, ...], n_classes: int, known: np.ndarray, folds: np.ndarray
) -> bool:
    """Whether to go on from an earlier fit: one of as many features and classes in which no head has seen its own.

    An image leaves its fold when a near-duplicate with a smaller key joins it.
    """
    _, now, then = np.intersect1d(known, warm.known, return_indices=True)
    return (
        warm.stable
        and warm.channels == channels
        and warm.head.n_classes == n_classes
        and warm.continued < _MOST_CONTINUED
        and 1 / _GROWTH <= len(known) / warm.begun_with <= _GROWTH
        and np.array_equal(folds[now], warm.folds[then])
    )


def _digest(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")


def _calibrate(
    heads: Heads, sample: Sample, folds: np.ndarray, prior: np.ndarray, adjust: np.ndarray, seed: int
) -> tuple[float, float]:
    """Return the temperature and the log-loss it leaves, out of sample, on pixels drawn as frequent as they are."""
    weight = np.exp(-adjust[-1])[sample.y]
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(weight), min(_HELD_OUT, len(weight)), p=weight / weight.sum(dtype=np.float64))
    fold = folds[sample.image[rows]]
    logits = np.empty((len(rows), prior.shape[1]), dtype=np.float32)
    for number in np.unique(fold):
        of_fold = fold == number
        logits[of_fold] = heads.logits(sample.X[rows[of_fold]], int(number))
    temperature = fit_temperature(logits, sample.y[rows])
    return temperature, log_loss(logits / np.float32(temperature), sample.y[rows])


def _served(heads: Heads, number: int, temperature: float, channels: tuple[int, ...]) -> PixelProbe:
    divisor = np.float32(temperature)
    return PixelProbe(
        np.ascontiguousarray(heads.W1[:, number]),
        heads.b1[number],
        heads.W2[number] / divisor,
        heads.b2[number] / divisor,
        channels,
    )
