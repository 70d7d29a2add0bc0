"""What the loop says of the model's accuracy and of the next labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.classification.learning import learn
from backend.classification.stopping import stop_signal
from backend.embedding import Embedded
from backend.labelstudio.choices import ChoicesKind
from backend.labelstudio.multilabel import MultiLabelKind
from backend.targets import Targets

KIND = ChoicesKind("kind", "img", "image", ("cat", "dog", "bird"))
N = 600


def make(labelled: int, skipped: tuple[int, ...] = ()) -> tuple[Targets, Embedded, np.ndarray]:
    """Return tasks of three overlapping classes of which the first in the lottery are labelled."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, N)
    X = (np.eye(3)[truth] + rng.normal(scale=0.45, size=(N, 3))).astype(np.float32)
    embedded = Embedded([f"{row:032x}" for row in range(N)], X, [None] * N, np.full((N, 7), np.nan))
    first = np.argsort(embedded.drawn)[:labelled]
    labels = np.full(N, -1)
    labels[first] = truth[first]
    touched = labels >= 0
    for place in skipped:
        row = np.argsort(embedded.drawn)[place]
        labels[row], touched[row] = -1, True
    return (
        Targets(
            ids=np.arange(N) + 1,
            uris=["x"] * N,
            labels=labels,
            labelled=labels >= 0,
            annotators=[None] * N,
            agreement=np.full(N, np.nan),
            unfinished=labels < 0,
            touched=touched,
            states=[""] * N,
        ),
        embedded,
        truth,
    )


@pytest.mark.parametrize("skipped", [(), (3, 40)])
def test_accuracy_is_estimated_on_what_the_lottery_drew_even_where_people_skip(
    skipped: tuple[int, ...],
) -> None:
    targets, embedded, truth = make(200, skipped)
    learned = learn(targets, embedded, KIND, warm=None)
    signal = stop_signal(targets, embedded, learned, seed=0)
    assert signal is not None
    assert learned.probs is not None
    true = float((learned.probs.argmax(axis=1) == truth).mean())
    assert (signal.source, signal.labels) == ("exploration", 200 - len(skipped))
    assert signal.low <= true <= signal.high
    assert signal.low < signal.accuracy < signal.high
    assert signal.gain is not None
    assert 0 <= signal.gain < 0.1


def test_more_is_to_be_gained_from_the_first_labels() -> None:
    gains = []
    for labelled in (24, 300):
        targets, embedded, _ = make(labelled)
        signal = stop_signal(targets, embedded, learn(targets, embedded, KIND, warm=None), seed=0)
        assert signal is not None
        assert signal.gain is not None
        gains.append(signal.gain)
    assert gains[0] > gains[1]


def test_without_a_model_there_is_no_signal() -> None:
    targets, embedded, _ = make(1)
    assert stop_signal(targets, embedded, learn(targets, embedded, KIND, warm=None), seed=0) is None
    broken = Embedded([None], np.zeros((1, 3), dtype=np.float32), ["broken"], np.full((1, 7), np.nan))
    assert np.isinf(broken.drawn).all()


def test_of_class_sets_the_accuracy_is_told_and_no_gain() -> None:
    kind = MultiLabelKind("kind", "img", "image", ("cat", "dog", "bird"))
    targets, embedded, truth = make(200)
    several = np.full((N, 3), -1, dtype=np.int8)
    several[targets.labelled] = np.eye(3, dtype=np.int8)[truth[targets.labelled]]
    targets = replace(targets, labels=several)
    learned = learn(targets, embedded, kind, warm=None)
    signal = stop_signal(targets, embedded, learned, seed=0)
    assert signal is not None
    assert learned.probs is not None
    true = float(((learned.probs > 0.5) == np.eye(3)[truth]).all(axis=1).mean())
    assert signal.low <= true <= signal.high
    assert signal.gain is None
