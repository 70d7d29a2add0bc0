"""A configuration with every key, its default and what it means: written from the models, so that it is true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from ml.training.config import TrainingConfig, WholeConfig
from ml.training.transforms_config import Transform

# what is off by itself is shown with usual values
_TRANSFORM: dict[str, Any] = {
    "resize": 224,
    "rotation": 10,
    "hflip": True,
    "vflip": False,
    "perspective": 0.2,
    "color_jitter": [0.2, 0.2, 0.2, 0.02],
    "random_crop": {"scale": [0.7, 1.0]},
    "blur": {"kernel": 5, "p": 0.2},
}


_HEAD = "# Every key may be left out. Shown are the defaults."
_CLASSIFIER_HEAD = (
    "# Every key may be left out. Keys of Dataset.transform that are left out are off.\n"
    "# Shown are the defaults, but for Dataset.transform."
)


def example_config(kind: type[WholeConfig] = TrainingConfig) -> str:
    """Return YAML that `ml.training.yaml_file.read_config_of` takes for a kind of training."""
    head = _CLASSIFIER_HEAD if kind is TrainingConfig else _HEAD
    return "\n".join([head, *_block(kind(), "")]) + "\n"


def _block(block: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(block).model_fields.items():
        value = getattr(block, name)
        shown = field.alias or name
        if isinstance(value, Transform):
            yield f"{indent}{shown}:"
            yield from (f"{indent}  {key}: {_plain(one)}" for key, one in _TRANSFORM.items())
        elif isinstance(value, BaseModel):
            yield f"{indent}{shown}:"
            yield from _block(value, indent + "  ")
        else:
            told = f"  # {field.description}" if field.description else ""
            off = "# " if value is None else ""
            yield f"{indent}{off}{shown}:{'' if value is None else ' ' + _plain(value)}{told}"


def _plain(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=200).removesuffix("\n").removesuffix("\n...")
