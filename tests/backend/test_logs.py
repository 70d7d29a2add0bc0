"""Lines of the log: whole, one an event, with what they belong to, and without secrets."""

from __future__ import annotations

import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from pathlib import Path

import pytest

from backend.logs import JsonFormatter, TextFormatter, log_fields, note_field, secrets
from tests.backend.trained import make_settings

PAT = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2lnbmF0dXJl-_"


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    trace = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("backend.x", logging.WARNING, __file__, 1, message, args, trace)


def text(
    message: str, *args: object, hidden: tuple[str, ...] = (), error: BaseException | None = None
) -> str:
    return TextFormatter("worker", hidden).format(record(message, *args, error=error))


def test_a_line_names_time_level_process_and_logger() -> None:
    line = text("task %d: gone", 7)
    assert line.endswith(" WARNING worker backend.x: task 7: gone")
    assert line[10] == "T"
    assert line.split(" ")[0].endswith("+00:00")


def test_a_field_outside_of_what_it_belongs_to_is_on_no_line() -> None:
    def noted() -> str:
        note_field("version", "choices-1-aaaaaaaa")
        return text("done")

    assert Context().run(noted).endswith("backend.x: done")


def test_json_lines_have_the_fields_of_what_they_belong_to() -> None:
    form = JsonFormatter("worker", ())
    with log_fields(project=7, job="7-12"):
        note_field("version", "choices-1-aaaaaaaa")
        inside = json.loads(form.format(record("done")))
    assert {name: inside[name] for name in ("project", "job", "version", "role", "level", "message")} == {
        "project": 7,
        "job": "7-12",
        "version": "choices-1-aaaaaaaa",
        "role": "worker",
        "level": "WARNING",
        "message": "done",
    }
    assert "project" not in json.loads(form.format(record("later")))


def test_text_lines_have_them_at_the_end() -> None:
    with log_fields(project=7, job="7-12"):
        assert text("done").endswith("backend.x: done [project=7 job=7-12]")


def test_threads_that_work_for_a_refresh_log_as_it_does() -> None:
    with log_fields(project=7), ThreadPoolExecutor(1) as pool:
        assert pool.submit(copy_context().run, text, "x").result().endswith("[project=7]")
        assert pool.submit(text, "x").result().endswith(": x")


@pytest.mark.parametrize(
    "message",
    [
        f"Authorization: Token {'0123456789' * 4}",
        f"refresh={PAT}",
        f"Bearer {PAT}",
        "Authorization: Basic bGluZXVwOnNlY3JldA==",
        "redis://:hunter2@redis:6379/0 and redis://user:hunter2@redis",
        "the secret is open sesame",
    ],
)
def test_no_secret_is_written(message: str) -> None:
    for form in (TextFormatter("server", ["open sesame"]), JsonFormatter("server", ["open sesame"])):
        line = form.format(record(message))
        assert "***" in line
        for secret in ("0123456789012345", "eyJ", "c2lnbmF0dXJl", "bGluZXVw", "hunter2", "open sesame"):
            assert secret not in line


def test_no_secret_is_written_in_a_traceback_either() -> None:
    try:
        raise ValueError(f"refused {PAT}")
    except ValueError as error:
        for form in (TextFormatter("server", ()), JsonFormatter("server", ())):
            line = form.format(record("failed", error=error))
            assert "Traceback" in line
            assert PAT not in line


def test_whatever_a_message_holds_it_is_one_line() -> None:
    evil = "x\n2026-01-01 INFO server backend.auth: admin let in\r\x1b[2J\u2028"
    assert len(text("image %s", evil).splitlines()) == 1
    assert "\x1b" not in text("image %s", evil)
    assert len(JsonFormatter("server", ()).format(record("image %s", evil)).splitlines()) == 1


def test_every_secret_setting_is_hidden(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, basic_auth_user="u", basic_auth_pass="password", webhook_secret="webhook"
    )
    assert secrets(settings) == ["a" * 40, "password", "webhook"]


def test_an_unset_or_tiny_secret_hides_nothing(tmp_path: Path) -> None:
    assert secrets(make_settings(tmp_path, webhook_secret="a", label_studio_api_key="")) == []


def test_a_process_logs_json_when_told_to(tmp_path: Path) -> None:
    import os
    import subprocess

    code = (
        "import logging; from backend.logs import configure; from backend.settings import Settings;"
        "configure(Settings(_env_file=None), 'server'); logging.getLogger('a').info('token %s', 'k'*40);"
        "logging.getLogger('httpcore.http11').debug('headers')"
    )
    env = os.environ | {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG", "LABEL_STUDIO_API_KEY": "k" * 40}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["message"] == "token ***"
