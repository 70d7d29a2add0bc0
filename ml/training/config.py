"""The configuration of a training: blocks ``Model``, ``Training`` and ``Dataset``, as audit services have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ml.training.transforms_config import Block, Transform

Schedule = Literal["plateau", "cosine", "step", "polynomial", "noam", "constant"]


class BackboneBlock(Block):
    """The network's backbone."""

    class_name: str = Field(
        "mobilenet", description="a timm model, or a short name such as b0, EfficientNetV2_s"
    )
    weights: str = Field(
        "pretrained", description="pretrained, scratch, or the path of a checkpoint (.safetensors or .pth)"
    )


class ModelBlock(BackboneBlock):
    """A classifier."""

    num_classes: int | None = Field(None, ge=2, description="checked against the dataset")
    head: Literal["linear", "mlp"] = "linear"
    hidden: int = Field(512, ge=1, description="width of the MLP head")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="before the head")
    drop_path: float = Field(0.0, ge=0.0, lt=1.0, description="stochastic depth, for models that have it")


class LoopBlock(Block):
    """What every training says of its epochs and steps, whatever it learns."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(32, ge=1, description="images a step, on each process")
    num_workers: int | None = Field(
        None, ge=0, description="processes that change images; absent: as many as help"
    )
    patience: int = Field(3, ge=0, description="epochs that were not better before plateau lowers the rate")
    warmup: float = Field(0.5, ge=0.0, description="epochs, fractions allowed")
    lr: float = Field(1e-3, gt=0.0, description="highest learning rate")
    min_lr: float = Field(1e-6, ge=0.0)
    factor: float = Field(0.5, gt=0.0, lt=1.0, description="by which plateau lowers the rate")
    schedule: Schedule = "plateau"
    step_epochs: int = Field(2, ge=1, description="schedule step: every so many epochs")
    step_factor: float = Field(0.8, gt=0.0, lt=1.0, description="schedule step: times this")
    power: float = Field(1.0, gt=0.0, description="schedule polynomial: its degree")
    weight_decay: float = Field(0.05, ge=0.0, description="of AdamW; biases and norms have none")
    backbone_lr: float | None = Field(
        None, gt=0.0, le=1.0,
        description="rate of the backbone, as a share of the head's; absent: 0.3 with weights, 1 from scratch",
    )  # fmt: skip
    keep_norm: bool | None = Field(
        None,
        description="batch normalisation keeps the weights' statistics; absent: up to 2,000 training images",
    )
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)
    ema: float = Field(
        0.0, ge=0.0, lt=1.0, description="decay of the weights' running mean, e.g. 0.999; 0 is off"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: half where it is faster on this machine with this network"
    )
    channels_last: bool = True
    clip: float = Field(1.0, ge=0.0, description="largest norm of the gradient; 0 is off")
    freeze_epochs: int = Field(0, ge=0, description="epochs in which only the head learns")
    early_stop: int = Field(0, ge=0, description="epochs that were not better before it ends; 0 is off")
    checkpoint_minutes: float = Field(
        5.0, ge=0.0, description="a checkpoint at least so often, besides every epoch"
    )
    seed: int = Field(0, ge=0)

    @field_validator("seed", "epochs", "batch_size", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("must be a number")
        return value

    @model_validator(mode="after")
    def _rates(self) -> Self:
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr:g} is above lr {self.lr:g}")
        if self.freeze_epochs >= self.epochs and self.freeze_epochs:
            raise ValueError(f"freeze_epochs {self.freeze_epochs} leaves none of {self.epochs} epochs")
        return self


class TrainingBlock(LoopBlock):
    """How a classifier is trained; better means a higher macro F1."""

    weighted_sampler: bool = Field(False, description="draw all classes equally often")
    head_start: bool = Field(
        True, description="with weights, a linear head begins as a logistic regression on frozen vectors"
    )
    class_weights: bool = Field(False, description="weigh the loss by the inverse of a class's size")
    mixup: float = Field(0.0, ge=0.0, description="alpha; 0 is off")
    cutmix: float = Field(0.0, ge=0.0, description="alpha; 0 is off")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.class_weights and self.weighted_sampler:
            raise ValueError(
                "class_weights and weighted_sampler both make up for small classes: choose one of them"
            )
        return self


class SourceBlock(Block):
    """What it is trained on."""

    dataset_path: Path | None = Field(None, description="used where no dataset is given with the command")
    valid_share: float = Field(0.2, gt=0.0, lt=1.0, description="held out where no validation set is given")


class DatasetBlock(SourceBlock):
    """What a classifier is trained on."""

    num_folds: int = Field(5, ge=2, description="of an audit by training")
    num_repeats: int | None = Field(
        None,
        ge=1,
        description="splits into folds, whose networks' opinions are averaged; absent: 3 up to 2,000 labels, then 1",
    )
    names: list[str] | None = Field(
        None, description="the classes, in order; a mapping of number to name too"
    )
    transform: Transform = Field(default_factory=Transform)

    @field_validator("names", mode="before")
    @classmethod
    def _by_number(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if sorted(value) != list(range(len(value))):
                raise ValueError("a mapping must number the classes from 0 without gaps")
            value = [value[number] for number in range(len(value))]
        if isinstance(value, list):
            value = [str(one) if isinstance(one, int | float) else one for one in value]
            if twice := {one for one in value if value.count(one) > 1}:
                raise ValueError(f"a class stands there twice: {', '.join(sorted(map(str, twice)))}")
        return value

    @field_validator("transform", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


class WholeConfig(Block):
    """A training, whole, whatever it learns."""

    do_visualize: bool = Field(
        False, description="draw pictures: of changed training images, of suspects in an audit"
    )
    num_images_to_vis: int = Field(16, ge=1, le=1000)
    model: BackboneBlock = Field(default_factory=BackboneBlock, alias="Model")
    training: LoopBlock = Field(default_factory=LoopBlock, alias="Training")
    dataset: SourceBlock = Field(default_factory=SourceBlock, alias="Dataset")

    @model_validator(mode="before")
    @classmethod
    def _empty_blocks(cls, value: Any) -> Any:
        # `Model:` with nothing below it
        return (
            {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else value
        )

    def beside(self, folder: Path) -> Self:
        """Return a copy whose paths are relative to a folder, and so do not depend on where a command is run."""
        config = self.model_copy(deep=True)
        path, weights = config.dataset.dataset_path, config.model.weights
        if path is not None:
            config.dataset.dataset_path = folder / path
        if weights not in ("pretrained", "scratch") and (folder / weights).is_file():
            config.model.weights = str(folder / weights)
        return config

    def anywhere(self) -> Self:
        """Return a copy that can be kept in another folder: the path of its checkpoint is absolute."""
        config = self.model_copy(deep=True)
        if config.model.weights not in ("pretrained", "scratch"):
            config.model.weights = str(Path(config.model.weights).absolute())
        return config


class TrainingConfig(WholeConfig):
    """The training of a classifier, whole.

    The names of blocks and keys are those of the YAML files of label-audit services, so that such a file works as
    it is.
    """

    model: ModelBlock = Field(default_factory=ModelBlock, alias="Model")
    training: TrainingBlock = Field(default_factory=TrainingBlock, alias="Training")
    dataset: DatasetBlock = Field(default_factory=DatasetBlock, alias="Dataset")

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        names, number = self.dataset.names, self.model.num_classes
        if names is not None and number is not None and len(names) != number:
            raise ValueError(f"Dataset.names has {len(names)} classes, Model.num_classes is {number}")
        return self
