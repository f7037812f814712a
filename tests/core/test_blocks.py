"""Tables and blocks survive the way between processes, whatever they hold."""

from __future__ import annotations

from dataclasses import replace

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.transforms.core.arrays import vectors_column
from hardneg.transforms.core.block import Block, table_from_bytes, table_to_bytes
from hardneg.transforms.core.coders import BlockCoder, TableCoder
from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.core.schemas import BLOCK_TEXTS, JOINED, PASSAGES, QRELS, QUERIES, READ_COUNTS, REJECTED

EVERY_KIND = pa.table(
    {
        "string": pa.array(["", None, "文\x00"], pa.string()),
        "int32": pa.array([None, -(2**31), 2**31 - 1], pa.int32()),
        "int64": pa.array([None, -(2**63), 2**63 - 1], pa.int64()),
        "float32": pa.array([None, float("nan"), -0.0], pa.float32()),
        "bool": pa.array([None, True, False], pa.bool_()),
        "digest": pa.array([None, b"\x00" * 16, b"\xff" * 16], DIGEST),
        "lists": pa.array([None, [], ["a", None]], pa.list_(pa.string())),
        "grades": pa.array([[0.5, None], [], None], pa.list_(pa.float64())),
        "vectors": vectors_column(np.arange(6, dtype=np.float32).reshape(3, 2)),
        "nothing": pa.nulls(3),
    }
)


def same(one: pa.Table, other: pa.Table) -> bool:
    """Return whether two tables have the same bits: ``equals`` takes NaN for unequal."""
    return one.schema == other.schema and table_to_bytes(one.combine_chunks()) == table_to_bytes(other.combine_chunks())


@pytest.mark.parametrize("rows", [slice(0, 3), slice(1, 2), slice(0, 0)], ids=["whole", "a slice", "no row"])
def test_a_table_comes_back(rows: slice) -> None:
    table = EVERY_KIND.slice(rows.start, rows.stop - rows.start)
    back = TableCoder().decode(TableCoder().encode(table))
    assert same(back, table)
    assert back["int32"].null_count == table["int32"].null_count


@pytest.mark.parametrize("schema", [PASSAGES, QUERIES, QRELS, REJECTED, READ_COUNTS, JOINED, BLOCK_TEXTS], ids=str)
def test_an_empty_table_keeps_its_schema(schema: pa.Schema) -> None:
    assert table_from_bytes(table_to_bytes(schema.empty_table())).schema == schema


def test_a_table_of_many_chunks_comes_back() -> None:
    table = pa.concat_tables([EVERY_KIND, EVERY_KIND.slice(0, 0), EVERY_KIND.slice(2)])
    back = table_from_bytes(table_to_bytes(table))
    assert len(back) == 4
    assert same(back, table)


def test_a_slice_is_sent_without_the_rest() -> None:
    long = pa.table({"text": ["x" * 1_000_000, "y"]})
    assert len(table_to_bytes(long.slice(1))) < 10_000


empties = st.sampled_from([EVERY_KIND, EVERY_KIND.slice(0, 0), EVERY_KIND.slice(1, 1), pa.table({})])


@settings(deadline=None)
@given(empties, empties, empties)
def test_a_block_comes_back(queries: pa.Table, candidates: pa.Table, texts: pa.Table) -> None:
    block = Block(queries, candidates, texts)
    back = BlockCoder().decode(BlockCoder().encode(block))
    assert same(back.queries, queries)
    assert same(back.candidates, candidates)
    assert same(back.texts, texts)


def test_beam_uses_the_coders() -> None:
    """Registered, so that nothing that travels is pickled; and neither may be a key."""
    registry = beam.coders.registry
    assert isinstance(registry.get_coder(pa.Table), TableCoder)
    assert isinstance(registry.get_coder(Block), BlockCoder)
    pair = registry.get_coder(beam.typehints.Tuple[int, Block])
    block = Block(EVERY_KIND, EVERY_KIND.slice(0, 0), EVERY_KIND.slice(1))
    number, back = pair.decode(pair.encode((7, block)))
    assert number == 7
    assert same(back.queries, EVERY_KIND)
    assert not TableCoder().is_deterministic()
    assert not BlockCoder().is_deterministic()


def test_a_block_does_not_change() -> None:
    block = Block(EVERY_KIND, EVERY_KIND, EVERY_KIND)
    with pytest.raises(AttributeError):
        block.texts = EVERY_KIND  # type: ignore[misc]
    assert replace(block, texts=EVERY_KIND.slice(0, 0)).queries is block.queries
