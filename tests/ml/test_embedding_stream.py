from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from ml.embedders import embed_stream, make_embedder
from ml.embedders import stream as stream_module
from ml.embedders import threads as thread_counts
from ml.embedders.base import Embedder
from ml.embedders.batching import BatchSize
from ml.embedders.gpu_jpeg import prepare_jpeg, require_gpu_jpeg
from ml.embedders.pixels import PixelsEmbedder
from ml.embedders.preprocess import Preprocess
from ml.embedders.stream import in_order, worker_threads
from ml.images import ImageError, ImageLimits, decode_reduced
from tests.embedding import embed

LIMITS = ImageLimits()
CONFIG = {"input_size": (3, 64, 64), "crop_pct": 0.875, "interpolation": "bicubic", "crop_mode": "center"}
CONFIG |= {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def jpeg(seed: int, size: tuple[int, int] = (90, 70), **options: object) -> bytes:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.manual_seed(1)
    torch.save(timm.create_model("test_efficientnet", pretrained=False).state_dict(), path)
    return make_embedder(f"timm:test_efficientnet@{path}", image_size=64, threads=3)


def test_a_stream_gives_each_file_its_vector_in_order(backbone: Embedder) -> None:
    files = [jpeg(i) for i in range(100)]
    files[3], files[50] = b"", b"no image"
    streamed = list(embed_stream(backbone, enumerate(files), limits=LIMITS))
    assert [one.key for one in streamed] == list(range(100))
    assert [one.key for one in streamed if one.error] == [3, 50]
    assert all(one.vector is None for one in streamed if one.error)
    good = [one for one in streamed if one.vector is not None]
    images = [decode_reduced(files[one.key], limits=LIMITS, side=backbone.image_size)[0] for one in good]
    expected = embed(backbone, images)
    np.testing.assert_allclose(np.stack([one.vector for one in good]), expected, rtol=0.05, atol=0.02)


def test_what_inspect_sees_comes_back(backbone: Embedder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned
    files = [jpeg(1, (2000, 1000)), b"broken", jpeg(2, (400, 300), exif=exif.tobytes())]
    streamed = list(
        embed_stream(
            backbone, enumerate(files), limits=LIMITS, inspect=lambda image, size: (image.size, size)
        )
    )
    (reduced, full), nothing, (_, turned) = (one.seen for one in streamed)
    assert full == (2000, 1000)
    assert backbone.image_size <= min(reduced) < 1000
    assert nothing is None
    assert turned == (300, 400)


def test_an_empty_stream(backbone: Embedder) -> None:
    assert list(embed_stream(backbone, [], limits=LIMITS)) == []


def test_files_are_read_only_a_few_batches_ahead() -> None:
    embedder = PixelsEmbedder(threads=1)
    embedder.batch_size = 2
    read: list[int] = []

    def items() -> object:
        for i in range(1000):
            read.append(i)
            yield i, jpeg(i % 3)

    stream = embed_stream(embedder, items(), limits=LIMITS)
    next(stream)
    assert len(read) <= 20
    stream.close()
    assert len(read) <= 20


def test_large_files_are_held_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_BATCH_BYTES", 10_000)
    monkeypatch.setattr(stream_module, "_AHEAD_BYTES", 30_000)
    read: list[int] = []

    def items() -> Iterator[tuple[int, bytes]]:
        for i in range(200):
            read.append(i)
            yield i, b"x" * 4_000  # no image, which costs nothing to find out

    stream = embed_stream(PixelsEmbedder(threads=4), items(), limits=LIMITS)
    assert next(stream).error is not None
    assert len(read) <= 5 * 3  # three files a batch, four batches before the limit and one more
    assert [one.key for one in stream] == list(range(1, 200))


def test_threads_torch_uses_elsewhere_stay_as_they_are(backbone: Embedder) -> None:
    before = torch.get_num_threads()
    list(embed_stream(backbone, ((i, jpeg(i)) for i in range(40)), limits=LIMITS))
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *seen] == [before, before]


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    with worker_threads(2, "test") as pool, pytest.raises(ZeroDivisionError):
        list(in_order(pool, lambda x: [1 // x], [1, 2, 0, 3], 2))


@pytest.mark.parametrize("size", [(64, 64), (200, 120), (50, 90), (31, 17)])
def test_preprocessing_is_that_of_timm(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (7, 9, 3), dtype=np.uint8)).resize(size, Image.BICUBIC)
    ours = Preprocess(CONFIG)
    pixels = torch.from_numpy(ours.prepare(image))[None]
    made = ours.normalise(pixels)[0]
    expected = timm.data.create_transform(**CONFIG, is_training=False)(image)
    assert made.shape == expected.shape
    # the crop is to whole pixels of the file, and this one changes much from pixel to pixel
    assert float((made - expected).abs().mean()) < 0.2 * float(expected.std())


def test_an_image_of_the_right_size_is_not_touched() -> None:
    preprocess = Preprocess(CONFIG | {"crop_pct": 1.0})
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert (preprocess.prepare(Image.fromarray(pixels)) == pixels).all()


def test_unknown_ways_to_crop_are_refused() -> None:
    with pytest.raises(ValueError, match="border"):
        Preprocess(CONFIG | {"crop_mode": "border"})


def test_the_batch_size_grows_while_it_pays() -> None:
    sizer = BatchSize(8)
    while not sizer._settled:
        # 10 ms a batch and 0.1 ms an image up to 64 at a time, nothing won beyond
        sizer.took(sizer.size, 0.01 + 1e-4 * sizer.size if sizer.size <= 64 else 0.001 * sizer.size)
    assert sizer.size == 64


def test_the_batch_size_halves_when_memory_runs_out() -> None:
    sizer = BatchSize(64)
    sizer.out_of_memory(64)
    assert sizer.size == 32
    for _ in range(20):
        sizer.took(32, 0.001)
    assert sizer.size == 32
    with pytest.raises(MemoryError, match="smaller"):
        sizer.out_of_memory(1)


class FakeGpu(PixelsEmbedder):
    """Has memory for ten images."""

    def __init__(self) -> None:
        super().__init__(threads=2)
        self.device = "cuda"
        self.sizer = BatchSize(32)
        self.jpeg_on_gpu = False
        self.sizes: list[int] = []

    def launch(self, prepared: np.ndarray) -> object:
        if len(prepared) > 10:
            raise torch.OutOfMemoryError("out of memory")
        self.sizes.append(len(prepared))
        return lambda: self.forward(prepared)


def test_on_a_gpu_batches_that_do_not_fit_are_split() -> None:
    gpu, files = FakeGpu(), [jpeg(i) for i in range(70)]
    files[5] = b"broken"
    streamed = list(embed_stream(gpu, enumerate(files), limits=LIMITS))
    reference = list(embed_stream(PixelsEmbedder(), enumerate(files), limits=LIMITS))
    assert [one.key for one in streamed] == list(range(70))
    assert gpu.sizer.size <= 10
    assert sum(gpu.sizes) == 69
    for one, other in zip(streamed, reference, strict=True):
        assert (one.vector is None) == (other.vector is None)
        if one.vector is not None:
            np.testing.assert_allclose(one.vector, other.vector, atol=1e-5)


def test_a_container_quota_limits_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(thread_counts, "_QUOTA", quota)
    monkeypatch.setattr(thread_counts.os, "sched_getaffinity", lambda pid: set(range(64)))
    assert thread_counts.usable_cpus() == 64
    quota.write_text("max 100000\n")
    assert thread_counts.usable_cpus() == 64
    quota.write_text("250000 100000\n")
    assert thread_counts.usable_cpus() == 3


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
@pytest.mark.parametrize("size", [(300, 200), (64, 64)])
def test_decoding_in_one_step_sees_what_the_usual_path_sees(size: tuple[int, int]) -> None:
    preprocess, data = Preprocess(CONFIG), jpeg(1, size)
    made = prepare_jpeg(data, preprocess, LIMITS, device="cpu")
    expected = preprocess.prepare(decode_reduced(data, limits=LIMITS, side=10_000)[0])
    assert made is not None
    assert made.shape == expected.shape
    assert np.abs(made.astype(int) - expected).mean() < 2


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_what_the_gpu_cannot_decode_is_left_to_the_usual_path() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    png = io.BytesIO()
    Image.new("RGB", (9, 9)).save(png, "PNG")
    cut = jpeg(1)[:-200]
    for data in (jpeg(1, exif=exif.tobytes()), png.getvalue(), cut):
        assert prepare_jpeg(data, Preprocess(CONFIG), LIMITS, device="cpu") is None
    with pytest.raises(ImageError, match="empty"):
        prepare_jpeg(b"", Preprocess(CONFIG), LIMITS, device="cpu")


def test_decoding_on_a_gpu_needs_one() -> None:
    with pytest.raises(ValueError, match="jpeg_on_gpu"):
        require_gpu_jpeg("cpu")


def test_threads_that_hold_much_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_counts, "usable_cpus", lambda: 64)
    assert thread_counts.workers_within(1000) == 64
    assert thread_counts.workers_within(300_000_000) == 3
    assert thread_counts.workers_within(5_000_000_000) == 1
