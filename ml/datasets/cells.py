"""Cells of a CSV file that no spreadsheet takes for a formula.

Class names and URIs are other people's words. So a text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line
break gets an apostrophe in front, and so does one that begins with an apostrophe: whoever takes one apostrophe off the
front of every cell that has one has the exact values back.
"""

from __future__ import annotations

from typing import Any

from ml.datasets.class_sets import join_classes

# full-width forms count as the plain ones in spreadsheets of some languages
_RISKY = tuple("=+-@\t\r\n'＝＋－＠")


def cell(value: Any) -> Any:
    """Return a value as it is to stand in a cell; several classes become ``cat, dog``."""
    text = join_classes(value) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(_RISKY) else text


def value_of(text: str) -> str:
    """Return the text that `cell` wrote; a cell of another program that begins with a lone apostrophe keeps it."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_RISKY) else text
