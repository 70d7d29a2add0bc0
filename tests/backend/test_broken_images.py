"""Unpleasant files, from a web server to a vector, by the loop's own path: each costs its task only."""

from __future__ import annotations

import io
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from backend import fetching
from backend.embedding import Embedded, EmbeddingRoom
from backend.embedding.stage import EmbeddingStage
from backend.labelstudio import patience
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.fetch import ImageFetcher
from backend.settings import Settings
from backend.snapshot import SnapshotStore
from ml import images
from ml.embedders.pixels import PixelsEmbedder
from ml.images import ImageLimits
from ml.vectors import VectorStore
from tests.backend.labelstudio.web import TOKEN, Reply, Site
from tests.embedding import embed

RNG = np.random.default_rng(0)
SIDE = 64


def scene() -> np.ndarray:
    """A red disc on dark blue, uint8 of shape (64, 64, 3): unlike itself turned, inverted or recoloured."""
    y, x = np.mgrid[:SIDE, :SIDE]
    disc = (y - 20) ** 2 + (x - 28) ** 2 < 15**2
    return np.where(disc[..., None], [220, 60, 40], [20, 30, 90]).astype(np.uint8)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def animated(format: str) -> bytes:
    frames = [Image.fromarray(scene()), Image.new("RGB", (SIDE, SIDE), "lime")]
    return saved(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)


def turned(orientation: int) -> bytes:
    """Stored so that a viewer which heeds EXIF shows the scene."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = Image.fromarray(scene()).transpose(back[orientation])
    return saved(stored, "JPEG", quality=98, exif=exif.tobytes())


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG no library checked."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def deep_rgb() -> bytes:
    """The scene with 16 bits a channel."""
    rows = (scene().astype(">u2") * 257).reshape(SIDE, -1)
    return raw_png(SIDE, SIDE, 16, 2, zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))


def deep_grey(low: int, high: int) -> Image.Image:
    grey = scene()[..., 0].astype(float)
    return Image.fromarray((low + (grey - 20) / 200 * (high - low)).astype(np.uint16))


def hot_pixel() -> Image.Image:
    """12 bits of content and one pixel at full scale, as from a camera in a laboratory."""
    values = np.asarray(deep_grey(100, 900)).copy()
    values[60, 60] = 65535
    return Image.fromarray(values)


def bomb(side: int) -> bytes:
    """A grey PNG of side x side pixels in a few kilobytes."""
    squeeze = zlib.compressobj(9)
    row = b"\0" * (side + 1)
    return raw_png(side, side, 8, 0, b"".join(squeeze.compress(row) for _ in range(side)) + squeeze.flush())


def text_bomb() -> bytes:
    """A small PNG with 200 MB of text in 200 kB."""
    squeeze = zlib.compressobj(9)
    text = b"".join(squeeze.compress(b"a" * 1_000_000) for _ in range(200)) + squeeze.flush()
    good = saved(Image.fromarray(scene()), "PNG")
    return good[:33] + png_chunk(b"zTXt", b"comment\0\0" + text) + good[33:]


PNG = saved(Image.fromarray(scene()), "PNG")
JPEG = saved(Image.fromarray(scene()), "JPEG", quality=98)
CMYK = Image.fromarray(scene()).convert("CMYK")
WHOLE: dict[str, bytes] = {
    "png": PNG,
    "jpeg": JPEG,
    "animated.gif": animated("GIF"),
    "animated.png": animated("PNG"),
    "animated.webp": animated("WEBP"),
    "cmyk.jpg": saved(CMYK, "JPEG", quality=98),
    "cmyk.tif": saved(CMYK, "TIFF"),
    "deep.png": deep_rgb(),
    "upside-down.jpg": turned(3),
    "left.jpg": turned(6),
    "right.jpg": turned(8),
    "jpeg called.png": JPEG,
}
GREY: dict[str, bytes] = {
    "deep-grey.png": saved(deep_grey(0, 65535), "PNG"),
    "twelve-bits.png": saved(deep_grey(0, 4095), "PNG"),
    "bright.tif": saved(deep_grey(60000, 65000), "TIFF"),
    "hot-pixel.png": saved(hot_pixel(), "PNG"),
    "float.tif": saved(Image.fromarray(scene()[..., 0].astype(np.float32) / 255), "TIFF"),
}
NOISE = Image.fromarray(RNG.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8))
BROKEN: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", "empty"),
    "cut.png": (saved(NOISE, "PNG")[:3000], "cannot be decoded"),
    "cut.jpg": (saved(NOISE, "JPEG", quality=95)[:2000], "cannot be decoded"),
    "cut.webp": (saved(NOISE, "WEBP")[:1000], "cannot be decoded"),
    "header-only.png": (PNG[:30], "not an image"),
    "corrupt.png": (PNG[:60] + bytes(40) + PNG[100:], "cannot be decoded"),
    "page.jpg": (b"<html><body>404 but 200</body></html>", "not an image"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "document.pdf": (b"%PDF-1.7\n" + bytes(100), "not an image"),
    "huge.png": (bomb(20_000), "limit"),
    "comment.png": (text_bomb(), "too large"),
    "over.png": (bomb(10_001), "10001 x 10001"),
    "heavy.png": (PNG + bytes(2_000_000), "MAX_IMAGE_BYTES"),
}


@pytest.fixture
def own() -> Iterator[Site]:
    """What stands for Label Studio: serves the files by name."""
    files = WHOLE | GREY | {name: data for name, (data, _) in BROKEN.items()}
    site = Site(lambda seen: Reply(200, files[unquote(seen.path.rsplit("/", 1)[-1])]))
    yield site
    site.close()


@pytest.fixture
def room(tmp_path: Path, own: Site) -> EmbeddingRoom:
    """What a refresh embeds with, at the settings' own limits but for the size of files."""
    settings = Settings(_env_file=None, max_image_bytes=1_000_000)
    embedder = PixelsEmbedder(threads=2)
    fetcher = ImageFetcher(
        LabelStudioClient(own.url, TOKEN),
        allow_hosts=["127.0.0.1"],
        max_bytes=settings.max_image_bytes,
        timeout=0.5,
        deadline=1.5,
    )
    limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    return EmbeddingRoom(
        SnapshotStore(tmp_path / "snapshot.sqlite"),
        VectorStore(tmp_path / "vectors", embedder.fingerprint, embedder.dim),
        EmbeddingStage(embedder, fetcher, limits),
    )


