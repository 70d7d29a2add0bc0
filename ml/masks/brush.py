"""Label Studio's brush: a picture's alpha channel as a packed run-length code, read and written without loss.

The code is a stream of bits. It opens with the number of values (32 bits), the bits a value has less one (5),
and four sizes less one (4 each). Then come records: one bit tells a run (1) from single values (0), two bits
choose a size, so many bits hold the number of values less one; after that a run has one value, and single
values all stand there. The values are the bytes of a picture: red, green, blue and alpha of pixel after pixel.
Label Studio takes alpha for the mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.masks import MaskError

# what the browser gives a pixel that the brush covers by half; less is the soft rim of a stroke
HALF = 128
_HEADER = 53
_WORD = 8
_SIZES = np.array([3, 4, 8, 16])
_LONGEST = 1 << 16
_CHANNELS = 4
_BLOCK = 1 << 20  # bytes looked at together: bounds the memory, 32 times as much


def encode_brush(mask: np.ndarray) -> list[int]:
    """Return the code of a mask, the same bytes label-studio-sdk's ``mask2rle`` gives.

    Parameters
    ----------
    mask : ndarray of bool or uint8, shape (H, W)
        True becomes 255; other values are kept.

    Raises
    ------
    MaskError
        If it has another shape or type, or no pixel.
    """
    if mask.ndim != 2 or not mask.size or mask.dtype not in (np.bool_, np.uint8):
        raise MaskError(f"a brush mask is (H, W) of bool or uint8, not {mask.shape} of {mask.dtype}")
    flat = np.ascontiguousarray(mask).ravel().view(np.uint8)
    begins = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    values = flat[begins].astype(np.uint64) * (255 if mask.dtype == np.bool_ else 1)
    lengths = np.diff(begins, append=flat.size) * _CHANNELS
    kinds = np.searchsorted(1 << _SIZES[:3], lengths)
    # runs beyond the longest are cut, all pieces but the last as long as can be
    pieces = -(-lengths // _LONGEST)
    last = np.cumsum(pieces) - 1
    cut = np.full(last[-1] + 1, _LONGEST)
    cut[last] = lengths - (pieces - 1) * _LONGEST
    kinds, values = np.repeat(kinds, pieces), np.repeat(values, pieces)
    sizes = _SIZES[kinds]
    codes = ((4 + kinds) << sizes | (cut - 1)).astype(np.uint64) << np.uint64(_WORD) | values
    head = np.array([flat.size * _CHANNELS << 21 | (_WORD - 1) << 16 | 0x237F], dtype=np.uint64)
    return _pack(np.concatenate([head, codes]), np.concatenate([[_HEADER], 3 + sizes + _WORD])).tolist()


def decode_brush(rle: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """Return the alpha channel a code holds, uint8 of ``shape``.

    Parameters
    ----------
    rle : sequence of int in [0, 255]
    shape : (int, int)
        Height and width: the region's ``original_height`` and ``original_width``.

    Raises
    ------
    MaskError
        If it is no such code, ends early, or is of a picture with another number of pixels.
    """
    data = _as_bytes(rle)
    total = _check_header(data, shape)
    lengths, values = _runs(data, total)
    # pixel i has its alpha at 4 i + 3: so many of them stand before a place
    ends = np.cumsum(lengths) // _CHANNELS
    return np.repeat(values, np.diff(ends, prepend=0)).reshape(shape)


def check_brush(rle: Sequence[int], shape: tuple[int, int]) -> None:
    """See that a code is whole, without making its mask.

    Raises
    ------
    MaskError
        As `decode_brush`.
    """
    data = _as_bytes(rle)
    _runs(data, _check_header(data, shape))


def _as_bytes(rle: Sequence[int]) -> bytes:
    if isinstance(rle, str | int) or rle is None:
        raise MaskError(f"a brush code is a list of bytes, not {type(rle).__name__}")
    try:
        return bytes(rle)
    except (TypeError, ValueError) as error:
        raise MaskError(f"a brush code is a list of whole numbers from 0 to 255: {error}") from error


def _check_header(data: bytes, shape: tuple[int, int]) -> int:
    """Return how many values follow."""
    if len(data) * 8 < _HEADER:
        raise MaskError(f"the brush code ends in its header: it has {len(data)} bytes")
    total = int.from_bytes(data[:4], "big")
    word = (data[4] >> 3) + 1
    if word != _WORD:
        raise MaskError(f"the brush code has values of {word} bits; Label Studio writes {_WORD}")
    height, width = shape
    if total != height * width * _CHANNELS:
        raise MaskError(
            f"the brush code is of {total / _CHANNELS:g} pixels, "
            f"but the image has {width} x {height} = {height * width}"
        )
    return total


def _runs(data: bytes, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Return length and value of every run."""
    bits = len(data) * 8
    header = int.from_bytes(data[:7], "big") >> 3
    sizes = np.array([(header >> shift & 15) + 1 for shift in (12, 8, 4, 0)])
    padded = np.frombuffer(data + bytes(8), dtype=np.uint8)
    starts = _record_starts(data, padded, sizes)
    head = _window(padded, starts)
    is_run, size = head >> 31 == 1, sizes[head >> 29 & 3]
    count = ((head & 0x1FFFFFFF) >> (29 - size)) + 1
    singles = np.where(is_run, 1, count)
    first = np.cumsum(singles) - singles
    places = np.repeat(starts + 3 + size - first * _WORD, singles) + np.arange(singles.sum()) * _WORD
    lengths = np.repeat(np.where(is_run, count, 1), singles)
    # what follows the last value is padding, and may look like records
    done = np.cumsum(lengths)
    last = int(np.searchsorted(done, total))
    whole = int(np.searchsorted(places, bits - _WORD, side="right"))
    if last >= whole:
        told = int(done[whole - 1]) if whole else 0
        raise MaskError(f"the brush code ends after {told} of {total} values")
    if done[last] != total:
        raise MaskError(f"the brush code goes on beyond its {total} values")
    return lengths[: last + 1], (_window(padded, places[: last + 1]) >> 24).astype(np.uint8)


