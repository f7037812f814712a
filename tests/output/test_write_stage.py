"""Triplets through Beam to their shards: at once or side by side, and as an export lays them out."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from hardneg.transforms.core.text import cut_digest, text_digest
from hardneg.transforms.export.scattered import ScatteredViews
from hardneg.transforms.export.view import View
from hardneg.transforms.output.layout import TRIPLET_KEYS, TRIPLETS, shards_of_rows
from hardneg.transforms.output.write_stage import WriteShards

SHARDS = 4


def triplets(queries: int, negatives: int) -> pa.Table:
    """Return triplets of queries of which four share a positive, which is a negative of others."""
    rows = []
    for n in range(queries):
        for rank in range(1, negatives + 1):
            texts = [f"text {n // 4}", f"text {(n // 4 + 31 * rank) % queries}"]
            rows.append(
                {
                    "anchor": f"query {n}",
                    "positive": texts[0],
                    "negative": texts[1],
                    "selected": rank,
                    "query_digest": cut_digest(f"q{n}"),
                    "query_id": f"q{n}",
                    "positive_id": f"p{n // 4}",
                    "query_text": text_digest(f"query {n}"),
                    "shown": [text_digest(text) for text in texts],
                    "avoided": [text_digest(texts[0])],
                }
            )
    return pa.Table.from_pylist(rows, schema=pa.schema([*TRIPLETS, *TRIPLET_KEYS]))


def written_by_beam(folder: Path, table: pa.Table, few: int, clashes: int) -> dict[str, bytes]:
    shards = shards_of_rows(table, SHARDS)
    # In parts, as blocks send them.
    halves = [
        (shard, table.filter(pa.array((shards == shard) & (np.arange(len(table)) % 2 == half))))
        for shard in range(SHARDS)
        for half in (0, 1)
    ]
    with beam.Pipeline(runner="FnApiRunner", options=PipelineOptions(flags=[])) as pipeline:
        tables = pipeline | beam.Create(halves, reshuffle=False).with_output_types(tuple[int, pa.Table])
        counted = (
            tables
            | WriteShards(str(folder), "triplets", SHARDS, few)
            | beam.Map(lambda shard: (shard.rows, shard.clashes))
            | beam.CombineGlobally(lambda pairs: tuple(map(sum, zip(*pairs, strict=True))) or (0, 0))
        )
        assert_that(counted, equal_to([(len(table), clashes)]))
    return {path.name: path.read_bytes() for path in sorted((folder / "triplets").iterdir())}


@pytest.mark.parametrize("few", [10_000, 0])
def test_triplets_are_written_as_an_export_lays_them_out(few: int, tmp_path: Path) -> None:
    table = triplets(queries=700, negatives=3)
    scattered = ScatteredViews(tmp_path / "rows", SHARDS, few)
    keys = table.select(["query_digest", "query_id", "positive_id", "query_text", "shown", "avoided"])
    keys = keys.append_column("round", table["selected"])
    for of_run in range(3):
        here = pa.array(table["query_digest"].to_numpy() % 3 == of_run)
        scattered.add("triplet", View(table.select(TRIPLETS.names).filter(here), keys.filter(here)))
    exported = list(scattered.laid_out())
    assert [name for name, *_ in exported] == ["triplet"] * SHARDS
    written = written_by_beam(tmp_path, table, few, sum(clashes for *_, clashes in exported))
    assert list(written) == [f"part-{shard:05d}-of-{SHARDS:05d}.parquet" for _, shard, *_ in exported]
    for (_, _, rows, _), data in zip(exported, written.values(), strict=True):
        assert pq.read_table(pa.BufferReader(data)).equals(rows)
    together = pa.concat_tables([rows for _, _, rows, _ in exported]).to_pylist()
    assert sorted(together, key=str) == sorted(table.select(TRIPLETS.names).to_pylist(), key=str)


def test_a_query_has_its_rows_in_shards_one_after_the_other() -> None:
    table = triplets(queries=50, negatives=3)
    shards = shards_of_rows(table, SHARDS)
    for query, rank, shard in zip(table["query_id"].to_pylist(), table["selected"].to_pylist(), shards, strict=True):
        assert shard == (cut_digest(query) + rank - 1) % SHARDS
    backwards = table.take(pa.array(np.arange(len(table))[::-1].copy()))
    assert (shards_of_rows(backwards, SHARDS) == shards[::-1]).all()
