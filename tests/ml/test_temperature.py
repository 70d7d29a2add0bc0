from __future__ import annotations

import numpy as np
import pytest

from ml.heads.head import softmax
from ml.heads.temperature import fit_temperature, log_loss


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_applied_is_found(truth: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5000, 4)) * 2
    y = np.array([rng.choice(4, p=row) for row in softmax(logits)])
    assert fit_temperature(logits * truth, y) == pytest.approx(truth, rel=0.1)


def test_a_few_rows_do_not_make_it_sure_of_itself() -> None:
    assert fit_temperature(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) > 0.5


def test_log_loss_of_a_coin_flip() -> None:
    assert log_loss(np.zeros((3, 2)), np.array([0, 1, 1])) == pytest.approx(np.log(2))
