"""`MODEL_DIR` in an object store: there, away, without a bucket, without rights, without the package for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.jobs.embedded import to_environment
from backend.settings import Settings
from backend.shared import folder
from tests.backend.doctor.clinic import Doctor
from tests.s3_server import SECRET, S3Server

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODEL_CACHE", str(tmp_path / "cache"))
    folder._open.cache_clear()


def at(url: str, tmp_path: Path, **more: str) -> dict[str, str]:
    return {"MODEL_DIR": url, "MODEL_CACHE": str(tmp_path / "cache"), **more}


def test_a_folder_needs_none(doctor: Doctor, settings: Settings) -> None:
    assert doctor(settings)["shared folder"]["status"] == "skipped"


def test_one_that_is_there(doctor: Doctor, settings: Settings, s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.bucket()
    found = doctor(settings, **at(f"s3://{bucket}/x", tmp_path, REDIS_URL="redis://127.0.0.1:9/0"))[
        "shared folder"
    ]
    assert found["status"] == "ok"
    assert found["line"].startswith(f"MODEL_DIR=s3://{bucket}/x can be read and written, ")
    assert s3.keys(bucket) == [], "nothing is left behind"
    alone = doctor(settings, **at(f"s3://{bucket}/x", tmp_path))
    assert alone["shared folder"]["status"] == "warning"
    assert "only one Lineup" in alone["shared folder"]["line"]
    assert f"MODEL_CACHE={tmp_path / 'cache'}" in alone["disk"]["line"]


def test_no_bucket(doctor: Doctor, settings: Settings, s3: S3Server, tmp_path: Path) -> None:
    found = doctor(settings, **at("s3://lineup-nowhere/x", tmp_path))["shared folder"]
    assert found["status"] == "failure"
    assert (
        "MODEL_DIR=s3://lineup-nowhere/x cannot be written: The specified bucket does not exist"
        in found["line"]
    )
    assert found["fix"] == "Create it, or correct MODEL_DIR"


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_a_right_that_is_missing(
    doctor: Doctor, settings: Settings, s3: S3Server, tmp_path: Path, method: str
) -> None:
    denied = (403, "AccessDenied", "Access Denied")
    url = f"s3://{s3.bucket()}/x"
    with s3.refusing(lambda seen, _: denied if seen == method else None):
        said = doctor(settings, **at(url, tmp_path))
    assert "shared folder" in said.failed()
    assert "Access Denied" in said["shared folder"]["line"]
    assert "s3:DeleteObject" in said["shared folder"]["fix"]


def test_a_store_that_is_full(doctor: Doctor, settings: Settings, s3: S3Server, tmp_path: Path) -> None:
    full = (507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold")
    url = f"s3://{s3.bucket()}/x"
    with s3.refusing(lambda method, _: full if method == "PUT" else None):
        found = doctor(settings, **at(url, tmp_path))["shared folder"]
    assert "minimum free drive threshold" in found["line"]


def test_nobody_answers(
    doctor: Doctor, settings: Settings, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = doctor(settings, **at("s3://lineup-away/x", tmp_path))
    assert "Could not connect to the endpoint URL" in said["shared folder"]["line"]
    assert SECRET not in str(said.found)


def test_the_package_is_not_installed(settings: Settings, tmp_path: Path) -> None:
    """Nothing starts then, and the message says what to install."""
    code = "import sys; sys.modules['s3fs'] = None; from backend.cli import app; app()"
    environ = {**to_environment(settings), **at("s3://lineup-x/x", tmp_path), "PATH": os.environ["PATH"]}
    for command in ("serve", "worker", "doctor"):
        done = subprocess.run(
            [sys.executable, "-c", code, command],
            env={**environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        said = "MODEL_DIR=s3://lineup-x/x needs s3fs, which is not installed: pip install s3fs=="
        assert said in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
