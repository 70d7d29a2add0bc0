"""Charts of the report as inline SVG: a scatter plot, a reliability diagram and a histogram.

What is not drawn with lines is HTML (bars, tables). All words go through `markupsafe`, which escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup

# eight hues that stay apart for colour-blind eyes (Okabe and Ito), then shapes
_HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c7ae6", "#7f7f7f")
_SHAPES = ("circle", "square", "diamond")
_WIDTH, _HEIGHT = 860, 520
_PAD = 14
_SIDE = 320
_EDGE = 44
_INNER = _SIDE - 2 * _EDGE


def colour_of(label: int) -> str:
    """Return the colour of a class; grey for -1."""
    return _HUES[label % len(_HUES)] if label >= 0 else "#bbbbbb"


def shape_of(label: int) -> str:
    """Return the shape of a class: it tells apart classes of one colour."""
    return _SHAPES[max(label, 0) // len(_HUES) % len(_SHAPES)]


def mark(shape: str, x: float, y: float, size: float) -> Markup:
    """Return a shape's element without its colours, closed by the caller's attributes."""
    if shape == "square":
        return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"').format(
            x - size, y - size, 2 * size, 2 * size
        )
    if shape == "diamond":
        step = 1.3 * size
        corners = (
            f"{x:.1f},{y - step:.1f} {x + step:.1f},{y:.1f} {x:.1f},{y + step:.1f} {x - step:.1f},{y:.1f}"
        )
        return Markup('<polygon points="{}"').format(corners)
    return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}"').format(x, y, size)


def scatter(plane: np.ndarray, labels: np.ndarray, ringed: np.ndarray, titles: Sequence[str]) -> Markup:
    """Draw points in the colour and shape of their class, those that are ringed above the others.

    Parameters
    ----------
    plane : ndarray of float, shape (n, 2)
        In [0, 1].
    labels : ndarray of int, shape (n,)
    ringed : ndarray of bool, shape (n,)
    titles : sequence of str, length n
        Shown where the pointer rests.
    """
    parts = []
    for row in np.argsort(ringed, kind="stable").tolist():
        x = _PAD + plane[row, 0] * (_WIDTH - 2 * _PAD)
        y = _PAD + (1.0 - plane[row, 1]) * (_HEIGHT - 2 * _PAD)
        label = int(labels[row])
        body = mark(shape_of(label), x, y, 4.2 if ringed[row] else 2.8)
        style = ' stroke="#111" stroke-width="1.6"' if ringed[row] else ' fill-opacity=".55"'
        parts.append(
            body
            + Markup(' fill="{}"{}><title>{}</title></{}>').format(
                colour_of(label), Markup(style), titles[row], body.split(" ", 1)[0].strip("<")
            )
        )
    return _svg(_WIDTH, _HEIGHT, "Map of the images", Markup("").join(parts))


def reliability(told: Sequence[float], came: Sequence[float], sizes: Sequence[int]) -> Markup:
    """Draw the share of wrong labels against the suspicion, a point a bin; larger points hold more labels."""
    parts = [
        _line(*_place(0, 0), *_place(1, 1), "#bbb", dashed=True),
        *_axes("suspicion", "share of wrong labels"),
    ]
    points = [_place(x, y) for x, y in zip(told, came, strict=True)]
    parts += [_line(*before, *after, "#0072b2") for before, after in pairwise(points)]
    top = max(sizes, default=1)
    for (x, y), share, size in zip(points, came, sizes, strict=True):
        parts.append(
            Markup(
                '<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" fill="#0072b2"><title>{}</title></circle>'
            ).format(x, y, 3 + 6 * (size / top) ** 0.5, f"{size} labels, {share:.0%} of them wrong")
        )
    return _svg(_SIDE, _SIDE, "Share of wrong labels against suspicion", Markup("").join(parts))


def histogram(
    counts: Sequence[int], threshold: float, *, what: str = "labels", of: str = "suspicion"
) -> Markup:
    """Draw how many labels, or what else, have which suspicion in bins of equal width, on a logarithmic scale.

    Bins beyond the threshold are orange.
    """
    top = np.log1p(max(max(counts, default=0), 1))

    parts = []
    for number, count in enumerate(counts):
        x, y = _place(number / len(counts), float(np.log1p(count) / top))
        inside = (number + 1) / len(counts) > threshold
        parts.append(
            Markup(
                '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"><title>{}</title></rect>'
            ).format(
                x + 1,
                y,
                _INNER / len(counts) - 2,
                _SIDE - _EDGE - y,
                "#d55e00" if inside else "#56b4e9",
                f"{count} {what} with a {of} from {number / len(counts):.2f} to {(number + 1) / len(counts):.2f}",
            )
        )
    parts += _axes(of, f"{what} (logarithmic)", ticks=False)
    return _svg(_SIDE, _SIDE, f"How many {what} have which {of}", Markup("").join(parts))


def _place(x: float, y: float) -> tuple[float, float]:
    """From values in [0, 1] to the square diagram."""
    return _EDGE + x * _INNER, _SIDE - _EDGE - y * _INNER


def _axes(x_name: str, y_name: str, *, ticks: bool = True) -> list[Markup]:
    (x0, y0), (x1, _), (_, y1) = _place(0, 0), _place(1, 0), _place(0, 1)
    parts = [_line(x0, y0, x1, y0, "#666"), _line(x0, y0, x0, y1, "#666")]
    for value in (0.0, 0.5, 1.0):
        x, y = _place(value, value)
        parts.append(_text(x, y0 + 16, f"{value:g}", "middle"))
        if ticks:
            parts.append(_text(x0 - 6, y + 4, f"{value:g}", "end"))
    parts.append(_text((x0 + x1) / 2, y0 + 34, x_name, "middle"))
    parts.append(
        Markup('<text transform="translate(14,{:.1f}) rotate(-90)" text-anchor="middle">{}</text>').format(
            (y0 + y1) / 2, y_name
        )
    )
    return parts


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, *, dashed: bool = False) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}"{}/>').format(
        x0, y0, x1, y1, colour, Markup(' stroke-dasharray="4 4"') if dashed else ""
    )


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, words)


def _svg(width: int, height: int, title: str, body: Markup) -> Markup:
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">{}</svg>'
    ).format(width, height, title, body)
