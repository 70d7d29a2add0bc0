"""Doubt in the pixels of images drives the strategies for classes."""

from __future__ import annotations

import numpy as np
import pytest

from ml.acquisition import STRATEGIES
from ml.acquisition.explore import arrange
from ml.acquisition.uncertainty import small_margin
from ml.segmentation.question import question


def test_the_margin_of_the_question_is_that_of_the_pixels() -> None:
    asked = question(np.array([0.0, 0.3, 1.0, np.nan]))
    assert asked.shape == (4, 2)
    assert asked.sum(axis=1) == pytest.approx(1.0)
    assert small_margin(asked) == pytest.approx([1.0, 0.7, 0.0, 0.7])
    assert small_margin(question(np.array([np.nan]))) == pytest.approx([0.5])
    assert question(np.zeros(0)).shape == (0, 2)


@pytest.mark.parametrize("strategy", ["least", "margin", "ratio", "entropy"])
def test_images_with_doubtful_objects_come_first(strategy: str) -> None:
    rng = np.random.default_rng(0)
    margins = rng.permutation(np.linspace(0.05, 0.95, 40))
    arranged = order(strategy, margins, rng.normal(size=(40, 8)))
    assert (np.diff(margins[arranged]) > 0).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_takes_the_question(strategy: str) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(30, 6)).astype(np.float32)
    assert sorted(order(strategy, rng.random(30), vectors)) == list(range(30))


def test_the_default_asks_about_doubt_and_not_twice_about_one_scene() -> None:
    """Half of the images show one scene; the model doubts a dozen of all kinds."""
    rng = np.random.default_rng(2)
    centres = np.repeat(rng.normal(size=(15, 16)) * 4, 4, axis=0)
    vectors = (centres + 0.01 * rng.normal(size=centres.shape)).astype(np.float32)
    margins = np.where(np.arange(60) < 24, 0.1, 0.95)  # six scenes, four images each
    first = order("auto", margins, vectors)[:6]
    assert (first < 24).all()
    assert len(set((first // 4).tolist())) == 6


def order(strategy: str, margins: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return arrange(
        strategy,
        probs=question(margins),
        X=vectors,
        labelled_X=np.zeros((0, vectors.shape[1]), dtype=np.float32),
        rng=np.random.default_rng(0),
        exploration=0.0,
        head=10,
    ).order
