"""What stands in each section of the report on masks, as plain values for its template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup

from ml.audit.charts import histogram
from ml.audit.masks.findings import MaskAudit
from ml.audit.masks.pictures import pair, strip
from ml.audit.masks.words import changes, what_is_wrong
from ml.audit.pictures import jpeg_uri
from ml.audit.sections import short
from ml.mask_sets.overlay import colour_of
from ml.segmentation.metrics import dice_per_class, mean_dice

SHOWN = 40
_SIDE = 176  # pixels of each picture
_CLASSES = 25  # of the table of pixels
_CHANGES = 5
_TWINS, _FAULTY = 12, 60
_BINS = 20


def numbers(audit: MaskAudit) -> Iterator[tuple[str, str]]:
    """Yield the figures of the summary and what they count."""
    expected = audit.judgement.expected_wrong
    yield f"{len(audit):,}", "masks"
    yield f"{len(audit.classes.names):,}", "classes"
    yield f"{expected:,.0f}", f"masks expected to be wrong, {expected / len(audit):.1%}"
    yield f"{len(audit.suspects):,}", "that a person should look at"
    yield f"{float(mean_dice(audit.counts)):.2f}", "mean Dice of masks and predictions, over classes"


def suspects(audit: MaskAudit) -> dict[str, Any]:
    """Return the most suspicious masks, and how many there are."""
    rows = audit.suspects
    return {"count": len(rows), "cards": [_card(audit, row) for row in rows[:SHOWN].tolist()]}


def _card(audit: MaskAudit, row: int) -> dict[str, Any]:
    scene, part = audit.scenes[row], audit.part(row)
    picture = strip(audit, row, _SIDE)
    return {
        "name": short(scene.image),
        "where": scene.where,
        "split": "" if scene.image.startswith(f"{scene.split}/") else scene.split,
        "picture": Markup(jpeg_uri(picture)) if picture else "",
        "reason": what_is_wrong(audit, row),
        "suspicion": audit.suspicion[row],
        "dice": audit.dice[row],
        "suspected": part.share if part else 0.0,
        "changes": [
            {"colour": hex_colour(audit, one.number), "change": one} for one in changes(audit, row)[:_CHANGES]
        ],
    }


def reasons(audit: MaskAudit) -> list[tuple[str, int]]:
    """Return how many suspects have each reason, the most frequent first."""
    return Counter(audit.judgement.reason[row] for row in audit.suspects.tolist()).most_common()


def classes(audit: MaskAudit) -> list[dict[str, Any]]:
    """Return each class's share of the pixels, Dice, masks that have it and suspects that are about it."""
    given = audit.counts.sum(axis=1)
    dice = dice_per_class(audit.counts)
    has = (np.array([found.label_shares for found in audit.findings]) > 0).sum(axis=0)
    parts = (audit.part(row) for row in audit.suspects.tolist())
    about = Counter(part.number for part in parts if part is not None)
    return [
        {
            "name": name,
            "colour": hex_colour(audit, number),
            "share": given[number] / max(int(given.sum()), 1),
            "masks": int(has[number]),
            "dice": None if np.isnan(dice[number]) else float(dice[number]),
            "suspects": about[number],
        }
        for number, name in enumerate(audit.classes.names)
    ]


def confusion(audit: MaskAudit) -> dict[str, Any]:
    """Return which share of the pixels of each given class is predicted as which; nothing where classes are many."""
    names = audit.classes.names
    if len(names) > _CLASSES:
        return {"names": [], "rows": []}
    shares = audit.counts / np.maximum(audit.counts.sum(axis=1, keepdims=True), 1)
    rows = [
        [{"share": float(share), "same": i == j, "depth": f"{share**0.5:.3f}"} for j, share in enumerate(row)]
        for i, row in enumerate(shares.tolist())
    ]
    return {"names": names, "rows": list(zip(names, rows, strict=True))}


def spread(audit: MaskAudit) -> dict[str, Markup]:
    """Return how suspicion and Dice are spread."""
    suspicion = np.histogram(audit.suspicion, bins=_BINS, range=(0.0, 1.0))[0]
    dice = audit.dice
    dice = np.histogram(dice[np.isfinite(dice)], bins=_BINS, range=(0.0, 1.0))[0]
    return {
        "suspicion": histogram(suspicion.tolist(), audit.judgement.threshold, what="masks"),
        "dice": histogram(dice.tolist(), 2.0, what="masks", of="Dice"),
    }


def twins(audit: MaskAudit) -> dict[str, Any]:
    """Return near-duplicates whose masks differ."""
    shown = []
    for one in audit.twins[:_TWINS]:
        picture = pair(audit, one.rows, _SIDE)
        names = [short(audit.scenes[row].image) for row in one.rows]
        shown.append(
            {"picture": Markup(jpeg_uri(picture)) if picture else "", "names": names, "dice": one.dice}
        )
    return {"count": len(audit.twins), "images": audit.duplicates, "shown": shown}


def faults(audit: MaskAudit) -> dict[str, Any]:
    """Return what is wrong with images themselves."""
    named = [(short(audit.scenes[row].image), fault) for row, fault in enumerate(audit.fault) if fault]
    return {"count": len(named), "shown": named[:_FAULTY]}


def hex_colour(audit: MaskAudit, number: int) -> str:
    """Return the colour of a class in the pictures, as pages have it."""
    return "#{:02x}{:02x}{:02x}".format(*colour_of(number, audit.classes))
