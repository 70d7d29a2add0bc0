"""Versions appear whole, are switched in one step, and the switch can be taken back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.registry import Version, VersionNotFound, VersionRegistry

ARRAYS = {"W": np.arange(6, dtype=np.float32).reshape(2, 3)}


def save(registry: VersionRegistry, digest: str) -> str:
    version_id = registry.next_id("choices", digest)
    registry.save(Version(version_id, {"version": version_id, "digest": digest}, ARRAYS))
    return version_id


def test_a_version_comes_back_whole(tmp_path: Path) -> None:
    registry = VersionRegistry(tmp_path)
    assert registry.published() is None
    first = save(registry, "aabbccddeeff")
    assert first == "choices-1-aabbccdd"
    assert registry.published() is None
    registry.publish(first)
    loaded = VersionRegistry(tmp_path).load(first)
    assert registry.published() == first
    assert loaded.manifest["digest"] == "aabbccddeeff"
    np.testing.assert_array_equal(loaded.arrays["W"], ARRAYS["W"])


def test_counters_go_on_and_a_half_written_version_is_no_version(tmp_path: Path) -> None:
    registry = VersionRegistry(tmp_path)
    save(registry, "a" * 8)
    (tmp_path / ".choices-2-bbbbbbbb.tmp").mkdir()
    (tmp_path / "choices-3-cccccccc").mkdir()
    assert save(registry, "d" * 8) == "choices-4-dddddddd"
    with pytest.raises(VersionNotFound, match=r"choices-1-aaaaaaaa, .*choices-4-dddddddd"):
        registry.publish("choices-3-cccccccc")


@pytest.mark.parametrize("name", ["../etc", "choices-1-zzzz", "", "choices-9-aaaaaaaa"])
def test_an_unknown_version_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(VersionNotFound, match="stored versions: none yet"):
        VersionRegistry(tmp_path).publish(name)


def test_only_what_was_served_counts_as_published(tmp_path: Path) -> None:
    registry = VersionRegistry(tmp_path)
    one, two = save(registry, "1" * 8), save(registry, "2" * 8)
    registry.publish(one)
    assert registry.was_published(one)
    assert not registry.was_published(two)
    registry.unpublish()
    assert registry.published() is None
    assert registry.was_published(one)


def test_pruning_keeps_the_newest_and_the_published(tmp_path: Path) -> None:
    registry = VersionRegistry(tmp_path)
    ids = [save(registry, str(n) * 8) for n in range(5)]
    registry.publish(ids[0])
    assert registry.prune(keep=2) == ids[1:3]
    assert registry.ids() == [ids[0], *ids[3:]]
