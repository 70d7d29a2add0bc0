"""Parts of a training: batches, schedules, views, cached images, metrics, files."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ml.embedders.precision import half_type
from ml.embedders.preprocess import Preprocess
from ml.heads.logistic import fit_logistic
from ml.training import images as images_module
from ml.training.augment import AugmentedImages, training_transform
from ml.training.batches import EpochBatches
from ml.training.config import TrainingBlock
from ml.training.head_start import MOST, choose_rows, start_head
from ml.training.images import cache_pixels
from ml.training.losses import make_loss
from ml.training.metrics import judge_classifier
from ml.training.precision import Precision
from ml.training.schedules import Schedule
from ml.training.split import fold_rows
from ml.training.tensor_file import read_tensors, write_tensors
from ml.training.transforms_config import Transform
from ml.training.views import make_views
from tests.ml.training.made import coloured

CONFIG = {
    "input_size": (3, 16, 16),
    "crop_pct": 1.0,
    "interpolation": "bilinear",
    "mean": (0.5,) * 3,
    "std": (0.5,) * 3,
}


def rates(**settings: object) -> list[float]:
    """The learning rate of each step of 4 epochs of 5 steps, with macro F1 that never grows."""
    block = TrainingBlock.model_validate({"epochs": 4, "lr": 1.0, "min_lr": 0.0, "warmup": 1.0, **settings})
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=1.0)
    schedule = Schedule(optimizer, block, 5)
    found = []
    for step in range(20):
        found.append(schedule.rate())
        parameter.grad = torch.zeros(1)
        optimizer.step()
        schedule.step()
        if step % 5 == 4:
            schedule.epoch_end(0.5)
    return found


def test_rates_rise_and_fall_as_each_schedule_says() -> None:
    for name in ("cosine", "step", "polynomial", "plateau", "constant", "noam"):
        warm = rates(schedule=name)
        assert warm[0] < 0.3
        assert warm[:5] == sorted(warm[:5]), name
        assert max(warm) == pytest.approx(1.0), name
        assert max(warm[:6]) == pytest.approx(1.0), name
    cosine = rates(schedule="cosine")
    assert cosine[5 + 7] == pytest.approx((1 + math.cos(math.pi * 7 / 15)) / 2)
    assert rates(schedule="step", step_epochs=2, step_factor=0.8)[5:] == pytest.approx([1.0] * 10 + [0.8] * 5)
    assert rates(schedule="polynomial", power=2.0)[5 + 5] == pytest.approx((1 - 5 / 15) ** 2)
    assert rates(schedule="noam")[19] == pytest.approx(math.sqrt(5 / 20))
    assert rates(schedule="constant")[5:] == pytest.approx([1.0] * 15)
    assert rates(schedule="plateau", patience=0, factor=0.5)[5:] == pytest.approx(
        [1] * 5 + [0.5] * 5 + [0.25] * 5
    )
    assert rates(schedule="plateau", patience=0, factor=0.5, min_lr=0.4)[-1] == pytest.approx(0.4)


def test_an_epoch_sees_every_image_once_and_processes_share_it() -> None:
    rows = np.arange(100, 164)
    targets = np.repeat([0, 1], 32)
    alone = [row for batch in EpochBatches(rows, targets, 16, seed=1) for row, _ in batch]
    assert sorted(alone) == rows.tolist()
    shares = [list(EpochBatches(rows, targets, 8, seed=1, rank=rank, world=2)) for rank in range(2)]
    together = [row for pair in zip(*shares, strict=True) for batch in pair for row, _ in batch]
    assert sorted(together) == rows.tolist()
    # a step of both is a step of one with the double batch
    assert {row for share in shares for row, _ in share[0]} == set(alone[:16])


def test_epochs_differ_and_a_skipped_beginning_changes_nothing() -> None:
    batches = EpochBatches(np.arange(40), np.zeros(40, dtype=int), 10, seed=1)
    first = list(batches)
    batches.skip = 2
    assert list(batches) == first[2:]
    assert len(batches) == 2
    batches.epoch, batches.skip = 1, 0
    assert list(batches) != first


def test_the_weighted_sampler_draws_classes_equally() -> None:
    targets = np.repeat([0, 1], [900, 100])
    drawn = [
        row for batch in EpochBatches(np.arange(1000), targets, 10, seed=0, weighted=True) for row, _ in batch
    ]
    assert 0.44 < np.mean(targets[drawn]) < 0.56


def test_class_weights_average_to_one_over_images() -> None:
    targets = np.repeat([0, 1], [90, 10])
    loss = make_loss(TrainingBlock(class_weights=True), targets, 3)
    assert loss.weight is not None
    assert loss.weight[torch.from_numpy(targets)].mean() == pytest.approx(1.0)
    assert loss.weight[1] == pytest.approx(9 * loss.weight[0])


def test_a_change_depends_on_its_seed_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8)
    transform = training_transform(
        Transform.model_validate({"rotation": 30, "color_jitter": 0.4, "hflip": True}), (16, 16)
    )
    changed = AugmentedImages(pixels, transform)
    state = torch.get_rng_state()
    many, rows = changed.__getitems__([(0, 5), (1, 6), (0, 7)])
    alone, _ = changed.__getitems__([(1, 6)])
    assert torch.equal(many[1], alone[0])
    assert not torch.equal(many[0], many[2])
    assert rows.tolist() == [0, 1, 0]
    assert torch.equal(torch.get_rng_state(), state)


def test_images_are_decoded_once_for_all(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos", each=3)
    preprocess = Preprocess(CONFIG)
    told: list[tuple[int, int]] = []
    found = cache_pixels(
        examples, preprocess, tmp_path / "x" / "images.npy", done=lambda *now: told.append(now)
    )
    assert found.array.shape == (9, 16, 16, 3)
    assert told[-1] == (9, 9)
    assert found.array[0].mean(axis=(0, 1)) == pytest.approx([200, 40, 40], abs=12)
    for example in examples:
        example.path.unlink()  # type: ignore[union-attr]
    again = cache_pixels(examples, preprocess, tmp_path / "x" / "images.npy")
    assert np.array_equal(again.array, found.array)


def test_a_disk_without_room_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = coloured(tmp_path / "photos", each=3)
    monkeypatch.setattr(images_module, "_SPARE", 10**18)
    with pytest.raises(OSError, match=r"9 images of 16 x 16 pixels take .* make room") as found:
        cache_pixels(examples, Preprocess(CONFIG), tmp_path / "images.npy")
    assert found.value.errno == errno.ENOSPC, "whoever can wait for room sees that it is that"
    assert not (tmp_path / "images.npy").exists()


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_tensors(path, {"a": torch.ones(3)}, {"epoch": 1})

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"one written before it is still there. Is the disk full"):
        write_tensors(path, {"a": torch.zeros(3)}, {"epoch": 2})
    tensors, about = read_tensors(path)
    assert (tensors["a"].tolist(), about) == ([1, 1, 1], {"epoch": 1})
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    (tmp_path / "x").write_bytes(b"123456789")
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_tensors(tmp_path / "x")


def test_views_are_what_the_training_has_shown() -> None:
    image = torch.arange(2 * 3 * 16 * 16, dtype=torch.uint8).reshape(2, 3, 16, 16)
    views = make_views(Transform.model_validate({"hflip": True, "random_crop": True}))
    seen = [view(image) for view in views]
    assert len(seen) == 4
    assert torch.equal(seen[0], image)
    assert torch.equal(seen[1], image.flip(-1))
    assert all(one.shape == image.shape for one in seen)
    with pytest.raises(ValueError, match="leave out --tta"):
        make_views(Transform())


def test_a_classifier_is_judged_over_the_classes_that_are_there() -> None:
    probabilities = np.eye(4)[[0, 1, 1, 0]]
    found = judge_classifier(probabilities, np.array([0, 1, 0, 0]), 4)
    assert found["accuracy"] == 0.75
    assert found["f1"][:2] == pytest.approx([0.8, 2 / 3])
    assert found["f1"][2:] == [None, None]
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert found["confusion"][0] == [2, 1, 0, 0]


def test_a_head_begins_as_the_logistic_regression_on_its_inputs() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(3), 20)
    vectors = (5 + rng.normal(size=(60, 12)) + 3 * np.eye(3, 12)[targets]).astype(np.float32)
    linear = torch.nn.Linear(12, 4)  # of a class there is no example
    start_head(linear, vectors, targets, seed=0)
    with torch.no_grad():
        found = linear(torch.from_numpy(vectors)).softmax(dim=1).numpy()
    folds = fold_rows(targets.tolist(), 5, seed=0)
    expected = fit_logistic(vectors, targets, 4, folds).head.predict_proba(vectors)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found.argmax(axis=1) == targets).mean() > 0.9


def test_a_head_learns_from_enough_rows_that_tell_classes_apart() -> None:
    rows = np.arange(7, 7 + MOST + 50)
    chosen = choose_rows(rows, rows % 3, seed=1)
    assert len(chosen) == len(set(chosen.tolist())) == MOST
    assert set(chosen.tolist()) <= set(rows.tolist())
    assert len(choose_rows(rows[:5], np.zeros(5, dtype=np.int64), seed=1)) == 0
    assert len(choose_rows(rows[:3], np.arange(3), seed=1)) == 0


def test_half_precision_is_for_what_it_makes_faster() -> None:
    plain = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3))
    grouped = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, groups=4))
    processor = torch.device("cpu")
    assert Precision("auto", processor, grouped).dtype is None
    assert Precision("auto", processor, plain).dtype is half_type("cpu")
    assert Precision("bf16", processor, grouped).dtype is torch.bfloat16
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        Precision("fp16", processor, plain)
