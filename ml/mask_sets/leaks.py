"""Pictures that two parts of a set share: what is trained on must not be what is tested on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from ml.datasets.embedding import embed_dataset
from ml.datasets.example import Dataset, Example
from ml.embedders import Embedder
from ml.mask_sets.check import Fault
from ml.mask_sets.scene import MaskSet
from ml.mask_sets.writing import Progress
from ml.survey import make_survey
from ml.vectors import content_key


def find_leaks(
    found: MaskSet,
    embedder: Embedder | None,
    *,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> list[Fault]:
    """Return a fault for every group of pictures that more than one part has.

    Images that cannot be read are left aside: `ml.mask_sets.check.check` names them.

    Parameters
    ----------
    found : MaskSet
    embedder : Embedder or None
        Near-duplicates are close by its vectors, closer than neighbours usually are. None: only files of the same
        content are found.
    cache : Path, optional
        Folder for vectors.
    progress : callable
        Called with the number of images done, and of all.
    """
    scenes = [scene for scene in found if scene.path is not None]
    if len({scene.split for scene in scenes}) < 2:
        return []
    parts = {scene.path: scene.split for scene in scenes}
    if embedder is None:
        return _leaks(
            _by_content([path for path in parts if path is not None], progress), parts, "the same file as"
        )
    examples = [Example(scene.image, None, scene.path, scene.where) for scene in scenes]
    embedded = embed_dataset(
        Dataset(found.source, examples), embedder, cache=cache, skip_problems=True, progress=progress
    )
    groups = make_survey(embedded.keys, embedded.vectors, None).groups.tolist()
    by_group: defaultdict[object, list[Path]] = defaultdict(list)
    for group, example in zip(groups, embedded.examples, strict=True):
        if example.path is not None:
            by_group[group].append(example.path)
    return _leaks(by_group, parts, "nearly the same as")


def _by_content(paths: list[Path], progress: Callable[[int, int], None]) -> dict[object, list[Path]]:
    groups: defaultdict[object, list[Path]] = defaultdict(list)
    for number, path in enumerate(paths, 1):
        try:
            groups[content_key(path.read_bytes())].append(path)
        except OSError:  # named by the check
            continue
        finally:
            progress(number, len(paths))
    return groups


def _leaks(groups: dict[object, list[Path]], parts: dict[Path | None, str], how: str) -> list[Fault]:
    found = []
    for paths in groups.values():
        first, *others = sorted(paths)
        across = [path for path in others if parts[path] != parts[first]]
        if across:
            names = ", ".join(f"{parts[path]}/{path.name}" for path in across[:5])
            more = f" and {len(across) - 5} more" if len(across) > 5 else ""
            found.append(Fault("leak", f"{parts[first]}/{first.name}", f"is {how} {names}{more}"))
    return found
