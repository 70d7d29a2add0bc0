"""Fine-tuning from Python: what is held out, what is better, and what a backbone may be configured as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

from ml.datasets import Example
from ml.datasets.options import read_file
from ml.embedders import make_embedder
from ml.learners import choices
from ml.suspicion.choices import judge
from ml.suspicion.judgement import Judgement
from ml.training.comparison import Comparison, compare_backbones
from ml.training.holdout import hold_out
from ml.training.tune import complete, tune_backbone
from ml.training.yaml_file import check_config
from ml.vectors import content_key
from tests.embedding import embed
from tests.ml.training.dominoes import CLASSES, domino, domino_file
from tests.ml.training.made import digits

RNG = np.random.default_rng(0)


def test_the_same_images_are_held_out_again() -> None:
    labels, drawn = np.arange(200) % 4, RNG.random(300)
    groups, nobody = np.arange(200), np.zeros(200, dtype=bool)
    first = hold_out(labels, groups, drawn[:200], 0.2, nobody)
    assert [first[labels == label].sum() for label in range(4)] == [10] * 4
    more = np.append(labels, np.arange(100) % 4)
    second = hold_out(more, np.arange(300), drawn, 0.2, np.append(~first, np.zeros(100, dtype=bool)))
    assert not (second[:200] & ~first).any(), "what was trained on is never judged on"
    assert second[200:].any()
    assert second[:200].sum() >= 20


def test_near_duplicates_stay_together_and_small_classes_are_trained_on() -> None:
    labels = np.array([0] * 20 + [1] * 20 + [2])
    groups = np.repeat(np.arange(21), 2)[:41]
    held = hold_out(labels, groups, RNG.random(41), 0.3, np.zeros(41, dtype=bool))
    assert all(len(set(held[groups == group].tolist())) == 1 for group in groups)
    assert held.sum() == 12
    assert not held[40]


def blobs(n: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 3
    return np.eye(3, 8)[labels] + np.random.default_rng(1).normal(0, spread, (n, 8)), labels


@pytest.mark.parametrize(("spread", "better"), [(0.2, True), (1.0, False), (2.0, False)])
def test_only_what_surely_gains_is_better(spread: float, better: bool) -> None:
    before, labels = blobs(240, 1.0)
    after, _ = blobs(240, spread)
    rows = np.arange(240)
    keys = [f"{row:032x}" for row in rows]
    found = compare_backbones(
        before.astype(np.float32), after.astype(np.float32), labels, keys, rows[:180], rows[180:], 3
    )
    assert found.better is better, found.text()
    assert found.held == 60
    assert (found.after["macro_f1"] > found.before["macro_f1"]) is (found.f1_gain > 0)


def test_ten_copies_say_no_more_than_one() -> None:
    before, labels = blobs(120, 1.0)
    after, _ = blobs(120, 0.7)
    train, held = np.arange(60), np.arange(60, 120)
    copies = np.concatenate([train, np.repeat(held, 10)])

    def compare(rows: np.ndarray, groups: np.ndarray | None) -> Comparison:
        return compare_backbones(
            before[rows].astype(np.float32), after[rows].astype(np.float32), labels[rows],
            [f"{row:032x}" for row in range(len(rows))], train, np.arange(60, len(rows)), 3, groups=groups,
        )  # fmt: skip

    once, often = compare(np.arange(120), None), compare(copies, copies)
    assert often.held == 600
    assert often.f1_gain == pytest.approx(once.f1_gain)
    assert often.f1_error == pytest.approx(once.f1_error, rel=0.15)
    assert often.loss_error == pytest.approx(once.loss_error, rel=1e-3)
    assert compare(copies, None).f1_error < 0.5 * often.f1_error


def test_a_tuned_backbone_embeds_as_its_file_does(tmp_path: Path) -> None:
    config = complete(
        check_config(
            {
                "Model": {"class_name": "test_resnet", "weights": "scratch"},
                "Training": {"epochs": 10, "batch_size": 16, "lr": 0.003},
                "Dataset": {"transform": {"resize": 32}},
            },
            {},
        ),
        "pixels",
    )
    labels = np.arange(110) % 2
    files = [domino_file(number) for number in range(110)]
    files[3] = b"no image"
    examples = [Example(str(number), CLASSES[number % 2], where=f"task {number}") for number in range(110)]
    train = np.arange(110) < 80

    def read(example: Example) -> bytes:
        return files[int(example.image)]

    tuned = tune_backbone(config, examples, labels, CLASSES, train, tmp_path / "run", read=read)
    assert [problem.where for problem in tuned.problems] == ["task 3 (3)"]
    assert (len(tuned.vectors), tuned.image_size) == (109, 32)
    embedder = make_embedder(f"timm:{tuned.name}@{tuned.model}", image_size=tuned.image_size)
    assert np.abs(embed(embedder, [domino(4), domino(5)]) - tuned.vectors[3:5]).max() < 0.05
    pixels = embed(make_embedder("pixels"), [domino(int(row)) for row in tuned.rows])
    learn, held = np.flatnonzero(train[tuned.rows]), np.flatnonzero(~train[tuned.rows])
    keys = [f"{row:032x}" for row in tuned.rows]
    found = compare_backbones(pixels, tuned.vectors, labels[tuned.rows], keys, learn, held, 2)
    assert found.better, found.text()
    assert found.after["macro_f1"] >= 0.9


def test_wrong_labels_that_are_left_out_are_still_found(tmp_path: Path) -> None:
    examples = digits(tmp_path / "digits", 400)
    files = [(tmp_path / "digits" / example.image).read_bytes() for example in examples]
    keys = [content_key(data) for data in files]
    truth = np.array([int(str(example.label)) for example in examples])
    rng = np.random.default_rng(0)
    wrong = rng.random(400) < 0.1
    given = np.where(wrong, (truth + rng.integers(1, 10, 400)) % 10, truth)

    def found(vectors: np.ndarray) -> Judgement:
        fit = choices.fit(vectors, given, 10, keys)
        return judge(given, fit.oos_probs, keys=keys, **fit.evidence())

    before = found(
        embed(
            make_embedder("pixels"),
            [Image.open(tmp_path / "digits" / one.image).convert("RGB") for one in examples],
        )
    )
    small = {"class_name": "test_resnet", "weights": "scratch"}
    training = {"epochs": 8, "batch_size": 16, "lr": 0.003}
    config = complete(
        check_config({"Model": small, "Training": training, "Dataset": {"transform": {"resize": 32}}}, {}),
        "pixels",
    )
    tuned = tune_backbone(
        config,
        examples,
        given,
        [str(digit) for digit in range(10)],
        ~before.suspect,
        tmp_path / "run",
        read=read_file,
    )
    after = found(tuned.vectors)
    assert average_precision_score(wrong, after.suspicion) > 0.9
    assert after.expected_wrong > 0.6 * wrong.sum()


def test_what_is_left_open_is_that_of_the_embedder_in_use() -> None:
    plain = check_config({}, {})
    assert complete(plain, "timm:resnet18.a1_in1k").model.class_name == "resnet18.a1_in1k"
    own = complete(plain, "timm:resnet18@weights.pth")
    assert (own.model.class_name, own.model.weights) == ("resnet18.a1_in1k", "weights.pth")
    assert complete(plain, "pixels").model.class_name.startswith("mobilenetv3_large_100")
    assert (own.training.epochs, own.training.freeze_epochs, own.training.backbone_lr) == (8, 1, 0.1)
    large = complete(check_config({"Model": {"class_name": "vit"}}, {}), "pixels").dataset.transform.resize
    assert large is not None
    assert large.shape == (224, 224)
    given = check_config({"Model": {"class_name": "b0"}, "Training": {"epochs": 2, "lr": 0.5}}, {})
    found = complete(given, "timm:resnet18@weights.pth")
    assert (found.model.class_name, found.model.weights) == ("efficientnet_b0.ra_in1k", "pretrained")
    assert (found.training.epochs, found.training.lr) == (2, 0.5)
    fresh = complete(check_config({"Model": {"weights": "scratch"}}, {}), "timm:resnet18.a1_in1k")
    assert (fresh.training.freeze_epochs, fresh.training.backbone_lr) == (0, 1.0)


@pytest.mark.parametrize(
    ("transform", "message"),
    [({"resize": [32, 40]}, "must be a square"), ({"resize": 40, "random_crop": 32}, "share of the area")],
)
def test_a_backbone_sees_squares_whole(transform: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        complete(check_config({"Dataset": {"transform": transform}}, {}), "pixels")
