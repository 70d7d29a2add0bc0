"""The report shows what was found, needs nothing from anywhere, and runs nothing of what others have written."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.audit import Findings
from ml.audit.plane import METHODS, place_on_plane
from ml.audit.report import write_report
from ml.audit.sections import short
from ml.datasets import Problem
from tests.ml.audit.pages import EVIL, Page, assert_alone


def render(found: Findings, folder: Path, title: str = "digits") -> str:
    path = folder / "report.html"
    write_report(found, path, title=title, embedder="pixels", plane="pca", seed=0)
    return path.read_text(encoding="utf-8")


def test_the_report_shows_the_findings(found: Findings, tmp_path: Path) -> None:
    page = Page(render(found, tmp_path))
    pictures = [tag for tag, attributes in page.tags if tag == "img"]
    corrected = found.with_status("corrected")
    assert len(pictures) >= min(len(corrected), 36)
    for words in (
        "For a person to look at",
        "Given against suggested",
        "Measured where the true class is known, on 700 labels",
        f"{found.counts['corrected']} corrected; at least 90% sure of each",
        found.examples[int(corrected[0])].image,
    ):
        assert words in page.text
    points = [tag for tag, attributes in page.tags if tag in ("circle", "rect", "polygon")]
    assert len(points) > 700
    without = Page(render(replace(found, truth=None), tmp_path))
    assert "of ten labels at 0.8 about eight should be wrong" in without.text
    assert "Measured where" not in without.text


def test_the_report_needs_nothing_and_runs_nothing(found: Findings, tmp_path: Path) -> None:
    text = render(found, tmp_path)
    assert_alone(text)
    assert len(text) < 2_000_000


def test_words_of_others_stay_words(found: Findings, tmp_path: Path) -> None:
    examples = [replace(example, image=EVIL, where=EVIL) for example in found.examples]
    hostile = replace(
        found,
        examples=examples,
        classes=[f"{EVIL}{label}" for label in found.classes],
        reason=[EVIL] * len(found),
        fault=[EVIL] * len(found),
        method=EVIL,
        problems=[Problem(EVIL, EVIL)],
    )
    honest, evil = Page(render(found, tmp_path)), Page(render(hostile, tmp_path, EVIL))
    assert EVIL in "".join(evil.words)
    assert "49" not in "".join(evil.words).split("Audit of")[1][:200]
    for _, attributes in evil.tags:
        assert not [name for name in attributes if name.startswith("on")]
    extra = {tag for tag, _ in evil.tags} - {tag for tag, _ in honest.tags}
    assert extra <= {"h3", "figure", "figcaption"}
    assert {a["src"][:11] for t, a in evil.tags if t == "img" and a.get("src")} <= {"data:image/"}
    assert short(EVIL, 20) == EVIL[:6] + "..." + EVIL[-11:]


def test_an_image_that_has_gone_since_is_left_blank(found: Findings, tmp_path: Path) -> None:
    gone = [replace(example, path=tmp_path / "gone.png") for example in found.examples]
    page = Page(render(replace(found, examples=gone), tmp_path))
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert "not shown" in page.text


def test_many_classes_are_listed_in_pairs(found: Findings, tmp_path: Path) -> None:
    classes = [*found.classes, *(f"rare {number}" for number in range(70))]
    text = render(replace(found, classes=classes), tmp_path)
    assert 'class="matrix"' not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    assert "and 20 smaller classes" in text


@pytest.mark.parametrize("method", [name for name in METHODS if name != "umap"])
@pytest.mark.parametrize("n", [1, 2, 9, 60])
def test_planes_are_within_their_frame_and_repeatable(method: str, n: int) -> None:
    Z = np.random.default_rng(0).normal(size=(n, 12)).astype(np.float32)
    placed = place_on_plane(Z, method, seed=1)
    assert placed.shape == (n, 2)
    assert np.isfinite(placed).all()
    assert placed.min() >= 0.0
    assert placed.max() <= 1.0
    assert np.array_equal(placed, place_on_plane(Z, method, seed=1))


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_what_is_alike_lies_together(method: str) -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(3, 20) * 10
    Z = np.concatenate([centres[k] + rng.normal(size=(30, 20)) for k in range(3)])
    placed = place_on_plane(Z, method, seed=0)
    middles = np.stack([placed[30 * k : 30 * k + 30].mean(axis=0) for k in range(3)])
    own = np.linalg.norm(placed - np.repeat(middles, 30, axis=0), axis=1)
    apart = min(np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert np.median(own) < 0.5 * apart
