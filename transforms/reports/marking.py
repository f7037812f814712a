"""The sheet on which a person marks mined pairs, and what the marks certify."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import InputError, parameter
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.judge.leak_rate import clopper_pearson

COLUMNS = ("pair", "query", "positive", "negative", "relevant (y/n)")
_YES, _NO = ("y", "yes", "1", "true"), ("n", "no", "0", "false")
_CELL = 30_000  # spreadsheets cut cells at 32,767 characters
# What makes a spreadsheet read a cell as a formula (OWASP, CSV Injection), full-width forms included.
_FORMULA = re.compile("[=+\\-@\uff1d\uff0b\uff0d\uff20]")


@dataclass(frozen=True)
class Pair:
    """A mined (query, passage) pair in a sample; ``key`` names it on the sheet."""

    key: str
    query_id: str
    passage_id: str
    positive_id: str | None


@dataclass(frozen=True)
class Certificate:
    """What an audit by hand says of the false-negative rate.

    Attributes:
        status: ``certified``.
        marked: pairs marked.
        relevant: those found relevant.
        upper_bound: of the rate, one-sided, at 95 % confidence (Clopper and Pearson 1934).
        pairs: the pairs found relevant.
    """

    status: str
    marked: int
    relevant: int
    upper_bound: float
    pairs: list[Pair]


def draw_pairs(shards: Iterable[pa.Table], number: int, seed: int) -> list[Pair]:
    """Return a uniform sample of the mined pairs: those of the smallest seeded digests, in their order.

    So the first m of them are a uniform sample too.

    Args:
        shards: the tables of ``candidates/`` (query_id, passage_id, verdict, selected, logit); all of a query's rows
            in one.
        number: how many; all, if there are fewer.
        seed: of the digest.
    """
    drawn: list[tuple[int, Pair]] = []
    for table in shards:
        rows = np.flatnonzero(table["selected"].is_valid().to_numpy())
        mined = table.take(pa.array(rows))
        keys = [
            _digest(seed, *pair)
            for pair in zip(mined["query_id"].to_pylist(), mined["passage_id"].to_pylist(), strict=True)
        ]
        smallest = np.argsort(np.array(keys, dtype=np.uint64), kind="stable")[:number]
        chosen = mined.take(pa.array(smallest))
        positives = _positives(table, chosen["query_id"].unique())
        for row, (query, passage) in enumerate(
            zip(chosen["query_id"].to_pylist(), chosen["passage_id"].to_pylist(), strict=True)
        ):
            key = keys[smallest[row]]
            # The letter keeps spreadsheets from reading a number.
            drawn.append((key, Pair(f"p{key:016x}", query, passage, positives.get(query))))
        drawn = sorted(drawn, key=lambda pair: (pair[0], pair[1].query_id, pair[1].passage_id))[:number]
    return [pair for _, pair in drawn]


def _digest(seed: int, query_id: str, passage_id: str) -> int:
    data = f"{seed}\0{query_id}\0{passage_id}".encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _positives(table: pa.Table, queries: pa.ChunkedArray | pa.Array) -> dict[str, str]:
    """Return for each query the positive with the highest logit, of equal ones the smallest id."""
    rows = table.filter(
        pc.and_(pc.equal(table["verdict"], Verdict.POSITIVE), pc.is_in(table["query_id"], value_set=_array(queries)))
    ).sort_by([(LOGIT, "ascending"), ("passage_id", "descending")])
    # Nulls stand last, where the highest should: begin with them.
    order = np.argsort(rows[LOGIT].is_valid().to_numpy(), kind="stable")
    ids = rows.select(["query_id", "passage_id"]).take(pa.array(order))
    return dict(zip(ids["query_id"].to_pylist(), ids["passage_id"].to_pylist(), strict=True))


def _array(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def sheet_of(pairs: Sequence[Pair], queries: dict[str, str], passages: dict[str, str], delimiter: str) -> str:
    """Return the sheet: one line a pair, to be marked in its last column.

    Every cell is quoted, on one line, and, where a spreadsheet would take it for a formula, led by an apostrophe.
    """
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for pair in pairs:
        texts = (
            queries.get(pair.query_id, ""),
            passages.get(pair.positive_id or "", ""),
            passages.get(pair.passage_id, ""),
        )
        writer.writerow([pair.key, *(safe_cell(text) for text in texts), ""])
    return sink.getvalue()


def safe_cell(text: str) -> str:
    """Return a text as a spreadsheet may show it: printable, on one line, never a formula."""
    plain = "".join(character if character.isprintable() else " " for character in text[:_CELL])
    plain = " ".join(plain.split())
    return f"'{plain}" if _FORMULA.match(plain) else plain


def delimiter_of(path: str) -> str:
    """Return the delimiter that a sheet's name asks for.

    Raises:
        HardnegError: neither .tsv nor .csv.
    """
    for suffix, delimiter in ((".tsv", "\t"), (".csv", ",")):
        if path.lower().endswith(suffix):
            return delimiter
    raise InputError(f"{parameter('sheet')} {path}: the sheet is a .tsv or a .csv file; give it one of these suffixes.")


def read_marks(path: str, data: bytes) -> dict[str, bool | None]:
    """Return the mark of each pair of a sheet, None where it has none, in the sheet's order.

    Takes what spreadsheets make of it when they save it: another delimiter, another encoding.

    Raises:
        HardnegError: it is no sheet of ours, or a mark is neither y nor n.
    """
    text = data.decode("utf-16") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else data.decode("utf-8-sig", "replace")
    head = text.split("\n", 1)[0]
    delimiter = max("\t,;", key=head.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [name.strip().lower() for name in next(rows, [])]
    mark_at = next((place for place, name in enumerate(header) if name.startswith("relevant")), None)
    if "pair" not in header or mark_at is None:
        raise InputError(f"{path} is no sheet of `hardneg evaluate --draw`: it has no columns `pair` and `relevant`.")
    pair_at = header.index("pair")
    marks: dict[str, bool | None] = {}
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        cells = [*row, *[""] * (len(header) - len(row))]
        key, mark = cells[pair_at].strip(), cells[mark_at].strip().lower()
        if mark and mark not in (*_YES, *_NO):
            raise InputError(f"{path}:{rows.line_num}: the mark of pair {key} is {mark!r}: write y or n.")
        if key in marks:
            raise InputError(f"{path}:{rows.line_num}: pair {key} stands twice: remove one of the rows.")
        marks[key] = mark in _YES if mark else None
    return marks


def certify(path: str, marks: dict[str, bool | None], drawn: Sequence[Pair]) -> Certificate:
    """Return what the marks say of the false-negative rate.

    A sample of which somebody chose what to mark is none. So the sheet must be whole, and marked from its beginning
    without a gap: any first part of it is a uniform sample.

    Args:
        path: of the sheet, for messages.
        marks: as ``read_marks`` gives them.
        drawn: as many pairs as the sheet has, drawn again.

    Raises:
        HardnegError: the sheet is another run's or not whole, or has a gap, or no mark.
    """
    wrong = set(marks) ^ {pair.key for pair in drawn}
    if wrong:
        raise InputError(
            f"{path} is not what was drawn from this run (it differs in {len(wrong)} pairs, {min(wrong)} for one): "
            f"give the run and the {parameter('seed')} that it was drawn with, and the sheet with all its rows."
        )
    marked = [pair for pair in drawn if marks[pair.key] is not None]
    if not marked:
        raise InputError(f"{path} has no mark: write y or n in the column `{COLUMNS[-1]}`.")
    for pair in drawn[: len(marked)]:
        if marks[pair.key] is None:
            raise InputError(
                f"{path}: pair {pair.key} has no mark, but later ones have: mark the rows in the order in which they "
                "were drawn, without leaving one out."
            )
    relevant = [pair for pair in marked if marks[pair.key]]
    return Certificate("certified", len(marked), len(relevant), clopper_pearson(len(relevant), len(marked)), relevant)
