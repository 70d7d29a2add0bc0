from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ml import neighbours as module
from ml.neighbours import Neighbours, find_neighbours, near_duplicates, update_neighbours
from ml.outliers.scale import unit_rows
from ml.space import make_space, row_ids


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return unit_rows(load_digits().data)


@pytest.fixture(scope="module")
def exact(points: np.ndarray) -> Neighbours:
    return find_neighbours(points, 10)


def test_the_nearest_others_in_order(points: np.ndarray, exact: Neighbours) -> None:
    similarity = points @ points.T
    np.fill_diagonal(similarity, -2)
    assert np.allclose(exact.similarity, np.sort(similarity, axis=1)[:, ::-1][:, :10], atol=1e-5)
    assert (exact.index != np.arange(len(points))[:, None]).all()


def test_inverted_lists_find_nearly_all(
    points: np.ndarray, exact: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EXACT_ROWS", 100)
    found = find_neighbours(points, 10)
    shared = [len(np.intersect1d(a, b)) for a, b in zip(found.index, exact.index, strict=True)]
    assert np.mean(shared) > 9.5


@pytest.mark.parametrize("gone", [[], [0, 7, 8, 1500]])
@pytest.mark.parametrize("added", [[], [3, 50, 51, 1790]])
def test_an_update_is_what_a_new_search_finds(points: np.ndarray, gone: list[int], added: list[int]) -> None:
    rows = np.arange(len(points))
    before, after = np.setdiff1d(rows, added), np.setdiff1d(rows, gone)
    place = np.full(len(points), -1)
    place[before] = np.arange(len(before))
    updated = update_neighbours(find_neighbours(points[before], 10), place[after], points[after])
    searched = find_neighbours(points[after], 10)
    assert np.allclose(updated.similarity, searched.similarity, atol=1e-5)
    assert (updated.index == searched.index).mean() > 0.999


def test_fewer_rows_than_neighbours() -> None:
    found = find_neighbours(np.eye(3, dtype=np.float32), 5)
    assert (found.index[:, 2:] == -1).all()
    assert (found.similarity[:, 2:] == -1).all()
    assert sorted(found.index[0, :2].tolist()) == [1, 2]
    updated = update_neighbours(found, np.array([0, 1, 2, -1]), np.eye(4, dtype=np.float32))
    assert sorted(updated.index[0, :3].tolist()) == [1, 2, 3]


def test_near_duplicates_are_grouped(points: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    raw = load_digits().data
    copies = np.vstack([raw, raw[:5], raw[:5] + rng.normal(0, 0.05, (5, 64))])
    groups = near_duplicates(find_neighbours(unit_rows(copies), 10))
    assert groups[-10:].tolist() == [0, 1, 2, 3, 4] * 2
    assert (groups[:-10] == np.arange(len(raw))).all()


def test_nothing_but_duplicates() -> None:
    groups = near_duplicates(find_neighbours(np.tile(np.eye(2, dtype=np.float32), (3, 1)), 5))
    assert groups.tolist() == [0, 1] * 3
    assert near_duplicates(find_neighbours(np.ones((1, 2), dtype=np.float32), 5)).tolist() == [0]


def test_keys_that_repeat_get_ids_of_their_own() -> None:
    ids = row_ids(["a", "b", "a", "a", "c"])
    assert len(np.unique(ids)) == 5
    assert ids[:2].tolist() == row_ids(["a", "b"]).tolist()


def test_a_space_is_kept_while_its_rows_are() -> None:
    X = load_digits().data.astype(np.float32)
    keys = [str(i) for i in range(len(X))]
    first = make_space(keys[:1700], X[:1700])
    assert make_space(keys[:1700], X[:1700], warm=first) is first
    more = make_space(keys[3:], X[3:], warm=first)
    assert more.basis is first.basis
    assert np.allclose(more.Z[:1697], first.Z[3:])
    fresh = make_space(keys[3:], X[3:])
    shared = [
        len(np.intersect1d(a, b)) for a, b in zip(more.neighbours.index, fresh.neighbours.index, strict=True)
    ]
    assert np.mean(shared) > 0.97 * more.neighbours.index.shape[1]
    assert make_space(keys[:300], X[:300], warm=first).basis is not first.basis
    assert make_space(keys[:1700], X[:1700, :30], warm=first).basis is not first.basis
