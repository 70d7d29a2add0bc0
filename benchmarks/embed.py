"""How fast image files become stored vectors, and what half precision costs them.

``python -m benchmarks embed --data DIR --weights FILE``. Speed: Lineup's stream beside the pure forward pass over
ready tensors and the one-image-at-a-time loop of the usual example backend, in turns within one run, so that the
ratios hold on a busy machine. Quality: accuracy of a probe and average precision of label-error detection on
vectors of both precisions. Store: opening and reading a million vectors.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from rich.progress import track
from sklearn.metrics import average_precision_score

from benchmarks.data import LIMITS, MODEL, SIDE, Pack, embed_files, open_packs, require_weights
from benchmarks.report import Sheet, Target, at_least, at_most, console, drawing, target_sheet
from benchmarks.scoring import ours
from ml.embedders import embed_stream
from ml.embedders.precision import Forward, half_type
from ml.embedders.stream import worker_threads
from ml.embedders.timm_backbone import TimmEmbedder
from ml.folds import stable_folds
from ml.heads.logistic import fit_logistic
from ml.segments import KEY_DTYPE, write_segment
from ml.vectors import VectorStore, content_key

PACKS = ("cifar10n_20k", "flowers5_128")
FILES = 4096  # of a set that rounds are drawn from
PUT = 512  # vectors a write to the store
WAYS = {
    "stream": "JPEG bytes to stored vectors",
    "forward": "pure forward pass over ready tensors, a batch a core",
    "all_cores": "pure forward pass over ready tensors, a batch on all cores",
    "one_by_one": "one image at a time, fp32, all cores",
    "one_core": "one image at a time, fp32, one core",
}
POINTS = 0.003  # that half precision may cost
QUALITY = {
    "probe_accuracy": "probe accuracy",
    "ap_aggre_label": "suspicion's average precision, aggregate",
    "ap_worse_label": "suspicion's average precision, worst",
}


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=512, help="images a round")
    parser.add_argument("--stored", type=int, default=1_000_000, help="rows of the large store")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure speed on the sets that are there, quality on that with human labels, and the store.

    Raises
    ------
    Missing
        If no set is there, or the weights are not.
    """
    packs = open_packs(PACKS, options.data)
    weights = require_weights(options.weights)
    figures: dict[str, Any] = {
        "half": str(half_type("cpu")),
        "speed": {
            pack.name: speed(weights, pack.images(FILES), options.rounds, options.count) for pack in packs
        },
        "store": big_store(options.stored),
    }
    human = [pack for pack in packs if "clean_label" in pack.labels]
    if human:
        figures["quality"] = quality(weights, human[0], options.rows)
    return figures


@dataclass
class Timed:
    """Images, seconds and processor seconds of one way of doing it, by round."""

    images: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, work: Callable[[], int]) -> None:
        """Time one round."""
        cpu, began = time.process_time(), time.perf_counter()
        self.images.append(work())
        self.seconds.append(time.perf_counter() - began)
        self.cpu.append(time.process_time() - cpu)

    def figures(self, reference: Timed) -> dict[str, float]:
        """Speed, and the ratio to another's, each round against the same round."""
        rates = np.array(self.images) / self.seconds
        others = np.array(reference.images) / reference.seconds
        spent = (np.array(self.images) / self.cpu) / (np.array(reference.images) / reference.cpu)
        return {
            "images_per_s": float(np.median(rates)),
            "ms_of_a_core": 1000 * sum(self.cpu) / sum(self.images),
            "of_reference": float(np.median(rates / others)),
            "of_reference_by_cpu": float(np.median(spent)),
        }


def store_stream(embedder: TimmEmbedder, files: Iterable[bytes], store: VectorStore) -> int:
    """Embed files into the store, as the loop does."""
    stored = 0
    stream = embed_stream(embedder, ((content_key(data), data) for data in files), limits=LIMITS)
    while part := list(islice(stream, PUT)):
        good = [one for one in part if one.vector is not None]
        store.put([one.key for one in good], np.stack([one.vector for one in good]))
        stored += len(good)
    return stored


def pure_forward(embedder: TimmEmbedder, tensors: Sequence[torch.Tensor]) -> int:
    """Run ready tensors through the network on the same threads."""
    with worker_threads(embedder.workers, "forward") as pool:
        return sum(len(vectors) for vectors in pool.map(embedder.compute, tensors))


def whole_machine_forward(embedder: TimmEmbedder, tensors: Sequence[torch.Tensor]) -> int:
    """Run ready tensors through the network one batch at a time, each on all cores."""
    return sum(len(embedder.compute(tensor)) for tensor in tensors)


def one_by_one(
    network: torch.nn.Module, transform: Callable[[Image.Image], torch.Tensor], files: Sequence[bytes]
) -> int:
    """Embed as the usual example backend does: decode, transform and run one image after the other."""
    with torch.no_grad():
        for data in files:
            network(transform(Image.open(io.BytesIO(data)).convert("RGB"))[None]).numpy()
    return len(files)


