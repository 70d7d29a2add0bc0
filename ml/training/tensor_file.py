"""Tensors and a description in one safetensors file, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

_ABOUT = "lineup"


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> None:
    """Write a file in place of an older one, in one step.

    Raises
    ------
    OSError
        If it cannot be written, for example because the disk is full; the older file stays as it was.
    """
    draft = path.with_name(f".{path.name}.part")
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    try:
        save_file(plain, draft, metadata={_ABOUT: json.dumps(about)})
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
    except (OSError, SafetensorError) as error:
        draft.unlink(missing_ok=True)
        before = "; the one written before it is still there" if path.exists() else ""
        raise OSError(f"{path} cannot be written ({error}){before}. Is the disk full?") from error


def read_about(path: Path) -> dict[str, Any]:
    """Return the description in a file.

    Raises
    ------
    ValueError
        If it is no file of Lineup's.
    OSError
        If it is not there.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, "pt") as file:
            about = (file.metadata() or {}).get(_ABOUT)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    if about is None:
        raise ValueError(f"{path} does not say what it is of: it was not written by lineup train")
    found: dict[str, Any] = json.loads(about)
    return found


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors of a file and its description; raises as `read_about`."""
    about = read_about(path)
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118


def below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with ``prefix.``, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
