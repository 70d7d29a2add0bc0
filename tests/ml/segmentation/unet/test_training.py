"""UNets that are trained: what they are worth, what is kept of them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ml.datasets import DatasetError
from ml.mask_sets import MaskReadOptions, read_masks
from ml.masks.png import read_png, write_png
from ml.segmentation.metrics import confusion, mean_dice
from ml.segmentation.unet.fit import resume_unet, train_unet
from ml.segmentation.unet.judge import judge_unet
from ml.segmentation.unet.model import UNetModel, is_run
from ml.segmentation.unet.parts import choose_parts
from ml.training.fit import Trained
from ml.training.loop import TrainingProgress
from ml.training.tensor_file import read_tensors
from ml.training.yaml_file import ConfigError
from tests.ml.segmentation.unet.shapes import NAMES, config, scene, shapes

LEARNS = {"Training.epochs": 30, "Dataset.transform.scale": [0.8, 1.25]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs and boxes in three parts."""
    return shapes(tmp_path_factory.mktemp("shapes") / "set")


@pytest.fixture(scope="module")
def learned(folder: Path) -> Trained:
    """A network of them."""
    return train_unet(config(**LEARNS), read_masks(folder), runs=folder.parent / "runs")


def test_shapes_are_learned_from_scratch(folder: Path, learned: Trained) -> None:
    found = read_masks(folder)
    majority = np.mean(
        [
            float(mean_dice(confusion(mask, np.zeros_like(mask), 3)))
            for one in found
            if one.split == "test"
            for mask in [found.mask(one)]
        ]
    )
    test = [one for one in found if one.split == "test"]
    judged = judge_unet(UNetModel.load(learned.path), found, test)
    assert judged.mean_dice.mean() > 0.85 > majority + 0.3
    assert learned.best["mean_dice"] > 0.85
    rows = [json.loads(line) for line in (learned.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 31))
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert max(row["mean_dice"] for row in rows) == learned.best["mean_dice"]
    assert sorted(path.name for path in learned.path.iterdir()) == [
        "checkpoint.safetensors", "classes.txt", "config.yaml", "curves.png", "dataset.json", "metrics.jsonl",
        "model.safetensors", "tensorboard",
    ]  # fmt: skip
    assert is_run(learned.path)
    assert is_run(learned.model)
    assert not is_run(learned.path / "checkpoint.safetensors")
    assert not is_run(folder)


def test_figures_of_images_are_those_by_hand(folder: Path, learned: Trained) -> None:
    found, model = read_masks(folder), UNetModel.load(learned.model)
    test = [one for one in found if one.split == "test"]
    judged = judge_unet(model, found, test)
    pairs = []
    for row, one in enumerate(test):
        label = found.mask(one)
        assert one.path is not None
        predicted = model.mask(Image.open(one.path).convert("RGB"), label.shape)  # type: ignore[arg-type]
        pairs.append(confusion(label, predicted, 3, 255))
        both = np.diag(pairs[-1])
        dice = 2 * both / (pairs[-1].sum(axis=0) + pairs[-1].sum(axis=1))
        assert judged.dice[row] == pytest.approx(dice)
        assert judged.mean_dice[row] == pytest.approx(dice.mean())
    assert np.array_equal(judged.counts, sum(pairs))
    assert judged.as_dict()["mean_dice"] == pytest.approx(float(mean_dice(np.sum(pairs, axis=0))))
    assert judged.mean_dice[judged.order()].tolist() == sorted(judged.mean_dice.tolist())


def test_probabilities_at_any_size(learned: Trained) -> None:
    model = UNetModel.load(learned.path)
    image = Image.fromarray(scene(9)[0])
    found = model.probabilities(image, (48, 64))
    assert found.dtype == np.float32
    assert found.shape == (3, 48, 64)
    assert np.allclose(found.sum(axis=0), 1, atol=1e-5)
    half = model.probabilities(image, (24, 32))
    assert (half.argmax(axis=0) == found.argmax(axis=0)[::2, ::2]).mean() > 0.95
    # a larger image is looked at as large as those it was trained on
    large = image.resize((256, 192), Image.Resampling.BILINEAR)
    assert (model.probabilities(large, (48, 64)).argmax(axis=0) == found.argmax(axis=0)).mean() > 0.95
    mask = model.mask(large, (192, 256))
    assert mask.shape == (192, 256)
    assert mask.dtype == np.uint8


class Killed(BaseException):
    """What ends a training from outside."""


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, torch.Tensor]:
    """The last checkpoint of a training that nothing disturbed."""
    done = train_unet(config(**RESUMED), read_masks(folder), runs=folder.parent / "whole")
    return read_tensors(done.path / "checkpoint.safetensors")[0]


