"""Rows on their way into segments: what is known of a segment, what was rejected and whether that is too much.

Texts of passages are written to segment files while they are read; they never enter a PCollection.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hardneg.transforms.core import storage
from hardneg.transforms.core.partition import split_by
from hardneg.transforms.core.schemas import REJECTED
from hardneg.transforms.core.text import cut_digest
from hardneg.transforms.corpus.segments import open_segment
from hardneg.transforms.inputs.rejections import MAX_EMPTY, counted, how_to_go_on, too_many

SAMPLE_PASSAGES = 1000  # passages on which the models' tokenizers are tried

UNKNOWN_PASSAGE = "unknown passage id"
UNKNOWN_QUERY = "unknown query id"


@dataclass(frozen=True)
class SegmentInfo:
    """A segment that was built: its number, its passages, and how many rows repeated one of them."""

    number: int
    passages: int
    repeated: int


def read_stream(path: str) -> pa.Table:
    """Read an Arrow IPC stream: a part of a segment, as the reader of one input file left it."""
    with pa.ipc.open_stream(pa.py_buffer(storage.read_file(path))) as reader:
        return reader.read_all()


def rejections(rows: pa.Table, reason: str) -> Iterator[tuple[int, pa.Table]]:
    """Yield (file, REJECTED table) for rows that carry their file and line."""
    reasons = pa.array([reason] * len(rows), pa.string())
    table = pa.table([rows["file"], rows["line"], reasons], schema=REJECTED)
    return iter(split_by(table, table["file"].to_numpy()))


def write_rejected(result: str, number: int, name: str, table: pa.Table) -> str:
    """Write a file's rejected rows as JSON lines; return the folder that they lie in.

    Args:
        result: the folder of the output's tables.
        number: the input file's index.
        name: its path, as the lines tell it.
        table: of the REJECTED schema.
    """
    lines = [
        json.dumps({"file": name, "line": row["line"], "reason": row["reason"]}, ensure_ascii=False)
        for row in table.select(["line", "reason"]).to_pylist()
    ]
    data = "".join(line + "\n" for line in lines).encode()
    listed = storage.join(result, "rejected")
    storage.write_file(storage.join(listed, f"file-{number:05d}.jsonl"), lambda sink: sink.write(data))
    return listed


def complaint(name: str, table: pa.Table, rows: int, limit: float, listed: str) -> str | None:
    """Return what is said of a file of which too many rows were rejected; None if they are not too many.

    Args:
        name: its path.
        table: what was rejected, of the REJECTED schema, in the order of the lines.
        rows: of the file, good and bad.
        limit: the share that may be broken; of those that hold nothing, ``rejections.MAX_EMPTY`` may be.
        listed: the folder in which they are listed.
    """
    reasons = Counter(table["reason"].to_pylist())
    if not too_many(reasons, rows, limit):
        return None
    return (
        f"{name}: {len(table):,} of {rows:,} rows were rejected ({counted(reasons)}; the first in line "
        f"{table['line'][0].as_py()}), more than the share of {limit:g} that may be broken, or of "
        f"{max(limit, MAX_EMPTY):g} that may hold nothing: {how_to_go_on(len(table), rows)}. Every rejected row is "
        f"listed in {listed}."
    )


def rejected_note(name: str, table: pa.Table, rows: int) -> str:
    """Return what is told of a file of which rows were left out, fewer than may be.

    Args:
        name: its path.
        table: what was rejected, of the REJECTED schema, in the order of the lines.
        rows: of the file, good and bad.
    """
    reasons = counted(Counter(table["reason"].to_pylist()))
    first = table["line"][0].as_py()
    return f"{name}: {len(table):,} of {rows:,} rows were left out ({reasons}; the first in line {first})."


def sample_passages(work: str, segment: int) -> list[tuple[int, str]]:
    """Return a segment's passages of the smallest digests, at most SAMPLE_PASSAGES, as (digest, text)."""
    opened = open_segment(work, segment)
    digests = np.array([cut_digest(identifier) for identifier in opened.passages["passage_id"].to_pylist()])
    rows = np.sort(np.argsort(digests, kind="stable")[:SAMPLE_PASSAGES])
    return list(zip(digests[rows].tolist(), opened.texts(rows), strict=True))
