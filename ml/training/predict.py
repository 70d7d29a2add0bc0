"""Classify images with trained networks: one or an ensemble, as they are or in several views."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ml.datasets import Example, Problem
from ml.datasets.options import read_file
from ml.embedders.batching import BatchSize
from ml.embedders.stream import embed_stream
from ml.embedders.threads import usable_cpus
from ml.images import ImageLimits
from ml.training.augment import plain_transform
from ml.training.config import TrainingConfig
from ml.training.network import build_network
from ml.training.precision import Precision
from ml.training.tensor_file import read_tensors
from ml.training.views import make_views

_CPU_BATCH, _GPU_BATCH = 8, 64


class Classifier:
    """A trained network; `ml.embedders.embed_stream` takes files through it as through an embedder.

    Parameters
    ----------
    path : Path
        Of a ``model.safetensors`` that `lineup train` wrote, or the folder of its run.
    views : bool
        Average over views of an image: mirrored or closer, as the training has shown them to the network.
    threads : int, optional
        Cores to use; default: all this process may use.

    Raises
    ------
    ValueError
        If the file is of something else or its tensors do not fit what it says of itself, or there is no other view.
    OSError
        If it is not there.
    """

    def __init__(self, path: Path, *, views: bool = False, threads: int | None = None) -> None:
        path = path / "model.safetensors" if path.is_dir() else path
        state, about = read_tensors(path)
        if "classes" not in about:
            raise ValueError(
                f"{path} is where a training stands, not a network: give model.safetensors beside it"
            )
        self.config = TrainingConfig.model_validate(about["config"])
        self.classes: list[str] = about["classes"]
        transform = self.config.dataset.transform
        built = build_network(
            self.config.model, transform, len(self.classes), allow_noncommercial=True, with_weights=False
        )
        try:
            built.network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f"checkpoint {path} does not fit its {len(self.classes)} classes and {self.config.model.class_name}: "
                f"{error}"
            ) from error
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        network = built.network.eval().requires_grad_(False)
        self._network = network.to(self.device, memory_format=torch.channels_last)
        self._normalise = built.normalise
        self._crop = plain_transform(transform)
        self._views = make_views(transform) if views else [lambda images: images]
        # trained in half precision on a GPU, it may be used without one
        precision = "fp32" if self.config.training.precision == "fp32" else "auto"
        self._precision = Precision(precision, torch.device(self.device), built.network)
        self.preprocess = built.preprocess
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.name, self.fingerprint = f"trained:{path}", f"trained-{digest[:12]}"
        self.note: str | None = None
        self.weights: dict[str, str] = about["weights"]
        self.dim = len(self.classes)
        self.image_size = built.preprocess.decode_side
        self.workers = threads or usable_cpus()
        self.batch_size = _CPU_BATCH if self.device == "cpu" else _GPU_BATCH
        self.sizer = BatchSize(self.batch_size)
        self.jpeg_on_gpu = False

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Return the part of an RGB image the network sees, uint8 of shape (height, width, 3)."""
        return self.preprocess.prepare(image)

    def forward(self, prepared: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes for prepared images, float32 of shape (n, classes)."""
        images = torch.from_numpy(prepared).to(self.device).movedim(-1, 1)
        with torch.inference_mode():
            total = torch.zeros((len(images), self.dim), device=self.device)
            for view in self._views:
                seen = view(images)
                seen = seen if self._crop is None else self._crop(seen)
                with self._precision():
                    logits = self._network(self._normalise(seen.movedim(1, -1)))
                total += logits.float().softmax(dim=1)
            return (total / len(self._views)).cpu().numpy()

    def launch(self, prepared: np.ndarray) -> Callable[[], np.ndarray]:
        """Compute at once, and hand over when asked."""
        return partial(_itself, self.forward(prepared))


def _itself(value: np.ndarray) -> np.ndarray:
    return value


@dataclass(frozen=True)
class Predictions:
    """What networks say of images.

    Attributes
    ----------
    classes : list of str
    examples : list of Example
        Those that could be read.
    probabilities : ndarray of float32, shape (len(examples), len(classes))
    problems : list of Problem
        Those that could not.
    """

    classes: list[str]
    examples: list[Example]
    probabilities: np.ndarray
    problems: list[Problem]


def load_classifiers(paths: Sequence[Path], *, views: bool = False) -> list[Classifier]:
    """Load the networks of an ensemble.

    Raises
    ------
    ValueError
        If one cannot be used, or they are not of the same classes.
    OSError
        If one is not there.
    """
    found = [Classifier(path, views=views) for path in paths]
    for path, one in zip(paths, found, strict=True):
        if one.classes != found[0].classes:
            raise ValueError(
                f"{path} has classes {', '.join(one.classes)}, {paths[0]} has {', '.join(found[0].classes)}: "
                "an ensemble needs the same ones in the same order"
            )
    return found


def predict_images(
    classifiers: Sequence[Classifier],
    examples: Sequence[Example],
    *,
    limits: ImageLimits | None = None,
    done: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Classify images; the probabilities of several networks are averaged.

    Parameters
    ----------
    classifiers : sequence of Classifier
        Of the same classes: `load_classifiers` sees to it.
    examples : sequence of Example
    limits : ImageLimits, optional
    done : callable, optional
        Told of how many images of how many are classified, counted once a network.
    """
    total = np.zeros((len(examples), classifiers[0].dim), dtype=np.float32)
    problems: dict[int, Problem] = {}
    all_of_them = len(examples) * len(classifiers)
    number = 0
    for classifier in classifiers:
        files = _files(examples, problems)
        for one in embed_stream(classifier, files, limits=limits or ImageLimits()):
            if one.vector is None:
                example = examples[one.key]
                problems[one.key] = Problem(f"{example.where} ({example.image})", str(one.error))
            else:
                total[one.key] += one.vector
            number += 1
            if done is not None:
                done(number, all_of_them)
    good = [row for row in range(len(examples)) if row not in problems]
    return Predictions(
        classifiers[0].classes,
        [examples[row] for row in good],
        total[good] / len(classifiers),
        [problems[row] for row in sorted(problems)],
    )


def _files(examples: Sequence[Example], problems: dict[int, Problem]) -> Iterator[tuple[int, bytes]]:
    for row, example in enumerate(examples):
        if row in problems:
            continue
        try:
            data = read_file(example)
        except (OSError, ValueError) as error:
            problems[row] = Problem(example.where, str(error))
            continue
        yield row, data


def prediction_rows(found: Predictions, top: int) -> list[Example]:
    """Return predictions as examples with the columns confidence, label_2, confidence_2, ... up to ``top``."""
    order = np.argsort(-found.probabilities, axis=1, kind="stable")[:, : max(1, top)]
    rows = []
    for example, places, values in zip(found.examples, order.tolist(), found.probabilities, strict=True):
        more: dict[str, object] = {**example.task, "confidence": round(float(values[places[0]]), 5)}
        for number, place in enumerate(places[1:], 2):
            more |= {
                f"label_{number}": found.classes[place],
                f"confidence_{number}": round(float(values[place]), 5),
            }
        rows.append(Example(example.image, found.classes[places[0]], example.path, example.where, more))
    return rows
