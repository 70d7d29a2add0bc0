"""List the licence of every distribution Lineup's requirements drag in, as a table or as a CycloneDX bill of materials.

    python scripts/licences.py                         table of what requirements.txt needs on this machine
    python scripts/licences.py --format cyclonedx      the same as CycloneDX 1.6 JSON
    python scripts/licences.py requirements-dev.txt    another file

Exits with 1 if a licence is one that Lineup does not take in, or is not known.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
# whoever offers Lineup over a network, or earns money with it, would owe more than a mention
FORBIDDEN = re.compile(
    r"\bAGPL|Affero|\bSSPL|Server Side Public|non-?\s?commercial|\bCC[- ]BY[- ]NC|Commons Clause|\bBUSL|Business Source"
    r"|\bPolyForm|academic use only|research (?:use|purposes) only",
    re.IGNORECASE,
)
# copyleft for what is linked with it
COPYLEFT = re.compile(
    r"(?<![AL])GPL|(?<!Lesser )(?<!Library or Lesser )General Public License", re.IGNORECASE
)
# read by a person, because their metadata says nothing a program can read, or more than what is installed
KNOWN = {
    "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary",  # an empty package that names the nvidia-* ones
    "label-studio-sdk": "Apache-2.0",  # its LICENSE file
}


@dataclass(frozen=True)
class Licensed:
    """One installed distribution: name, version, licence as it states it, and where it comes from."""

    name: str
    version: str
    licence: str
    home: str

    @property
    def problem(self) -> str | None:
        """Why Lineup does not take it in, or None."""
        if not self.licence:
            return "no licence in its metadata: read it, and add it to KNOWN"
        if FORBIDDEN.search(self.licence):
            return "forbids commercial use, or asks for the source of whoever serves it"
        # "or" leaves the choice
        if COPYLEFT.search(self.licence) and not re.search(r" OR |(?i:exception)", self.licence):
            return "its copyleft would cover Lineup"
        return None


def closure(requirements: Path) -> list[Licensed]:
    """Return what a requirements file needs, directly and not, as installed here; sorted by name.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If something of it is not installed.
    """
    found: dict[str, metadata.Distribution] = {}
    waiting = list(_pinned(requirements))
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        extras = sorted(wanted.extras) or [""]
        found.setdefault(name, metadata.distribution(wanted.name))
        for extra in {"", *extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for line in found[name].requires or []:
                need = Requirement(line)
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    waiting.append(need)
    return sorted(
        (_read(name, distribution) for name, distribution in found.items()), key=lambda one: one.name
    )


def _pinned(requirements: Path) -> Iterator[Requirement]:
    for line in requirements.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r"):
            yield from _pinned(requirements.parent / text[2:].strip())
        elif text:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate():
                yield need


def _read(name: str, distribution: metadata.Distribution) -> Licensed:
    return Licensed(
        name, distribution.version, KNOWN.get(name) or licence_of(distribution), _home(distribution)
    )


def licence_of(distribution: metadata.Distribution) -> str:
    """Return the licence a distribution states: its SPDX expression, else its classifiers, else its licence line."""
    about = distribution.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in about.get_all("Classifier") or []
        if text.startswith("License ::") and text != "License :: OSI Approved"
    ]
    stated = str(about.get("License") or "").strip()
    # some put the whole text there: its first line is the name
    stated = stated.splitlines()[0].strip()[:80] if stated else ""
    return ", ".join(classifiers) or ("" if stated.upper() in ("UNKNOWN", "NONE") else stated)


def _home(distribution: metadata.Distribution) -> str:
    urls = distribution.metadata.get_all("Project-URL") or []
    return str(distribution.metadata.get("Home-page") or (urls[0].partition(",")[2].strip() if urls else ""))


def cyclonedx(components: Sequence[Licensed]) -> dict[str, object]:
    """Return a CycloneDX 1.6 document; the same components give the same serial number."""
    entries = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{one.name}@{one.version}",
            "name": one.name,
            "version": one.version,
            "purl": f"pkg:pypi/{one.name}@{one.version}",
            "licenses": [{"license": {"name": one.licence or "unknown"}}],
            **({"externalReferences": [{"type": "website", "url": one.home}]} if one.home else {}),
        }
        for one in components
    ]
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(entries, sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "lineup", "bom-ref": "lineup"}},
        "components": entries,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the list; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("requirements", nargs="?", type=Path, default=ROOT / "requirements.txt")
    parser.add_argument("--format", choices=("table", "cyclonedx"), default="table")
    given = parser.parse_args(arguments)
    components = closure(given.requirements)
    out = sys.stdout
    if given.format == "cyclonedx":
        out.write(json.dumps(cyclonedx(components), indent=1) + "\n")
    else:
        wide = max(len(one.name) for one in components)
        out.writelines(f"{one.name:{wide}}  {one.version:12}  {one.licence or '?'}\n" for one in components)
    bad = [one for one in components if one.problem]
    for one in bad:
        sys.stderr.write(f"{one.name} {one.version} ({one.licence or 'no licence'}): {one.problem}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
