"""The status file."""

from __future__ import annotations

import json
from pathlib import Path

from backend.status import STATUS_FILE, LastError, LastRefresh, Status, read_status, write_status


def test_what_is_written_is_read(tmp_path: Path):
    status = Status(
        state="failed",
        step="embed",
        done=3,
        total=9,
        started_at=1.5,
        last_refresh=LastRefresh("choices-1-aaaaaaaa", 2.5, 4, accuracy=0.5, seconds={"read": 0.1}),
        last_error=LastError("it broke", 3.5, 9),
        worker_pid=42,
    )
    write_status(tmp_path / "7", status)
    assert read_status(tmp_path / "7") == status
    assert [path.name for path in (tmp_path / "7").iterdir()] == [STATUS_FILE]


def test_before_the_first_refresh_it_is_idle(tmp_path: Path):
    assert read_status(tmp_path) == Status()


def test_fields_of_another_release_are_left_out(tmp_path: Path):
    (tmp_path / STATUS_FILE).write_text(
        json.dumps(
            {"state": "idle", "mood": "good", "last_refresh": {"version": "v", "finished_at": 1, "x": 2}}
        )
    )
    assert read_status(tmp_path).last_refresh == LastRefresh("v", 1)


def test_a_file_cut_short_is_an_empty_status(tmp_path: Path, caplog):
    (tmp_path / STATUS_FILE).write_text('{"state": "run')
    assert read_status(tmp_path) == Status()
    assert STATUS_FILE in caplog.text
