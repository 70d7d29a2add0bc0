"""Settings, disk, worker, weights: what needs no Label Studio."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend.doctor import disk, weights
from backend.doctor.configuration import EXAMPLE_KEY, misspelt
from backend.jobs.locks import announce_worker
from backend.settings import Settings
from ml.embedders import make_embedder
from tests.backend.doctor.clinic import Doctor
from tests.backend.trained import make_project

STRANGER = 65534


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"REVIEW_PRECISION": "7"}, "REVIEW_PRECISION"),
        ({"STRATEGY": "astrology"}, "STRATEGY"),
        ({"BASIC_AUTH_USER": "lineup"}, "BASIC_AUTH_PASS"),
        ({"LABEL_STUDIO_URL": ""}, "LABEL_STUDIO_URL is not set"),
        ({"LABEL_STUDIO_API_KEY": ""}, "LABEL_STUDIO_API_KEY is not set"),
    ],
)
def test_a_setting_that_keeps_lineup_from_starting(
    doctor: Doctor, settings: Settings, changed: dict[str, str], words: str
) -> None:
    said = doctor(settings, **changed)
    assert said.failed() == {"settings"}
    assert words in said["settings"]["line"]
    assert {found["status"] for (check, _), found in said.found.items() if check != "settings"} == {"skipped"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"LABEL_STUDIO_APIKEY": "x"}, "LABEL_STUDIO_APIKEY (meant: LABEL_STUDIO_API_KEY?)"),
        ({"LABEL_STUDIO_API_KEY": EXAMPLE_KEY}, "LABEL_STUDIO_API_KEY as in .env.example"),
        ({"WEBHOOK_SECRET": "change-me-webhook"}, "WEBHOOK_SECRET as in .env.example"),
        ({"REDIS_URL": "redis://:changeMeRedis@127.0.0.1:9/0"}, "REDIS_URL as in .env.example"),
        ({"HOST": "0.0.0.0"}, "anybody there may send events"),
    ],
)
def test_a_setting_to_look_at(
    doctor: Doctor, settings: Settings, changed: dict[str, str], words: str
) -> None:
    found = doctor(settings, **changed)["settings"]
    assert found["status"] == "warning"
    assert words in found["line"]


def test_a_slip_in_the_environment_file_is_found(doctor: Doctor, settings: Settings) -> None:
    Path(".env").write_text("DEBOUNCE_QUIETT=3\nEDITOR=vi\n", encoding="utf-8")
    line = doctor(settings)["settings"]["line"]
    assert "DEBOUNCE_QUIETT (meant: DEBOUNCE_QUIET?)" in line
    assert "EDITOR" not in line


def test_no_setting_is_taken_for_another_one() -> None:
    assert misspelt(name.upper() for name in Settings.model_fields) == {}
    assert (
        misspelt(["HOSTNAME", "PATH", "LABEL_STUDIO_USERNAME", "LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_PORT"])
        == {}
    )


# disk ----------------------------------------------------------------------------------------------


@contextmanager
def read_only() -> Iterator[Path]:
    """A folder nobody may write to, the working directory of a process that is not root meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="lineup-read-only-"))
    folder.chmod(0o555)
    root, was = os.geteuid() == 0, Path.cwd()
    os.chdir(folder)
    if root:
        os.seteuid(STRANGER)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        os.chdir(was)
        folder.rmdir()


def test_a_folder_that_cannot_be_written_to(doctor: Doctor, settings: Settings) -> None:
    with read_only() as folder:
        said = [doctor(settings, MODEL_DIR=str(place)) for place in (folder, folder / "models")]
    assert [each["disk"]["status"] for each in said] == ["failure", "failure"]
    for each, place in zip(said, (folder, folder / "models"), strict=True):
        assert f"MODEL_DIR={place} cannot be written to: Permission denied" in each["disk"]["line"]


def test_a_file_where_the_folder_should_be(doctor: Doctor, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "models"
    path.write_text("not a folder", encoding="utf-8")
    said = doctor(settings, MODEL_DIR=str(path))
    assert "disk" in said.failed()
    assert "cannot be written to: File exists" in said["disk"]["line"]


def test_a_folder_that_is_not_there_yet_is_not_left_behind(
    doctor: Doctor, settings: Settings, tmp_path: Path
) -> None:
    said = doctor(settings, MODEL_DIR=str(tmp_path / "a" / "b"))
    assert said["disk"]["status"] in ("ok", "warning")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("limit", "status"), [("TOO_LITTLE", "failure"), ("LITTLE", "warning")])
def test_little_room(
    doctor: Doctor, settings: Settings, monkeypatch: pytest.MonkeyPatch, limit: str, status: str
) -> None:
    assert doctor(settings)["disk"]["status"] == "ok"
    monkeypatch.setattr(disk, limit, 1e18)
    found = doctor(settings)["disk"]
    assert found["status"] == status
    assert "GB free" in found["line"]


# worker --------------------------------------------------------------------------------------------


def test_a_worker_that_runs_and_one_that_does_not(doctor: Doctor, settings: Settings) -> None:
    assert "worker" in doctor(settings).failed()
    with announce_worker(settings.model_dir):
        assert doctor(settings)["worker"]["status"] == "ok"


def test_all_connected_projects_are_looked_at(doctor: Doctor, settings: Settings) -> None:
    assert doctor(settings)["webhook"]["line"] == "no project is connected"
    for project in (3, 5):
        make_project(settings, project)
    said = doctor(settings)
    assert {project for check, project in said.found if check == "webhook"} == {3, 5}


# weights -------------------------------------------------------------------------------------------


def test_weights_that_are_there(doctor: Doctor, settings: Settings) -> None:
    said = doctor(settings, EMBEDDER="pixels")
    assert said["weights"]["status"] == "ok"
    assert said["gpu"]["status"] == "skipped"


def test_a_gpu_that_torch_uses_and_one_that_it_does_not(
    doctor: Doctor, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(weights, "_DRIVER", tmp_path / "version")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(weights, "make_embedder", lambda *_, **__: make_embedder("pixels"))
    assert doctor(settings, EMBEDDER="auto")["gpu"]["status"] == "ok"
    (tmp_path / "version").touch()
    unused = doctor(settings, EMBEDDER="auto")["gpu"]
    assert unused["status"] == "warning"
    assert "docker-compose.gpu.yml" in unused["fix"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "a card")
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: SimpleNamespace(total_memory=24e9))
    assert doctor(settings, EMBEDDER="auto")["gpu"]["line"] == "a card, 24 GB"


@pytest.mark.parametrize(
    ("embedder", "words"),
    [
        ("timm:resnet18@/nowhere/resnet18.pth", "/nowhere/resnet18.pth"),
        ("clairvoyant", "unknown embedder 'clairvoyant'"),
        ("timm:convnextv2_atto.fcmae", "ALLOW_NONCOMMERCIAL"),
        ("timm:vit_small_patch14_dinov2.annotations_only", "vit_small_patch14_dinov2"),
    ],
)
def test_weights_that_are_not(doctor: Doctor, settings: Settings, embedder: str, words: str) -> None:
    said = doctor(settings, EMBEDDER=embedder)
    assert "weights" in said.failed()
    assert words in said["weights"]["line"]


def test_the_fallback_is_named(
    doctor: Doctor, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # an empty cache, and a hub that is a closed port
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/{revision}/{filename}",
    )
    said = doctor(settings, EMBEDDER="auto")
    assert said["weights"]["status"] == "warning"
    assert "fallback to pixels" in said["weights"]["line"]
    assert said["gpu"]["status"] == "ok"
