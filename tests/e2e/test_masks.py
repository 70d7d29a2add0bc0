"""Masks in a real Label Studio: imported and exported without loss, shown by the editor, and drawn there."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains

from backend.labelstudio.config import find_kind
from backend.labelstudio.segmentation import SegmentationKind
from demo.label_studio import LabelStudioServer
from ml.mask_sets import MaskReadOptions, MaskWriteOptions, read_masks, write_masks
from ml.masks.classes import MaskClasses
from ml.masks.png import write_png
from ml.masks.regions import paint, polygon_regions
from tests.e2e.browser import Person, chromium
from tests.ml.mask_sets.made import NAMES, make_mask

WIDTH, HEIGHT = 320, 240
KINDS = {"label-studio-brush": "BrushLabels", "label-studio-polygons": "PolygonLabels"}
CONFIG = """<View><Image name="image" value="$image"/><{tag} name="{name}" toName="image">
  <Label value="cat" background="#ff0000"/><Label value="dog" background="#0000ff"/></{tag}></View>"""
CLASSES = MaskClasses(NAMES)


def shown_mask() -> np.ndarray:
    """A ring of one class, so that there is a hole, and a square of the other."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    away = np.hypot(y - 120, x - 110)
    mask = ((away < 80) & (away > 35)).astype(np.uint8)
    mask[60:180, 220:290] = 2
    return mask


@dataclass
class MaskProject:
    """A project with an annotated task a mask, and one more that nobody has done."""

    id: int
    tasks: list[int]
    masks: list[np.ndarray]


@pytest.fixture(scope="module")
def projects(label_studio: LabelStudioServer) -> dict[str, MaskProject]:
    """Projects of both kinds, filled by what conversions write."""
    folder = label_studio.files_dir / "masks"
    masks = [shown_mask(), *(make_mask((HEIGHT, WIDTH), seed) for seed in range(3))]
    for place in ("images", "masks"):
        (folder / place).mkdir(parents=True)
    for number, mask in enumerate(masks):
        Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128)).save(folder / "images" / f"{number}.png")
        (folder / "masks" / f"{number}.png").write_bytes(write_png(mask))
    (folder / "classes.txt").write_text("\n".join(NAMES), encoding="utf-8")
    made = {}
    for format, tag in KINDS.items():
        out = folder.parent / f"{format}.json"
        options = MaskWriteOptions(tolerance=0, document_root=label_studio.files_dir)
        write_masks(read_masks(folder), out, format=format, options=options)
        tasks: list[dict[str, Any]] = json.loads(out.read_text())
        tasks.append({"data": tasks[0]["data"]})
        config = CONFIG.format(tag=tag, name=format.split("-")[-1].rstrip("s"))
        project = label_studio.create_project(format, config)
        label_studio.serve_folder(project, folder)
        made[format] = MaskProject(project, label_studio.import_tasks(project, tasks), masks)
    return made