def run(room: EmbeddingRoom, uris: list[str]) -> Embedded:
    return room.embed(7, list(range(1, len(uris) + 1)), list(uris), lambda *_: None)


def uploads(names: dict[str, object]) -> list[str]:
    return [f"/data/upload/7/{name.replace(' ', '%20')}" for name in names]


def expected(pixels: np.ndarray) -> np.ndarray:
    return embed(PixelsEmbedder(threads=1), [Image.fromarray(pixels)])[0]


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_whatever_a_viewer_shows_as_the_scene_has_the_scenes_vector(room: EmbeddingRoom) -> None:
    found = run(room, uploads(WHOLE))
    assert found.errors == [None] * len(WHOLE)
    target = expected(scene())
    others = [expected(scene()[::-1]), expected(255 - scene()), expected(scene()[..., ::-1])]
    for name, vector in zip(WHOLE, found.vectors, strict=True):
        close = likeness(vector, target)
        assert close > 0.97, f"{name}: {close}"
        assert close > max(likeness(vector, other) for other in others), name


def test_deep_greys_come_out_neither_black_nor_white(room: EmbeddingRoom) -> None:
    found = run(room, uploads(GREY))
    assert found.errors == [None] * len(GREY)
    full = (scene()[..., 0].astype(float) - 20) / 200 * 255
    target = expected(np.repeat(full.astype(np.uint8)[..., None], 3, axis=2))
    for name, vector in zip(GREY, found.vectors, strict=True):
        assert likeness(vector, target) > 0.97, name


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_broken_files_cost_their_own_task_and_say_why(
    room: EmbeddingRoom, caplog: pytest.LogCaptureFixture
) -> None:
    found = run(room, [*uploads(BROKEN), "/data/upload/7/png"])
    assert found.ok.tolist() == [False] * len(BROKEN) + [True]
    for number, (name, (_, why)) in enumerate(BROKEN.items(), 1):
        assert why in str(found.errors[number - 1]), f"{name}: {found.errors[number - 1]}"
        assert f"project 7, task {number}:" in caplog.text


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_cmyk_colours_are_those_another_decoder_finds() -> None:
    torch = pytest.importorskip("torch")
    from torchvision.io import ImageReadMode, decode_jpeg

    from ml.images import decode_reduced

    data = WHOLE["cmyk.jpg"]
    theirs = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    ours = np.asarray(decode_reduced(data, limits=ImageLimits(), side=SIDE)[0]).astype(int)
    assert np.abs(ours - theirs.permute(1, 2, 0).numpy().astype(int)).mean() < 6
    assert np.abs(ours - scene().astype(int)).mean() < 12


