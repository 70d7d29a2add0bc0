"""Pictures that two parts of a set share: what is trained on must not be what is tested on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from ml.datasets.embedding import embed_dataset
from ml.datasets.example import Dataset, Example
from ml.embedders import Embedder
from ml.mask_sets.check import Fault
from ml.mask_sets.scene import MaskSet, Scene
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
    groups = group_pictures(found.source, scenes, embedder, cache=cache, progress=progress)
    return _leaks(groups, parts, "the same file as" if embedder is None else "nearly the same as")


def group_pictures(
    source: Path,
    scenes: Sequence[Scene],
    embedder: Embedder | None,
    *,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> list[list[Path]]:
    """Return the images that can be read in groups of near-duplicates, most of them alone.

    Parameters
    ----------
    source : Path
        Of the set, for messages.
    scenes : sequence of Scene
    embedder, cache, progress
        As for `find_leaks`.
    """
    paths = [(scene, scene.path) for scene in scenes if scene.path is not None]
    if embedder is None:
        return _by_content([path for _, path in paths], progress)
    examples = [Example(scene.image, None, path, scene.where) for scene, path in paths]
    embedded = embed_dataset(
        Dataset(source, examples), embedder, cache=cache, skip_problems=True, progress=progress
    )
    by_group: defaultdict[object, list[Path]] = defaultdict(list)
    numbers = make_survey(embedded.keys, embedded.vectors, None).groups.tolist()
    for number, example in zip(numbers, embedded.examples, strict=True):
        if example.path is not None:
            by_group[number].append(example.path)
    return list(by_group.values())


def _by_content(paths: list[Path], progress: Callable[[int, int], None]) -> list[list[Path]]:
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for number, path in enumerate(paths, 1):
        try:
            groups[content_key(path.read_bytes())].append(path)
        except OSError:  # named by the check
            continue
        finally:
            progress(number, len(paths))
    return list(groups.values())


def _leaks(groups: list[list[Path]], parts: dict[Path | None, str], how: str) -> list[Fault]:
    found = []
    for paths in groups:
        first, *others = sorted(paths)
        across = [path for path in others if parts[path] != parts[first]]
        if across:
            names = ", ".join(f"{parts[path]}/{path.name}" for path in across[:5])
            more = f" and {len(across) - 5} more" if len(across) > 5 else ""
            found.append(Fault("leak", f"{parts[first]}/{first.name}", f"is {how} {names}{more}"))
    return found
