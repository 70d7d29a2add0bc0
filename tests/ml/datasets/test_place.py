"""An export appears whole, and over nothing it should not touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.datasets.place import MARKER, placed


def test_the_file_appears_at_the_end_in_folders_that_are_made(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b.jsonl"
    with placed(out, force=False) as draft:
        draft.write_text("new")
        assert not out.exists()
    assert out.read_text() == "new"
    assert list(out.parent.iterdir()) == [out]


def test_without_force_nothing_is_written_over_and_the_error_names_the_file(tmp_path: Path) -> None:
    out = tmp_path / "labels.jsonl"
    out.write_text("old")
    with pytest.raises(FileExistsError, match=r"labels\.jsonl exists.*--force"), placed(out, force=False):
        pass
    assert out.read_text() == "old"


def test_a_file_that_appears_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "labels.jsonl"
    with pytest.raises(FileExistsError), placed(out, force=False) as draft:  # noqa: PT012
        draft.write_text("new")
        out.write_text("someone else's")
    assert out.read_text() == "someone else's"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("force", [True, False])
def test_an_error_leaves_things_as_they_were(tmp_path: Path, force: bool) -> None:
    out = tmp_path / "labels.jsonl"
    if force:
        out.write_text("old")
    with pytest.raises(RuntimeError), placed(out, force=force) as draft:  # noqa: PT012
        draft.write_text("half")
        raise RuntimeError
    assert [p.read_text() for p in tmp_path.iterdir()] == (["old"] if force else [])


def test_force_replaces_a_file_and_an_earlier_export_folder(tmp_path: Path) -> None:
    for number in (1, 2):
        with placed(tmp_path / "file", force=True) as draft:
            draft.write_text(str(number))
        with placed(tmp_path / "folder", force=True) as draft:
            draft.mkdir()
            (draft / str(number)).touch()
    assert (tmp_path / "file").read_text() == "2"
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == [MARKER, "2"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_force_does_not_delete_what_was_put_beside_an_export(tmp_path: Path) -> None:
    out = tmp_path / "folder"
    with placed(out, force=False) as draft:
        draft.mkdir()
        (draft / "ours").touch()
    (out / "answers.jsonl").write_text("hours of work")
    with pytest.raises(FileExistsError, match=r"also holds answers\.jsonl"), placed(out, force=True):
        pass
    assert (out / "answers.jsonl").read_text() == "hours of work"


def test_force_does_not_delete_a_folder_that_no_export_wrote(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "only-copy.jpg").touch()
    with (
        pytest.raises(FileExistsError, match="not written by an export"),
        placed(tmp_path / "photos", force=True),
    ):
        pass
    assert (tmp_path / "photos" / "only-copy.jpg").exists()
