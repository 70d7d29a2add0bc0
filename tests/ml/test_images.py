from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ml.images import ImageError, ImageLimits, decode_reduced

LIMITS = ImageLimits()


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decode(data: bytes, *, limits: ImageLimits = LIMITS, side: int = 10_000) -> Image.Image:
    return decode_reduced(data, limits=limits, side=side)[0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = decode(encoded(Image.new(mode, (5, 3))))
    assert (image.mode, image.size) == ("RGB", (5, 3))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_formats(format: str) -> None:
    image = decode(encoded(Image.new("RGB", (8, 8), (200, 10, 10)), format))
    assert np.abs(np.asarray(image, dtype=int) - [200, 10, 10]).max() < 12


def test_exif_orientation_is_applied() -> None:
    picture = Image.new("RGB", (40, 20), "black")
    picture.paste("white", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    image = decode(encoded(picture, "JPEG", exif=exif.tobytes()))
    assert image.size == (20, 40)
    assert image.getpixel((10, 5)) > (200, 200, 200)
    assert image.getpixel((10, 35)) < (50, 50, 50)


def test_transparent_pixels_become_white() -> None:
    image = decode(encoded(Image.new("RGBA", (2, 2), (9, 9, 9, 0))))
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_transparent_palette_entry_becomes_white() -> None:
    picture = Image.new("P", (2, 2), 0)
    picture.putpalette([7, 7, 7] * 256)
    image = decode(encoded(picture, transparency=0))
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_deep_grey_is_stretched_not_clipped() -> None:
    ramp = np.linspace(1000, 5000, 256).astype(np.uint16).reshape(16, 16)
    grey = np.asarray(decode(encoded(Image.fromarray(ramp))))[..., 0]
    assert grey.min() == 0
    assert grey.max() == 255
    assert len(np.unique(grey)) > 200


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).getpixel((1, 1)) == (255, 0, 0)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg/>"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_files_are_refused(format: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), format)
    with pytest.raises(ImageError):
        decode(data[: int(len(data) * share)])


def test_too_many_bytes() -> None:
    with pytest.raises(ImageError, match="limit is 10"):
        decode(b"x" * 11, limits=ImageLimits(max_bytes=10))


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    # only the header is there: decoding it would fail for another reason
    data = encoded(Image.new("L", (3000, 2000)))[:60]
    with pytest.raises(ImageError, match=r"3000 x 2000 = 6,000,000 pixels"):
        decode(data, limits=ImageLimits(max_pixels=5_000_000))


def test_a_large_jpeg_is_decoded_at_reduced_size_and_tells_its_own() -> None:
    photo = Image.new("RGB", (400, 200), "green")
    image, size = decode_reduced(encoded(photo, "JPEG"), limits=LIMITS, side=50)
    assert (image.size, size) == ((100, 50), (400, 200))
    assert decode(encoded(photo, "JPEG"), side=500).size == (400, 200)
    assert decode(encoded(photo, "PNG"), side=50).size == (400, 200)
