"""Networks that are trained: what they are worth, what is kept of them, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ml.datasets import DatasetError
from ml.embedders import WeightsUnavailable, make_embedder
from ml.training.config import TrainingConfig
from ml.training.fit import resume_network, train_network
from ml.training.folds import OutOfFold, train_folds
from ml.training.loop import Report, TrainingError, TrainingProgress
from ml.training.network import build_network
from ml.training.predict import Classifier, load_classifiers, predict_images, prediction_rows
from ml.training.tensor_file import below, read_about, read_tensors, write_tensors
from ml.training.yaml_file import check_config
from tests.ml.training.made import coloured, digits

SMALL: dict[str, Any] = {
    "Model.class_name": "test_resnet",
    "Model.weights": "scratch",
    "Training.epochs": 2,
    "Training.batch_size": 8,
    "Training.precision": "fp32",
    "Training.num_workers": 0,
    "Dataset.transform.resize": 32,
}
EVERYTHING: dict[str, Any] = {
    "Model.head": "mlp",
    "Model.hidden": 16,
    "Model.dropout": 0.2,
    "Training.schedule": "cosine",
    "Training.ema": 0.9,
    "Training.mixup": 0.2,
    "Training.cutmix": 0.5,
    "Training.label_smoothing": 0.1,
    "Training.weighted_sampler": True,
    "Training.freeze_epochs": 1,
    "Training.epochs": 3,
    "Training.backbone_lr": 0.5,
    "Dataset.transform.rotation": 10,
    "Dataset.transform.hflip": True,
    "Dataset.transform.vflip": True,
    "Dataset.transform.perspective": 0.2,
    "Dataset.transform.color_jitter": 0.1,
    "Dataset.transform.random_crop": [24, 24],
    "Dataset.transform.blur": 3,
}


def config(**changes: Any) -> TrainingConfig:
    return check_config({}, SMALL | changes)


def test_digits_are_learned_from_scratch(tmp_path: Path) -> None:
    chosen = config(
        **{
            "Training.epochs": 3,
            "Training.batch_size": 32,
            "Training.lr": 3e-3,
            "Training.schedule": "cosine",
        }
    )
    done = train_network(chosen, digits(tmp_path / "digits", 1200), runs=tmp_path / "runs")
    assert done.best["macro_f1"] >= 0.95
    rows = [json.loads(line) for line in (done.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert sorted(path.name for path in done.path.iterdir()) == [
        "checkpoint.safetensors", "classes.json", "config.yaml", "confusion.png", "curves.png", "metrics.jsonl",
        "model.safetensors", "tensorboard", "train_.csv", "valid_.csv",
    ]  # fmt: skip
    assert Image.open(done.path / "curves.png").width > 400


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any], dict[str, torch.Tensor]]:
    """A training with everything switched on, that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    examples = coloured(folder / "photos")
    done = train_network(config(**EVERYTHING), examples, runs=folder / "runs")
    return done.path, examples, read_tensors(done.path / "checkpoint.safetensors")[0]


class Killed(BaseException):
    """What ends a training from outside."""


