"""Files that are there in whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.whole_files import read_whole, write_whole


def test_a_file_comes_back_and_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder" / "number"
    assert read_whole(path, int) is None
    write_whole(path, b"1")
    write_whole(path, b"2")
    assert read_whole(path, int) == 2
    monkeypatch.setattr("ml.whole_files.os.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_whole(path, b"3")
    assert [one.name for one in path.parent.iterdir()] == ["number"]
    assert read_whole(path, int) == 2


def test_a_damaged_file_is_removed_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "number"
    write_whole(path, b"one")
    assert read_whole(path, int) is None
    assert not path.exists()
    assert "number is damaged and removed" in caplog.text
