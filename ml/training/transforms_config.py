"""What the block ``Dataset.transform`` may say: sizes, and changes of the training images; what is absent is off.

Each block may be written out, or short: ``rotation: 15`` is ``rotation: {degrees: 15}``, ``hflip: true`` is
``hflip: {}``, and ``false`` is as if it were absent.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator


class Block(BaseModel):
    """A part of the configuration; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    # the field that a lone number or list stands for
    short: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _from_short(cls, value: Any) -> Any:
        if value is True and cls.short:
            return {}
        if cls.short and isinstance(value, int | float | list | tuple) and not isinstance(value, bool):
            return {cls.short: value}
        return value


class Size(Block):
    """Height and width in pixels: one number for a square, ``[height, width]``, or both by name."""

    height: int = Field(ge=8, le=4096)
    width: int = Field(ge=8, le=4096)

    @model_validator(mode="before")
    @classmethod
    def _from_numbers(cls, value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"size"}:
            value = value["size"]
        if isinstance(value, int) and not isinstance(value, bool):
            return {"height": value, "width": value}
        if isinstance(value, list | tuple) and len(value) == 2:
            return {"height": value[0], "width": value[1]}
        return value

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class Rotation(Block):
    """Turn by an angle between -degrees and degrees."""

    short: ClassVar[str] = "degrees"
    degrees: float = Field(15.0, ge=0.0, le=180.0)
    p: float = Field(1.0, ge=0.0, le=1.0, description="probability that an image is changed")


class Flip(Block):
    """Mirror."""

    short: ClassVar[str] = "p"
    p: float = Field(0.5, ge=0.0, le=1.0, description="probability that an image is changed")


class Perspective(Block):
    """Move the corners by up to this share of half a side."""

    short: ClassVar[str] = "distortion"
    distortion: float = Field(
        0.3, ge=0.0, le=1.0, validation_alias=AliasChoices("distortion", "distortion_scale")
    )
    p: float = Field(0.5, ge=0.0, le=1.0, description="probability that an image is changed")


class ColorJitter(Block):
    """Change brightness, contrast and saturation by up to these shares, and the hue by this part of the circle."""

    brightness: float = Field(0.2, ge=0.0, le=1.0)
    contrast: float = Field(0.2, ge=0.0, le=1.0)
    saturation: float = Field(0.2, ge=0.0, le=1.0)
    hue: float = Field(0.0, ge=0.0, le=0.5)
    p: float = Field(1.0, ge=0.0, le=1.0, description="probability that an image is changed")

    @model_validator(mode="before")
    @classmethod
    def _from_numbers(cls, value: Any) -> Any:
        names = ("brightness", "contrast", "saturation", "hue")
        if value is True:
            return {}
        if isinstance(value, int | float) and not isinstance(value, bool):
            return dict.fromkeys(names[:3], value)
        if isinstance(value, list | tuple) and len(value) <= len(names):
            return dict(zip(names, value, strict=False))
        return value


class RandomCrop(Block):
    """Cut out a part: of fixed size (then the network sees that size), or a share of the area, resized back."""

    height: int | None = Field(None, ge=8, le=4096)
    width: int | None = Field(None, ge=8, le=4096)
    scale: tuple[float, float] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_numbers(cls, value: Any) -> Any:
        if value is True:
            return {"scale": (0.7, 1.0)}
        if isinstance(value, float):
            return {"scale": (value, 1.0)}
        if isinstance(value, dict) and ("scale" in value or not {"height", "width", "size"} & set(value)):
            return value
        return Size.model_validate(value).model_dump()

    @field_validator("scale")
    @classmethod
    def _shares(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0.0 < value[0] <= value[1] <= 1.0:
            raise ValueError("the shares of the area must be two numbers from 0 to 1, the smaller one first")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> RandomCrop:
        fixed = self.height is not None and self.width is not None
        if fixed == (self.scale is not None):
            raise ValueError("give height and width in pixels, or scale as shares of the area")
        return self

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of a crop of fixed size."""
        return None if self.height is None or self.width is None else (self.height, self.width)


class Blur(Block):
    """Gaussian blur."""

    short: ClassVar[str] = "kernel"
    kernel: int = Field(5, ge=3, le=99, validation_alias=AliasChoices("kernel", "kernel_size"))
    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = Field(0.3, ge=0.0, le=1.0, description="probability that an image is changed")

    @field_validator("kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value

    @field_validator("sigma", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int | float) else value


class Switches(Block):
    """Changes of training images; ``false`` switches one off."""

    @model_validator(mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: None if one is False else one for key, one in value.items()}
        return value


class Transform(Switches):
    """``Dataset.transform``."""

    resize: Size | None = Field(None, description="pixels; absent: what the model was built for")
    rotation: Rotation | None = None
    hflip: Flip | None = None
    vflip: Flip | None = None
    perspective: Perspective | None = None
    color_jitter: ColorJitter | None = None
    random_crop: RandomCrop | None = None
    blur: Blur | None = None

    @property
    def only_mirrors(self) -> bool:
        """Whether images are changed by nothing that computes."""
        return not any((self.rotation, self.perspective, self.color_jitter, self.random_crop, self.blur))

    @model_validator(mode="after")
    def _crop_fits(self) -> Transform:
        crop = self.random_crop.shape if self.random_crop else None
        if crop and self.resize and (crop[0] > self.resize.height or crop[1] > self.resize.width):
            raise ValueError("random_crop is larger than resize")
        return self
