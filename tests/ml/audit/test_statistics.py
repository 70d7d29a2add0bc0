"""The numbers of each image say what they are said to say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.audit import Findings
from ml.audit.anomalies import CUT, find_anomalies, modified_z
from ml.audit.evidence import disagreement
from ml.audit.statistics import STATISTICS, class_distance, relative_entropy


def test_wrong_labels_stand_apart_in_every_statistic_of_the_label(found: Findings) -> None:
    assert found.truth is not None
    wrong = found.labels != found.truth
    for name, worse in (
        ("self_confidence", -1),
        ("margin", -1),
        ("loss", 1),
        ("class_distance", 1),
        ("neighbour_agreement", -1),
    ):
        values = worse * found.statistics[name]
        assert np.median(values[wrong]) > np.quantile(values[~wrong], 0.9), name
    flagged = np.array(["self_confidence" in names for names in found.anomalies])
    assert flagged[wrong].mean() > 0.8
    assert flagged[~wrong].mean() < 0.05


def test_statistics_are_within_their_ranges(found: Findings) -> None:
    assert tuple(found.statistics) == STATISTICS
    for name in ("self_confidence", "entropy", "disagreement", "neighbour_agreement", "outlier"):
        values = found.statistics[name]
        assert values.min() >= 0.0, name
        assert values.max() <= 1.0, name
    assert np.abs(found.statistics["margin"]).max() <= 1.0
    assert (found.statistics["width"] == 32).all()


def test_disagreement_is_none_among_equals_and_all_among_opponents() -> None:
    sure = np.log(np.array([[1.0, 1e-30], [0.5, 0.5]]))
    opposed = np.log(np.array([[1e-30, 1.0], [0.5, 0.5]]))
    assert disagreement([sure, sure]) == pytest.approx([0.0, 0.0], abs=1e-6)
    assert disagreement([sure, opposed]) == pytest.approx([1.0, 0.0], abs=1e-6)


def test_entropy_is_relative_to_knowing_nothing() -> None:
    assert relative_entropy(np.array([[0.25] * 4, [1.0, 0, 0, 0]])) == pytest.approx([1.0, 0.0], abs=1e-9)


def test_a_row_is_left_out_of_the_mean_of_its_own_class() -> None:
    Z = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    distance = class_distance(Z, np.array([0, 0, 0, 1]))
    assert distance[2] == pytest.approx(1.0)
    assert distance[0] == pytest.approx(1.0 - np.sqrt(0.5))
    assert np.isnan(distance[3])


def test_one_odd_value_among_equal_ones_is_far_out() -> None:
    z = modified_z(np.array([32.0] * 99 + [64.0]))
    assert z[:99].tolist() == [0.0] * 99
    assert z[99] > CUT
    names = find_anomalies({"width": np.array([32.0] * 99 + [64.0])})
    assert names[99] == ["width"]
    assert not any(names[:99])


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6) | st.just(np.nan)))
@example(np.array([5e-324, 0.0]))
@example(np.array([1e6, 1e-303, 1e-303, 1e-303, 0.0, -1.0, -1.0, -1.0, -1.0]))
@settings(deadline=None)
def test_scores_are_finite_and_do_not_depend_on_unit_or_origin(values: np.ndarray) -> None:
    z = modified_z(values)
    assert np.isfinite(z).all()
    assert (z[~np.isfinite(values)] == 0).all()
    assert np.allclose(modified_z(-values), -z, rtol=1e-6, atol=1e-6)


def test_a_normal_sample_has_few_anomalies() -> None:
    values = np.random.default_rng(0).normal(size=5_000)
    assert (np.abs(modified_z(values)) > CUT).mean() < 0.002