@pytest.mark.parametrize("at", [(1, 1), (1, 3), (2, 2), (3, 3)])
def test_a_training_that_was_killed_ends_as_one_that_was_not(
    whole: tuple[Path, list[Any], dict[str, torch.Tensor]], tmp_path: Path, at: tuple[int, int]
) -> None:
    _, examples, expected = whole
    # a checkpoint at every step
    chosen = config(**EVERYTHING, **{"Training.checkpoint_minutes": 0})
    runs = tmp_path / "runs"

    def kill(moment: TrainingProgress) -> None:
        if (moment.epoch, moment.step) == at:
            raise Killed

    with pytest.raises(Killed):
        train_network(chosen, examples, runs=runs, report=kill)
    (run,) = runs.iterdir()
    done = resume_network(run)
    tensors, about = read_tensors(run / "checkpoint.safetensors")
    assert about["progress"]["epoch"] == 3
    assert [record["epoch"] for record in done.history] == [1, 2, 3]
    assert tensors.keys() == expected.keys()
    for name, value in tensors.items():
        torch.testing.assert_close(
            value, expected[name], rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
    # as a kill between the last checkpoint and the end leaves it
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text(lines[0] + "\n")
    (run / "curves.png").unlink()
    with pytest.raises(ValueError, match="has ended"):
        resume_network(run)
    assert (run / "metrics.jsonl").read_text().splitlines() == lines
    assert (run / "curves.png").exists()


def test_a_plateau_is_taken_up_again_too(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos", each=6)
    chosen = config(
        **{"Training.patience": 0, "Training.epochs": 5, "Training.warmup": 0.5, "Training.lr": 1e-3}
    )
    expected = train_network(chosen, examples, runs=tmp_path / "whole").history

    def kill(moment: TrainingProgress) -> None:
        if moment.epoch == 4:
            raise Killed

    with pytest.raises(Killed):
        train_network(chosen, examples, runs=tmp_path / "runs", report=kill)
    (run,) = (tmp_path / "runs").iterdir()
    found = resume_network(run).history
    assert [record["lr"] for record in found] == pytest.approx([record["lr"] for record in expected])
    assert found[-1]["lr"] < 1e-3


def test_everything_at_once_learns_and_predicts(
    whole: tuple[Path, list[Any], dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    run, examples, _ = whole
    about = read_about(run / "model.safetensors")
    assert about["classes"] == ["blue", "green", "red"]
    assert about["weights"]["source"] == "scratch"
    alone = predict_images(load_classifiers([run]), examples)
    views = predict_images(load_classifiers([run / "model.safetensors"], views=True), examples)
    both = predict_images(load_classifiers([run, run]), examples)
    assert np.allclose(alone.probabilities.sum(axis=1), 1, atol=1e-5)
    assert not np.allclose(alone.probabilities, views.probabilities)
    assert np.allclose(alone.probabilities, both.probabilities, atol=1e-6)
    rows = prediction_rows(alone, 2)
    best = alone.probabilities.argmax(axis=1)
    assert [row.label for row in rows] == [alone.classes[place] for place in best]
    assert list(rows[0].more) == ["confidence", "label_2", "confidence_2"]
    with pytest.raises(ValueError, match=r"not a network: give model\.safetensors"):
        Classifier(run / "checkpoint.safetensors")


def test_a_trained_network_serves_as_embedder_and_as_start(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos", each=6)
    first = train_network(config(), examples, runs=tmp_path / "runs")
    embedder = make_embedder(f"timm:test_resnet@{first.model}", image_size=32)
    assert embedder.forward(embedder.prepare(Image.new("RGB", (32, 32)))[None]).shape == (1, embedder.dim)
    frozen = {"Training.freeze_epochs": 1, "Training.lr": 1e-9, "Training.min_lr": 0.0}
    tuned = train_network(
        config(**frozen, **{"Model.weights": str(first.model)}), examples, runs=tmp_path / "runs"
    )
    before, after = read_tensors(first.model)[0], read_tensors(tuned.model)[0]
    assert before["fc.weight"].shape == after["fc.weight"].shape
    assert not torch.allclose(before["fc.weight"], after["fc.weight"], atol=1e-3)
    assert all(
        torch.allclose(before[name], after[name], atol=1e-6)
        for name in before
        if name.endswith("conv1.0.weight")
    )
    with pytest.raises(WeightsUnavailable, match=r"is not one of timm's test_vit"):
        train_network(
            config(**{"Model.class_name": "test_vit", "Model.weights": str(first.model)}),
            examples,
            runs=tmp_path / "no",
        )
    with pytest.raises(WeightsUnavailable, match="there is no checkpoint"):
        train_network(config(**{"Model.weights": "gone.pth"}), examples, runs=tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_a_frozen_backbone_does_not_change(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos", each=6)
    seen: list[dict[str, torch.Tensor]] = []
    chosen = config(**{"Training.epochs": 2, "Training.freeze_epochs": 1})

    def look(moment: TrainingProgress) -> None:
        if moment.record:
            (folder,) = (tmp_path / "runs").iterdir()
            seen.append(below(read_tensors(folder / "checkpoint.safetensors")[0], "network"))

    train_network(chosen, examples, runs=tmp_path / "runs", report=look)
    torch.manual_seed(chosen.training.seed)
    start = build_network(chosen.model, chosen.dataset.transform, 3).network.state_dict()
    changed = [{name for name, value in start.items() if not torch.equal(value, one[name])} for one in seen]
    assert changed[0] == {"fc.weight", "fc.bias"}
    assert len(changed[1]) > len(start) / 2


def test_early_stop_counts_epochs_without_better_macro_f1(tmp_path: Path) -> None:
    chosen = config(
        **{"Training.epochs": 9, "Training.early_stop": 1, "Training.lr": 1e-9, "Training.min_lr": 0.0}
    )
    done = train_network(chosen, coloured(tmp_path / "photos", each=6), runs=tmp_path / "runs")
    best = max(done.history, key=lambda one: one["macro_f1"])["epoch"]
    assert len(done.history) == best + 1 < 9


def test_broken_images_are_refused_or_left_out(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos", each=6)
    examples[1].path.write_bytes(b"not an image")  # type: ignore[union-attr]
    examples[4].path.unlink()  # type: ignore[union-attr]
    with pytest.raises(DatasetError) as caught:
        train_network(config(), examples, runs=tmp_path / "runs")
    assert "2 of 18 images cannot be used" in str(caught.value)
    assert "001.png" in str(caught.value)
    assert list((tmp_path / "runs").iterdir()) == []
    done = train_network(config(), examples, runs=tmp_path / "runs2", skip_problems=True)
    assert len(done.problems) == 2
    assert read_about(done.model)["trained_on"] in (12, 13, 14)
    found = predict_images(load_classifiers([done.path]), examples)
    assert len(found.examples) == len(found.probabilities) == 16
    assert len(found.problems) == 2


def test_images_that_other_processes_change_are_the_same(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos", each=6)
    losses = [
        [
            record["train_loss"]
            for record in train_network(
                config(
                    **{
                        "Training.num_workers": workers,
                        "Dataset.transform.rotation": 40,
                        "Training.mixup": 0.4,
                    }
                ),
                examples,
                runs=tmp_path / "runs",
            ).history
        ]
        for workers in (0, 2)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_network_that_does_not_fit_its_classes_is_refused(
    whole: tuple[Path, list[Any], dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    tensors, about = read_tensors(whole[0] / "model.safetensors")
    write_tensors(tmp_path / "model.safetensors", tensors, about | {"classes": ["blue", "green"]})
    with pytest.raises(ValueError, match="does not fit its 2 classes"):
        Classifier(tmp_path)


def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos", each=6)
    runs = tmp_path / "runs"
    wrong: list[tuple[dict[str, Any], list[Any], str]] = [
        ({}, [replace(one, label="red") for one in examples], "only one class, red"),
        ({}, [replace(one, label=None) for one in examples], "no labelled image"),
        ({}, [*examples, replace(examples[0], label="once")], "classes with one image .* once"),
        ({}, [*examples, replace(examples[0], label=["red", "blue"])], "has several classes"),
        ({"Model.num_classes": 4}, examples, "num_classes is 4, the dataset has 3"),
        ({"Dataset.names": ["red", "green"]}, examples, "Dataset.names has not: blue"),
        ({"Model.class_name": "resnet180"}, examples, "no model 'resnet180'; did you mean resnet1"),
        ({"Training.precision": "fp16"}, examples, "fp16 needs a GPU"),
    ]
    for changes, some, said in wrong:
        with pytest.raises(ValueError, match=said):
            train_network(config(**changes), some, runs=runs)
    with pytest.raises(DatasetError, match="the class 'violet' is not among"):
        train_network(config(), examples, [replace(examples[0], label="violet")], runs=runs)
    with pytest.raises(TrainingError, match=r"the loss is nan|the loss is inf"):
        train_network(
            config(**{"Training.lr": 1e30, "Training.clip": 0, "Training.warmup": 0}),
            examples,
            runs=tmp_path / "nan",
        )


def test_each_image_is_judged_by_a_network_that_has_not_seen_it(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos", each=10)
    wrong = [replace(one, label="blue") if number == 0 else one for number, one in enumerate(examples)]
    told: list[int] = []
    chosen = config(
        **{"Dataset.num_folds": 2, "Dataset.num_repeats": 1, "Training.epochs": 8, "Training.lr": 3e-3}
    )
    found = train_folds(chosen, wrong, decoded=lambda number, total: told.append(number))
    assert told == list(range(1, 31))
    assert (found.folds, found.repeats) == (2, 1)
    assert sorted(np.bincount(found.fold)) == [15, 15]
    assert (found.probabilities.argmax(axis=1)[1:] == found.targets[1:]).mean() > 0.9
    # it is red, whatever its label says
    assert found.classes[found.probabilities[0].argmax()] == "red"
    assert found.images_per_second > 0
    assert found.rows.tolist() == list(range(30))


def test_few_images_are_split_and_judged_several_times(tmp_path: Path) -> None:
    """Each split is another one, and the mean of the networks fits labels better than one of them on average."""
    examples = digits(tmp_path / "digits", 150)
    bare = [replace(one, label=None) if number >= 140 else one for number, one in enumerate(examples)]
    options = {"Dataset.num_folds": 2, "Training.epochs": 3, "Training.lr": 3e-3, "Training.batch_size": 16}
    networks: list[tuple[int, int]] = []

    def report(number: int, total: int) -> Report:
        networks.append((number, total))
        return lambda progress: None

    mean = train_folds(config(**options), bare, report=report)
    assert networks == [(number, 6) for number in range(6)]
    assert (mean.folds, mean.repeats) == (2, 3)
    # three splits of two parts each put images into eight groups
    assert sorted(set(mean.fold[:140].tolist())) == list(range(8))
    assert (mean.fold[140:] == -1).all()
    assert mean.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-4)

    def loss(found: OutOfFold) -> float:
        return float(-np.log(found.probabilities[np.arange(140), found.targets[:140]]).mean())

    single = [
        train_folds(config(**options, **{"Dataset.num_repeats": 1, "Training.seed": seed}), bare)
        for seed in range(3)
    ]
    assert loss(mean) < 0.97 * np.mean([loss(found) for found in single])
    assert np.unique([found.fold for found in single], axis=0).shape[0] == 3


def test_what_has_learned_before_begins_with_what_it_knows(tmp_path: Path) -> None:
    """A network of digits that has seen other classes knows these at once, by its vectors; a new head does not."""
    found = digits(tmp_path / "digits", 600)
    learned = train_network(
        config(**{"Training.epochs": 3, "Training.lr": 3e-3, "Training.batch_size": 32}),
        [one for one in found if one.label in "01234"],
        runs=tmp_path / "first",
    )
    others = [one for one in found if one.label in "56789"]
    worth = {}
    for start in (True, False):
        still = config(
            **{
                "Model.weights": str(learned.model), "Training.head_start": start, "Training.epochs": 1,
                "Training.lr": 1e-6, "Training.min_lr": 0.0, "Training.ema": 0.99 if start else 0.0,
            }
        )  # fmt: skip
        worth[start] = train_network(still, others, runs=tmp_path / f"{start}").best["macro_f1"]
    assert worth[True] > 0.85
    assert worth[False] < 0.5


def test_batch_statistics_are_those_of_the_weights_where_images_are_few(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos")
    first = train_network(config(), examples, runs=tmp_path / "first")
    before, _ = read_tensors(first.model)
    for keep in (None, False):
        changes = {"Model.weights": str(first.model), "Training.keep_norm": keep}
        after, _ = read_tensors(train_network(config(**changes), examples, runs=tmp_path / f"{keep}").model)
        same = [torch.equal(before[name], after[name]) for name in before if name.endswith("running_mean")]
        assert all(same) if keep is None else not any(same)
        assert not torch.equal(before["conv1.0.weight"], after["conv1.0.weight"])


def test_a_run_that_stopped_early_has_ended_and_one_without_images_says_so(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos")
    still = {"Training.epochs": 9, "Training.early_stop": 1, "Training.lr": 1e-9, "Training.min_lr": 0.0}
    done = train_network(config(**still), examples, runs=tmp_path / "runs")
    assert len(done.history) == 2
    told: list[int] = []
    with pytest.raises(ValueError, match="has ended"):
        resume_network(done.path, decoded=lambda number, total: told.append(number))
    assert not told
    for example in examples:
        assert example.path is not None
        example.path.unlink()
    with pytest.raises(DatasetError, match=r"(?s)needs its images to be taken up.*there is no image"):
        resume_network(done.path)


def test_a_network_is_known_by_its_content(tmp_path: Path) -> None:
    examples = coloured(tmp_path / "photos")
    made = [
        train_network(
            config(**{"Training.epochs": 1, "Training.seed": seed}), examples, runs=tmp_path / "runs"
        )
        for seed in (1, 2)
    ]
    first, again, other = (
        Classifier(path).fingerprint for path in (made[0].path, made[0].model, made[1].path)
    )
    assert first == again != other
