"""Class sets as one line of text: readable in a column of the Data Manager, and read back without loss."""

from __future__ import annotations

import re
from collections.abc import Sequence

NONE = "none"
_BARE = re.compile(r'[^\s",](?:[^",\n]*[^\s",])?')
_NAME = re.compile(rf'\s*(?:"((?:[^"]|"")*)"|({_BARE.pattern}))\s*(?:,|$)')


def join_classes(names: Sequence[str]) -> str:
    """Return ``cat, dog``; ``none`` for no class.

    A name with a comma or a quotation mark, one that begins or ends with a blank, and a class that is called
    ``none`` stand in quotation marks, doubled inside.
    """
    return ", ".join(name if _plain(name) else '"' + name.replace('"', '""') + '"' for name in names) or NONE


def split_classes(text: str) -> list[str] | None:
    """Return the names that `join_classes` joined; None where the text is not of that form."""
    if text.strip() == NONE:
        return []
    names, place = [], 0
    while place < len(text):
        found = _NAME.match(text, place)
        if found is None:
            return None
        quoted, bare = found.groups()
        names.append(bare if quoted is None else quoted.replace('""', '"'))
        place = found.end()
    return names or None


def _plain(name: str) -> bool:
    return name != NONE and _BARE.fullmatch(name) is not None
