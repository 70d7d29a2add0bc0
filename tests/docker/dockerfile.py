"""Read a Dockerfile: its stages and their instructions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction; ``text`` is what follows its name, with continued lines joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """What follows the name: the JSON list, or split at spaces, flags left out."""
        if self.text.startswith("["):
            listed: list[str] = json.loads(self.text)
            return listed
        return [word for word in self.text.split() if not word.startswith("--")]

    def flag(self, name: str) -> str | None:
        """The value of ``--name=value``."""
        found = re.search(rf"(?:^|\s)--{name}=(\S+)", self.text)
        return found[1] if found else None


@dataclass
class Stage:
    """One build stage: the image or stage it starts from, its own name, its instructions."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """The stage's instructions of this name."""
        return [entry for entry in self.instructions if entry.name == name]


def read_stages(path: Path) -> list[Stage]:
    """Return the stages of a Dockerfile in order."""
    stages: list[Stage] = []
    for entry in read(path):
        if entry.name == "FROM":
            base, *rest = entry.words
            stages.append(Stage(base, rest[1] if rest else ""))
        else:
            assert stages, f"{entry.name} before FROM"
            stages[-1].instructions.append(entry)
    return stages


def read(path: Path) -> list[Instruction]:
    """Return all instructions in order."""
    found: list[Instruction] = []
    begun = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("#") or not (line.strip() or begun):
            continue
        begun += line.rstrip()
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        name, _, text = begun.strip().partition(" ")
        found.append(Instruction(name.upper(), " ".join(text.split())))
        begun = ""
    assert not begun, "the last line is continued"
    return found


def environment(stage: Stage) -> dict[str, str]:
    """Return what a stage's ENV instructions set."""
    return dict(word.split("=", 1) for entry in stage.all("ENV") for word in entry.words)
