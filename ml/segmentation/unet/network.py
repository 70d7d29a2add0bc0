"""The network: segmentation-models-pytorch's UNet on an encoder of timm's, with weights or from scratch."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from ml.embedders.base import WeightsUnavailable
from ml.segmentation.unet.config import STRIDE, UNetBlock
from ml.training.network import make_network, resolve_model

_FLATTENED = re.compile(r"^([a-z]+)\.(\d+)\.")


@dataclass(frozen=True)
class BuiltUNet:
    """A network, ready to be trained.

    Attributes
    ----------
    network : torch.nn.Module
    mean, std : torch.Tensor of float32, shape (1, 3, 1, 1)
        Of the encoder's input, in units of 8-bit pixels.
    weights : dict of str to str
        Where the encoder's weights come from: ``name``, ``source``, ``licence``.
    head : tuple of str
        Names of all parameters but the encoder's.
    fresh : bool
        Whether the encoder begins from scratch, too.
    """

    network: nn.Module
    mean: torch.Tensor
    std: torch.Tensor
    weights: dict[str, str]
    head: tuple[str, ...]
    fresh: bool

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """From uint8 of shape (n, 3, h, w) to the network's input."""
        return (pixels.float() - self.mean.to(pixels.device)) / self.std.to(pixels.device)


def build_unet(
    model: UNetBlock, classes: int, *, allow_noncommercial: bool = False, with_weights: bool = True
) -> BuiltUNet:
    """Build a network for so many classes.

    Parameters
    ----------
    model : UNetBlock
    classes : int
    allow_noncommercial : bool
        Accept pretrained weights whose licence is not known to allow commercial use.
    with_weights : bool
        Load them; not needed where a state is loaded next.

    Raises
    ------
    ValueError
        If there is no such model, or it cannot be an encoder.
    WeightsUnavailable
        If its weights cannot be had, or do not belong to the model.
    WeightsNotAllowed
        If their licence does not allow commercial use and that was not accepted.
    """
    import segmentation_models_pytorch as smp
    import timm

    plain = model.model_copy(update={"class_name": model.class_name.removeprefix("tu-")})
    _, backbone, weights = make_network(
        plain, {}, allow_noncommercial=allow_noncommercial, with_weights=with_weights
    )
    name = resolve_model(plain.class_name)
    try:
        network = smp.Unet(
            f"tu-{name}", encoder_weights=None, decoder_channels=model.decoder, classes=classes
        )
    except Exception as error:  # timm and smp raise whatever a network that has no such levels makes them
        raise ValueError(
            f"Model.class_name: {name} has no five levels of features that a UNet needs ({error}); "
            "take resnet18, resnet34, mobilenetv2_100 or efficientnet_b0, for example"
        ) from error
    if model.weights != "scratch" and with_weights:
        _give(network.encoder.model, backbone, name)
    config = timm.data.resolve_model_data_config(backbone)
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) * 255 for key in ("mean", "std"))
    names = tuple(one for one, _ in network.named_parameters() if not one.startswith("encoder."))
    return BuiltUNet(network, mean, std, weights, names, fresh=model.weights == "scratch")


def logits_of(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the network's answer to normalised images of any size, (n, classes, h, w).

    At the right and below, images are continued by their last pixels up to the next size that five levels take.
    """
    height, width = images.shape[-2:]
    padding = (0, -width % STRIDE, 0, -height % STRIDE)
    padded = functional.pad(images, padding, mode="replicate") if any(padding) else images
    logits: torch.Tensor = network(padded)
    return logits[..., :height, :width]


def _give(encoder: nn.Module, backbone: nn.Module, name: str) -> None:
    """Give an encoder the weights of the whole network it is the beginning of.

    Raises
    ------
    WeightsUnavailable
        If they do not fit.
    """
    # where timm takes a network's levels out of a list it names them stages_0 instead of stages.0
    known = {_FLATTENED.sub(r"\1_\2.", key): value for key, value in backbone.state_dict().items()}
    known |= backbone.state_dict()
    missing = sorted(encoder.state_dict().keys() - known.keys())
    if missing:
        raise WeightsUnavailable(
            f"the weights of {name} have no {missing[0]}: it cannot be an encoder with weights; choose another "
            "Model.class_name, or set Model.weights to scratch"
        )
    encoder.load_state_dict({key: known[key] for key in encoder.state_dict()})
