"""The YAML file: short forms, defaults, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.training.example_config import example_config
from ml.training.yaml_file import ConfigError, check_config, parse_override, read_config, write_config

SERVICE = """\
do_visualize: true
num_images_to_vis: 20
Model:
  class_name: EfficientNetV2_s
  num_classes: 2
Training:
  epochs: 7
  batch_size: 16
  num_workers: 4
  patience: 2
  warmup: 0.5
  lr: 1e-3
  min_lr: 1.0e-6
  factor: 0.8
  weighted_sampler: true
Dataset:
  num_folds: 4
  dataset_path: labels.jsonl
  names: {0: cat, 1: dog}
  transform:
    resize: {height: 128, width: 96}
    rotation: 15
    hflip: 0.5
    vflip: false
    perspective: {distortion_scale: 0.2, p: 0.4}
    color_jitter: {brightness: 0.1, hue: 0.05}
    random_crop: [112, 80]
    blur: {kernel_size: 3, sigma: 0.5}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_of_an_audit_service_is_read_as_it_is(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, SERVICE))
    assert (config.model.class_name, config.training.lr, config.training.warmup) == (
        "EfficientNetV2_s",
        1e-3,
        0.5,
    )
    assert config.dataset.dataset_path == tmp_path / "labels.jsonl"
    assert config.dataset.names == ["cat", "dog"]
    transform = config.dataset.transform
    assert transform.resize is not None
    assert transform.resize.shape == (128, 96)
    assert transform.rotation is not None
    assert transform.rotation.degrees == 15
    assert transform.vflip is None
    assert transform.perspective is not None
    assert transform.perspective.distortion == 0.2
    assert transform.random_crop is not None
    assert transform.random_crop.shape == (112, 80)
    assert transform.blur is not None
    assert transform.blur.sigma == (0.5, 0.5)


def test_what_is_absent_is_off_and_empty_blocks_are_absent(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, "Model:\nTraining: {}\nDataset:\n  transform:\n"))
    assert config == check_config({})
    assert set(config.dataset.transform.model_dump().values()) == {None}
    assert config.training.early_stop == config.training.ema == config.training.mixup == 0


@pytest.mark.parametrize(
    ("line", "change", "said"),
    [
        (4, "  clas_name: b0", "there is no key Model.clas_name: did you mean class_name?"),
        (7, "  epochs: many", "Training.epochs: Input should be a valid integer"),
        (7, "  epochs: 0", "greater than or equal to 1, not 0"),
        (8, "  epochs: 8", "epochs stands there a second time"),
        (13, "  min_lr: 0.1", "min_lr 0.1 is above lr 0.001"),
        (19, "  names: {0: cat, 2: dog}", "number the classes from 0"),
        (19, "  names: [cat, cat]", "twice: cat"),
        (
            22,
            "    rotation: {angle: 3}",
            "there is no key Dataset.transform.rotation.angle; there are degrees, p",
        ),
        (27, "    random_crop: 200", "random_crop is larger than resize"),
        (28, "    blur: 4", "Dataset.transform.blur.kernel: must be odd, not 4"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, line: int, change: str, said: str) -> None:
    lines = SERVICE.splitlines()
    lines[line - 1] = change
    path = written(tmp_path, "\n".join(lines))
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert said in str(caught.value)
    # rules on several keys name the block they are in
    near = range(line, line + 1) if "is above" not in said and "larger" not in said else range(6, 21)
    assert any(f"{path}, line {one}:" in str(caught.value) for one in near)


def test_names_and_number_of_classes_must_agree() -> None:
    with pytest.raises(ConfigError, match=r"names has 2 classes, Model\.num_classes is 3"):
        check_config({"Model": {"num_classes": 3}, "Dataset": {"names": ["a", "b"]}})


def test_what_is_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not YAML"):
        read_config(written(tmp_path, "Model: [\n"))
    with pytest.raises(ConfigError, match="must hold blocks"):
        read_config(written(tmp_path, "- 1\n"))


def test_keys_set_with_the_command_go_before_the_file(tmp_path: Path) -> None:
    overrides = dict(
        map(parse_override, ["Training.epochs=3", "Dataset.transform.hflip=false", "Training.lr=5e-4"])
    )
    config = read_config(written(tmp_path, SERVICE), overrides)
    assert (config.training.epochs, config.training.lr, config.dataset.transform.hflip) == (3, 5e-4, None)
    with pytest.raises(
        ConfigError, match=r"set with the command: there is no key Training\.epoch: did you mean epochs"
    ):
        check_config({}, {"Training.epoch": 3})
    with pytest.raises(ConfigError, match="does not set a key"):
        parse_override("Training.epochs")


def test_the_example_and_what_is_written_are_read_back(tmp_path: Path) -> None:
    shown = read_config(written(tmp_path, example_config()))
    assert shown.training == check_config({}).training
    assert None not in [value for name, value in shown.dataset.transform if name != "vflip"]
    config = read_config(written(tmp_path, SERVICE))
    assert read_config(written(tmp_path, write_config(config))) == config
