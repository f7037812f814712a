"""The layouts of the tables that travel between rooms."""

from __future__ import annotations

import pyarrow as pa

from hardneg.transforms.core.partition import DIGEST

# Rows as they are read. `file` is the position of the file in the run's input list, `line` its 1-based
# line (Parquet: row): an error names both places.
PASSAGES = pa.schema(
    [
        ("passage_id", pa.string()),
        ("text", pa.string()),  # the passage string: title and text joined
        ("file", pa.int32()),
        ("line", pa.int64()),
    ]  # then the corpus columns that were asked to pass through
)


QUERIES = pa.schema([("query_id", pa.string()), ("text", pa.string()), ("file", pa.int32()), ("line", pa.int64())])


QRELS = pa.schema(
    [
        ("query_id", pa.string()),
        ("passage_id", pa.string()),
        ("grade", pa.float64()),
        ("file", pa.int32()),
        ("line", pa.int64()),
    ]
)


REJECTED = pa.schema([("file", pa.int32()), ("line", pa.int64()), ("reason", pa.string())])


READ_COUNTS = pa.schema([("file", pa.int32()), ("rows", pa.int64())])  # rows read, good and bad


# A block's queries; then one `run_NAME` list per run file and one `embedding_NAME` per bi-encoder.
JOINED = pa.schema(
    [
        ("query_id", pa.string()),
        ("text", pa.string()),
        ("digest", pa.int64()),  # of the id: cuts blocks and shards, orders rows
        ("text_digest", DIGEST),
        ("judged_ids", pa.list_(pa.string())),  # sorted
        ("judged_grades", pa.list_(pa.float64())),
        ("shared_ids", pa.list_(pa.string())),  # positives of other queries with an equal text
    ]
)


# Texts that travelled with a block, where its worker cannot see the corpus.
BLOCK_TEXTS = pa.schema([("segment", pa.int32()), ("row", pa.int32()), ("text", pa.string())])
