"""A project's own backbones in a bucket: whole or not there, fetched once, and what is not used goes everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backend.backbones import BackboneNotFound, BackboneStore
from backend.finetuning.leftovers import FOLDER, clean_ended
from backend.finetuning.record import ask_training, read_training, tell_training
from backend.jobs.locks import training_lock
from backend.shared.backbones import SharedBackbones
from tests.backend.shared.conftest import Machine, new_process
from tests.s3_server import S3Server

Open = Callable[[str], BackboneStore]
AWAY = (400, "AccountProblem", "There is a problem with your account")


@pytest.fixture
def backbones(machine: Machine) -> Open:
    """The backbones as a new process of a machine sees them."""

    def make(name: str) -> BackboneStore:
        settings = machine(name)
        return SharedBackbones(settings.project_dir(7) / "backbones", new_process(settings).project(7))

    return make


def weights(folder: Path, content: bytes) -> Path:
    path = folder / f"{content.hex()}.safetensors"
    path.write_bytes(content)
    return path


def test_what_one_publishes_another_loads(backbones: Open, tmp_path: Path) -> None:
    one = backbones("one")
    assert backbones("other").published() is None
    name = one.save(weights(tmp_path, b"first"), {"model": "x"})
    assert one.save(weights(tmp_path, b"first"), {"model": "x"}) == name
    assert backbones("other").published() is None
    one.publish(name)
    other = backbones("other")
    assert other.published() == name
    assert other.load(name).path.read_bytes() == b"first"
    assert other.load(name).manifest == {"model": "x"}
    one.publish(None)
    assert backbones("other").published() is None


def test_half_an_upload_is_none(backbones: Open, tmp_path: Path, s3: S3Server) -> None:
    one = backbones("one")
    file = weights(tmp_path, b"first")
    with (
        s3.refusing(
            lambda verb, path, *_: AWAY if verb == "PUT" and path.endswith("manifest.json") else None
        ),
        pytest.raises(OSError, match="MODEL_DIR"),
    ):
        one.save(file, {"model": "x"})
    name = one.ids()[0]
    with pytest.raises(BackboneNotFound, match="lineup train --project 7 --drop"):
        backbones("other").load(name)
    assert one.save(file, {"model": "x"}) == name
    assert backbones("other").load(name).path.read_bytes() == b"first"


def test_unused_ones_go_on_all_machines(backbones: Open, tmp_path: Path) -> None:
    one = backbones("one")
    names = [one.save(weights(tmp_path, content), {}) for content in (b"a", b"b", b"c")]
    one.publish(names[2])
    assert one.prune({names[1]}) == [names[0]]
    assert sorted(names[1:]) == one.ids()
    with pytest.raises(BackboneNotFound):
        backbones("other").load(names[0])
    assert backbones("other").load(names[1]).id == names[1]


def test_what_was_pruned_elsewhere_goes_here_when_the_next_one_comes(backbones: Open, tmp_path: Path) -> None:
    one, other = backbones("one"), backbones("other")
    first, second, third = (one.save(weights(tmp_path, content), {}) for content in (b"a", b"b", b"c"))
    for name in (first, second):
        other.load(name)
        os.utime(other.root / name, (0, 0))
    one.publish(third)
    assert one.prune({second}) == [first]
    other.load(third)
    assert other.ids() == sorted([second, third])


def test_what_a_training_leaves_goes_once_it_has_ended_elsewhere(machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    record = ask_training(one, 7, {})
    left = one.project_dir(7) / FOLDER / "images.npy"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"decoded")
    clean_ended(one, 7, read_training(one, 7))
    assert left.exists(), "it may go on here"
    tell_training(other, 7, replace(record, state="published"))
    with training_lock(one.project_dir(7)):
        clean_ended(one, 7, read_training(one, 7))
    assert left.exists(), "somebody here is at the next one"
    clean_ended(one, 7, read_training(one, 7))
    assert not left.exists()


@pytest.mark.parametrize("name", ["../tuned-000000000000", "tuned-000000000000", "/etc", ""])
def test_no_name_leads_elsewhere(backbones: Open, name: str) -> None:
    with pytest.raises(BackboneNotFound, match="project 7"):
        backbones("one").load(name)


def test_a_training_asked_for_here_is_known_there(machine: Machine) -> None:
    ask_training(machine("one"), 7, {"Training": {"epochs": 3}}, force=True)
    record = read_training(machine("other"), 7)
    assert (record.state, record.config, record.force) == ("waiting", {"Training": {"epochs": 3}}, True)
