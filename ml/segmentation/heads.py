"""One small network for each fold and one for all images, trained side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BATCH = 1024
_DECAY_MEAN, _DECAY_SQUARE = 0.9, 0.99
_RISE = 0.1  # of the steps, in which the rate rises; then it falls along a cosine


@dataclass(frozen=True)
class Heads:
    """M networks of one hidden layer: ``max(x @ W1 + b1, 0) @ W2 + b2``.

    Attributes
    ----------
    W1 : ndarray of float32, shape (d, M, H)
    b1 : ndarray of float32, shape (M, H)
    W2 : ndarray of float32, shape (M, H, K)
    b2 : ndarray of float32, shape (M, K)
    """

    W1: np.ndarray
    b1: np.ndarray
    W2: np.ndarray
    b2: np.ndarray

    @classmethod
    def drawn(cls, d: int, n_heads: int, hidden: int, prior: np.ndarray, seed: int) -> Heads:
        """Draw weights to begin with, the same for all; the constants are the log shares of the classes."""
        rng = np.random.default_rng(seed)
        W1 = rng.normal(size=(d, 1, hidden)) * np.sqrt(2 / d)
        W2 = rng.normal(size=(1, hidden, prior.shape[1])) * np.sqrt(1 / hidden) * 0.5
        return cls(
            np.repeat(W1, n_heads, axis=1).astype(np.float32),
            np.zeros((n_heads, hidden), dtype=np.float32),
            np.repeat(W2, n_heads, axis=0).astype(np.float32),
            prior.astype(np.float32),
        )

    def logits(self, X: np.ndarray, head: int) -> np.ndarray:
        """Return the logits of rows by one of the networks, float32 of shape (n, K)."""
        hidden = X @ self.W1[:, head]
        hidden += self.b1[head]
        np.maximum(hidden, 0, out=hidden)
        logits: np.ndarray = hidden @ self.W2[head] + self.b2[head]
        return logits

    def shifted(self, mean: np.ndarray, scale: np.ndarray) -> Heads:
        """Return the same networks for ``(x - mean) / scale`` in place of x."""
        b1 = self.b1 + np.tensordot(mean, self.W1, 1)
        return Heads(self.W1 * scale[:, None, None], b1.astype(np.float32), self.W2, self.b2)

    def unshifted(self, mean: np.ndarray, scale: np.ndarray) -> Heads:
        """Return the same networks for x in place of ``(x - mean) / scale``; undoes `shifted`."""
        return self.shifted(-mean / scale, 1 / scale)


def train(
    heads: Heads,
    X: np.ndarray,
    y: np.ndarray,
    seen: np.ndarray,
    adjust: np.ndarray,
    *,
    epochs: int,
    rate: float,
    seed: int,
    progress: Callable[[int, int], None],
) -> Heads:
    """Train all networks at once by Adam; each row's loss counts for those alone that may see it.

    The rows of a batch go through the first layers of all networks in one matrix product.

    Parameters
    ----------
    heads : Heads
        To begin with; left as they are.
    X : ndarray of float32, shape (n, d)
    y : ndarray of int64, shape (n,)
    seen : ndarray of float32, shape (n, M)
        1 where a network may see a row, else 0.
    adjust : ndarray of float32, shape (M, K)
        Added to logits in training alone: the log of how much more frequent a class is among the rows than it
        really is (logit adjustment; Menon et al., arXiv 2007.07314).
    epochs : int
    rate : float
        Of learning, at its height.
    seed : int
    progress : callable
    """
    rng = np.random.default_rng(seed)
    d, n_heads, hidden = heads.W1.shape
    W1, b1 = heads.W1.reshape(d, n_heads * hidden).copy(), heads.b1.reshape(-1).copy()
    W2, b2 = heads.W2.copy(), heads.b2.copy()
    weights = [W1, b1, W2, b2]
    descent = _Descent(weights)
    # arrays of a batch are made once: fresh ones of megabytes cost more, page by page, than the work on them
    rows_of, active, back = (np.empty((BATCH, width), dtype=np.float32) for width in (d, len(b1), len(b1)))
    a_round = -(-len(y) // BATCH)
    steps = epochs * a_round
    for step in range(1, steps + 1):
        start = (step - 1) % a_round * BATCH
        if start == 0:
            order = rng.permutation(len(y))
        rows = order[start : start + BATCH]
        n = len(rows)
        batch = np.take(X, rows, axis=0, out=rows_of[:n], mode="clip")
        share = seen[rows] / np.float32(n)
        _slopes(weights, batch, y[rows], share, adjust, descent.slopes, active[:n], back[:n])
        done = step / steps
        descent.step(rate * min(1.0, done / _RISE) * 0.5 * (1 + np.cos(np.pi * done)))
        progress(step, steps)
    return Heads(W1.reshape(d, n_heads, hidden), b1.reshape(n_heads, hidden), W2, b2)


class _Descent:
    """Adam (Kingma and Ba, arXiv 1412.6980) on arrays, in place."""

    def __init__(self, weights: list[np.ndarray]) -> None:
        self.weights = weights
        self.slopes, self._means, self._squares, self._spare = (
            [np.zeros_like(one) for one in weights] for _ in range(4)
        )
        self._steps = 0

    def step(self, rate: float) -> None:
        """Go down the slopes."""
        self._steps += 1
        wide = 1 / (1 - _DECAY_SQUARE**self._steps)
        reach = rate / (1 - _DECAY_MEAN**self._steps)
        for arrays in zip(self.weights, self.slopes, self._means, self._squares, self._spare, strict=True):
            _go_down(*arrays, wide, reach)


def _go_down(
    weight: np.ndarray,
    slope: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    spare: np.ndarray,
    wide: float,
    reach: float,
) -> None:
    mean *= _DECAY_MEAN
    mean += np.multiply(slope, 1 - _DECAY_MEAN, out=spare)
    square *= _DECAY_SQUARE
    slope *= slope
    square += np.multiply(slope, 1 - _DECAY_SQUARE, out=spare)
    np.sqrt(np.multiply(square, wide, out=spare), out=spare)
    spare += 1e-8
    np.divide(mean, spare, out=spare)
    spare *= reach
    weight -= spare


def _slopes(
    weights: list[np.ndarray],
    X: np.ndarray,
    y: np.ndarray,
    share: np.ndarray,
    adjust: np.ndarray,
    slopes: list[np.ndarray],
    active: np.ndarray,
    back: np.ndarray,
) -> None:
    """Write the slopes of the summed cross-entropy, each row weighted by its share, shape (n, M)."""
    W1, b1, W2, b2 = weights
    n_heads, hidden, _ = W2.shape
    np.matmul(X, W1, out=active)
    active += b1
    np.maximum(active, 0, out=active)
    rows = np.arange(len(y))
    for head in range(n_heads):
        part = slice(head * hidden, (head + 1) * hidden)
        off = active[:, part] @ W2[head]
        off += b2[head] + adjust[head]
        off -= off.max(axis=1, keepdims=True)
        np.exp(off, out=off)
        off /= off.sum(axis=1, keepdims=True)
        off[rows, y] -= 1
        off *= share[:, head, None]
        slopes[2][head] = active[:, part].T @ off
        slopes[3][head] = off.sum(axis=0)
        back[:, part] = off @ W2[head].T
    # where the unit was silent nothing goes back
    np.copyto(back, 0, where=active <= 0)
    np.matmul(X.T, back, out=slopes[0])
    back.sum(axis=0, out=slopes[1])
