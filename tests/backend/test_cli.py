"""The command line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from typer.testing import CliRunner, Result

import backend.connect
import backend.export
from backend.cli import app
from backend.cli.export import Format
from backend.export import FORMATS, Exported
from backend.export.masks import MASK_FORMATS
from backend.jobs.embedded import to_environment
from backend.jobs.hints import HintStore
from backend.jobs.locks import announce_worker
from backend.labelstudio.errors import LabelStudioError
from backend.settings import Settings, get_settings
from backend.status import LastError, LastRefresh, Status, write_status
from tests.backend.trained import Trained, make_project, make_settings


class Shell:
    """Runs `lineup ...` with the settings of a test."""

    def __call__(self, *arguments: str) -> Result:
        get_settings.cache_clear()
        return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.fixture
def shell(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    for name, value in to_environment(settings).items():
        monkeypatch.setenv(name, value)
    yield Shell()
    get_settings.cache_clear()


def reasons(settings: Settings, project_id: int = 7) -> set[str]:
    pending = HintStore(settings.model_dir).pending()
    return set(pending[project_id].reasons) if project_id in pending else set()


def test_help_teaches(shell: Shell):
    text = shell("--help").output
    for words in ("lineup serve", "lineup connect --project 7", "LABEL_STUDIO_API_KEY", "Exit codes"):
        assert words in text
    for command in ("serve", "connect", "doctor", "refresh", "status", "versions", "rollback", "export"):
        assert shell(command, "--help").exit_code == 0


def test_usage_errors_are_2(shell: Shell):
    assert shell("connect").exit_code == 2
    assert shell("connect", "--project", "seven").exit_code == 2
    assert shell("export", "--project", "7", "--format", "pickle", "--out", "x").exit_code == 2


@pytest.mark.parametrize("missing", ["LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"])
def test_a_missing_setting_is_named(shell: Shell, missing: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(missing)
    for command in (["serve"], ["connect", "-p", "7"], ["export", "-p", "7", "--out", "x"]):
        result = shell(*command)
        assert result.exit_code == 2
        assert f"{missing} must be set" in result.output


def test_a_wrong_setting_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REVIEW_PRECISION", "7")
    result = shell("status")
    assert result.exit_code == 2
    assert "REVIEW_PRECISION" in result.output
    assert "Traceback" not in result.output


def test_connect_says_what_was_connected(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    done = SimpleNamespace(
        project_id=7, title="Digits", kind="choices", backend_url="http://b", webhook_url="http://b/webhook"
    )
    monkeypatch.setattr(backend.connect, "connect", lambda settings, project_id: done)
    result = shell("connect", "--project", "7")
    assert result.exit_code == 0
    assert "Digits" in result.output
    assert "No worker runs" in result.output


def test_an_error_of_label_studio_is_shown_without_a_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    def refuse(settings: Settings, project_id: int) -> None:
        raise LabelStudioError(404, "GET", "/api/projects/7", "Not found", "check the id")

    monkeypatch.setattr(backend.connect, "connect", refuse)
    result = shell("connect", "--project", "7")
    assert result.exit_code == 1
    assert "/api/projects/7" in result.output
    assert "Traceback" not in result.output


def test_refresh_leaves_a_hint(shell: Shell, settings: Settings):
    make_project(settings, 7)
    assert shell("refresh", "--project", "7").exit_code == 0
    assert shell("refresh", "--project", "7", "--full").exit_code == 0
    assert reasons(settings) == {"cli", "full"}


def test_a_project_that_was_never_connected_is_not_refreshed(shell: Shell):
    result = shell("refresh", "--project", "7")
    assert result.exit_code == 1
    assert "lineup connect" in result.output


def test_waiting_needs_a_worker(shell: Shell, settings: Settings):
    make_project(settings, 7)
    result = shell("refresh", "--project", "7", "--wait")
    assert result.exit_code == 1
    assert "lineup serve" in result.output


@pytest.mark.parametrize("error", [None, LastError("Label Studio is away", 1.0, 1)])
def test_waiting_ends_with_the_refresh_that_saw_the_request(shell: Shell, settings: Settings, error):
    make_project(settings, 7)
    write_status(
        settings.project_dir(7),
        Status(
            state="failed" if error else "idle",
            last_refresh=None
            if error
            else LastRefresh("choices-1-aaaaaaaa", 1.0, upto=1, labels=12, tasks=20),
            last_error=error,
        ),
    )
    with announce_worker(settings.model_dir):
        result = shell("refresh", "--project", "7", "--wait")
        assert result.exit_code == (1 if error else 0)
        assert ("Label Studio is away" if error else "12 of 20 tasks") in result.output
        # the next request is newer than what that refresh saw
        result = shell("refresh", "--project", "7", "--wait", "--timeout", "1")
        assert result.exit_code == 1
        assert "still not refreshed" in result.output


def test_status_shows_what_is_known(shell: Shell, trained: Trained):
    assert "never" in shell("status").output
    last = LastRefresh(
        trained.version, 1.0, accuracy=0.912, suspects=4, labels=12, tasks=20, seconds={"read": 0.5}
    )
    status = Status("running", "embed", 3, 9, last_refresh=last, last_error=LastError("it broke", 2.0))
    write_status(trained.settings.project_dir(7), status)
    text = shell("status", "--project", "7").output
    for words in (
        trained.version,
        "12 of 20 tasks",
        "91.2 %",
        "read 0.5 s",
        "embed 3/9",
        "it broke",
        "not running",
    ):
        assert words in text


def test_status_before_anything(shell: Shell):
    assert "lineup connect" in shell("status").output


@pytest.mark.parametrize("command", ["status", "versions", "rollback"])
def test_an_unknown_project_is_told_with_the_known_ones(shell: Shell, trained: Trained, command: str):
    result = shell(command, "--project", "8")
    assert result.exit_code == 1
    assert "known: 7" in result.output


def test_versions_mark_the_served_one(shell: Shell, trained: Trained):
    newer = trained.publish_another()
    lines = shell("versions", "--project", "7").output.splitlines()
    (older_line,) = [line for line in lines if trained.version in line]
    (newer_line,) = [line for line in lines if newer in line]
    assert older_line.count("served") == 0
    assert newer_line.count("served") == 1


def test_rollback_goes_one_back_or_to_a_named_version(shell: Shell, trained: Trained):
    newer = trained.publish_another()
    assert shell("rollback", "--project", "7").exit_code == 0
    assert trained.registry.published() == trained.version
    assert reasons(trained.settings) == {"rollback"}
    assert "no version before" in shell("rollback", "--project", "7").output
    assert shell("rollback", "--project", "7", newer).exit_code == 0
    assert trained.registry.published() == newer


def test_rollback_to_nowhere_changes_nothing(shell: Shell, trained: Trained):
    result = shell("rollback", "--project", "7", "choices-9-ffffffff")
    assert result.exit_code == 1
    assert trained.version in result.output
    assert trained.registry.published() == trained.version
    assert reasons(trained.settings) == set()


def test_export_offers_every_format():
    assert set(get_args(Format)) == {*FORMATS, *MASK_FORMATS}


def test_export_hands_its_options_on(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    seen = {}

    def export(settings: Settings, project_id: int, format: str, out: Path, **options: object):
        seen.update(project=project_id, format=format, out=out, **options)
        return Exported(out, 3, {"kept": 2, "suspect": 1}, dropped=1, applied=2, left_out=["task 4: gone"])

    monkeypatch.setattr(backend.export, "export_project", export)
    out = tmp_path / "labels.csv"
    result = shell(
        *("export", "-p", "7", "-f", "csv", "-o", str(out)),
        *("--drop-suspects", "--apply-suggestions", "0.9", "--force"),
    )
    assert result.exit_code == 0, result.output
    assert seen == {
        "project": 7,
        "format": "csv",
        "out": out,
        "drop_suspects": True,
        "apply_suggestions": 0.9,
        "force": True,
    }
    for words in ("3 rows", "2 kept", "suggestions applied: 2", "task 4: gone"):
        assert words in result.output


def test_export_does_not_write_over_a_file(shell: Shell, tmp_path: Path):
    (tmp_path / "labels.jsonl").write_text("mine")
    result = shell("export", "-p", "7", "-o", str(tmp_path / "labels.jsonl"))
    assert result.exit_code == 1
    assert "--force" in result.output
    assert (tmp_path / "labels.jsonl").read_text() == "mine"


def test_a_port_in_use_is_told(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = make_settings(tmp_path, port=taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "backend.cli", "serve"],
            env=os.environ | to_environment(settings),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert "is in use" in done.stderr
    assert "--port" in done.stderr
