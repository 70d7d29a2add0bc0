"""Train a UNet on masks, from Python as from the shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ml.datasets import DatasetError
from ml.mask_sets import MaskSet, Scene
from ml.segmentation.unet.cache import CachedScenes, Done, cache_scenes
from ml.segmentation.unet.config import UNetConfig
from ml.segmentation.unet.network import BuiltUNet, build_unet
from ml.segmentation.unet.parts import choose_parts
from ml.segmentation.unet.run import MaskRun, ReadHow, ReadMasks, best_of, read_set
from ml.segmentation.unet.trainer import MaskMaterial, UNetTrainer
from ml.training.fit import Trained
from ml.training.loop import Progress, Report
from ml.training.processes import Processes, join_processes
from ml.training.tensor_file import read_about


def train_unet(
    config: UNetConfig,
    found: MaskSet,
    *,
    how: ReadHow | None = None,
    parts: tuple[Sequence[Scene], Sequence[Scene]] | None = None,
    runs: Path = Path("runs"),
    cache: Path | None = None,
    skip_problems: bool = False,
    allow_noncommercial: bool = False,
    report: Report | None = None,
    compared: Done | None = None,
    decoded: Done | None = None,
    begun: Callable[[Path], None] | None = None,
) -> Trained:
    """Train a network and keep it in a new folder.

    Parameters
    ----------
    config : UNetConfig
    found : MaskSet
    how : ReadHow, optional
        How it was read, for a run that is taken up again.
    parts : (sequence of Scene, sequence of Scene), optional
        To train on and to hold out; without them `ml.segmentation.unet.parts.choose_parts` says.
    runs : Path
        Folder of the run folders.
    cache : Path, optional
        Folder for vectors that tell near-duplicates, where a part is held out.
    skip_problems : bool
        Leave out what cannot be used instead of stopping.
    allow_noncommercial : bool
        Accept pretrained weights whose licence is not known to allow commercial use.
    report, compared, decoded, begun : callable, optional
        Told of the progress of the training, of the look for near-duplicates and of the decoding, and of the run's
        folder.

    Raises
    ------
    DatasetError
        If the masks cannot be trained on.
    ValueError
        If the configuration does not fit them, or the training fails.
    WeightsUnavailable
        If the weights cannot be had.
    OSError
        If files cannot be read or written.
    """
    require_classes(found)
    with join_processes() as processes:
        # refuse a model that cannot be built before anything is written
        built = _build(config, found, allow_noncommercial)
        learn, hold = parts or choose_parts(
            found, config.dataset.valid_share, seed=config.training.seed, cache=cache,
            progress=compared or (lambda done, total: None),
        )  # fmt: skip
        path = (
            MaskRun.new(runs, config, found, how or ReadHow(found.source), (learn, hold)).path
            if processes.first
            else runs
        )
        run = MaskRun(Path(processes.share_text(str(path))), found.classes.names)
        if begun is not None and processes.first:
            begun(run.path)
        try:
            return _train(run, config, found, learn, hold, built, processes, skip_problems, report, decoded)
        except DatasetError:
            if processes.first:
                run.discard()
            raise


def resume_unet(
    path: Path,
    *,
    read: ReadMasks = read_set,
    skip_problems: bool = False,
    allow_noncommercial: bool = False,
    report: Report | None = None,
    decoded: Done | None = None,
) -> Trained:
    """Take up a run that was stopped; raises as `train_unet`.

    Parameters
    ----------
    path : Path
        Its folder.
    read : callable
        Reads its masks again, by source, format and options.
    skip_problems, allow_noncommercial, report, decoded
        As for `train_unet`.
    """
    run, config, found, learn, hold = MaskRun.open(path, read)
    begun = run.checkpoint.exists()
    progress = read_about(run.checkpoint)["progress"] if begun else None
    if progress is not None and Progress(**progress).ended(config.training):
        run.complete(progress["history"])
        raise ValueError(f"the run {path} has ended: its network is {run.model}")
    with join_processes() as processes:
        built = _build(config, found, allow_noncommercial, with_weights=not begun)
        return _train(run, config, found, learn, hold, built, processes, skip_problems, report, decoded)


def require_classes(found: MaskSet) -> None:
    """See that there is something to tell apart.

    Raises
    ------
    DatasetError
        If there is one class.
    """
    if len(found.classes.names) < 2:
        raise DatasetError(
            f"{found.source} has one class, {found.classes.names[0]}: a network needs at least two; "
            "--classes a,b,c says which there are"
        )


def _build(
    config: UNetConfig, found: MaskSet, allow_noncommercial: bool, *, with_weights: bool = True
) -> BuiltUNet:
    import torch

    torch.manual_seed(config.training.seed)
    return build_unet(
        config.model,
        len(found.classes.names),
        allow_noncommercial=allow_noncommercial,
        with_weights=with_weights,
    )


def _train(
    run: MaskRun,
    config: UNetConfig,
    found: MaskSet,
    learn: Sequence[Scene],
    hold: Sequence[Scene],
    built: BuiltUNet,
    processes: Processes,
    skip_problems: bool,
    report: Report | None,
    decoded: Done | None,
) -> Trained:
    both = [*learn, *hold]

    def decode() -> CachedScenes:
        return cache_scenes(
            found, both, config.dataset.side, run.images, skip_problems=skip_problems, done=decoded
        )

    scenes = processes.first_then_all(decode)
    train, valid = scenes.rows[scenes.rows < len(learn)], scenes.rows[scenes.rows >= len(learn)]
    if not len(train) or not len(valid):
        raise DatasetError(
            f"{found.source}: {len(scenes.problems)} images cannot be used, and what is left is too little: "
            f"{len(train)} to train on, {len(valid)} to validate"
        )
    material = MaskMaterial(scenes, found.classes, train, valid)
    trainer = UNetTrainer(config, built, material, processes, keeper=run, report=report)
    if (trainer.class_counts > 0).sum() < 2:
        raise DatasetError(f"{found.source}: the masks to train on have one class alone: label more")
    progress = trainer.fit()
    if processes.first:
        run.finish(progress.history)
    return Trained(run.path, run.model, progress.history, best_of(progress.history), scenes.problems)