RESUMED: dict[str, Any] = {
    "Training.epochs": 3,
    "Training.ema": 0.9,
    "Training.label_smoothing": 0.1,
    "Training.freeze_epochs": 1,
    "Dataset.transform.vflip": True,
    "Dataset.transform.crop": [32, 64],
}


@pytest.mark.parametrize("at", [(1, 2), (2, 4), (3, 3)])
def test_a_training_that_was_killed_ends_as_one_that_was_not(
    folder: Path, whole: dict[str, torch.Tensor], tmp_path: Path, at: tuple[int, int]
) -> None:
    def kill(moment: TrainingProgress) -> None:
        if (moment.epoch, moment.step) == at:
            raise Killed

    # a checkpoint at every step
    chosen = config(**RESUMED, **{"Training.checkpoint_minutes": 0})
    with pytest.raises(Killed):
        train_unet(chosen, read_masks(folder), runs=tmp_path / "runs", report=kill)
    (run,) = (tmp_path / "runs").iterdir()
    done = resume_unet(run)
    tensors, about = read_tensors(run / "checkpoint.safetensors")
    assert about["progress"]["epoch"] == 3
    assert [record["epoch"] for record in done.history] == [1, 2, 3]
    assert tensors.keys() == whole.keys()
    for name, value in tensors.items():
        torch.testing.assert_close(
            value, whole[name], rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
    with pytest.raises(ValueError, match="has ended"):
        resume_unet(run)


@pytest.mark.parametrize(("pixels", "steps"), [(800_000, 4), (2 * 64 * 64, 8), (1024, 16)])
def test_a_step_is_of_no_more_pixels_than_allowed(
    folder: Path, tmp_path: Path, pixels: int, steps: int
) -> None:
    told: list[TrainingProgress] = []
    chosen = config(**{"Training.epochs": 1, "Training.step_pixels": pixels})
    train_unet(chosen, read_masks(folder), runs=tmp_path / "runs", report=told.append)
    assert {moment.steps for moment in told} == {steps}


def test_crops_that_other_processes_change_are_the_same(folder: Path, tmp_path: Path) -> None:
    losses = [
        [
            record["train_loss"]
            for record in train_unet(
                config(**{"Training.num_workers": workers}), read_masks(folder), runs=tmp_path / "runs"
            ).history
        ]
        for workers in (0, 2)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_masks_that_are_gone_stop_a_run_that_is_taken_up(tmp_path: Path) -> None:
    folder = shapes(tmp_path / "set", {"train": 4, "val": 2})

    def kill(moment: TrainingProgress) -> None:
        raise Killed

    with pytest.raises(Killed):
        train_unet(config(), read_masks(folder), runs=tmp_path / "runs", report=kill)
    (run,) = (tmp_path / "runs").iterdir()
    (folder / "labels" / "train" / "02.png").unlink()
    with pytest.raises(DatasetError, match=r"labels/train/02\.png is not in"):
        resume_unet(run)
    with pytest.raises(FileNotFoundError, match="is no run of lineup segment train"):
        resume_unet(tmp_path)


def test_what_nobody_labelled_counts_for_nothing(tmp_path: Path) -> None:
    """Whatever number says so; called background it would be learned and judged."""
    seen = {}
    for number in (255, 200, 0):
        folder = shapes(tmp_path / str(number), {"train": 4, "val": 2})
        for path in sorted((folder / "labels").rglob("*.png")):
            mask = np.array(read_png(path.read_bytes()))
            mask[24:] = number
            path.write_bytes(write_png(mask))
        found = read_masks(folder, options=MaskReadOptions(ignore=number or 255))
        done = train_unet(config(), found, runs=tmp_path / "runs")
        seen[number] = done.history[-1], read_tensors(done.model)[1]["class_counts"]
    assert seen[255][1] == seen[200][1]
    assert sum(seen[255][1]) == 4 * 24 * 64
    assert sum(seen[0][1]) == 4 * 48 * 64
    for key in ("train_loss", "mean_dice", "pixel_accuracy"):
        assert seen[255][0][key] == seen[200][0][key] != seen[0][0][key]


def test_a_frozen_encoder_does_not_change_and_the_decoder_learns_faster(folder: Path, tmp_path: Path) -> None:
    first = train_unet(config(), read_masks(folder), runs=tmp_path / "first")
    encoder = {
        name.removeprefix("encoder.model."): value
        for name, value in read_tensors(first.model)[0].items()
        if name.startswith("encoder.model.")
    }
    import timm
    from safetensors.torch import save_file

    state = timm.create_model("test_resnet").state_dict()
    save_file(state | encoder, tmp_path / "encoder.safetensors")
    weights = {"Model.weights": str(tmp_path / "encoder.safetensors"), "Training.epochs": 2}
    frozen = train_unet(
        config(**weights, **{"Training.freeze_epochs": 1, "Training.lr": 1e-9, "Training.min_lr": 0.0}),
        read_masks(folder), runs=tmp_path / "frozen",
    )  # fmt: skip
    kept = read_tensors(frozen.model)[0]
    assert all(
        torch.allclose(kept[f"encoder.model.{name}"].float(), value.float(), atol=1e-6)
        for name, value in encoder.items()
        if name.endswith("weight")
    )
    assert read_tensors(frozen.model)[1]["weights"]["source"] == weights["Model.weights"]


def test_without_val_near_duplicates_are_held_out_together(tmp_path: Path) -> None:
    folder = shapes(tmp_path / "set", {"train": 12, "test": 2})
    for number in range(4):  # each a second time, a little brighter
        for place in ("img", "labels"):
            data = (folder / place / "train" / f"{number:02}.png").read_bytes()
            (folder / place / "train" / f"twin-{number}.png").write_bytes(data)
        pixels = np.asarray(Image.open(folder / "img" / "train" / f"{number:02}.png"))
        Image.fromarray(np.clip(pixels.astype(int) + 1, 0, 255).astype(np.uint8)).save(
            folder / "img" / "train" / f"twin-{number}.png"
        )
    found = read_masks(folder)
    for seed in range(4):
        learn, hold = choose_parts(found, 0.25, seed=seed, cache=tmp_path / "cache")
        assert len(learn) + len(hold) == 16
        assert 3 <= len(hold) <= 6
        sides = {one.image: side for side, part in enumerate((learn, hold)) for one in part}
        assert all(sides[f"train/{n:02}.png"] == sides[f"train/twin-{n}.png"] for n in range(4))
    assert [one.image for one in choose_parts(found, 0.25, seed=0)[1]] == [
        one.image for one in choose_parts(found, 0.25, seed=0)[1]
    ]


def test_what_is_held_out_is_no_more_than_its_share_unless_nothing_is_as_small(tmp_path: Path) -> None:
    folder = shapes(tmp_path / "set", {"train": 12})
    alike = (folder / "img" / "train" / "00.png").read_bytes()
    for number in range(9):
        (folder / "img" / "train" / f"{number:02}.png").write_bytes(alike)
    for seed in range(8):
        _, hold = choose_parts(read_masks(folder), 0.25, seed=seed, cache=tmp_path / "cache")
        assert {one.image for one in hold} == {f"train/{number:02}.png" for number in (9, 10, 11)}
    for number in range(9, 12):
        (folder / "img" / "train" / f"{number:02}.png").write_bytes(
            (folder / "img" / "train" / "11.png").read_bytes()
        )
    for seed in range(4):
        assert len(choose_parts(read_masks(folder), 0.1, seed=seed, cache=tmp_path / "cache")[1]) == 3


def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = shapes(tmp_path / "set", {"test": 3})
    with pytest.raises(DatasetError, match="has no part train to learn from: there are test"):
        train_unet(config(), read_masks(folder), runs=tmp_path / "runs")
    lonely = shapes(tmp_path / "lonely", {"train": 1})
    with pytest.raises(DatasetError, match="give it a part val"):
        train_unet(config(), read_masks(lonely), runs=tmp_path / "runs")
    broken = shapes(tmp_path / "broken", {"train": 3, "val": 2})
    (broken / "img" / "val" / "01.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"labels/val/01\.png: .*(.|\n)*--skip-problems|1 of 5"):
        train_unet(config(), read_masks(broken), runs=tmp_path / "runs")
    assert not list((tmp_path / "runs").iterdir()) if (tmp_path / "runs").exists() else True
    (broken / "classes.txt").write_text("background\n")
    with pytest.raises(DatasetError, match="has one class, background"):
        train_unet(config(), read_masks(broken), runs=tmp_path / "runs")
    for key, value, said in (
        ("Training.dice", 0, ""),
        ("Model.decoder", [1, 2], "five numbers"),
        ("Dataset.transform.scale", [2, 1], "the smaller one first"),
        ("Training.class_weight", 1, "did you mean class_weights"),
    ):
        changes = {key: value} | ({"Training.cross_entropy": 0} if not said else {})
        with pytest.raises(ConfigError, match=said or "nothing to learn by"):
            config(**changes)


def test_classes_that_differ_are_refused(folder: Path, learned: Trained, tmp_path: Path) -> None:
    other = shapes(tmp_path / "other", {"val": 1})
    (other / "classes.txt").write_text("\n".join(reversed(NAMES)))
    found = read_masks(other)
    with pytest.raises(DatasetError, match="box, disc, background, the network background, disc, box"):
        judge_unet(UNetModel.load(learned.path), found, found.scenes)
    with pytest.raises(ValueError, match="is no network of lineup segment train"):
        UNetModel.load(learned.path / "checkpoint.safetensors")
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        UNetModel.load(folder)
