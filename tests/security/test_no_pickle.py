"""Nothing Lineup reads can carry code: not its source's habits, not a checkpoint, not a file in MODEL_DIR."""

from __future__ import annotations

import ast
import collections
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.registry import VersionRegistry
from backend.settings import Settings
from ml.embedders import make_embedder
from ml.embedders.base import WeightsUnavailable
from ml.vectors import VectorStore
from tests.backend.trained import make_trained

OURS = ("backend", "ml", "demo", "benchmarks", "scripts")
CARRIES_CODE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUNS_CODE = {"eval", "exec", "compile", "__import__"}


def sources(repository: Path) -> Iterator[tuple[Path, ast.AST]]:
    for room in OURS:
        for path in sorted((repository / room).rglob("*.py")):
            yield path.relative_to(repository), ast.parse(path.read_text(encoding="utf-8"))


def faults(tree: ast.AST) -> Iterator[str]:
    """Yield what a source must not hold."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in CARRIES_CODE)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in CARRIES_CODE:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            options = {k.arg: k.value for k in node.keywords}
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            if not owner and name in RUNS_CODE:
                yield name
            if owner == "torch" and name == "load" and not _is(options.get("weights_only"), True):
                yield "torch.load without weights_only"
            if name == "load_state_dict" and not owner and not _is(options.get("weights_only"), True):
                yield "timm's load_state_dict without weights_only"
            if _is(options.get("allow_pickle"), True):
                yield "allow_pickle"
            if owner == "yaml" and name in ("load", "unsafe_load", "full_load"):
                yield f"yaml.{name}"
            if _is(options.get("shell"), True) or (owner == "os" and name in ("system", "popen")):
                yield "a shell"
            if _is(options.get("verify"), False):
                yield "certificates unchecked"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_no_source_has_what_could_run_foreign_code(repository: Path) -> None:
    seen = 0
    for path, tree in sources(repository):
        seen += 1
        assert not list(faults(tree)), path
    assert seen > 100


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import os.path, dill",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "load_state_dict(x)",
        "np.load(x, allow_pickle=True)",
        "yaml.load(x)",
        "eval(x)",
        "subprocess.run(x, shell=True)",
        "os.system(x)",
        "httpx.get(x, verify=False)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert list(faults(ast.parse(source)))


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class Crooked:
    """Calls something the weights-only loader allows, in a way that is a TypeError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return collections.OrderedDict, (1, 2, 3)


def zipped(path: Path, body: bytes) -> None:
    """Write a file of the form `torch.save` writes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/version", "3\n")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt", ".safetensors"])
@pytest.mark.parametrize("bomb", [Bomb, Crooked])
@pytest.mark.parametrize("form", ["plain", "zip"])
def test_a_poisoned_checkpoint_runs_nothing(tmp_path: Path, suffix: str, bomb: type, form: str) -> None:
    fired, path = tmp_path / "fired", tmp_path / f"weights{suffix}"
    body = pickle.dumps({"state_dict": {"conv.weight": bomb(fired)}}, protocol=2)
    zipped(path, body) if form == "zip" else path.write_bytes(body)
    with pytest.raises(WeightsUnavailable, match="cannot be read as weights"):
        make_embedder(f"timm:test_efficientnet@{path}")
    assert not fired.exists()
    assert is_live(body, fired)


def is_live(body: bytes, fired: Path) -> bool:
    """Tell whether a bomb goes off where it is unpickled."""
    try:
        pickle.loads(body)  # noqa: S301
    except TypeError:
        return True
    return fired.exists()


def test_poisoned_files_in_model_dir_run_nothing(settings: Settings, tmp_path: Path) -> None:
    trained, fired = make_trained(settings), tmp_path / "fired"
    bomb = pickle.dumps(Bomb(fired))
    folder = trained.registry.root / trained.version
    (folder / "head.safetensors").write_bytes(bomb)
    with pytest.raises(Exception, match=r"(?i)header|safetensor|deserializ"):
        VersionRegistry(trained.registry.root).load(trained.version)
    (folder / "manifest.json").write_bytes(bomb)
    with pytest.raises(ValueError, match=r"decode|Expecting"):
        VersionRegistry(trained.registry.root).manifest(trained.version)
    store = VectorStore(tmp_path / "vectors", "f", 2)
    store.put(["0" * 32], np.ones((1, 2), np.float32))
    for path in store.path.iterdir():
        if path.suffix == ".npy":
            np.save(path, np.array([Bomb(fired)], dtype=object), allow_pickle=True)
    found = VectorStore(tmp_path / "vectors", "f", 2).has(["0" * 32])
    assert not np.any(found)
    assert not fired.exists()


def test_serving_a_version_unpickles_nothing(tmp_path: Path, repository: Path) -> None:
    """Python's own audit events would tell of any unpickling, whoever did it."""
    code = f"""
import sys
from pathlib import Path
from backend.predict import Predictor
from tests.backend.trained import make_settings, make_trained, CONFIG
trained = make_trained(make_settings(Path({str(tmp_path)!r})))
predictor = Predictor(trained.settings, lambda *_: None)
seen = []
sys.addaudithook(lambda event, args: seen.append(args) if event == "pickle.find_class" else None)
(result,) = predictor.predict(7, [trained.task(1)], CONFIG)
assert result["result"], result
print(len(seen))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=repository, check=False
    )
    assert done.stdout.strip() == "0", done.stderr
