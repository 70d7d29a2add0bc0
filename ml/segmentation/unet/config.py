"""The configuration of a UNet's training: the blocks a classifier's has, with what masks need."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from ml.segmentation.sizes import SIDE
from ml.training.config import BackboneBlock, LoopBlock, Schedule, SourceBlock, WholeConfig
from ml.training.transforms_config import ColorJitter, Flip, Size, Switches

STRIDE = 32  # inputs are padded to its multiples: the encoder halves five times


class UNetBlock(BackboneBlock):
    """The network: an encoder of timm's and a decoder."""

    decoder: tuple[int, ...] = Field(
        (256, 128, 64, 32, 16), description="channels of the decoder, from the coarsest of five levels"
    )

    @field_validator("decoder")
    @classmethod
    def _five(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) != 5 or min(value) < 1:
            raise ValueError("must be five numbers of channels")
        return value


class UNetTraining(LoopBlock):
    """How it is trained; better means a higher mean Dice."""

    epochs: int = Field(40, ge=1)
    batch_size: int = Field(
        4, ge=1, description="crops a step, on each process, as far as step_pixels allows"
    )
    step_pixels: int = Field(
        800_000, ge=1024, description="most pixels of a step, which its memory hangs on: about 4 KB each"
    )
    warmup: float = Field(0.3, ge=0.0, description="epochs, fractions allowed")
    schedule: Schedule = "polynomial"
    power: float = Field(0.9, gt=0.0, description="schedule polynomial: its degree")
    cross_entropy: float = Field(1.0, ge=0.0, description="weight of the cross-entropy in the loss")
    dice: float = Field(1.0, ge=0.0, description="weight of the Dice loss")
    class_weights: float = Field(
        0.5, ge=0.0, le=1.0,
        description="power of the inverse of a class's share of pixels that weighs the cross-entropy; 0 is off",
    )  # fmt: skip

    @model_validator(mode="after")
    def _some_loss(self) -> Self:
        if not self.cross_entropy and not self.dice:
            raise ValueError("cross_entropy and dice are both 0: there is nothing to learn by")
        return self


class MaskTransform(Switches):
    """``Dataset.transform`` of masks: image and mask are changed alike, colours are the image's alone."""

    crop: Size | None = Field(
        None, description="pixels a step sees of an image; absent: the whole of the largest at Dataset.side"
    )
    scale: tuple[float, float] | None = Field((0.75, 1.5), description="sizes are changed by such factors")
    hflip: Flip | None = Field(default_factory=Flip)
    vflip: Flip | None = None
    color_jitter: ColorJitter | None = Field(
        default_factory=lambda: ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.03, p=0.8)
    )

    @field_validator("scale")
    @classmethod
    def _factors(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0.05 <= value[0] <= value[1] <= 20:
            raise ValueError("must be two factors from 0.05 to 20, the smaller one first")
        return value


class MaskSource(SourceBlock):
    """What it is trained on."""

    side: int = Field(
        SIDE,
        ge=32,
        le=4096,
        description="longer side that images are worked at; smaller ones stay as they are",
    )
    transform: MaskTransform = Field(default_factory=MaskTransform)


class UNetConfig(WholeConfig):
    """The training of a UNet, whole."""

    model: UNetBlock = Field(default_factory=UNetBlock, alias="Model")
    training: UNetTraining = Field(default_factory=UNetTraining, alias="Training")
    dataset: MaskSource = Field(default_factory=MaskSource, alias="Dataset")
