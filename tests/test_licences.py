"""What Lineup drags in may be used and sold by whoever uses Lineup."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from scripts.licences import Licensed, closure, cyclonedx, licence_of, main


def licensed(licence: str) -> Licensed:
    return Licensed("x", "1", licence, "")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_nothing_that_is_needed_has_a_licence_lineup_does_not_take_in(repository: Path, name: str) -> None:
    found = closure(repository / name)
    names = {one.name for one in found}
    assert {"torch", "cleanlab", "label-studio-sdk", "starlette", "uvloop"} <= names
    assert [f"{one.name}: {one.problem}" for one in found if one.problem] == []


@pytest.mark.parametrize(
    "licence",
    [
        "AGPL-3.0-only",
        "GNU Affero General Public License v3",
        "AGPL-3.0-only OR MIT-0-NC-noncommercial",
        "SSPL-1.0",
        "CC-BY-NC-4.0",
        "CC BY-NC-SA 4.0",
        "Free for non-commercial use",
        "Free for noncommercial use",
        "PolyForm-Noncommercial-1.0.0",
        "BUSL-1.1",
        "Apache-2.0 with Commons Clause",
        "for research use only",
        "GPL-3.0-or-later",
        "GNU General Public License v2 (GPLv2)",
        "",
    ],
)
def test_what_is_not_taken_in(licence: str) -> None:
    assert licensed(licence).problem


@pytest.mark.parametrize(
    "licence",
    [
        "MIT",
        "Apache-2.0 AND BSD-2-Clause",
        "LGPL-3.0-or-later",
        "GNU Lesser General Public License v3 (LGPLv3)",
        "GNU Library or Lesser General Public License (LGPL)",
        "MIT OR GPL-2.0-only",
        "GPL-3.0-or-later WITH GCC-exception-3.1",
        "Mozilla Public License 2.0 (MPL 2.0)",
        "LicenseRef-NVIDIA-Proprietary",
        "BSL-1.0",
    ],
)
def test_what_is(licence: str) -> None:
    assert licensed(licence).problem is None


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ("License-Expression: MIT\nLicense: GPL", "MIT"),
        ("Classifier: License :: OSI Approved :: MIT License\nLicense: whatever", "MIT License"),
        ("Classifier: License :: OSI Approved\nLicense: BSD\n  more of the text", "BSD"),
        ("License: UNKNOWN", ""),
        ("", ""),
    ],
)
def test_where_a_licence_is_stated(tmp_path: Path, headers: str, licence: str) -> None:
    folder = tmp_path / "x-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: x\nVersion: 1\n{headers}\n", encoding="utf-8"
    )
    assert licence_of(metadata.Distribution.at(folder)) == licence


def test_the_bill_of_materials_names_each_once_and_is_the_same_every_time(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--format", "cyclonedx"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    references = [component["bom-ref"] for component in document["components"]]
    assert len(set(references)) == len(references) > 50
    assert document == cyclonedx(closure(repository / "requirements.txt"))
    pinned = (repository / "requirements.txt").read_text(encoding="utf-8")
    for component in document["components"]:
        line = f"{component['name']}=="
        assert line not in pinned or f"{line}{component['version']}" in pinned


def test_a_forbidden_licence_is_told_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scripts.licences.KNOWN", {"rich": "AGPL-3.0-only"})
    assert main([]) == 1
    assert "rich" in capsys.readouterr().err
