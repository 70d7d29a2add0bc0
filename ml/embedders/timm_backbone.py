"""Vectors from a timm backbone: any timm model, or a local checkpoint of one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ml.embedders.base import WeightsUnavailable
from ml.embedders.hub import require_weights

if TYPE_CHECKING:
    import torch

# both Apache-2.0; the ViT is built for 518 px and interpolates its positions to a size that is affordable
CPU_BACKBONE = "mobilenetv3_large_100.ra_in1k"
GPU_BACKBONE = "vit_small_patch14_reg4_dinov2.lvd142m"
GPU_IMAGE_SIZE = 224

PRECISION = "fp32"


class TimmEmbedder:
    """Pooled features of a timm model, preprocessed as its weights were trained.

    Parameters
    ----------
    model : str
        Name of a timm model, with or without the tag of its weights.
    checkpoint : str, optional
        File with a state dict saved from this model (``.safetensors`` or ``.pth``, loaded as weights only),
        whatever the number of classes of its classifier. Default: the pretrained weights timm names.
    image_size : int, optional
        Input side for models that take any; default: the model's own.
    threads : int, optional
        Threads of the forward pass on a CPU; default: torch's own choice. Holds for the whole process.
    batch_size : int
        Images a forward pass.

    Raises
    ------
    ValueError
        If timm knows no such model.
    WeightsUnavailable
        If the weights cannot be had or do not belong to the model.
    """

    def __init__(
        self,
        model: str,
        *,
        checkpoint: str | None = None,
        image_size: int | None = None,
        threads: int | None = None,
        batch_size: int = 64,
    ) -> None:
        import timm
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        if not timm.is_model(model):
            raise ValueError(f"timm knows no model {model!r}: see timm.list_models()")
        options = {} if image_size is None else {"img_size": image_size}
        if checkpoint is None:
            network = _pretrained(model, options)
        else:
            network = timm.create_model(model, pretrained=False, num_classes=0, **options)
            _load_checkpoint(network, model, checkpoint)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.batch_size = batch_size
        config = timm.data.resolve_model_data_config(network)
        self.transform = timm.data.create_transform(**config, is_training=False)
        side = int(max(config["input_size"][1:]))
        # images are resized to this before the crop, so it is what decoding must leave of them
        self.image_size = math.ceil(side / config["crop_pct"])
        digest = _digest(self.network.state_dict(), config)
        self.name = f"timm:{model}" + (f"@{checkpoint}" if checkpoint else "")
        self.fingerprint = f"timm-{model}-{side}-{PRECISION}-{digest[:12]}"
        self.dim = self._forward([Image.new("RGB", (side, side))]).shape[1]
        self.weights = _describe(network.pretrained_cfg, model, checkpoint, digest)
        self.note: str | None = None

    def embed(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Return the pooled features of RGB images, float32 of shape (n, dim)."""
        vectors = np.empty((len(images), self.dim), dtype=np.float32)
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            vectors[start : start + len(batch)] = self._forward(batch)
        return vectors

    def _forward(self, images: Sequence[Image.Image]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            batch = torch.stack([self.transform(image) for image in images]).to(self.device)
            vectors: np.ndarray = self.network(batch).float().cpu().numpy()
        return vectors


def default_backbone(threads: int | None = None) -> TimmEmbedder:
    """Return the backbone for this machine: a small ViT on a GPU, a mobile ConvNet on a CPU.

    Raises
    ------
    WeightsUnavailable
        If its weights are neither on this machine nor to be downloaded.
    """
    import torch

    if torch.cuda.is_available():
        return TimmEmbedder(GPU_BACKBONE, image_size=GPU_IMAGE_SIZE, threads=threads)
    return TimmEmbedder(CPU_BACKBONE, threads=threads)


def _pretrained(model: str, options: dict[str, Any]) -> torch.nn.Module:
    import timm

    config = timm.get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        raise WeightsUnavailable(
            f"timm has no pretrained weights for {model}: give a checkpoint, timm:{model}@PATH"
        )
    require_weights(model, config)
    try:
        return timm.create_model(model, pretrained=True, num_classes=0, **options)
    except OSError as error:
        raise WeightsUnavailable(f"the weights of {model} could not be downloaded: {error}") from error


def _load_checkpoint(network: torch.nn.Module, model: str, checkpoint: str) -> None:
    from timm.models import load_state_dict

    try:
        state = load_state_dict(checkpoint, weights_only=True)
    except FileNotFoundError as error:
        raise WeightsUnavailable(
            f"there is no checkpoint {checkpoint}: correct the path after the @"
        ) from error
    except Exception as error:  # torch and safetensors raise whatever a broken file makes them
        raise WeightsUnavailable(f"checkpoint {checkpoint} cannot be read as weights: {error}") from error
    classifier = network.pretrained_cfg.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    backbone = {
        name: value for name, value in state.items() if not name.startswith(tuple(f"{h}." for h in heads))
    }
    try:
        network.load_state_dict(backbone, strict=True)
    except RuntimeError as error:
        raise WeightsUnavailable(f"checkpoint {checkpoint} is not one of timm's {model}: {error}") from error


def _digest(state: dict[str, torch.Tensor], config: dict[str, Any]) -> str:
    digest = hashlib.sha256(repr(sorted((key, repr(value)) for key, value in config.items())).encode())
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].detach().cpu().contiguous().flatten().numpy().tobytes())
    return digest.hexdigest()


def _describe(config: dict[str, Any], model: str, checkpoint: str | None, digest: str) -> dict[str, str]:
    if checkpoint is not None:
        return {
            "name": model,
            "source": checkpoint,
            "licence": "not recorded in the checkpoint",
            "digest": digest,
        }
    hub = config.get("hf_hub_id")
    source = f"hf-hub:{hub}" if hub else config.get("url") or "unknown"
    return {"name": model, "source": source, "licence": config.get("license") or "unknown", "digest": digest}