@pytest.fixture(scope="module")
def person(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        someone = Person(page, label_studio)
        someone.sign_in()
        yield someone


@pytest.mark.parametrize("format", KINDS)
def test_an_export_holds_what_was_imported(
    label_studio: LabelStudioServer, projects: dict[str, MaskProject], format: str, tmp_path: Path
) -> None:
    project = projects[format]
    params = {"exportType": "JSON", "download_all_tasks": "true"}
    exported = label_studio.api("GET", f"/api/projects/{project.id}/export", params=params)
    (tmp_path / "export.json").write_text(json.dumps(exported))
    found = read_masks(tmp_path / "export.json", options=MaskReadOptions(images=label_studio.files_dir))
    assert found.classes.names == NAMES
    assert (len(found), found.unlabelled) == (4, 1)
    masks = {Path(scene.image).stem: found.mask(scene) for scene in found}
    assert all(np.array_equal(masks[str(number)], mask) for number, mask in enumerate(project.masks))


def test_predictions_are_taken(label_studio: LabelStudioServer, projects: dict[str, MaskProject]) -> None:
    project = projects["label-studio-polygons"]
    regions = polygon_regions(shown_mask(), CLASSES, "polygon", "image")
    prediction = {"task": project.tasks[-1], "result": regions, "score": 0.5, "model_version": "masks-1"}
    answer = label_studio.api("POST", f"/api/projects/{project.id}/import/predictions", [prediction])
    assert answer["created"] == 1


class Editor:
    """A task in the editor; points are those of the image."""

    def __init__(self, person: Person, project: MaskProject, task: int) -> None:
        self.person = person
        person.page.get(f"{person.server.url}/projects/{project.id}/data?task={task}")
        person.wait(lambda: person.find(".konvajs-content"), "the editor shows no image")
        # the regions' canvas goes beyond the image
        self.stage = person.find(".konvajs-content")[0]
        self.shown = person.page.find_element("css selector", "img[alt=image]")

    @property
    def scale(self) -> float:
        """Pixels of the screen to one of the image."""
        return float(self.shown.size["width"]) / WIDTH

    def seen(self) -> np.ndarray:
        """What is on the screen, brought to the image's size."""
        picture = Image.open(io.BytesIO(self.stage.screenshot_as_png)).convert("RGB")
        image = picture.crop((0, 0, round(WIDTH * self.scale), round(HEIGHT * self.scale)))
        return np.asarray(image.resize((WIDTH, HEIGHT))).astype(int)

    def drag(self, begin: tuple[int, int], end: tuple[int, int], steps: int = 8) -> None:
        """Hold the mouse button from one point to another."""
        middle = np.array([self.stage.size["width"], self.stage.size["height"]]) / 2
        points = np.round(np.linspace(begin, end, steps + 1) * self.scale - middle).astype(int).tolist()
        hand = (
            ActionChains(self.person.page)
            .move_to_element_with_offset(self.stage, *points[0])
            .click_and_hold()
        )
        for point in points[1:]:
            hand = hand.move_to_element_with_offset(self.stage, *point)
        hand.release().perform()


@pytest.mark.parametrize("format", KINDS)
def test_the_editor_shows_masks_where_they_are(
    person: Person, projects: dict[str, MaskProject], format: str
) -> None:
    project, mask = projects[format], shown_mask()
    editor = Editor(person, project, project.tasks[0])

    def right() -> bool:
        red, _, blue = np.moveaxis(editor.seen(), 2, 0)
        pairs = ((red > blue + 15, mask == 1), (blue > red + 15, mask == 2))
        # rims are drawn two pixels wide; without the hole it would be 0.8
        return all((is_shown & wanted).sum() > 0.9 * (is_shown | wanted).sum() for is_shown, wanted in pairs)

    person.wait(right, "the masks are not where they belong")


def test_what_is_drawn_with_the_brush_is_read(person: Person, projects: dict[str, MaskProject]) -> None:
    project = projects["label-studio-brush"]
    task = project.tasks[-1]
    editor = Editor(person, project, task)
    person.wait(lambda: np.all(editor.seen()[::40, ::40] == 128), "the image is not shown")
    person.click(".lsf-label__text", "cat")
    editor.drag((80, 120), (240, 120))
    person.click("button", "Submit")

    def annotation() -> Any:
        found = person.server.api("GET", f"/api/tasks/{task}")["annotations"]
        return found and found[0]["result"]

    drawn = paint(person.wait(annotation, "nothing was submitted"), CLASSES, (HEIGHT, WIDTH))
    rows, columns = np.nonzero(drawn)
    assert (drawn[120, 80:240] == 1).all()
    assert abs(rows.mean() - 120) < 2
    assert abs(columns.mean() - 160) < 2
    assert rows.max() - rows.min() < 60
    assert set(np.unique(drawn)) == {0, 1}


@pytest.mark.parametrize("format", KINDS)
def test_a_suspected_place_is_shown_and_is_no_part_of_what_is_submitted(
    person: Person, projects: dict[str, MaskProject], format: str
) -> None:
    project, server = projects[format], person.server
    shape = format.rsplit("-", maxsplit=1)[-1].rstrip("s")
    kind = find_kind(CONFIG.format(tag=KINDS[format], name=shape))
    assert isinstance(kind, SegmentationKind)
    where = np.zeros((HEIGHT, WIDTH), dtype=bool)
    where[10:100, 200:310] = True
    predicted = kind.result(shown_mask(), 0.75)
    image = server.api("GET", f"/api/tasks/{project.tasks[0]}", params={"resolve_uri": "false"})["data"]
    [task] = server.import_tasks(project.id, [{"data": {"image": image["image"]}}])
    body = {"task": task, "project": project.id, "score": 0.5, "model_version": "segmentation-1"}
    shown = [*predicted, *kind.suspect_region(where, "object missing", 0.9)]
    server.api("POST", "/api/predictions/", {**body, "result": shown})
    editor = Editor(person, project, task)
    # darker than the grey of the image beside it
    person.wait(lambda: editor.seen()[20, 250].sum() < editor.seen()[20, 195].sum() - 15, "no place is shown")
    person.click("button", "Submit")

    def annotation() -> Any:
        found = server.api("GET", f"/api/tasks/{task}")["annotations"]
        return found and found[0]["result"]

    submitted = person.wait(annotation, "nothing was submitted")
    assert len(submitted) == len(shown)
    assert submitted[-1]["meta"] == {"text": ["object missing"]}
    label = kind.target(submitted)
    assert label is not None
    assert label == kind.target(predicted)
