"""Vectors from a timm backbone: any timm model, or a local checkpoint of one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ml.embedders.aliases import IMAGE_SIZES
from ml.embedders.base import WeightsUnavailable
from ml.embedders.batching import BatchSize
from ml.embedders.checkpoints import load_backbone
from ml.embedders.folding import fold_batchnorm
from ml.embedders.gpu_jpeg import require_gpu_jpeg
from ml.embedders.hub import require_weights
from ml.embedders.licences import require_commercial
from ml.embedders.precision import Forward, asked_half
from ml.embedders.preprocess import Preprocess
from ml.embedders.threads import usable_cpus

if TYPE_CHECKING:
    import torch

# a batch whose first layers stay in a core's share of the cache; larger ones are slower
_CPU_BATCH_PIXELS = 16 * 128**2
_GPU_BATCH = 32


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
        Cores to use on a CPU, threads that decode for a GPU; default: all this process may use.
    batch_size : int, optional
        Images a forward pass; default: fit for the device and the image size (on a GPU the size to start
        from).
    allow_noncommercial : bool
        Accept pretrained weights whose licence is not known to allow commercial use.
    precision : str
        ``auto`` (half where the processor is made for it) or ``fp32``.
    jpeg_on_gpu : bool
        Decode JPEG files on the GPU, where there is one. Pays with large files and few cores, if images are
        not inspected; its pixels differ a little from the CPU's, so it is part of the fingerprint.

    Raises
    ------
    ValueError
        If timm knows no such model, the precision is unknown, or JPEG files cannot be decoded on a GPU here.
    WeightsUnavailable
        If the weights cannot be had or do not belong to the model.
    WeightsNotAllowed
        If their licence forbids commercial use and that was not accepted.
    """

    def __init__(
        self,
        model: str,
        *,
        checkpoint: str | None = None,
        image_size: int | None = None,
        threads: int | None = None,
        batch_size: int | None = None,
        allow_noncommercial: bool = False,
        precision: str = "auto",
        jpeg_on_gpu: bool = False,
    ) -> None:
        import timm
        import torch

        if checkpoint is None:
            image_size = image_size or IMAGE_SIZES.get(model)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        half = asked_half(precision, self.device)
        network = open_network(
            model,
            checkpoint,
            {} if image_size is None else {"img_size": image_size},
            allow_noncommercial=allow_noncommercial,
        )
        self.jpeg_on_gpu = jpeg_on_gpu
        if jpeg_on_gpu:
            require_gpu_jpeg(self.device)
        config = timm.data.resolve_model_data_config(network)
        # the annotator judges the whole image; timm would cut off its border (docs/embedding.md)
        config["crop_pct"] = 1.0
        if image_size is not None:
            config["input_size"] = (3, image_size, image_size)
        self.preprocess = Preprocess(config)
        digest = weights_digest(network, config)
        side = max(self.preprocess.shape)
        example = torch.rand(1, 3, *self.preprocess.shape, generator=torch.Generator().manual_seed(0))
        network = fold_batchnorm(network, self.preprocess.normalise((example * 255).byte().movedim(1, -1)))
        network = network.to(self.device, memory_format=torch.channels_last)
        self.compute = Forward(network, half)
        self.workers = usable_cpus() if threads is None else max(1, threads)
        if batch_size is None and self.device == "cpu":
            batch_size = min(32, max(4, 2 ** round(math.log2(_CPU_BATCH_PIXELS / side**2))))
        self.batch_size = batch_size or _GPU_BATCH
        if self.device == "cuda":
            self.sizer = BatchSize(self.batch_size)
            self._copies = torch.cuda.Stream()
        self.image_size = self.preprocess.decode_side
        self.name = f"timm:{model}" + (f"@{checkpoint}" if checkpoint else "")
        self.fingerprint = f"timm-{model}-{side}-{self._precision()}-{digest[:12]}"
        self.dim = self.forward(np.zeros((1, *self.preprocess.shape, 3), dtype=np.uint8)).shape[1]
        self.weights = _describe(network.pretrained_cfg, model, checkpoint, digest)
        self.note: str | None = None

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Return the part of an RGB image the network sees, uint8 of shape (height, width, 3)."""
        return self.preprocess.prepare(image)

    def forward(self, prepared: np.ndarray) -> np.ndarray:
        """Return the pooled features of prepared images, float32 of shape (n, dim)."""
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(prepared).to(self.device)
            vectors: np.ndarray = self.compute(self.preprocess.normalise(pixels)).cpu().numpy()
        return vectors

    def launch(self, prepared: np.ndarray) -> Callable[[], np.ndarray]:
        """Start the forward pass on a GPU; the function returned waits for its vectors.

        The copy to the GPU runs from pinned memory on a stream of its own, beside the pass before.
        """
        import torch

        with torch.inference_mode():
            pinned = torch.from_numpy(prepared).pin_memory()
            with torch.cuda.stream(self._copies):
                pixels = pinned.to(self.device, non_blocking=True)
            torch.cuda.current_stream().wait_stream(self._copies)
            pixels.record_stream(torch.cuda.current_stream())
            vectors = self.compute(self.preprocess.normalise(pixels)).to("cpu", non_blocking=True)
            done = torch.cuda.Event()
            done.record()

        def wait() -> np.ndarray:
            done.synchronize()
            rows: np.ndarray = vectors.numpy()
            return rows

        return wait

    def _precision(self) -> str:
        # the same arithmetic on another device rounds differently enough not to be mixed
        device = "" if self.device == "cpu" else f"{self.device}-"
        return device + self.compute.precision + ("-nvjpeg" if self.jpeg_on_gpu else "")


def open_network(
    model: str, checkpoint: str | None, options: Mapping[str, Any], *, allow_noncommercial: bool
) -> torch.nn.Module:
    """Return a timm model without its classifier, with weights, in evaluation mode.

    Parameters
    ----------
    model : str
    checkpoint : str or None
        Default: the pretrained weights timm names.
    options : mapping
        For networks that know them.
    allow_noncommercial : bool

    Raises
    ------
    ValueError
        If timm knows no such model.
    WeightsUnavailable
        If the weights cannot be had or do not belong to the model.
    WeightsNotAllowed
        If their licence forbids commercial use and that was not accepted.
    """
    import timm

    if not timm.is_model(model):
        raise ValueError(f"timm knows no model {model!r}: see timm.list_models()")
    if checkpoint is None:
        licence = timm.get_pretrained_cfg(model)
        require_commercial(model, licence and licence.license, allow_noncommercial=allow_noncommercial)
        network = _pretrained(model, options)
    else:
        network = _create(model, options, pretrained=False)
        load_backbone(network, model, Path(checkpoint))
    return network.eval().requires_grad_(False)


def _create(model: str, options: Mapping[str, Any], *, pretrained: bool) -> torch.nn.Module:
    import timm

    if options:
        try:
            return timm.create_model(model, pretrained=pretrained, num_classes=0, **options)
        except TypeError:  # a network of convolutions takes any size and has no such option
            pass
    return timm.create_model(model, pretrained=pretrained, num_classes=0)


def _pretrained(model: str, options: Mapping[str, Any]) -> torch.nn.Module:
    import timm

    config = timm.get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        raise WeightsUnavailable(
            f"timm has no pretrained weights for {model}: give a checkpoint, timm:{model}@PATH"
        )
    require_weights(model, config)
    try:
        return _create(model, options, pretrained=True)
    except OSError as error:
        raise WeightsUnavailable(f"the weights of {model} could not be downloaded: {error}") from error


def weights_digest(network: torch.nn.Module, config: Mapping[str, Any]) -> str:
    """Return the digest of a network's weights and of how images come to it."""
    digest = hashlib.sha256(repr(sorted((key, repr(value)) for key, value in config.items())).encode())
    state = network.state_dict()
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
