"""What `lineup audit` does with masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.bars import steps
from backend.cli.common import Failure, console, errors, label_studio_settings
from backend.cli.datasets import tell_problems

if TYPE_CHECKING:
    from rich.table import Table

    from ml.audit.masks import MaskAudit
    from ml.mask_sets import MaskSet


@dataclass(frozen=True)
class MaskAuditing:
    """How masks are to be audited: options of `lineup audit`."""

    out: Path | None
    part: str
    pictures: int
    review: bool
    review_all: bool
    project_title: str
    document_root: Path | None
    backbone: str
    allow_noncommercial: bool
    cache: Path | None
    seed: int
    skip_problems: bool
    force: bool


def no_such(source: Path, **options: object) -> None:
    """See that nothing was asked for that masks have not.

    Raises
    ------
    Failure
        If one of the options is given.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise Failure(f"{source} has masks; {', '.join(given)} is for classes of whole images", 2)


def audit_set(found: MaskSet, how: MaskAuditing) -> None:
    """Judge masks, write tables, pictures and a report, and make a project of the suspects if that is asked for."""
    from ml.audit import Places
    from ml.audit.masks import audit_masks, write_mask_audit
    from ml.embedders import make_embedder
    from ml.segmentation.features import make_pixel_features

    studio = label_studio_settings() if how.review else None
    places = Places.of(found.source, how.out)
    places.check_folder(found.source, (scene.path for scene in found), force=how.force)
    name = found.source.resolve().name
    made = None
    with steps("starting") as bar:
        allowed = how.allow_noncommercial
        embedder = make_embedder(how.backbone, allow_noncommercial=allowed)
        features = make_pixel_features(how.backbone, allow_noncommercial=allowed)
        audit = audit_masks(
            found,
            features,
            embedder,
            part=how.part,
            cache=how.cache,
            seed=how.seed,
            skip_problems=how.skip_problems,
            progress=bar.progress,
            step=bar.step,
        )
        written = write_mask_audit(
            audit, places.folder, title=name, pictures=how.pictures, force=how.force, step=bar.step
        )
        if studio and len(audit.suspects):
            from backend.labelstudio.client import LabelStudioClient
            from backend.mask_review import create_mask_review

            bar.step("importing into Label Studio")
            with LabelStudioClient(studio.label_studio_url, studio.api_key) as client:
                made = create_mask_review(
                    client,
                    audit,
                    found,
                    title=how.project_title or f"Review of {name}",
                    prefix=studio.field_prefix,
                    everything=how.review_all,
                    document_root=how.document_root,
                    progress=bar.progress,
                )
    if features.note:
        errors.print(f"[yellow]note:[/] {features.note}", highlight=False, soft_wrap=True)
    tell_problems(audit.problems)
    console.print(_summary(audit))
    for path in written:
        console.print(f"  {path}", highlight=False, soft_wrap=True, markup=False)
    if made:
        console.print(
            f"Project {made.project_id} with {made.tasks} tasks: {made.url}",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
    elif how.review:
        console.print("No mask is suspect, so no project was made.")


def _summary(audit: MaskAudit) -> Table:
    from rich.table import Table

    from ml.segmentation.metrics import mean_dice

    expected = audit.judgement.expected_wrong
    rows = (
        ("masks", f"{len(audit):,}, {len(audit.classes.names)} classes"),
        ("mean Dice of masks and predictions", f"{float(mean_dice(audit.counts)):.2f}"),
        ("expected to be wrong", f"{expected:,.0f} ({expected / len(audit):.1%})"),
        ("for a person to look at", f"{len(audit.suspects):,}"),
        ("near-duplicates, pairs whose masks differ", f"{audit.duplicates:,}, {len(audit.twins):,}"),
        ("image faults", f"{sum(map(bool, audit.fault)):,}"),
        ("left out", f"{len(audit.problems):,}"),
    )
    table = Table(show_header=False, title="Audit of masks", title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table
