"""Versions in a bucket: whole or not there, switched in one step, fetched once, served where the bucket is away."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from backend.project import open_registry
from backend.registry import Version, VersionNotFound, VersionRegistry
from backend.shared.bucket import SharedFolderError
from backend.shared.registry import SharedRegistry
from tests.backend.shared.conftest import Machine, new_process
from tests.s3_server import S3Server

Open = Callable[[str], VersionRegistry]
# as S3 says it; answers that ask for patience are tried again for seconds
AWAY = (400, "AccountProblem", "There is a problem with your account")


@pytest.fixture
def registry(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Open:
    """The registry as a new process of a machine sees it."""
    monkeypatch.setattr("backend.shared.project.LOOK_EVERY", 0.0)

    def make(name: str) -> VersionRegistry:
        settings = machine(name)
        return SharedRegistry(settings.project_dir(7) / "versions", new_process(settings).project(7))

    return make


def version(registry: VersionRegistry, value: float = 0.0) -> Version:
    version_id = registry.next_id("choices", f"{int(value):08x}")
    return Version(version_id, {"value": value}, {"W": np.full((64, 4), value, np.float32)})


def saved(registry: VersionRegistry, value: float = 0.0) -> str:
    made = version(registry, value)
    registry.save(made)
    return made.id


def test_what_one_publishes_another_serves(registry: Open) -> None:
    one, other = registry("one"), registry("other")
    assert (other.published(), other.ids()) == (None, [])
    first = saved(one, 1)
    assert registry("other").published() is None
    assert not registry("other").was_published(first)
    one.publish(first)
    other = registry("other")
    assert other.published() == first
    assert other.was_published(first)
    assert other.load(first).arrays["W"][0, 0] == 1
    assert other.load(first).manifest == {"value": 1}
    assert registry("other").next_id("choices", "b" * 8) == "choices-2-bbbbbbbb"


def test_a_head_is_fetched_once(registry: Open, s3: S3Server) -> None:
    one, other = registry("one"), registry("other")
    one.publish(saved(one))
    begun = len(s3.seen)
    for each in (other, registry("other"), registry("other")):
        each.load(str(each.published()))
        each.manifest(str(each.published()))
    gets = [path.rsplit("/", 1)[1] for method, path in s3.seen[begun:] if method == "GET"]
    assert (gets.count("head.safetensors"), gets.count("manifest.json")) == (1, 1)


def test_half_a_version_is_none(registry: Open, s3: S3Server) -> None:
    one = registry("one")
    with (
        s3.refusing(lambda _, path: AWAY if path.endswith("manifest.json") else None),
        pytest.raises(SharedFolderError),
    ):
        saved(one, 3)
    other = registry("other")
    assert other.ids() == []
    with pytest.raises(VersionNotFound, match="none yet"):
        other.load("choices-1-00000003")
    again = registry("one")
    assert again.ids() == []
    half = Version("choices-1-00000003", {"value": 3}, {"W": np.zeros((1, 1), np.float32)})
    again.save(half)
    assert registry("other").load(half.id).manifest == {"value": 3}


def test_readers_see_whole_versions_while_they_are_switched(registry: Open) -> None:
    """Each reader is a machine of its own; what is published is there whole, and never goes back."""
    writer, problems, stop = registry("writer"), [], threading.Event()
    writer.publish(saved(writer, 1))

    def read(reader: VersionRegistry) -> None:
        seen = 0
        try:
            while not stop.is_set():
                name = reader.published()
                assert name is not None
                loaded = reader.load(name)
                value = int(loaded.manifest["value"])
                assert (loaded.arrays["W"] == value).all()
                assert value >= seen
                seen = value
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=read, args=(registry(f"reader{n}"),)) for n in range(2)]
    for thread in threads:
        thread.start()
    for value in range(2, 14):
        writer = registry("writer")
        writer.publish(saved(writer, value))
        writer.prune(8)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(registry("reader0").ids()) == 8


def test_the_old_version_is_served_while_the_bucket_is_away(registry: Open, s3: S3Server) -> None:
    one, server = registry("one"), registry("server")
    one.publish(first := saved(one, 1))
    assert server.published() == first
    second = saved(one, 2)
    one.publish(second)
    with s3.refusing(lambda _, path: AWAY if "head" in path else None):
        assert server.published() == first, "the new one is not here whole"
        assert registry("one").published() == second
    with s3.refusing(lambda *_: AWAY):
        restarted = registry("server")
        assert restarted.published() == first
        assert restarted.load(first).arrays["W"][0, 0] == 1
    assert registry("server").published() == second


def test_none_is_served_again(registry: Open) -> None:
    one, server = registry("one"), registry("server")
    one.publish(saved(one))
    assert server.published() is not None
    registry("one").unpublish()
    assert server.published() is None
    assert registry("server").published() is None


def test_what_was_pruned_is_nowhere(registry: Open, s3: S3Server, bucket: str) -> None:
    one = registry("one")
    names = [saved(one, value) for value in range(4)]
    one.publish(names[0])
    assert registry("one").prune(2) == [names[1]]
    assert registry("other").ids() == [names[0], names[2], names[3]]
    assert not [key for key in s3.keys(bucket) if names[1] in key]


def test_a_published_that_names_no_version_is_not_followed(registry: Open, s3: S3Server, bucket: str) -> None:
    one = registry("one")
    one.publish(first := saved(one))
    server = registry("server")
    assert server.published() == first
    for evil in (b"../../../etc", b"untrained", b"choices-9-00000000", b"\xff\xfe"):
        s3.client().put_object(Bucket=bucket, Key="lineup/projects/7/published", Body=evil)
        assert server.published() == first


def test_a_path_is_the_registry_it_was(tmp_path, machine: Machine) -> None:  # type: ignore[no-untyped-def]
    settings = machine("one", model_dir=tmp_path / "models")
    assert type(open_registry(settings, 7)) is VersionRegistry
    assert isinstance(open_registry(machine("one"), 7), SharedRegistry)