def test_postscript_never_reaches_an_interpreter(room: EmbeddingRoom, own: Site) -> None:
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    own.answer = lambda seen: Reply(200, page)
    assert "not an image" in str(run(room, ["/data/upload/7/a.eps"]).errors[0])


def test_large_images_are_decoded_one_at_a_time(
    room: EmbeddingRoom, own: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, most, lock = 0, 0, threading.Lock()
    real = images._to_rgb

    def counted(image: Image.Image, orientation: int) -> Image.Image:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.05)
        upright = real(image, orientation)
        with lock:
            together -= 1
        return upright

    monkeypatch.setattr(images, "_to_rgb", counted)
    room.stage.embedder.batch_size = 1
    names = [f"/data/upload/7/{number}.png" for number in range(3)]
    large = bomb(4_001)
    own.answer = lambda seen: Reply(200, large + seen.path.encode())
    found = run(room, names)
    assert found.ok.all()
    assert found.measures[:, :2].tolist() == [[4_001, 4_001]] * 3
    assert most == 1
    own.answer = lambda seen: Reply(200, PNG + seen.path.encode())
    run(room, [f"{name}?small" for name in names])
    assert most == 2


class Tarpit:
    """A host that takes connections and sends ``says`` every tenth of a second, for ever."""

    def __init__(self, says: bytes) -> None:
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/x.png"
        self._says = says
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                taken, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(taken)
            threading.Thread(target=self._drip, args=(taken,), daemon=True).start()

    def _drip(self, taken: socket.socket) -> None:
        try:
            taken.recv(4096)
            while self._says:
                taken.sendall(self._says)
                time.sleep(0.1)
        except OSError:
            return

    def close(self) -> None:
        for each in (self._listening, *self._open):
            each.close()


@pytest.fixture
def tarpit() -> Iterator[Callable[[bytes], Tarpit]]:
    made: list[Tarpit] = []

    def make(says: bytes) -> Tarpit:
        made.append(Tarpit(says))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"", "cannot be reached"),
        (b"H", "longer than 1.5 s|cannot be reached"),
        (b"HTTP/1.1 200 OK\r\n", "longer than 1.5 s|cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", "longer than 1.5 s"),
    ],
    ids=["silent", "a byte at a time", "headers without end", "a body without end"],
)
def test_a_host_that_never_answers_is_given_up(
    room: EmbeddingRoom, tarpit: Callable[[bytes], Tarpit], says: bytes, why: str
) -> None:
    found = run(room, [tarpit(says).url, "/data/upload/7/png"])
    assert found.ok.tolist() == [False, True]
    assert re.search(why, str(found.errors[0]))


def test_a_thousand_tasks_on_a_dead_host_do_not_wait_a_thousand_times(
    room: EmbeddingRoom, tarpit: Callable[[bytes], Tarpit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SLOW", 0.3)
    dead = tarpit(b"")
    found = run(room, [f"{dead.url}?{number}" for number in range(1000)] + ["/data/upload/7/png"])
    assert not found.ok[:-1].any()
    assert found.ok[-1]
    assert dead.connections <= patience.TRIES + fetching.THREADS
    assert "left alone" in str(found.errors[999])
