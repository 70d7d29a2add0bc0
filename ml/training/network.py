"""The network of a training: a timm model with a new head, from its weights, a checkpoint or from scratch."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.embedders.aliases import ALIASES
from ml.embedders.base import WeightsUnavailable
from ml.embedders.checkpoints import classifier_names, load_backbone
from ml.embedders.hub import require_weights
from ml.embedders.licences import require_commercial
from ml.embedders.preprocess import Preprocess
from ml.training.config import BackboneBlock, ModelBlock
from ml.training.transforms_config import Transform

if TYPE_CHECKING:
    import torch
    from torch import nn

# names that audit services use, where timm has another
_SERVICE_NAMES = {f"efficientnetv2_{size}": f"tf_efficientnetv2_{size}" for size in "sml"}


@dataclass(frozen=True)
class Built:
    """A network, ready to be trained.

    Attributes
    ----------
    network : torch.nn.Module
        timm's model with the new head.
    preprocess : Preprocess
        From an image to what is cached of it; crops of fixed size come after it.
    normalise : callable
        From what is cached, cropped, to the input: `Preprocess.normalise` of that size.
    weights : dict of str to str
        Where its weights come from: ``name``, ``source``, ``licence``.
    head : tuple of str
        Names of the parameters of the head, that learn while the backbone is frozen.
    fresh : bool
        Whether all of it begins from scratch.
    """

    network: nn.Module
    preprocess: Preprocess
    normalise: Callable[[torch.Tensor], torch.Tensor]
    weights: dict[str, str]
    head: tuple[str, ...]
    fresh: bool


def resolve_model(name: str) -> str:
    """Return timm's name of a model.

    Raises
    ------
    ValueError
        If there is none of that name; the message has similar ones.
    """
    import timm

    short = name.strip().removeprefix("timm:")
    plain = short.lower().replace("-", "_")
    for found in (ALIASES.get(plain), short, _SERVICE_NAMES.get(plain), plain):
        if found and timm.is_model(found):
            return found
    known = [*ALIASES, *timm.list_models()]
    close = difflib.get_close_matches(plain, known, 3)
    meant = f"did you mean {', '.join(close)}?" if close else "see timm.list_models()"
    raise ValueError(f"Model.class_name: timm knows no model {name!r}; {meant}")


def build_network(
    model: ModelBlock,
    transform: Transform,
    classes: int,
    *,
    allow_noncommercial: bool = False,
    with_weights: bool = True,
) -> Built:
    """Build a network with a head for so many classes.

    Parameters
    ----------
    model : ModelBlock
    transform : Transform
        Its ``resize`` and ``random_crop`` say how large the input is.
    classes : int
    allow_noncommercial : bool
        Accept pretrained weights whose licence is not known to allow commercial use.
    with_weights : bool
        Load them; not needed where a state is loaded next.

    Raises
    ------
    ValueError
        If there is no such model, or it cannot have such a head or input.
    WeightsUnavailable
        If its weights cannot be had, or do not belong to the model.
    WeightsNotAllowed
        If their licence does not allow commercial use and that was not accepted.
    """
    import timm

    crop = transform.random_crop.shape if transform.random_crop else None
    size = transform.resize.shape if transform.resize else None
    options: dict[str, Any] = {"num_classes": classes}
    if model.dropout:
        options["drop_rate"] = model.dropout
    if model.drop_path:
        options["drop_path_rate"] = model.drop_path
    name, network, weights = make_network(
        model, options, crop or size, allow_noncommercial=allow_noncommercial, with_weights=with_weights
    )
    if model.head == "mlp":
        _set_mlp(network, name, model)
    config = timm.data.resolve_model_data_config(network)
    config["crop_pct"] = 1.0  # as embedders do: the whole image counts, up to its square
    if size is not None:
        config["input_size"] = (3, *size)
    elif crop is not None:
        raise ValueError(
            "Dataset.transform.random_crop of fixed size needs Dataset.transform.resize beside it"
        )
    seen = {**config, "input_size": (3, *(crop or config["input_size"][1:]))}
    return Built(
        network, Preprocess(config), Preprocess(seen).normalise, weights, _head_names(network),
        fresh=model.weights == "scratch",
    )  # fmt: skip


def make_network(
    model: BackboneBlock,
    options: dict[str, Any],
    size: tuple[int, int] | None = None,
    *,
    allow_noncommercial: bool = False,
    with_weights: bool = True,
) -> tuple[str, nn.Module, dict[str, str]]:
    """Make a model of timm's with its weights; raises as `build_network`.

    Parameters
    ----------
    model : BackboneBlock
    options : dict
        Of ``timm.create_model``.
    size : (int, int), optional
        Height and width of its input, where it is made for one.
    allow_noncommercial, with_weights : bool
        As for `build_network`.

    Returns
    -------
    name : str
        timm's.
    network : torch.nn.Module
    weights : dict of str to str
        Where they come from.
    """
    import timm

    name = resolve_model(model.class_name)
    weights = _describe(name, model.weights, allow_noncommercial)
    pretrained = model.weights == "pretrained" and with_weights
    if pretrained:
        config = timm.get_pretrained_cfg(name)
        if config is None or not config.has_weights:
            raise WeightsUnavailable(
                f"timm has no pretrained weights for {name}: set Model.weights to scratch, or to a checkpoint's path"
            )
        try:
            require_weights(name, config)
        except WeightsUnavailable as error:
            raise WeightsUnavailable(f"{error}; in a training: --weights PATH, or Model.weights") from error
    network = _create(name, {**options, "pretrained": pretrained}, size)
    if model.weights not in ("pretrained", "scratch") and with_weights:
        load_backbone(network, name, Path(model.weights))
    return name, network, weights


def keep_statistics(network: nn.Module) -> None:
    """Have batch normalisation use the statistics it has, although the network is in training mode."""
    from torch.nn.modules.batchnorm import _BatchNorm

    for part in network.modules():
        if isinstance(part, _BatchNorm):
            part.eval()


def freeze_backbone(network: nn.Module, head: tuple[str, ...], *, frozen: bool) -> None:
    """Let only the head learn, or everything."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not frozen or name in head)


