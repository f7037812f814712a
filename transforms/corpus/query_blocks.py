"""From query and judgement rows to blocks of queries that know what must not be their negative."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.errors import HardnegError
from hardneg.transforms.core.partition import DIGEST, split_by
from hardneg.transforms.core.schemas import JOINED, QRELS, QUERIES
from hardneg.transforms.core.text import cut_digest, text_digest
from hardneg.transforms.corpus.ingestion import UNKNOWN_QUERY, rejections
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT, Holdout


def join_queries(
    queries: Sequence[pa.Table], qrels: Sequence[pa.Table], file_names: Sequence[str]
) -> tuple[pa.Table, pa.Table, int]:
    """Join queries with their judgements.

    Args:
        queries: tables of the QUERIES schema.
        qrels: tables of the QRELS schema whose passages exist.
        file_names: the input files by index, for errors.

    Returns:
        the JOINED table sorted by query id (``shared_ids`` still empty), the judgements of unknown queries,
        and how many query rows repeated another.

    Raises:
        HardnegError: the same query id with two different texts.
    """
    rows = pa.concat_tables([QUERIES.empty_table(), *queries]).sort_by(
        [("query_id", "ascending"), ("file", "ascending"), ("line", "ascending")]
    )
    first: dict[str, dict[str, Any]] = {}
    for row in rows.to_pylist():
        known = first.setdefault(row["query_id"], row)
        if known["text"] != row["text"]:
            raise HardnegError(
                f"query id {row['query_id']!r} stands twice with different texts: "
                f"{file_names[known['file']]}:{known['line']} and {file_names[row['file']]}:{row['line']}; "
                "give each its own id."
            )
    judgements = pa.concat_tables([QRELS.empty_table(), *qrels])
    grades: dict[str, dict[str, float]] = defaultdict(dict)
    unknown = np.zeros(len(judgements), dtype=bool)
    columns = (judgements[name].to_pylist() for name in ("query_id", "passage_id", "grade"))
    for row, (query, passage, grade) in enumerate(zip(*columns, strict=True)):
        unknown[row] = query not in first
        # The same pair judged twice: the higher grade, whatever the order of the files.
        grades[query][passage] = max(grade, grades[query].get(passage, grade))
    judged = [sorted(grades.get(query, {}).items()) for query in first]
    table = pa.table(
        [
            pa.array(list(first), pa.string()),
            pa.array([row["text"] for row in first.values()], pa.string()),
            pa.array([cut_digest(query) for query in first], pa.int64()),
            pa.array([text_digest(row["text"]) for row in first.values()], DIGEST),
            pa.array([[passage for passage, _ in pairs] for pairs in judged], pa.list_(pa.string())),
            pa.array([[grade for _, grade in pairs] for pairs in judged], pa.list_(pa.float64())),
            pa.array([[] for _ in first], pa.list_(pa.string())),
        ],
        schema=JOINED,
    )
    return table, judgements.filter(pa.array(unknown)), len(rows) - len(first)


def positives_of(query: dict[str, Any], min_relevance: float) -> list[str]:
    """Return the ids of a JOINED row's positives, sorted."""
    pairs = zip(query["judged_ids"], query["judged_grades"], strict=True)
    return [passage for passage, grade in pairs if grade >= min_relevance]


def share_positives(table: pa.Table, min_relevance: float) -> pa.Table:
    """Fill in ``shared_ids``: queries of equal normalised text share their positives for masking."""
    rows = table.select(["text_digest", "judged_ids", "judged_grades"]).to_pylist()
    own = [positives_of(row, min_relevance) for row in rows]
    by_text: dict[bytes, set[str]] = defaultdict(set)
    for row, positives in zip(rows, own, strict=True):
        by_text[row["text_digest"]].update(positives)
    shared = [
        sorted(by_text[row["text_digest"]].difference(positives)) for row, positives in zip(rows, own, strict=True)
    ]
    place = table.schema.get_field_index("shared_ids")
    return table.set_column(place, "shared_ids", pa.array(shared, pa.list_(pa.string())))


def with_positives(table: pa.Table, min_relevance: float) -> np.ndarray:
    """Return which rows of a JOINED table have a positive, bool."""
    rows = table.select(["judged_grades"]).to_pylist()
    return np.array([any(grade >= min_relevance for grade in row["judged_grades"]) for row in rows], dtype=bool)


class JoinQueries(beam.PTransform):
    """Join queries, judgements and run files by query id, and share positives between equal texts.

    In: {"queries": ..., "qrels": ..., then per further column its name: (bucket, table with query_id and
    that column)}. Output tags: main (0, table), ``rejected`` (file, table), ``counts`` (name, number).
    """

    def __init__(self, file_names: Sequence[str], min_relevance: float, keep_all: bool, buckets: int) -> None:
        super().__init__()
        self._join = _JoinBucket(file_names, buckets)
        self._share = _ShareBucket(min_relevance, keep_all)

    def expand(self, inputs: dict[str, beam.PCollection]) -> Any:
        joined = inputs | beam.CoGroupByKey() | beam.ParDo(self._join).with_outputs("rejected", "counts", main="joined")
        shared = (
            joined.joined
            | "GroupByText" >> beam.GroupByKey()
            | beam.ParDo(self._share).with_outputs("counts", main="queries")
        )
        counts = (joined.counts, shared.counts) | "Counts" >> beam.Flatten()
        return shared.queries, joined.rejected, counts


