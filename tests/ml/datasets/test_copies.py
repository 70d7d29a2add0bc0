"""Images are copied into a folder, whatever their names say."""

from __future__ import annotations

from pathlib import Path

from ml.datasets import Example
from ml.datasets.copies import copy_images


def test_a_folders_images_keep_their_folders_and_no_name_leads_out(tmp_path: Path) -> None:
    image = tmp_path / "one.png"
    image.write_bytes(b"\x89PNG and more")
    outside = tmp_path / "elsewhere" / "one.png"
    names = [
        "red/one.png",
        "../elsewhere/one.png",
        str(outside),
        "/data/upload/7/one.png",
        "https://host/a/one.png?s=1",
    ]
    copy_images([Example(name, None, image) for name in names], tmp_path / "copies")
    copies = sorted(
        path.relative_to(tmp_path / "copies").as_posix() for path in (tmp_path / "copies").rglob("*.png")
    )
    assert copies == ["one-2.png", "one-3.png", "one-4.png", "one.png", "red/one.png"]
    assert not outside.parent.exists()


def test_a_tasks_image_has_its_id_in_its_name(tmp_path: Path) -> None:
    image = tmp_path / "one.png"
    image.write_bytes(b"\x89PNG and more")
    inline = Example("data:image/png;base64,iVBORw0KGgo=", None, image, more={"task": 12})
    copy_images([inline], tmp_path / "copies")
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["12-image.png"]
