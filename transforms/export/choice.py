"""What a finished run's shard gives to every format: its queries, their positives, their mined negatives.

Made from ``candidates/`` and the texts that it refers to; never from ``triplets/``, which is one such view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import RunError
from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.core.text import cut_digest, text_digest
from hardneg.transforms.corpus.texts import texts_from_segments
from hardneg.transforms.filters.verdicts import Reason, Verdict
from hardneg.transforms.output.avoided import is_avoided
from hardneg.transforms.output.pairing import first_of_each_text
from hardneg.transforms.output.run_segments import place_candidates

CHOICE_COLUMNS = ("query_id", "passage_id", LOGIT, "verdict", "reason", "selected")


@dataclass(frozen=True)
class ChoiceOptions:
    """What is taken of a run.

    Attributes:
        negatives: of a query, at most; in selection order.
        relabel: suspected positives are positives, as in the run's triplets.
        exactly: leave out queries with fewer negatives.
    """

    negatives: int
    relabel: bool = False
    exactly: bool = False


@dataclass(frozen=True)
class Pairs:
    """The pairs of a shard that are exported, without texts.

    Attributes:
        table: query_id, passage_id, logit, selected (0: a positive); sorted by query id, selected, passage id. Only
            queries with a positive and a mined negative are there.
        avoided: query_id, passage_id, sorted by both: what is, or may be, relevant to those queries.
        left_out: queries that lack one or the other.
        short: queries with some negatives, but fewer than asked for; also left out if ``exactly`` that many are wanted.
        held_out: known positives that stay out because they belong to an evaluation set.
    """

    table: pa.Table
    avoided: pa.Table
    left_out: int
    short: int
    held_out: int


def choose_pairs(candidates: pa.Table, asked: ChoiceOptions) -> Pairs:
    """Choose the pairs of a shard of ``candidates/``: see ``Pairs``.

    Args:
        candidates: at least CHOICE_COLUMNS.
    """
    known = pc.equal(candidates["verdict"], Verdict.POSITIVE)
    # A positive with a reason is in no triplet: it is weak and was to be dropped, or held out.
    positive = pc.and_(known, pc.is_null(candidates["reason"]))
    if asked.relabel:
        positive = pc.or_(positive, pc.equal(candidates["verdict"], Verdict.SUSPECTED_POSITIVE))
    held_out = pc.and_(known, pc.fill_null(pc.equal(candidates["reason"], Reason.HELD_OUT), False))
    negative = pc.fill_null(pc.less_equal(candidates["selected"], asked.negatives), False)
    avoided = candidates.select(["query_id", "passage_id"]).filter(pa.array(is_avoided(candidates)))
    table = candidates.select(["query_id", "passage_id", LOGIT])
    table = table.append_column("selected", pc.fill_null(candidates["selected"], 0))
    table = table.filter(pc.or_(positive, negative))
    table = table.sort_by([(name, "ascending") for name in ("query_id", "selected", "passage_id")]).combine_chunks()
    query = pc.dictionary_encode(table["query_id"].combine_chunks()).indices.to_numpy(zero_copy_only=False)
    mined = table["selected"].to_numpy() > 0
    queries = int(query.max()) + 1 if len(query) else 0
    negatives = np.bincount(query[mined], minlength=queries)
    whole = (negatives > 0) & (np.bincount(query[~mined], minlength=queries) > 0)
    short = whole & (negatives < asked.negatives)
    kept = whole & ~short if asked.exactly else whole
    table = table.filter(pa.array(kept[query]))
    avoided = avoided.filter(pc.is_in(avoided["query_id"], value_set=table["query_id"].combine_chunks()))
    return Pairs(
        table,
        avoided.sort_by([("query_id", "ascending"), ("passage_id", "ascending")]).combine_chunks(),
        len(candidates["query_id"].unique()) - int(whole.sum()),
        int(short.sum()),
        int(pc.sum(held_out).as_py() or 0),
    )


@dataclass(frozen=True)
class Chosen:
    """The queries of a shard, their positives and their mined negatives, with texts.

    Attributes:
        queries: query_id, digest (of the id), text, text_digest; one row a query, sorted by id.
        positives: passage_id, logit, text_digest, selected (0), text, query (row in ``queries``); sorted by query, then
            passage id. Of a query's positives of equal text only the first is there: its rows would be equal.
        negatives: the same columns; sorted by query, then selected.
        avoided: query, text_digest; what no batch is to show the rows of a query. Sorted by query.
        positive_starts, negative_starts: int64 (queries + 1,); those of query i stand in rows [i] to [i + 1].
    """

    queries: pa.Table
    positives: pa.Table
    negatives: pa.Table
    avoided: pa.Table
    positive_starts: IntArray
    negative_starts: IntArray

    @property
    def negative_counts(self) -> IntArray:
        return np.diff(self.negative_starts)


def with_texts(chosen: Pairs, queries: pa.Table, work: str, parts: int, built: Sequence[int]) -> Chosen:
    """Attach the texts.

    Args:
        chosen: the pairs of one shard.
        queries: the same shard of ``queries/``: query_id, text.
        work: where the run's passages are stored as segments.
        parts: shards of the run's tables.
        built: numbers of those segments.

    Raises:
        HardnegError: a text is not there.
    """
    pairs = chosen.table
    encoded = pc.dictionary_encode(pairs["query_id"].combine_chunks())
    ids = encoded.dictionary  # in the order of their rows: sorted
    place = pc.index_in(ids, value_set=queries["query_id"].combine_chunks())
    if place.null_count:
        lost = ids.filter(pc.is_null(place))[0].as_py()
        raise RunError(f"queries/ lacks query {lost!r}, which candidates/ names: the run is damaged.")
    texts = queries["text"].combine_chunks().take(place)
    found = pa.table(
        {
            "query_id": ids,
            "digest": pa.array([cut_digest(each) for each in ids.to_pylist()], pa.int64()),
            "text": texts,
            "text_digest": pa.array([text_digest(text) for text in texts.to_pylist()], DIGEST),
        }
    )
    placed = place_candidates(pairs, work, parts, built)
    passages = texts_from_segments(work)(placed["segment"].to_numpy(), placed["row"].to_numpy())
    placed = placed.select(["passage_id", LOGIT, "text_digest", "selected"])
    placed = placed.append_column("text", pa.array(passages, pa.string()))
    placed = placed.append_column("query", encoded.indices.cast(pa.int64()))
    mined = placed["selected"].to_numpy() > 0
    positives = placed.filter(pa.array(~mined))
    first = first_of_each_text(positives["query"].to_numpy(), positives["text_digest"].to_pylist())
    positives = positives.take(pa.array(first))
    negatives = placed.filter(pa.array(mined))
    avoided = place_candidates(chosen.avoided, work, parts, built)
    owners = pc.index_in(avoided["query_id"], value_set=ids).cast(pa.int64())
    avoided = pa.table({"query": owners, "text_digest": avoided["text_digest"]}).combine_chunks()
    starts = [_starts(table, len(found)) for table in (positives, negatives)]
    return Chosen(found, positives, negatives, avoided, *starts)


def _starts(table: pa.Table, queries: int) -> IntArray:
    return np.searchsorted(table["query"].to_numpy(), np.arange(queries + 1)).astype(np.int64)
