"""A trained UNet in use."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from ml.masks.classes import MaskClasses
from ml.segmentation.sizes import enlarge_probs_to_mask, work_size
from ml.segmentation.unet.cache import resized
from ml.segmentation.unet.config import UNetConfig
from ml.segmentation.unet.network import build_unet, logits_of
from ml.training.kept import MODEL
from ml.training.precision import Precision
from ml.training.tensor_file import read_about, read_tensors


class UNetModel:
    """A trained network.

    Parameters
    ----------
    path : Path
        Of a ``model.safetensors`` that `lineup segment train` wrote.

    Attributes
    ----------
    classes : MaskClasses
    config : UNetConfig
    about : dict
        What the file says of itself: ``mean_dice``, ``epoch``, ``trained_on``, ``weights`` and more.
    fingerprint : str
        Of the file's content.

    Raises
    ------
    ValueError
        If the file is of something else, or its tensors do not fit what it says of itself.
    OSError
        If it is not there.
    """

    def __init__(self, path: Path) -> None:
        state, self.about = read_tensors(path)
        if "unet" not in self.about:
            raise ValueError(
                f"{path} is no network of lineup segment train: give a run's folder, or its {MODEL}"
            )
        self.config = UNetConfig.model_validate(self.about["unet"])
        self.classes = MaskClasses(tuple(self.about["classes"]), self.about["ignore"])
        built = build_unet(
            self.config.model, len(self.classes.names), allow_noncommercial=True, with_weights=False
        )
        try:
            built.network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f"{path} does not fit its {len(self.classes.names)} classes and {self.config.model.class_name}: {error}"
            ) from error
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = built.network.eval().requires_grad_(False)
        self._network = network.to(self.device, memory_format=torch.channels_last)
        self._normalise = built.normalise
        # trained in half precision on a GPU, it may be used without one
        precision = "fp32" if self.config.training.precision == "fp32" else "auto"
        self._precision = Precision(precision, self.device, built.network)
        with path.open("rb") as file:
            self.fingerprint = f"unet-{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"

    @classmethod
    def load(cls, folder: Path) -> UNetModel:
        """Load the network of a run's folder, or of a file; raises as the class."""
        return cls(folder / MODEL if folder.is_dir() else folder)

    @property
    def side(self) -> int:
        """Longer side in pixels that it works at."""
        return self.config.dataset.side

    def probabilities(self, image: Image.Image, size: tuple[int, int]) -> np.ndarray:
        """Return the probabilities of the classes, float32 of shape (K, *size).

        The network sees the image at the size it was trained at, whatever is asked for.

        Parameters
        ----------
        image : PIL.Image.Image
            RGB, upright, at least as large as the network works at if the file is.
        size : (int, int)
            Height and width of the answer.
        """
        own = work_size(image.height, image.width, self.side)
        pixels = torch.from_numpy(np.array(resized(image, own))).permute(2, 0, 1)[None].to(self.device)
        with torch.inference_mode(), self._precision():
            logits = logits_of(
                self._network, self._normalise(pixels).contiguous(memory_format=torch.channels_last)
            )
        with torch.inference_mode():
            found = logits.float().softmax(dim=1)
            if own != size:
                found = functional.interpolate(found, size, mode="bilinear", align_corners=False)
            answer: np.ndarray = found[0].cpu().numpy()
        return answer

    def mask(self, image: Image.Image, shape: tuple[int, int]) -> np.ndarray:
        """Return the most probable class of every pixel, an index mask of height and width ``shape``."""
        own = work_size(image.height, image.width, self.side)
        return enlarge_probs_to_mask(self.probabilities(image, own), shape).astype(
            self.classes.dtype, copy=False
        )


def is_run(path: Path) -> bool:
    """Tell whether a path is a run of `lineup segment train`, or its network."""
    file = path / MODEL if path.is_dir() else path
    if not file.is_file() or file.suffix != ".safetensors":
        return False
    try:
        return "unet" in read_about(file)
    except ValueError:
        return False
