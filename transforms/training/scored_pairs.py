"""Reading pairs that carry a label or a score: what a cross-encoder can be trained on besides known positives."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from hardneg.errors import HardnegError
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.columns import listed
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.inputs.judgements import bare_suffix, matching_files
from hardneg.transforms.training.training_pairs import PAIRS

QUERIES = ("query", "anchor", "question", "sentence1")
PASSAGES = ("passage", "positive", "document", "text", "sentence2")
SCORES = ("label", "score", "logit")
_OPTION = "--scored-pairs"


def read_scored_pairs(patterns: Sequence[str]) -> list[pa.Table]:
    """Return the pairs in files (Parquet, JSONL, TSV, CSV), one table of the ``PAIRS`` schema each.

    ``label`` and ``score`` lie between 0 and 1; ``logit`` is a teacher's raw score, and its sigmoid is learned.

    Raises:
        HardnegError: no file, a file that can't be read or lacks a column, an empty text, or a score that is none.
    """
    paths = [path for pattern in patterns for path in _files(pattern)]
    return [_checked(path, _read(path)) for path in paths]


def _files(pattern: str) -> list[str]:
    found = matching_files(pattern, _OPTION)
    if not found:
        raise HardnegError(f"{_OPTION} {pattern} matches no file: check the path.")
    return found


def _read(path: str) -> pa.Table:
    suffix, _ = bare_suffix(path)
    with explaining(path):
        data = io.BytesIO(storage.read_file(path))
    try:
        if suffix in (".parquet", ".pq"):
            return pq.read_table(data)
        if suffix in (".jsonl", ".ndjson", ".json"):
            return pa.json.read_json(data)
        if suffix in (".tsv", ".csv"):
            # No quoting in TSV: a quotation mark is text there.
            tabs = pa.csv.ParseOptions(delimiter="\t", quote_char=False) if suffix == ".tsv" else None
            return pa.csv.read_csv(data, parse_options=tabs)
    except (pa.ArrowException, OSError) as error:
        raise HardnegError(f"{path} can't be read as {suffix[1:]}: {str(error).splitlines()[0]}") from None
    raise HardnegError(f"{path} has a suffix that says nothing: it must be .parquet, .jsonl, .tsv or .csv.")


def _checked(path: str, table: pa.Table) -> pa.Table:
    query, passage, score = (_column(path, table, names) for names in (QUERIES, PASSAGES, SCORES))
    texts = []
    for name in (query, passage):
        values = table[name]
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            raise HardnegError(f"{path}: the column {name!r} holds {values.type}, and it must hold texts.")
        bad = pc.fill_null(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(values)), 0), True)
        if pc.any(bad).as_py():
            row = int(np.flatnonzero(bad.to_numpy())[0])
            raise HardnegError(f"{path}: row {row + 1} has no text in {name!r}: fill it in, or leave the row out.")
        texts.append(values.cast(pa.string()).combine_chunks())
    return pa.table([*texts, pa.array(_scores(path, table, score), pa.float32())], schema=PAIRS)


def _column(path: str, table: pa.Table, names: Sequence[str]) -> str:
    found = [name for name in names if name in table.column_names]
    if not found:
        raise HardnegError(
            f"{path} has the columns {listed(table.column_names)}, and none of them is one of {listed(names)}: rename "
            "one."
        )
    return found[0]


def _scores(path: str, table: pa.Table, name: str) -> np.ndarray:
    try:
        values = pc.fill_null(table[name].cast(pa.float64()), float("nan")).to_numpy()
    except pa.ArrowException:
        raise HardnegError(f"{path}: the column {name!r} holds {table[name].type}, and it must hold numbers.") from None
    scores = 0.5 * (1 + np.tanh(0.5 * values)) if name == "logit" else values
    bad = ~((scores >= 0) & (scores <= 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise HardnegError(
            f"{path}: row {row + 1} has the {name} {values[row]:g}, and it must lie between 0 and 1; call the column "
            "'logit' if it holds a teacher's raw scores."
        )
    return scores
