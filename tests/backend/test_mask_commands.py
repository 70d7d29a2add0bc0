"""`lineup check` and `lineup overlay` as they are typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from backend.cli import app
from ml.masks.png import write_png
from tests.ml.mask_sets.made import make_set


def lineup(*arguments: object) -> tuple[int, str]:
    """Run a command; return its exit code and what it said, in one line."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, " ".join(done.output.split())


def test_check_ends_well_on_a_sound_set_and_not_on_another(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set")
    common = ("check", folder, "--backbone", "pixels", "--cache", tmp_path / "cache")
    code, said = lineup(*common, "--out", tmp_path / "out")
    assert code == 0, said
    assert "Nothing is wrong." in said
    assert "train (3)" in said
    assert "Sizes in val: 56 x 40 (1), 56 x 41 (1)." in said
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == [
        "check.png",
        "classes.csv",
        "faults.csv",
    ]
    (folder / "labels" / "val" / "0.png").write_bytes(write_png(np.full((40, 56), 9, np.uint8)))
    (folder / "img" / "val" / "1.jpg").write_bytes((folder / "img" / "train" / "1.jpg").read_bytes())
    code, said = lineup(*common)
    assert code == 1
    assert "no class (1)" in said
    assert "labels/val/0.png: 9 (2240 pixels)" in said
    assert "leak (1)" in said
    code, said = lineup(*common, "--out", tmp_path / "out")
    assert code == 1
    assert "--force" in said
    code, said = lineup("check", folder, "--backbone", "none", "--classes", ",".join("abcdefghij"))
    assert code == 1
    assert "leak (1)" in said
    assert "no class" not in said
    code, said = lineup("check", tmp_path / "nothing")
    assert (code, "there is no file or folder" in said) == (1, True)


def test_overlay_draws_each_or_all(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set")
    code, said = lineup("overlay", folder, "--out", tmp_path / "drawn")
    assert code == 0, said
    assert len(list((tmp_path / "drawn").glob("*/*.jpg"))) == 5
    code, said = lineup("overlay", folder, "--out", tmp_path / "drawn")
    assert (code, "--force" in said) == (1, True)
    code, said = lineup(
        "overlay", folder, "--out", tmp_path / "sheet.png", "--part", "train", "--count", 2, "--seed", 1
    )
    assert code == 0
    assert "Drew 2 masks" in said
    assert Image.open(tmp_path / "sheet.png").width > 600
    code, said = lineup("overlay", folder, "--out", tmp_path / "none", "--part", "other")
    assert code == 1
    assert "has no part 'other'; there are train, val" in said
    (folder / "labels" / "val" / "0.png").write_bytes(b"nothing")
    code, said = lineup("overlay", folder, "--out", tmp_path / "none")
    assert code == 1
    assert "labels/val/0.png: the mask is no PNG" in said
    assert not (tmp_path / "none").exists()
    code, said = lineup("overlay", folder, "--out", tmp_path / "some", "--skip-problems")
    assert code == 0
    assert "Drew 4 masks" in said
    assert "left out (1)" in said
