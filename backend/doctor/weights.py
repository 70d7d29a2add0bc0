"""Can the embedder be loaded, or does the weak fallback stand in for it? And is there a GPU for it?"""

from __future__ import annotations

from pathlib import Path

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, skipped, warning
from ml.embedders import WeightsNotAllowed, WeightsUnavailable, make_embedder

_DRIVER = Path("/proc/driver/nvidia/version")
_CHECKPOINT = (
    "Allow access to the Hugging Face hub once, or set EMBEDDER=timm:MODEL@PATH to a checkpoint of your own"
)


def check_weights(context: Context) -> Outcome:
    """Load the embedder as the worker does."""
    name = context.settings.embedder
    try:
        embedder = make_embedder(name, allow_noncommercial=context.settings.allow_noncommercial)
    except WeightsUnavailable as error:
        return failure(_line(error), _CHECKPOINT)
    except WeightsNotAllowed as error:
        return failure(
            _line(error), "Choose another EMBEDDER, or set ALLOW_NONCOMMERCIAL=true if your use allows it"
        )
    except (ValueError, RuntimeError) as error:  # timm's own word for a model it does not have
        return failure(f"EMBEDDER: {_line(error)}", "Set EMBEDDER=auto")
    if embedder.note is not None:
        return warning(_line(embedder.note), _CHECKPOINT)
    licence = embedder.weights.get("licence", "")
    return ok(f"{embedder.name} on {embedder.device}" + (f", licence {licence}" if licence else ""))


def check_gpu(context: Context) -> Outcome:
    """Say whether torch sees a GPU; none is fine."""
    if context.settings.embedder == "pixels":
        return skipped("EMBEDDER=pixels needs none")
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        return ok(f"{torch.cuda.get_device_name(0)}, {memory:.0f} GB")
    if _DRIVER.exists():
        return warning(
            f"this machine has an NVIDIA driver, but torch {torch.__version__} does not use it",
            "Install torch's CUDA build; in Docker add -f docker-compose.gpu.yml",
        )
    return ok("none; images are embedded on the CPU")


def _line(error: object) -> str:
    return " ".join(str(error).split())
