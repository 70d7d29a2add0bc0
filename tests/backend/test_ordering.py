"""Rows and queue from what was learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.classification.judging import judge_labels, verdict
from backend.classification.learning import learn
from backend.courses import Verdict
from backend.embedding import Embedded
from backend.labelstudio.choices import ChoicesKind
from backend.labelstudio.multilabel import MultiLabelKind
from backend.looks import look
from backend.ordering import line_up, rank
from backend.settings import Settings
from backend.snapshot import History
from backend.targets import Targets
from ml.acquisition import STRATEGIES

KIND = ChoicesKind("cls", "img", "image", ("cat", "dog"))
MANY = MultiLabelKind("cls", "img", "image", ("left", "up"))


def make(
    n: int, labels: list[int], *, broken: tuple[int, ...] = (), unfinished: list[bool] | None = None
) -> tuple[Targets, Embedded]:
    rng = np.random.default_rng(0)
    side = np.arange(n) % 2
    vectors = rng.normal(0, 0.1, (n, 8)).astype(np.float32)
    vectors[:, 0] += side
    given = np.array(labels + [-1] * (n - len(labels)))
    keys = [None if row in broken else f"{row:032x}" for row in range(n)]
    targets = Targets(
        ids=np.arange(100, 100 + n),
        uris=[f"{row}.png" for row in range(n)],
        labels=given,
        labelled=given >= 0,
        annotators=[1] * n,
        agreement=np.full(n, np.nan),
        unfinished=np.array(unfinished if unfinished is not None else (given < 0).tolist()),
        touched=given >= 0,
        states=[""] * n,
    )
    errors = ["truncated" if row in broken else None for row in range(n)]
    return targets, Embedded(keys, vectors, errors, np.full((n, 7), np.nan, dtype=np.float32))


def test_the_queue_has_every_unfinished_task_with_an_image_once() -> None:
    targets, embedded = make(20, [0, 1, 0, 1], broken=(7,))
    learned = learn(targets, embedded, KIND, warm=None)
    queue = rank(targets, embedded, learned, strategy="diverse_margin", exploration=0.1, head=5, seed=3)
    assert sorted(queue) == [row for row in range(4, 20) if row != 7]
    assert queue == rank(
        targets, embedded, learned, strategy="diverse_margin", exploration=0.1, head=5, seed=3
    )


def test_a_task_that_somebody_has_touched_comes_after_those_nobody_has() -> None:
    unfinished = [False, True, False, False] + [True] * 6
    targets, embedded = make(10, [0, 1, 0, 1], unfinished=unfinished)
    learned = learn(targets, embedded, KIND, warm=None)
    assert rank(targets, embedded, learned, strategy="margin", exploration=0.0, head=5, seed=0)[-1] == 1


def test_without_a_head_there_is_an_order_but_no_scores() -> None:
    targets, embedded = make(10, [0, 0])
    learned = learn(targets, embedded, KIND, warm=None)
    assert learned.probs is None
    assert "at least 2 classes" in str(learned.why_not)
    queue = rank(targets, embedded, learned, strategy="diverse_margin", exploration=0.1, head=5, seed=0)
    noted = ["image dark"] + [""] * 9
    lineup = line_up(targets, embedded, learned, None, queue, np.zeros(10, bool), noted=noted, head=5)
    assert [lineup.rows[task].reason for task in (100, 101)] == ["image dark", ""]
    assert sorted(lineup.queue) == list(range(102, 110))
    assert {row.suggestion for row in lineup.rows.values()} == {""}
    assert lineup.rows[100].priority == 0 < lineup.rows[105].priority


def test_rows_say_what_was_judged_and_a_reviewed_task_is_never_suspect() -> None:
    targets, embedded = make(8, [0, 1, 1, 1], broken=(5,))
    learned = learn(targets, embedded, KIND, warm=None)
    judged = Verdict(
        rows=np.arange(4),
        suspicion=np.array([0.1, 0.2, 0.93, 0.8]),
        suggestion=["cat", "dog", "cat", "cat"],
        confidence=np.full(4, 0.97),
        reason=["", "", "model disagrees", "x"],
        threshold=0.5,
        expected_wrong=2.0,
    )
    reviewed = np.zeros(8, bool)
    reviewed[3] = True
    noted = ["outlier"] * 5 + ["image unreadable", "", ""]
    lineup = line_up(targets, embedded, learned, judged, [4, 6, 7], reviewed, noted=noted, head=2)
    suspect, confirmed, broken, next_one = (lineup.rows[100 + row] for row in (2, 3, 5, 4))
    assert (suspect.suspicion, suspect.suggestion, suspect.reason) == (0.93, "cat", "model disagrees")
    assert (confirmed.suspicion, confirmed.reason) == (0, "reviewed")
    assert (broken.priority, broken.confidence, broken.reason) == (0, 0, "image unreadable")
    assert (next_one.priority, next_one.reason) == (0.999, "outlier")
    assert lineup.rows[100].reason == "outlier"  # judged, and nothing found against it
    assert lineup.suspects == 1


def test_labelled_rows_are_predicted_out_of_sample() -> None:
    targets, embedded = make(40, [row % 2 for row in range(30)])
    targets.labels[7] = 0  # wrong: row 7 is a dog
    learned = learn(targets, embedded, KIND, warm=None)
    assert learned.probs is not None
    assert learned.probs[7, 1] > 0.5
    assert learned.accuracy is not None
    assert learned.accuracy > 0.9


def make_sets(n: int, labelled: int) -> tuple[Targets, Embedded, np.ndarray]:
    """Points of a square, each called by the sides it is on; the first of them labelled, the first two wrongly."""
    rng = np.random.default_rng(0)
    truth = rng.random((n, 2)) < 0.5
    vectors = rng.normal(0, 0.1, (n, 8)).astype(np.float32)
    vectors[:, :2] += truth
    given = np.full((n, 2), -1, dtype=np.int8)
    given[:labelled] = truth[:labelled]
    given[0, 0] ^= 1
    given[1, 1] ^= 1
    targets, embedded = make(n, [0] * labelled)
    return replace(targets, labels=given), replace(embedded, vectors=vectors), truth


def test_sets_are_learned_judged_and_lined_up() -> None:
    targets, embedded, truth = make_sets(120, 80)
    learned = learn(targets, embedded, MANY, warm=None)
    assert learned.probs is not None
    assert learned.accuracy is not None
    assert 0.8 < learned.accuracy < 0.99, "two sets are wrong"
    histories = {100 + row: History(100 + row, "left, gone") for row in range(80)}
    nobody = np.zeros(120, bool)
    settings = Settings(_env_file=None)
    looks, _ = look(embedded, settings.outliers, None)
    judgement = judge_labels(targets, embedded, learned, MANY, nobody, histories, looks, settings)
    assert judgement is not None
    judged = verdict(judgement, targets, embedded, MANY)
    queue = rank(targets, embedded, learned, strategy="margin", exploration=0.0, head=5, seed=0)
    assert sorted(queue) == list(range(80, 120))
    least_certain = np.abs(learned.probs[queue] - 0.5).min(axis=1)
    assert least_certain[:5].max() <= least_certain[5:].min() + 1e-6
    noted = looks.reasons(targets.agreement)
    lineup = line_up(targets, embedded, learned, judged, queue, nobody, noted=noted, head=5)
    suspicion = [lineup.rows[100 + row].suspicion for row in range(80)]
    assert set(np.argsort(suspicion)[-2:].tolist()) == {0, 1}
    assert lineup.suspects == sum(value >= lineup.threshold for value in suspicion)
    for row in (0, 1, *range(80, 120)):
        assert lineup.rows[100 + row].suggestion == MANY.text(truth[row])
        assert lineup.rows[100 + row].confidence >= 0.5
    assert "none" in {row.suggestion for row in lineup.rows.values()}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_ranks_tasks_of_several_classes(strategy: str) -> None:
    targets, embedded, _ = make_sets(40, 20)
    learned = learn(targets, embedded, MANY, warm=None)
    queue = rank(targets, embedded, learned, strategy=strategy, exploration=0.1, head=5, seed=0)
    assert sorted(queue) == list(range(20, 40))


@pytest.mark.parametrize(
    ("threshold", "before", "shown"),
    [
        (0.504, None, 0.5),
        (0.0001, None, 0.01),
        (0.5, 0.52, 0.52),  # nothing lies between
        (0.5, 0.48, 0.48),
        (0.78, 0.81, 0.78),  # 0.8 would be hidden
        (0.5, 0.6, 0.5),  # too far
    ],
)
def test_the_threshold_is_on_the_grid_and_steady(
    threshold: float, before: float | None, shown: float
) -> None:
    targets, embedded = make(8, [0, 1, 1, 1])
    learned = learn(targets, embedded, KIND, warm=None)
    judged = Verdict(
        rows=np.arange(4),
        suspicion=np.array([0.1, 0.2, 0.93, 0.8]),
        suggestion=["cat", "dog", "cat", "cat"],
        confidence=np.full(4, 0.97),
        reason=[""] * 4,
        threshold=threshold,
        expected_wrong=2.0,
    )
    lineup = line_up(
        targets,
        embedded,
        learned,
        judged,
        [4, 5, 6, 7],
        np.zeros(8, bool),
        noted=[""] * 8,
        head=2,
        threshold_before=before,
    )
    assert lineup.threshold == shown