def on_one_core(work: Callable[[], int]) -> int:
    """Run in a thread in which torch uses one core."""
    with worker_threads(1, "one") as pool:
        return pool.submit(work).result()


def plain_network(weights: str) -> tuple[torch.nn.Module, Callable[[Image.Image], torch.Tensor]]:
    """Return the model and its transform as timm gives them."""
    network = timm.create_model(MODEL, checkpoint_path=weights).eval()
    network.reset_classifier(0)
    config = timm.data.resolve_model_data_config(network) | {"input_size": (3, SIDE, SIDE), "crop_pct": 1.0}
    return network, timm.data.create_transform(**config, is_training=False)


def ready(embedder: TimmEmbedder, files: Sequence[bytes]) -> list[torch.Tensor]:
    """Return batches of input tensors."""
    images = (embedder.prepare(Image.open(io.BytesIO(data)).convert("RGB")) for data in files)
    tensors = []
    while batch := list(islice(images, embedder.batch_size)):
        tensors.append(embedder.preprocess.normalise(torch.from_numpy(np.stack(batch))))
    return tensors


def speed(weights: str, files: Sequence[bytes], rounds: int, count: int) -> dict[str, Any]:
    """Measure the ways in turns, ``count`` files a round; each ratio is the median over rounds."""
    embedder = TimmEmbedder(MODEL, checkpoint=weights, image_size=SIDE)
    network, transform = plain_network(weights)
    timed = {way: Timed() for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in track(range(rounds + 1), "speed", console=console):
            some = [files[(turn * count + i) % len(files)] for i in range(count)]
            tensors = ready(embedder, some)
            # a new folder a round: what is stored already would not be written
            store = VectorStore(Path(folder) / str(turn), embedder.fingerprint, embedder.dim)
            works: dict[str, Callable[[], int]] = {
                "stream": partial(store_stream, embedder, some, store),
                "forward": partial(pure_forward, embedder, tensors),
                "all_cores": partial(whole_machine_forward, embedder, tensors[: max(1, len(tensors) // 8)]),
                "one_by_one": partial(one_by_one, network, transform, some[: max(1, count // 32)]),
                "one_core": partial(
                    on_one_core, partial(one_by_one, network, transform, some[: max(1, count // 32)])
                ),
            }
            for way, work in works.items():
                # the first round only warms up
                (timed[way] if turn else Timed()).add(work)
    result: dict[str, Any] = {way: one.figures(timed["forward"]) for way, one in timed.items()}
    for way in ("one_by_one", "one_core"):
        result[f"times_{way}"] = timed["stream"].figures(timed[way])["of_reference"]
    result["stream_of_all_cores"] = timed["stream"].figures(timed["all_cores"])["of_reference"]
    return {"fingerprint": embedder.fingerprint, "workers": embedder.workers, **result}


def embedders(weights: str) -> Iterator[tuple[str, TimmEmbedder]]:
    """Yield the network in the precisions to compare."""
    yield "fp32", TimmEmbedder(MODEL, checkpoint=weights, image_size=SIDE, precision="fp32")
    yield "auto", TimmEmbedder(MODEL, checkpoint=weights, image_size=SIDE)
    if half_type("cpu") is not None:
        everywhere = TimmEmbedder(MODEL, checkpoint=weights, image_size=SIDE, precision="fp32")
        everywhere.compute = Forward(everywhere.compute.network, half_type("cpu"), protect=False)
        yield "bf16 everywhere", everywhere


def quality(weights: str, pack: Pack, rows: int | None) -> dict[str, Any]:
    """Compare what the precisions are worth: a probe on clean labels, suspicion on two sets of human labels."""
    files = pack.images(rows)
    keys = [content_key(data) for data in files]
    folds = stable_folds(keys, 5)
    clean = pack.labels["clean_label"][: len(files)]
    classes = int(clean.max()) + 1
    figures: dict[str, Any] = {"rows": len(files), "precisions": {}}
    exact = None
    for name, embedder in embedders(weights):
        X = embed_files(embedder, files, name)
        exact = X if exact is None else exact
        cosine = (X * exact).sum(axis=1) / np.linalg.norm(X, axis=1) / np.linalg.norm(exact, axis=1)
        probe = fit_logistic(X, clean, classes, folds).oos_probs
        found = {
            "fingerprint": embedder.fingerprint,
            "cosine_mean": float(cosine.mean()),
            "cosine_min": float(cosine.min()),
            "probe_accuracy": float((probe.argmax(axis=1) == clean).mean()),
        }
        for given in ("aggre_label", "worse_label"):
            y = pack.labels[given][: len(files)]
            _, judged = ours(X, y, classes, keys)
            found[f"ap_{given}"] = float(average_precision_score(y != clean, judged.suspicion))
        figures["precisions"][name] = found
    return figures


def big_store(rows: int, dim: int = 512) -> dict[str, float]:
    """Open a large store and read scattered vectors from it, in a fresh process."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = VectorStore(Path(folder), "big", dim).path
        keys = np.sort(np.frombuffer(rng.bytes(KEY_DTYPE.itemsize * rows), dtype=KEY_DTYPE))
        reads = rows // 100
        block = rng.standard_normal((reads, dim), dtype=np.float32).astype(np.float16)
        write_segment(path, keys, dim, (block for _ in range(100)))
        wanted = [bytes(key).ljust(KEY_DTYPE.itemsize, b"\0").hex() for key in rng.choice(keys, reads, False)]
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return {"rows": rows, "dim": dim} | pool.submit(read_store, folder, dim, wanted).result()


def read_store(folder: str, dim: int, wanted: list[str]) -> dict[str, float]:
    """Open a store and read from it; seconds and megabytes."""
    before, began = resident(), time.perf_counter()
    store = VectorStore(Path(folder), "big", dim)
    opened, began = time.perf_counter() - began, time.perf_counter()
    vectors, found = store.get(wanted)
    read = time.perf_counter() - began
    if not found.all():
        raise RuntimeError("the store lost vectors")
    return {
        "open_s": opened,
        "reads": len(wanted),
        "read_s": read,
        "memory_mb": (resident() - before) / 1e6,
        "vectors_mb": vectors.nbytes / 1e6,
    }


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at."""
    found = []
    for pack, one in figures["speed"].items():
        ratio = one["stream"]["of_reference"]
        usual = one["stream_of_all_cores"]
        found += [
            at_least(
                f"{pack}: of the pure forward pass, a batch a core (ours, the faster)", ratio, 0.9, "{:.2f}"
            ),
            at_least(
                f"{pack}: of the pure forward pass, a batch on all cores (torch's usual)",
                usual,
                0.9,
                "{:.2f}",
            ),
            at_least(
                f"{pack}: times the loop of one image at a time", one["times_one_by_one"], 3.0, "{:.1f}"
            ),
        ]
    if "quality" in figures:
        exact, half = (figures["quality"]["precisions"][name] for name in ("fp32", "auto"))
        found += [
            at_most(
                f"{title}: points half precision costs",
                100 * (exact[key] - half[key]),
                100 * POINTS,
                "{:.2f}",
            )
            for key, title in QUALITY.items()
        ]
    store = figures["store"]
    found.append(
        at_most(f"seconds to open {store['rows']:,} x {store['dim']}", store["open_s"], 1.0, "{:.4f}")
    )
    what = "memory that scattered reads hold, of the vectors read"
    found.append(at_most(what, store["memory_mb"] / store["vectors_mb"], 2.0, "{:.1f}"))
    return found


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    speeds = figures["speed"]
    found = {
        "targets": target_sheet("embed", targets(figures)),
        "speed": Sheet(
            f"{MODEL} at {SIDE} px: images a second (ms of a core an image)",
            ("", *speeds),
            [
                (
                    text,
                    *(
                        f"{one[way]['images_per_s']:,.0f} ({one[way]['ms_of_a_core']:.2f})"
                        for one in speeds.values()
                    ),
                )
                for way, text in WAYS.items()
            ],
        ),
    }
    if "quality" in figures:
        found["precision"] = Sheet(
            f"What the precision costs, {figures['quality']['rows']:,} images, 5 folds",
            ("precision", "cosine to fp32, mean", "least", *QUALITY.values()),
            [
                (
                    name,
                    f"{row['cosine_mean']:.4f}",
                    f"{row['cosine_min']:.3f}",
                    *(f"{row[key]:.4f}" for key in QUALITY),
                )
                for name, row in figures["quality"]["precisions"].items()
            ],
        )
    store = figures["store"]
    found["store"] = Sheet(
        "The vector store",
        ("vectors", "opened in ms", "vectors read", "of MB", "in seconds", "memory grew by MB"),
        [
            (
                f"{store['rows']:,} x {store['dim']}",
                f"{1000 * store['open_s']:.1f}",
                f"{store['reads']:,}",
                f"{store['vectors_mb']:.1f}",
                f"{store['read_s']:.2f}",
                f"{store['memory_mb']:.1f}",
            )
        ],
    )
    return found


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw images a second of each way."""
    with drawing(path, size=(8, 3)) as (axes,):
        speeds = figures["speed"]
        for index, (pack, one) in enumerate(speeds.items()):
            rates = [one[way]["images_per_s"] for way in WAYS]
            places = np.arange(len(WAYS)) + 0.8 * (index + 0.5) / len(speeds) - 0.4
            bars = axes.barh(places, rates, 0.8 / len(speeds), label=pack)
            axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
        axes.set_yticks(np.arange(len(WAYS)), list(WAYS.values()), fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel("images a second")
