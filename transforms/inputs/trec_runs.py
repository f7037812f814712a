"""Candidates from other systems: TREC run files."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.errors import HardnegError
from hardneg.transforms.core import storage
from hardneg.transforms.core.partition import cut, split_by


class ReadRun(beam.PTransform):
    """Read TREC run files. In: paths. Out: (bucket of the query id, table of query_id and passage ids)."""

    def __init__(self, column: str, buckets: int) -> None:
        super().__init__()
        self._column = column
        self._buckets = buckets

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        return paths | beam.FlatMap(_read, self._column, self._buckets).with_output_types(tuple[int, pa.Table])


def _read(path: str, column: str, buckets: int) -> Iterator[tuple[int, pa.Table]]:
    with storage.open_decompressed(path) as file:
        ranked = parse_run(path, file.read())
    table = pa.table(
        {
            "query_id": pa.array(list(ranked), pa.string()),
            column: pa.array(list(ranked.values()), pa.list_(pa.string())),
        }
    )
    return iter(split_by(table, cut(list(ranked), buckets)))


def parse_run(path: str, data: bytes) -> dict[str, list[str]]:
    """Return each query's passage ids, best first: score descending, then passage id.

    The rank column is not looked at, as trec_eval does not.

    Args:
        path: for the error.
        data: lines of query id, Q0, passage id, rank, score, tag.

    Raises:
        HardnegError: a line that is not of that form.
    """
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for number, line in enumerate(data.split(b"\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            query, _, passage, _, score, *_ = (field.decode("utf-8") for field in fields)
            value = float(score)
            if math.isnan(value):
                raise ValueError
        except ValueError:
            raise HardnegError(
                f"{path}:{number}: a TREC run's line has six fields (query id, Q0, passage id, rank, score, tag), "
                f"and this one is {line[:80].decode('utf-8', 'replace')!r}."
            ) from None
        scores[query].setdefault(passage, value)
    return {
        query: sorted(passages, key=lambda passage: (-passages[passage], passage)) for query, passages in scores.items()
    }
