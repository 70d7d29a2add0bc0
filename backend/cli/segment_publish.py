"""`lineup segment publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.bars import steps
from backend.cli.common import (
    Failure,
    ProjectOption,
    clear_errors,
    console,
    label_studio_settings,
    require_known,
)


def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    project: ProjectOption,
    force: Annotated[bool, typer.Option("--force", help="Publish it even if the probe is better.")] = False,
) -> None:
    """Have a network draw a project's masks, if it is better than the probe on images that neither has learned from.

    Example: `lineup segment publish runs/2025-03-01_10-00-00 --project 7`
    """
    with clear_errors():
        from datetime import UTC, datetime

        from backend.backbones import NETWORK
        from backend.jobs.locks import training_lock
        from backend.jobs.open import open_hints
        from backend.labelstudio.client import LabelStudioClient
        from backend.labelstudio.fetch import ImageFetcher
        from backend.project import open_backbones
        from backend.segmentation.comparing import compare
        from ml.segmentation.unet.model import UNetModel
        from ml.segmentation.unet.run import seen_by
        from ml.training.kept import MODEL

        settings = label_studio_settings()
        require_known(settings, project)
        model = UNetModel.load(run)
        trained, chosen_by = seen_by(run)
        with (
            steps("comparing") as bar,
            LabelStudioClient(settings.label_studio_url, settings.api_key) as client,
        ):
            fetcher = ImageFetcher(
                client, allow_hosts=settings.allow_hosts, max_bytes=settings.max_image_bytes
            )
            found = compare(settings, project, model, set(trained), set(chosen_by), fetcher, bar.progress)
        console.print(
            f"mean Dice of {found.images} images that neither has learned from: network [bold]{found.network:.4f}[/], "
            f"probe {found.probe:.4f}",
            highlight=False,
            soft_wrap=True,
        )
        if found.skipped:
            console.print(f"{found.skipped} more are left out, see the log.", highlight=False)
        if found.chosen_by:
            console.print(
                f"{found.chosen_by} of them chose the network's epoch, which flatters it: there are too few others.",
                highlight=False,
                soft_wrap=True,
            )
        if not (found.better or force):
            console.print("The probe goes on. The same command with --force publishes the network.")
            return
        manifest = {
            NETWORK: "unet",
            "classes": list(model.classes.names),
            "dice": found.network,
            "probe_dice": found.probe,
            "compared_on": found.images,
            "trained_on": trained,
            "weights": model.about["weights"],
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with training_lock(settings.project_dir(project)) as held:
            if not held:
                raise Failure(f"a training of project {project} is under way: try again when it has ended")
            backbones = open_backbones(settings, project)
            name = backbones.save(run / MODEL, manifest)
            backbones.publish(name)
        open_hints(settings).add(project, "backbone")
        console.print(
            f"{name} draws the masks of project {project} from the next refresh on.", highlight=False
        )
        console.print(f"Back to the probe: lineup train --project {project} --drop")
