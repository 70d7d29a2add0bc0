"""What an audit writes: tables, corrected labels, pictures, the same bytes each time, and never over something else."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ml.audit import Findings, Places, audit, write_audit
from ml.audit import table as tables
from ml.audit.table import corrected_examples
from ml.audit.write import Outputs
from ml.datasets import Dataset, DatasetError, read_dataset
from ml.embedders.pixels import PixelsEmbedder
from tests.ml.audit.planted import make_digits

QUICK = Outputs(plane="pca", pictures=3)


def write(found: Findings, places: Places, outputs: Outputs = QUICK, *, force: bool = False) -> list[Path]:
    return write_audit(found, places, title="digits", embedder="pixels", outputs=outputs, force=force)


def test_every_row_says_what_was_done_and_keeps_its_columns(
    found: Findings, dataset: Dataset, tmp_path: Path
) -> None:
    places = Places.of(dataset.source, tmp_path / "out")
    written = write(found, places)
    assert all(path.exists() for path in written)
    back = read_dataset(places.corrected)
    assert len(back) == 700
    seen = set()
    for before, after in zip(dataset, back, strict=True):
        assert before.path is not None
        assert after.path is not None
        assert after.path.resolve() == before.path.resolve()
        more = after.more
        assert more["truth"] == before.more["truth"]
        assert more["source_given"] == "the user's own column"
        assert more["given"] == before.label
        assert after.label == (more["suggestion"] if more["status"] == "corrected" else before.label)
        if more["status"] != "kept":
            assert more["reason"]
        seen.add(more["status"])
    assert seen == {"kept", "corrected", "suspect"}


def test_the_corrections_of_another_dataset_are_not_written_over(
    found: Findings, dataset: Dataset, tmp_path: Path
) -> None:
    source = make_digits(tmp_path / "set", 20, 0.0)
    other = source.with_name("other.jsonl")
    other.write_bytes(source.read_bytes())
    write(found, Places.of(source, None))
    Places.of(source, None).check(replace(dataset, source=source), force=True)
    for force in (False, True):
        with pytest.raises(FileExistsError, match=r"of another audit \(labels-audit\), not of .*other.jsonl"):
            Places.of(other, None).check(replace(dataset, source=other), force=force)
    Places.of(other, tmp_path / "out").check(replace(dataset, source=other), force=False)


def test_the_table_has_a_row_an_image_in_both_formats(found: Findings, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    places = Places(tmp_path / "out", tmp_path / "out" / "corrected_labels.jsonl")
    write(found, places)
    with (tmp_path / "out" / "issues.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    typed = parquet.read_table(tmp_path / "out" / "issues.parquet").to_pylist()
    assert len(rows) == len(typed) == 700
    assert list(rows[0]) == list(typed[0])
    suspect = max(range(700), key=lambda row: typed[row]["suspicion"])
    assert typed[suspect]["status"] in ("corrected", "suspect")
    assert float(rows[suspect]["suspicion"]) == typed[suspect]["suspicion"]
    assert "self_confidence" in typed[suspect]["anomalies"]
    assert rows[suspect]["anomalies"] == ", ".join(typed[suspect]["anomalies"])


def test_pictures_of_the_suspects_are_drawn(found: Findings, tmp_path: Path) -> None:
    places = Places(tmp_path / "out", tmp_path / "corrected.jsonl")
    write(found, places)
    drawn = sorted((tmp_path / "out" / "suspects").iterdir())
    names = [Path(found.examples[row].image).stem for row in found.suspects[:3]]
    assert [path.name for path in drawn] == [f"000{place}-{name}.png" for place, name in enumerate(names, 1)]
    with Image.open(drawn[0]) as image:
        assert image.height > image.width  # words below the picture
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or []}
    assert (0xB3, 0x26, 0x1E) in colours
    assert (0x14, 0x6C, 0x43) in colours


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    source = make_digits(tmp_path / "set", 150, 0.1)
    contents = []
    for run in ("a", "b"):
        found = audit(read_dataset(source), PixelsEmbedder(), cache=tmp_path / run)
        places = Places.of(source, tmp_path / f"out-{run}")
        write(found, places, Outputs(plane="tsne", pictures=2, seed=3))
        files = sorted(path for path in places.folder.rglob("*") if path.is_file())
        contents.append({path.relative_to(places.folder): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) >= 6


def test_places_beside_the_dataset() -> None:
    folder = Places.of(Path("/sets/photos.v2"), None)
    assert folder == Places(Path("/sets/photos.v2-audit"), Path("/sets/corrected_labels.jsonl"))
    assert not folder.inside
    assert Places.of(Path("/sets/a.csv"), Path("here")).inside


def test_nothing_is_written_over_without_force(found: Findings, dataset: Dataset, tmp_path: Path) -> None:
    places = Places(tmp_path / "out", tmp_path / "corrected.jsonl")
    write(found, places)
    before = (tmp_path / "out" / "report.html").stat().st_ino
    with pytest.raises(FileExistsError, match="--force"):
        places.check(dataset, force=False)
    with pytest.raises(FileExistsError, match="--force"):
        write(found, places)
    assert (tmp_path / "out" / "report.html").stat().st_ino == before
    places.check(dataset, force=True)
    write(found, places, force=True)
    assert (tmp_path / "out" / "report.html").stat().st_ino != before
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="remove it yourself"):
        write(found, Places(foreign, tmp_path / "other.jsonl"), force=True)


def test_the_dataset_itself_is_never_written_over(source: Path, dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="would be written over it"):
        Places(source.parent, source.parent / "corrected.jsonl").check(dataset, force=True)
    with pytest.raises(DatasetError, match="would be written over it"):
        Places(source.parent / "images", source.parent / "corrected.jsonl").check(dataset, force=True)
    with pytest.raises(DatasetError, match="would be written over it"):
        Places(source.parent / "out", source).check(dataset, force=True)


def test_what_needs_a_package_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match="pip install pyarrow"):
        Outputs(parquet=True).check()
    Outputs(parquet=None).check()
    monkeypatch.setattr("ml.audit.plane.find_spec", lambda name: None)
    with pytest.raises(DatasetError, match="pip install umap-learn"):
        Outputs(plane="umap").check()
    with pytest.raises(DatasetError, match="no map 'globe'"):
        Outputs(plane="globe").check()


def test_without_pyarrow_the_rest_is_written(
    found: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    written = write(found, Places(tmp_path / "out", tmp_path / "c.jsonl"))
    assert "issues.parquet" not in {path.name for path in written}
    assert (tmp_path / "out" / "issues.csv").exists()


def test_a_column_of_an_earlier_audit_keeps_its_value(found: Findings) -> None:
    example = replace(found.examples[0], more={"status": "old", "source_status": "older"})
    one = next(corrected_examples(replace(found, examples=[example, *found.examples[1:]])))
    assert one.more["source_status"] == "older"
    assert one.more["source_source_status"] == "old"
    assert one.more["status"] == found.status[0]
    json.dumps(one.as_row())
