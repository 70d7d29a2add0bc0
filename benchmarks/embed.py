"""How fast image files become stored vectors, and what half precision costs them.

Run with ``python -m benchmarks.embed --data DIR --weights FILE``. Speed: Lineup's stream beside the pure forward
pass over ready tensors and the one-image-at-a-time loop of the usual example backend, in turns within one run, so
that the ratios hold on a busy machine. Quality: accuracy of a probe and average precision of label-error detection
on vectors of both precisions. Store: opening and reading a million vectors. Prints tables and writes
``benchmarks/results/embed.json`` and ``embed.png``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from cleanlab.rank import get_label_quality_scores
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.metrics import average_precision_score

from ml.embedders import embed_stream
from ml.embedders.precision import Forward, half_type
from ml.embedders.stream import batches, worker_threads
from ml.embedders.threads import usable_cpus
from ml.embedders.timm_backbone import TimmEmbedder
from ml.folds import stable_folds
from ml.heads.logistic import fit_logistic
from ml.images import ImageLimits
from ml.segments import KEY_DTYPE, write_segment
from ml.vectors import VectorStore, content_key

RESULTS = Path(__file__).parent / "results"
MODEL = "mobilenetv2_100"
SIDE = 128
PACKS = ("cifar10n_20k", "flowers5_128")
PUT = 512  # vectors a write to the store
LIMITS = ImageLimits()
WAYS = {
    "stream": "JPEG bytes to store",
    "forward": "pure forward, ready tensors",
    "all_cores": "the same, a batch on all cores",
    "one_by_one": "one image at a time, fp32, all cores",
    "one_core": "one image at a time, fp32, one core",
}
console = Console()

FETCH = f"""What this benchmark needs:
  --data DIR      with {" or ".join(f"{pack}.npz" for pack in PACKS)}: arrays `jpeg` (all files, one after the other,
                  uint8) and `offset` (n + 1); the first also with `clean_label`, `aggre_label` and `worse_label`.
                  Images: www.cs.toronto.edu/~kriz/cifar.html; labels: github.com/UCSC-REAL/cifar-10-100n
  --weights FILE  a checkpoint of timm's {MODEL}, such as model.safetensors of
                  huggingface.co/timm/{MODEL}.ra_in1k"""


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


def read_pack(path: Path, count: int) -> tuple[list[bytes], dict[str, np.ndarray]]:
    """Return the first image files of a pack, and its label arrays."""
    with np.load(path, allow_pickle=False) as pack:
        data, offset = pack["jpeg"].tobytes(), pack["offset"]
        files = [data[start:stop] for start, stop in pairwise(offset[: count + 1])]
        labels = {name: pack[name][: len(files)] for name in pack.files if name.endswith("label")}
    return files, labels


def store_stream(embedder: TimmEmbedder, files: Iterable[bytes], store: VectorStore) -> int:
    """Embed files into the store, as the loop does."""
    stored = 0
    stream = embed_stream(embedder, ((content_key(data), data) for data in files), limits=LIMITS)
    for part in batches(stream, PUT):
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
    images = [embedder.prepare(Image.open(io.BytesIO(data)).convert("RGB")) for data in files]
    return [
        embedder.preprocess.normalise(torch.from_numpy(np.stack(batch)))
        for batch in batches(images, embedder.batch_size)
    ]


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
    return {"fingerprint": embedder.fingerprint, "workers": embedder.workers, **result}


def embedders(weights: str) -> Iterator[tuple[str, TimmEmbedder]]:
    """Yield the network in the precisions to compare."""
    yield "fp32", TimmEmbedder(MODEL, checkpoint=weights, image_size=SIDE, precision="fp32")
    yield "auto", TimmEmbedder(MODEL, checkpoint=weights, image_size=SIDE)
    if half_type("cpu") is not None:
        everywhere = TimmEmbedder(MODEL, checkpoint=weights, image_size=SIDE, precision="fp32")
        everywhere.compute = Forward(everywhere.compute.network, half_type("cpu"), protect=False)
        yield "bf16 everywhere", everywhere


def quality(weights: str, files: Sequence[bytes], labels: dict[str, np.ndarray]) -> dict[str, Any]:
    """Compare what the precisions are worth: a probe on clean labels, suspicion on two sets of human labels."""
    folds = stable_folds([content_key(data) for data in files], 5)
    clean = labels["clean_label"]
    classes = int(clean.max()) + 1
    figures: dict[str, Any] = {}
    exact = None
    for name, embedder in embedders(weights):
        stream = embed_stream(embedder, enumerate(files), limits=LIMITS)
        vectors = [one.vector for one in track(stream, name, total=len(files), console=console)]
        X = np.stack(vectors).astype(np.float16).astype(np.float32)
        exact = X if exact is None else exact
        cosine = (X * exact).sum(axis=1) / np.linalg.norm(X, axis=1) / np.linalg.norm(exact, axis=1)
        probe = fit_logistic(X, clean, classes, folds).oos_probs
        figures[name] = {
            "fingerprint": embedder.fingerprint,
            "cosine_mean": float(cosine.mean()),
            "cosine_min": float(cosine.min()),
            "probe_accuracy": float((probe.argmax(axis=1) == clean).mean()),
        }
        for given in ("aggre_label", "worse_label"):
            y = labels[given]
            probs = fit_logistic(X, y, classes, folds).oos_probs
            doubt = get_label_quality_scores(y, probs, method="normalized_margin")
            figures[name][f"ap_{given}"] = float(average_precision_score(y != clean, -doubt))
    return figures


def big_store(rows: int = 1_000_000, dim: int = 512, reads: int = 10_000) -> dict[str, float]:
    """Open a large store and read scattered vectors from it, in a fresh process."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = VectorStore(Path(folder), "big", dim).path
        keys = np.sort(np.frombuffer(rng.bytes(KEY_DTYPE.itemsize * rows), dtype=KEY_DTYPE))
        block = rng.standard_normal((rows // 100, dim), dtype=np.float32).astype(np.float16)
        write_segment(path, keys, dim, (block for _ in range(100)))
        wanted = [bytes(key).ljust(KEY_DTYPE.itemsize, b"\0").hex() for key in rng.choice(keys, reads, False)]
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return {"rows": rows} | pool.submit(read_store, folder, dim, wanted).result()


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


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    for pack, one in figures["speed"].items():
        table = Table(
            title=f"{pack}: {MODEL} at {SIDE} px, JPEG bytes to stored vectors ({one['fingerprint']})"
        )
        for column in ("", "images/s", "core ms an image", "of pure forward", "by core time"):
            table.add_column(column, justify="left" if not column else "right")
        for way, text in WAYS.items():
            row = one[way]
            table.add_row(
                text,
                f"{row['images_per_s']:,.0f}",
                f"{row['ms_of_a_core']:.2f}",
                f"{row['of_reference']:.2f}",
                f"{row['of_reference_by_cpu']:.2f}",
            )
        console.print(table)
        console.print(
            f"  {one['times_one_by_one']:.1f} times the loop on all cores (target 3), "
            f"{one['times_one_core']:.1f} times the loop on one\n"
        )
    if figures.get("quality"):
        table = Table(title="What the precision costs (5 folds, cifar10n_20k)")
        for column in ("", "cosine mean", "cosine least", "probe accuracy", "AP aggregate", "AP worst"):
            table.add_column(column, justify="left" if not column else "right")
        for name, row in figures["quality"].items():
            table.add_row(
                name,
                f"{row['cosine_mean']:.4f}",
                f"{row['cosine_min']:.4f}",
                f"{row['probe_accuracy']:.4f}",
                f"{row['ap_aggre_label']:.4f}",
                f"{row['ap_worse_label']:.4f}",
            )
        console.print(table)
    store = figures["store"]
    console.print(
        f"Store of {store['rows']:,} x 512: opened in {1000 * store['open_s']:.1f} ms; "
        f"{store['reads']:,} scattered vectors ({store['vectors_mb']:.0f} MB) read in {store['read_s']:.2f} s, "
        f"memory grew by {store['memory_mb']:.0f} MB"
    )


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw images a second of each way."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    packs = list(figures["speed"])
    for index, pack in enumerate(packs):
        rates = [figures["speed"][pack][way]["images_per_s"] for way in WAYS]
        places = np.arange(len(WAYS)) + 0.8 * (index + 0.5) / len(packs) - 0.4
        axes.bar_label(axes.barh(places, rates, 0.8 / len(packs), label=pack), fmt="%.0f", padding=3)
    axes.set_yticks(np.arange(len(WAYS)), list(WAYS.values()))
    axes.invert_yaxis()
    axes.set_xlabel("images a second")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=FETCH
    )
    parser.add_argument("--data", type=Path, default=given("DATA"), help="folder of the image packs")
    parser.add_argument("--weights", type=Path, default=given("WEIGHTS"), help=f"checkpoint of {MODEL}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=512, help="images a round")
    parser.add_argument("--images", type=int, default=20_000, help="images for quality; 0: leave it out")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of embed.json and embed.png")
    args = parser.parse_args()
    packs = [args.data / f"{pack}.npz" for pack in PACKS] if args.data else []
    packs = [path for path in packs if path.is_file()]
    if not packs or not args.weights or not args.weights.is_file():
        sys.exit(FETCH)
    figures: dict[str, Any] = {
        "machine": {"processor": processor(), "cores": usable_cpus(), "half": str(half_type("cpu"))},
        "speed": {
            path.stem: speed(str(args.weights), read_pack(path, 4096)[0], args.rounds, args.count)
            for path in packs
        },
        "store": big_store(),
    }
    files, labels = read_pack(packs[0], args.images)
    if files and labels:
        figures["quality"] = quality(str(args.weights), files, labels)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "embed.json").write_text(json.dumps(figures, indent=2) + "\n")
    plot(figures, args.out / "embed.png")
    show(figures)


def given(name: str) -> Path | None:
    """Return a path from the environment."""
    value = os.environ.get(f"LINEUP_BENCH_{name}")
    return Path(value) if value else None


def processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