def _record_starts(data: bytes, padded: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the bit at which each record starts.

    How long a run's record is follows from its first three bits. It is looked up for every bit as if one started
    there; then the chain is followed. Single values, which hardly any mask has, are read as they come.
    """
    # zero: the length has to be read
    table = np.array([0] * 4 + [3 + size + _WORD for size in sizes.tolist()], dtype=np.uint8)
    starts: list[int] = []
    place, end = _HEADER, len(data) * 8
    for begin in range(0, len(data), _BLOCK):
        bits = np.unpackbits(padded[begin : begin + _BLOCK + 1])
        steps = table[bits[:-2] << 2 | bits[1:-1] << 1 | bits[2:]].tobytes()
        base, stop = begin * 8, min((begin + _BLOCK) * 8, end)
        while place < stop:
            starts.append(place)
            step = steps[place - base]
            place += step or _singles_bits(data, place, sizes)
    return np.array(starts, dtype=np.int64)


def _singles_bits(data: bytes, place: int, sizes: np.ndarray) -> int:
    byte = place >> 3
    head = int.from_bytes(data[byte : byte + 4].ljust(4, b"\0"), "big") << (place & 7) & 0xFFFFFFFF
    size = int(sizes[head >> 29 & 3])
    return 3 + size + _WORD * (((head & 0x1FFFFFFF) >> (29 - size)) + 1)


def _window(padded: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the 32 bits from each of these bits on, as int64."""
    byte = places >> 3
    words = np.zeros(len(places), dtype=np.int64)
    for number in range(5):
        words = words << 8 | padded[byte + number]
    windows: np.ndarray = words >> (8 - (places & 7)) & 0xFFFFFFFF
    return windows


def _pack(codes: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return bytes with codes of so many bits one after the other, and at least one bit of padding."""
    ends = np.cumsum(widths)
    packed = np.zeros(ends[-1] // 8 + 9, dtype=np.uint8)
    starts = ends - widths
    byte = starts >> 3
    # no code is longer than 57 bits, so with what stands before it in its byte it fits into eight
    words = codes << (64 - (starts & 7) - widths).astype(np.uint64)
    for number in range(8):
        np.add.at(packed, byte + number, (words >> np.uint64(56 - 8 * number)).astype(np.uint8))
    return packed[: ends[-1] // 8 + 1]