def _create(name: str, wanted: dict[str, Any], size: tuple[int, int] | None) -> nn.Module:
    import timm

    try:
        if size is not None:
            try:
                return timm.create_model(name, img_size=size, **wanted)
            except TypeError:  # a network of convolutions takes any size and has no such option
                pass
        return timm.create_model(name, **wanted)
    except TypeError as error:
        raise ValueError(f"{name} cannot be built with {', '.join(wanted)}: {error}") from error
    except AssertionError as error:
        raise ValueError(f"{name} cannot take images of {size} pixels: {error}") from error
    except OSError as error:
        raise WeightsUnavailable(f"the weights of {name} could not be downloaded: {error}") from error


def _describe(name: str, source: str, allow_noncommercial: bool) -> dict[str, str]:
    import timm

    if source == "scratch":
        return {"name": name, "source": "scratch", "licence": "none"}
    if source != "pretrained":
        return {"name": name, "source": source, "licence": "not recorded in the checkpoint"}
    config = timm.get_pretrained_cfg(name)
    licence = require_commercial(name, config and config.license, allow_noncommercial=allow_noncommercial)
    hub = config.hf_hub_id if config else None
    return {
        "name": name,
        "source": f"hf-hub:{hub}" if hub else (config and config.url) or "unknown",
        "licence": licence,
    }


def _head_names(network: nn.Module) -> tuple[str, ...]:
    prefixes = tuple(f"{one}." for one in classifier_names(network))
    return tuple(name for name, _ in network.named_parameters() if name.startswith(prefixes))


def _set_mlp(network: nn.Module, name: str, model: ModelBlock) -> None:
    from torch import nn

    places = classifier_names(network)
    linear = network.get_submodule(places[0]) if len(places) == 1 else None
    if not isinstance(linear, nn.Linear):
        raise ValueError(
            f"Model.head: {name} has no single linear classifier that an MLP could stand for: take linear"
        )
    network.set_submodule(
        places[0],
        nn.Sequential(
            nn.Linear(linear.in_features, model.hidden),
            nn.GELU(),
            nn.Dropout(model.dropout),
            nn.Linear(model.hidden, linear.out_features),
        ),
    )
