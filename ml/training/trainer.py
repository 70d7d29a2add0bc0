"""The training of one classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ml.training.augment import AugmentedImages, image_seed, plain_transform, training_transform
from ml.training.batches import EpochBatches
from ml.training.config import TrainingConfig
from ml.training.head_start import choose_rows, start_head
from ml.training.loop import Keeper, Report, TrainingLoop
from ml.training.losses import make_loss
from ml.training.material import Material
from ml.training.metrics import judge_classifier
from ml.training.mixing import make_mixing
from ml.training.network import Built
from ml.training.processes import Processes
from ml.training.views import View


class Trainer(TrainingLoop):
    """Trains one classifier.

    Parameters
    ----------
    config : TrainingConfig
    built : Built
        The network, that is changed.
    material : Material
    processes : Processes
    keeper : Keeper, optional
        Where checkpoints go; without one nothing is kept.
    report : callable, optional
        Told of the progress.
    """

    def __init__(
        self,
        config: TrainingConfig,
        built: Built,
        material: Material,
        processes: Processes,
        *,
        keeper: Keeper[Trainer] | None = None,
        report: Report | None = None,
    ) -> None:
        self.config, self.material, self.built = config, material, built
        training = config.training
        targets = material.targets[material.train]
        batches = EpochBatches(
            material.train, targets, training.batch_size, seed=training.seed,
            weighted=training.weighted_sampler, rank=processes.rank, world=processes.world,
        )  # fmt: skip
        super().__init__(
            training, built.network, built.head, fresh=built.fresh,
            batches=batches, processes=processes, keeper=keeper, report=report,
        )  # fmt: skip
        classes = len(material.classes)
        self._targets = torch.from_numpy(material.targets).to(self.device)
        self._loss = make_loss(training, targets, classes).to(self.device)
        self._mixing = make_mixing(training, classes)
        self._plain = plain_transform(config.dataset.transform)
        self._changed = AugmentedImages(
            material.pixels, training_transform(config.dataset.transform, built.preprocess.shape)
        )

    @property
    def _images(self) -> AugmentedImages:
        return self._changed

    @property
    def _changes_cheaply(self) -> bool:
        return self.config.dataset.transform.only_mirrors

    def probabilities(self, rows: np.ndarray, views: Sequence[View] = ()) -> np.ndarray:
        """Return the probabilities of the classes for cached images, float32 of shape (len(rows), classes).

        Parameters
        ----------
        rows : ndarray of int
        views : sequence of callable
            Of `ml.training.views.make_views`: averaged over; without any, images as they are.
        """
        network = self.judge
        self.processes.share_buffers(network)

        def work(some: np.ndarray) -> torch.Tensor:
            seen = [self._logits(network, some, view).softmax(dim=1) for view in views or (None,)]
            return torch.stack(seen).mean(dim=0)

        return self.over(rows, work, len(self.material.classes))

    def _begin(self) -> None:
        """Begin with a head that frozen vectors lead to, where the backbone has learned before."""
        training, material = self.config.training, self.material
        names = {name.rpartition(".")[0] for name in self.built.head}
        linear = self.network.get_submodule(names.pop()) if len(names) == 1 else None
        if self.built.fresh or not training.head_start or not isinstance(linear, nn.Linear):
            return
        rows = choose_rows(material.train, material.targets[material.train], training.seed)
        if not len(rows):
            return
        inputs: list[torch.Tensor] = []

        def vectors(some: np.ndarray) -> torch.Tensor:
            self._logits(self.network, some)
            return inputs.pop().float()

        hook = linear.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        found = self.over(rows, vectors, linear.in_features)
        hook.remove()
        start_head(linear, found, material.targets[rows], seed=training.seed)
        if self._ema is not None:
            self._ema.set(self.network)

    def changed_images(self, count: int) -> np.ndarray:
        """Return training images as the network sees them, uint8 of shape (count, height, width, 3)."""
        rows = self.material.train[:count]
        seed = self.config.training.seed
        images, _ = self._images.__getitems__([(int(row), image_seed(seed, int(row))) for row in rows])
        return images.numpy()

    @torch.no_grad()
    def _logits(self, network: nn.Module, rows: np.ndarray, view: View | None = None) -> torch.Tensor:
        network.eval()
        images = torch.from_numpy(self.material.pixels[rows])
        if view is not None:
            images = view(images.movedim(-1, 1)).movedim(1, -1)
        if self._plain is not None:
            images = self._plain(images.movedim(-1, 1)).movedim(1, -1)
        with self.precision():
            logits: torch.Tensor = network(self._input(images))
        return logits.float()

    def _input(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.to(self.device, non_blocking=True)
        return self.built.normalise(pixels).contiguous(memory_format=self.layout)

    def _loss_of(self, network: nn.Module, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        images, rows = batch
        inputs, targets = self._input(images), self._targets[rows.to(self.device)]
        if self._mixing is not None:
            inputs, targets = self._mixing(inputs, targets)
        with self.precision():
            loss: torch.Tensor = self._loss(network(inputs), targets)
        return loss

    def _judge(self) -> tuple[dict[str, Any], list[float]] | None:
        valid = self.material.valid
        if not len(valid):
            return None
        targets = self.material.targets[valid]
        found = judge_classifier(self.probabilities(valid), targets, len(self.material.classes))
        return found, [found["macro_f1"], -found["log_loss"]]
