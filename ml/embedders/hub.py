"""Find out within seconds whether pretrained weights can be had; a hub client alone retries for a minute."""

from __future__ import annotations

import threading
from typing import Any

from ml.embedders.base import WeightsUnavailable

ANSWER_WITHIN = 5.0

_FILES = ("model.safetensors", "pytorch_model.bin")


def require_weights(model: str, config: Any) -> None:
    """Return if timm can load the weights ``config`` names: they are cached, or the hub answers.

    Parameters
    ----------
    model : str
        For the error message.
    config : timm.models.PretrainedCfg
        Weights that are not on the Hugging Face hub are left to timm.

    Raises
    ------
    WeightsUnavailable
        If they are not cached and the hub cannot be reached, does not answer within a few seconds or refuses.
    """
    if not config.hf_hub_id or config.file:
        return
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import RemoteEntryNotFoundError

    repo = config.hf_hub_id
    files = (config.hf_hub_filename,) if config.hf_hub_filename else _FILES
    if any(isinstance(try_to_load_from_cache(repo, file), str) for file in files):
        return
    outcome: list[Exception | None] = []

    def ask() -> None:
        try:
            get_hf_file_metadata(hf_hub_url(repo, files[0]), timeout=ANSWER_WITHIN)
            outcome.append(None)
        except RemoteEntryNotFoundError:  # an answer: the weights have another file name
            outcome.append(None)
        except Exception as error:
            outcome.append(error)

    # a thread, because the look-up of a name has no timeout of its own
    thread = threading.Thread(target=ask, name="weights-probe", daemon=True)
    thread.start()
    thread.join(ANSWER_WITHIN)
    problem = outcome[0] if outcome else TimeoutError(f"no answer within {ANSWER_WITHIN:g} s")
    if problem is not None:
        raise WeightsUnavailable(
            f"the weights of {model} are not on this machine and cannot be downloaded from the Hugging Face "
            f"hub ({_one_line(problem)}); allow access to the hub, or give a checkpoint as timm:MODEL@PATH"
        ) from problem


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