class _JoinBucket(beam.DoFn):
    def __init__(self, file_names: Sequence[str], buckets: int) -> None:
        self._file_names = list(file_names)
        self._buckets = buckets

    def process(self, element: tuple[int, dict[str, Iterable[pa.Table]]]) -> Iterator[Any]:
        _, groups = element
        further = {name: list(tables) for name, tables in groups.items() if name not in ("queries", "qrels")}
        table, unknown, repeated = join_queries(list(groups["queries"]), list(groups["qrels"]), self._file_names)
        for name, tables in sorted(further.items()):
            table = _add_column(table, name, tables)
        yield from (beam.pvalue.TaggedOutput("rejected", part) for part in rejections(unknown, UNKNOWN_QUERY))
        yield beam.pvalue.TaggedOutput("counts", ("queries_read", len(table)))
        yield beam.pvalue.TaggedOutput("counts", ("queries_repeated", repeated))
        keys = np.array([digest[0] % self._buckets for digest in table["text_digest"].to_pylist()], dtype=np.int64)
        yield from split_by(table, keys)


def _add_column(table: pa.Table, name: str, parts: Sequence[pa.Table]) -> pa.Table:
    """Add a column of lists that is known by query id; null where it is not known."""
    kind = pa.list_(pa.float32() if name.startswith("embedding_") else pa.string())
    empty = pa.table({"query_id": pa.array([], pa.string()), name: pa.array([], kind)})
    part = pa.concat_tables([empty, *(part.cast(empty.schema) for part in parts)])
    rows = {query: row for row, query in enumerate(part["query_id"].to_pylist())}
    if len(rows) < len(part):
        raise HardnegError(f"{name}: a query stands twice in its files; give each query once.")
    places = pa.array([rows.get(query) for query in table["query_id"].to_pylist()], pa.int64())
    return table.append_column(name, part[name].combine_chunks().take(places))


class _ShareBucket(beam.DoFn):
    def __init__(self, min_relevance: float, keep_all: bool) -> None:
        self._min_relevance = min_relevance
        self._keep_all = keep_all

    def process(self, element: tuple[int, Iterable[pa.Table]]) -> Iterator[Any]:
        table = pa.concat_tables(list(element[1])).sort_by("query_id")
        table = share_positives(table, self._min_relevance)
        good = with_positives(table, self._min_relevance)
        yield beam.pvalue.TaggedOutput("counts", ("queries_without_positives", int((~good).sum())))
        yield table if self._keep_all else table.filter(pa.array(good))


class DropHeldOut(beam.PTransform):
    """Leave out the queries of evaluation sets. In: tables of queries. Out: the same, and (name, number)."""

    def __init__(self, holdout: Holdout) -> None:
        super().__init__()
        self._holdout = holdout

    def expand(self, tables: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        if self._holdout is NOTHING_HELD_OUT:
            return tables, tables.pipeline | beam.Create([("queries_held_out", 0)], reshuffle=False)
        split = tables | beam.FlatMap(_drop_held_out, self._holdout).with_outputs("counts", main="kept")
        return split.kept, split.counts


def _drop_held_out(table: pa.Table, holdout: Holdout) -> Iterator[Any]:
    held_out = holdout.queries(table["query_id"], table["text_digest"])
    yield table.filter(pa.array(~held_out))
    yield beam.pvalue.TaggedOutput("counts", ("queries_held_out", int(held_out.sum())))


class SmallestDigests(beam.CombineFn):
    """Count queries and find the digest below which the wanted number of them lies.

    In: int64 arrays. Out: (queries, cutoff): the number there is, at most ``wanted``, and the largest digest
    to take.
    """

    def __init__(self, wanted: int | None) -> None:
        self._wanted = wanted

    def create_accumulator(self) -> tuple[int, list[int]]:
        return 0, []

    def add_input(self, accumulator: tuple[int, list[int]], digests: list[int]) -> tuple[int, list[int]]:
        return self.merge_accumulators([accumulator, (len(digests), digests)])

    def merge_accumulators(self, accumulators: Iterable[tuple[int, list[int]]]) -> tuple[int, list[int]]:
        parts = list(accumulators)
        count = sum(part[0] for part in parts)
        if self._wanted is None:
            return count, []
        return count, sorted(digest for part in parts for digest in part[1])[: self._wanted]

    def extract_output(self, accumulator: tuple[int, list[int]]) -> tuple[int, int]:
        count, smallest = accumulator
        if self._wanted is None or count <= self._wanted:
            return count, 2**63 - 1
        return len(smallest), smallest[-1]


class CutBlocks(beam.PTransform):
    """Take the queries that are wanted and cut them into blocks by a digest of their id.

    In: tables of queries. Out: (block, table sorted by query id).
    """

    def __init__(self, block_size: int, max_queries: int | None) -> None:
        super().__init__()
        self._block_size = block_size
        self._max_queries = max_queries

    def expand(self, tables: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        wanted = (
            tables
            | beam.Map(lambda table: table["digest"].to_pylist())
            | beam.CombineGlobally(SmallestDigests(self._max_queries))
        )
        blocks = (
            tables
            | beam.FlatMap(_cut_blocks, beam.pvalue.AsSingleton(wanted), self._block_size).with_output_types(
                tuple[int, pa.Table]
            )
            | beam.GroupByKey()
            | beam.MapTuple(_whole_block).with_output_types(tuple[int, pa.Table])
        )
        return blocks, wanted


def _cut_blocks(table: pa.Table, wanted: tuple[int, int], block_size: int) -> Iterable[tuple[int, pa.Table]]:
    count, cutoff = wanted
    table = table.filter(pa.array(table["digest"].to_numpy() <= cutoff))
    blocks = max(1, round(count / block_size))
    return split_by(table, table["digest"].to_numpy() % blocks)


def _whole_block(number: int, parts: Iterable[pa.Table]) -> tuple[int, pa.Table]:
    return number, pa.concat_tables(list(parts)).sort_by("query_id").combine_chunks()
