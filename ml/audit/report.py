"""The findings as one HTML file that needs nothing else: no script, no address, pictures inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ml.audit import sections
from ml.audit.findings import CORRECTED, SUSPECT, Findings


def write_report(found: Findings, path: Path, *, title: str, embedder: str, plane: str, seed: int) -> None:
    """Write the report.

    Parameters
    ----------
    found : Findings
    path : Path
    title : str
        What was audited.
    embedder : str
        What the vectors come from.
    plane : str
        One of `ml.audit.plane.METHODS`.
    seed : int
        Of the map and its sample.
    """
    render(
        "report.html",
        path,
        title=title,
        embedder=embedder,
        found=found,
        numbers=list(sections.numbers(found)),
        suspects=sections.gallery(found, SUSPECT),
        corrected=sections.gallery(found, CORRECTED),
        confusion=sections.confusion(found),
        balance=sections.balance(found),
        calibration=sections.calibration(found),
        plane=sections.plane(found, plane, seed=seed),
        duplicates=sections.duplicates(found),
        strangers=sections.strangers(found),
        faults=sections.faults(found),
        anomalies=sections.anomalies(found),
        left_out=sections.left_out(found.problems),
    )


def render(template: str, path: Path, **values: Any) -> None:
    """Write a page of one of the templates here.

    Every word that comes from the dataset is escaped (Jinja2's autoescape), and the page forbids itself, by a
    Content-Security-Policy, to run or load anything.
    """
    environment = Environment(
        loader=PackageLoader("ml.audit", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["chance"] = _chance
    path.write_text(environment.get_template(template).render(**values), encoding="utf-8")


def _chance(value: float) -> str:
    """A probability with two decimals; none that is less than sure is shown as 1."""
    return "> 0.99" if value > 0.99 else f"{value:.2f}"
