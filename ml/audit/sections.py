"""What stands in each section of the report, as plain values for its template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from ml.audit.charts import colour_of, histogram, mark, reliability, scatter, shape_of
from ml.audit.findings import CORRECTED, SUSPECT, Findings
from ml.audit.pictures import data_uri
from ml.audit.plane import place_on_plane
from ml.audit.statistics import STATISTICS
from ml.datasets.example import Example, Problem
from ml.survey import members_of
from ml.suspicion.reasons import TOO_FEW

SHOWN = {SUSPECT: 60, CORRECTED: 36}
_GROUPS, _IN_GROUP = 12, 6
_STRANGERS, _FAULTY = 18, 24
_CLASSES = 25  # of the confusion; with more the pairs alone are listed
_BARS = 60
_PAIRS = 10
_POINTS = 1_500
_BINS = 10
_LEAST_IN_BIN = 5
_LEFT_OUT = 50
_LONG = 80


def gallery(found: Findings, status: str) -> dict[str, Any]:
    """Return the most suspicious labels of a status, and how many there are."""
    rows = found.with_status(status)
    return {"count": len(rows), "cards": [card(found, row) for row in rows[: SHOWN[status]].tolist()]}


def card(found: Findings, row: int, note: str = "") -> dict[str, Any]:
    """Return an image with what was found of it."""
    example = found.examples[row]
    return {
        "name": short(example.image),
        "where": example.where,
        "picture": Markup(data_uri(example)),
        "given": found.name(int(found.labels[row])),
        "suggestion": found.name(int(found.suggestion[row])),
        "suspicion": found.suspicion[row],
        "confidence": found.confidence[row],
        "status": found.status[row],
        "reason": note or found.reason[row],
    }


def confusion(found: Findings) -> dict[str, Any]:
    """Return how often each class was given where each was suggested, and the pairs that differ most often."""
    size = len(found.classes)
    rows = np.flatnonzero(found.labelled)
    place = found.labels[rows] * size + found.suggestion[rows]
    counts = Counter(place[found.labels[rows] != found.suggestion[rows]].tolist())
    pairs = [
        {"given": found.classes[pair // size], "suggestion": found.classes[pair % size], "count": count}
        for pair, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_PAIRS]
    ]
    if size > _CLASSES:
        return {"names": [], "rows": [], "pairs": pairs}
    matrix = np.bincount(place, minlength=size * size).reshape(size, size)
    off = matrix - np.diag(np.diag(matrix))
    depth = np.sqrt(off / max(int(off.max()), 1))
    cells = [
        [{"count": int(matrix[i, j]), "same": i == j, "depth": f"{depth[i, j]:.3f}"} for j in range(size)]
        for i in range(size)
    ]
    return {"names": found.classes, "rows": list(zip(found.classes, cells, strict=True)), "pairs": pairs}


def balance(found: Findings) -> dict[str, Any]:
    """Return the number of labels of each class, the largest first, and what the audit makes of them."""
    size = len(found.classes)
    given = found.labels[found.labelled]
    counts = np.bincount(given, minlength=size)
    wrong = np.bincount(given, weights=np.nan_to_num(found.suspicion[found.labelled]), minlength=size)
    after = Counter(found.corrected_label(row) for row in range(len(found)))
    order = np.argsort(-counts, kind="stable")
    top = max(int(counts.max()), 1)
    bars = [
        {
            "name": found.classes[label],
            "count": int(counts[label]),
            "after": after[found.classes[label]],
            "wrong": float(wrong[label]),
            "width": f"{100 * counts[label] / top:.2f}",
            "bad": f"{100 * min(wrong[label], counts[label]) / top:.2f}",
        }
        for label in order[:_BARS].tolist()
    ]
    few = [found.classes[label] for label in np.flatnonzero((counts > 0) & (counts < 2)).tolist()]
    return {"bars": bars, "more": max(size - _BARS, 0), "few": few, "not_judged": _not_judged(found)}


def calibration(found: Findings) -> dict[str, Any]:
    """Return the reliability of the suspicion where the truth is known, else how it is spread."""
    suspicion = found.suspicion[found.labelled]
    counts = np.histogram(suspicion, bins=2 * _BINS, range=(0.0, 1.0))[0]
    spread = histogram(counts.tolist(), found.judgement.threshold)
    measured = against_truth(found)
    if measured is None or found.truth is None:
        return {"spread": spread, "measured": None}
    rows = np.flatnonzero(found.labelled & (found.truth >= 0))
    wrong = found.labels[rows] != found.truth[rows]
    place = np.minimum((found.suspicion[rows] * _BINS).astype(int), _BINS - 1)
    bins = [place == number for number in range(_BINS) if (place == number).sum() >= _LEAST_IN_BIN]
    told = [float(found.suspicion[rows][inside].mean()) for inside in bins]
    came = [float(wrong[inside].mean()) for inside in bins]
    sizes = [int(inside.sum()) for inside in bins]
    return {"spread": spread, "measured": measured, "curve": reliability(told, came, sizes)}


def against_truth(found: Findings) -> dict[str, Any] | None:
    """Measure the audit by known true classes; None where there are none."""
    if found.truth is None or not (found.labelled & (found.truth >= 0)).any():
        return None
    from sklearn.metrics import average_precision_score

    rows = np.flatnonzero(found.labelled & (found.truth >= 0))
    wrong = found.labels[rows] != found.truth[rows]
    status = np.array(found.status)[rows]
    corrected = status == CORRECTED
    listed = corrected | (status == SUSPECT)
    right = found.suggestion[rows] == found.truth[rows]
    return {
        "known": len(rows),
        "wrong": int(wrong.sum()),
        "expected": float(found.suspicion[rows].sum()),
        "average_precision": float(average_precision_score(wrong, found.suspicion[rows]))
        if wrong.any()
        else None,
        "listed": int(listed.sum()),
        "listed_wrong": int((listed & wrong).sum()),
        "corrected": int(corrected.sum()),
        "corrected_right": int((corrected & right).sum()),
    }


def plane(found: Findings, method: str, *, seed: int) -> dict[str, Any]:
    """Return the map of the images: all suspects as far as there is room, and a sample of the others."""
    suspects = found.suspects[: _POINTS // 3]
    rest = np.setdiff1d(np.arange(len(found)), found.suspects)
    sample = np.random.default_rng(seed).permutation(rest)[: _POINTS - len(suspects)]
    rows = np.sort(np.concatenate([suspects, sample]))
    placed = place_on_plane(found.survey.space.Z[rows], method, seed=seed)
    ringed = np.isin(rows, suspects)
    titles = [_title(found, row) for row in rows.tolist()]
    present = np.unique(found.labels[rows])
    legend = [
        {
            "name": found.name(int(label)) or "without a label",
            "mark": _svg_key(int(label)),
        }
        for label in [*present[present >= 0], *present[present < 0]]
    ]
    return {
        "chart": scatter(placed, found.labels[rows], ringed, titles),
        "legend": legend[:_BARS],
        "shown": len(rows),
        "method": {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}[method],
    }


def duplicates(found: Findings) -> dict[str, Any]:
    """Return groups of near-duplicates, those whose labels differ first, then the largest."""
    groups = found.survey.groups
    members = members_of(groups)
    differ = [len({int(label) for label in found.labels[rows] if label >= 0}) > 1 for rows in members]
    ranked = sorted(range(len(members)), key=lambda one: (not differ[one], -len(members[one]), one))
    shown = [
        {
            "differ": differ[one],
            "size": len(members[one]),
            "cards": [card(found, row) for row in members[one][:_IN_GROUP].tolist()],
        }
        for one in ranked[:_GROUPS]
    ]
    images = sum(len(rows) for rows in members)
    return {"groups": len(members), "images": images, "differ": sum(differ), "shown": shown}


def strangers(found: Findings) -> dict[str, Any]:
    """Return the images least like all others."""
    score = found.statistics["outlier"]
    rows = np.flatnonzero(score >= 0.5)
    rows = rows[np.argsort(-score[rows], kind="stable")]
    cards = [card(found, row, f"outlier {score[row]:.2f}") for row in rows[:_STRANGERS].tolist()]
    return {"count": len(rows), "cards": cards}


def faults(found: Findings) -> dict[str, Any]:
    """Return what is wrong with images themselves."""
    counts = Counter(name for name in found.fault if name)
    rows = [row for row, name in enumerate(found.fault) if name]
    cards = [card(found, row, found.fault[row]) for row in rows[:_FAULTY]]
    return {"counts": counts.most_common(), "count": len(rows), "cards": cards}


def anomalies(found: Findings) -> list[tuple[str, int]]:
    """Return how many images each statistic is out of the ordinary for."""
    counts = Counter(name for names in found.anomalies for name in names)
    return [(name, counts[name]) for name in STATISTICS if counts[name]]


def left_out(problems: Sequence[Problem]) -> dict[str, Any]:
    """Return what could not be used."""
    lines = [short(str(problem), 300) for problem in problems[:_LEFT_OUT]]
    return {"count": len(problems), "lines": lines}


def short(text: str, most: int = _LONG) -> str:
    """Return a text cut in its middle: the end of a path says more than its beginning."""
    return text if len(text) <= most else f"{text[: most // 3]}...{text[-(most - most // 3 - 3) :]}"


def _title(found: Findings, row: int) -> str:
    example: Example = found.examples[row]
    given = found.name(int(found.labels[row])) or "no label"
    told = f", suspicion {found.suspicion[row]:.2f}" if found.labels[row] >= 0 else ""
    return f"{short(example.image)}: {given}, suggested {found.name(int(found.suggestion[row]))}{told}"


def _svg_key(label: int) -> Markup:
    body = mark(shape_of(label), 6, 6, 4.5)
    return Markup('<svg class="key" viewBox="0 0 12 12" aria-hidden="true">{} fill="{}"/></svg>').format(
        body, colour_of(label)
    )


def _not_judged(found: Findings) -> int:
    return sum(reason == TOO_FEW for reason in found.reason)


def numbers(found: Findings) -> Iterator[tuple[str, str]]:
    """Yield the figures of the summary and what they count."""
    labelled = int(found.labelled.sum())
    counts = found.counts
    yield f"{len(found):,}", "images" if len(found) == labelled else f"images, {labelled:,} with a label"
    yield f"{len(found.classes):,}", "classes"
    yield (
        f"{found.expected_wrong:,.0f}",
        f"labels expected to be wrong, {found.expected_wrong / labelled:.1%}",
    )
    if found.precision is not None:
        yield f"{counts[CORRECTED]:,}", f"corrected; at least {found.precision:.0%} sure of each"
    yield f"{counts[SUSPECT]:,}", f"{'more ' if counts[CORRECTED] else ''}that a person should look at"
