"""Which labels may be corrected without asking a person."""

from __future__ import annotations

import numpy as np

from ml.suspicion.noise import fit_noise

_TINY = 1e-12
_PLAIN = 0.25


def chance_of_correction(
    labels: np.ndarray, probs: np.ndarray, suggestion: np.ndarray, suspicion: np.ndarray
) -> np.ndarray:
    """Return the probability that each label is wrong and its suggestion right, shape (n,); zero where they are one.

    That a label is wrong counts as the lesser of its suspicion and the noise model's posterior
    (`ml.suspicion.noise`): where few labels are wrong and images are hard, the suspicion alone expects too many.
    That the suggestion is right, given that, is pooled from the noise model's posterior and from the probabilities
    themselves, to the powers 3/4 and 1/4: the first calls hard images sure, the second are too flat by the noise.
    Powers of a half make hardly fewer mistakes and a quarter of the corrections where three labels in ten are wrong.

    Parameters
    ----------
    labels, suggestion : ndarray of int, shape (n,)
    probs : ndarray of float, shape (n, K)
        Out-of-sample.
    suspicion : ndarray of float, shape (n,)
        Calibrated.
    """
    rows = np.arange(len(labels))
    log_probs = np.log(np.maximum(probs, _TINY)).astype(np.float32)
    noise = fit_noise(labels, log_probs)
    wrong = noise.wrong(labels, log_probs)
    posterior = noise.posterior(labels, log_probs, suggestion) / np.maximum(wrong, _TINY)
    plain = probs[rows, suggestion] / np.maximum(1.0 - probs[rows, labels], _TINY)
    share = np.clip(posterior, 0.0, 1.0) ** (1.0 - _PLAIN) * np.clip(plain, 0.0, 1.0) ** _PLAIN
    return np.where(suggestion != labels, np.minimum(suspicion, wrong) * share, 0.0)


def choose_corrections(
    labels: np.ndarray,
    probs: np.ndarray,
    suggestion: np.ndarray,
    suspicion: np.ndarray,
    may: np.ndarray,
    precision: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose labels whose correction is right with at least the wanted probability, each by itself.

    Parameters
    ----------
    labels, suggestion : ndarray of int, shape (n,)
    probs : ndarray of float, shape (n, K)
        Out-of-sample.
    suspicion : ndarray of float, shape (n,)
        Calibrated.
    may : ndarray of bool, shape (n,)
        Labels that are open to correction.
    precision : float or None
        In (0, 1]; None: choose none.

    Returns
    -------
    chosen : ndarray of bool, shape (n,)
    right : ndarray of float, shape (n,)
        Of `chance_of_correction`, in [0, 1].

    Raises
    ------
    ValueError
        If ``precision`` is out of range.
    """
    if precision is not None and not 0 < precision <= 1:
        raise ValueError(
            f"the wanted precision of corrections must be above 0 and at most 1, got {precision}"
        )
    right = chance_of_correction(labels, probs, suggestion, suspicion)
    return may & (right >= (np.inf if precision is None else precision)), right
