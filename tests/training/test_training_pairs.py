"""What a cross-encoder is trained on: rounds from a mined run, pairs that somebody scored, digests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardneg.errors import HardnegError
from hardneg.transforms.core.text import normalise, text_digest
from hardneg.transforms.judge.seen_pairs import pair_digests, read_digests, seen, write_digests
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.training.judge_training import Rounds
from hardneg.transforms.training.scored_pairs import read_scored_pairs
from hardneg.transforms.training.training_pairs import PAIRS, RERANKED, pairs_of_run, pairs_of_tables

NEGATIVES, ROUNDS, HELD_OUT = 2, 3, 5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run written by hand: 12 queries, each with one positive, ten negatives and two suspected positives."""
    folder = tmp_path_factory.mktemp("run")
    queries = [{"query_id": f"q{n}", "text": f"What is number {n}?"} for n in range(11)]
    queries.append({"query_id": "q-again", "text": "WHAT is  number 0?"})
    passages = [{"passage_id": f"p{n}", "text": f"This is number {n}."} for n in range(40)]
    rows = []
    for number, query in enumerate(queries):
        place = number % 11
        for rank in range(1, 14):
            verdict = {1: "positive", 2: "suspected_positive", 3: "suspected_positive"}.get(rank, "negative")
            passage = f"p{(place + rank - 1) % 40}"
            rows.append({"query_id": query["query_id"], "passage_id": passage, "fused_rank": rank, "verdict": verdict})
    for kind, table in (("queries", queries), ("passages", passages), ("candidates", rows)):
        (folder / kind).mkdir()
        pq.write_table(pa.Table.from_pylist(table), folder / kind / "part-00000-of-00001.parquet")
    return folder


def _opened(run: Path) -> FinishedRun:
    return FinishedRun(str(run), {"options": {}, "counts": {}})


def test_held_out_queries_are_in_no_pair(run: Path) -> None:
    data = pairs_of_run(_opened(run), ROUNDS, NEGATIVES, HELD_OUT, unrelated=False)
    learned = {normalise(query) for table in data.rounds for query in table["query"].to_pylist()}
    held_out = {normalise(each.query) for each in data.held_out}
    assert not learned & held_out
    assert len(held_out) == HELD_OUT
    assert len(learned | held_out) == 11, "queries of equal text stay together"
    for each in data.held_out:
        assert len(each.positives) == 1
        assert len(each.documents) == RERANKED


def _ranks(run: Path, rounds: int, unrelated: bool) -> list[dict[str, list[int]]]:
    """Return each round's ranks of negatives, by query."""
    data = pairs_of_run(_opened(run), rounds, NEGATIVES, HELD_OUT, unrelated)
    assert [table.schema for table in data.rounds] == [PAIRS] * rounds
    found: list[dict[str, list[int]]] = []
    for table in data.rounds:
        found.append({})
        for row in table.to_pylist():
            place = int(row["query"].split()[-1].rstrip("?"))
            rank = (int(row["passage"].split()[-1].rstrip(".")) - place) % 40 + 1
            assert row["score"] == (1.0 if rank == 1 else 0.0)
            if row["score"] == 0.0:
                found[-1].setdefault(row["query"], []).append(rank)
    return found


def test_rounds_grow_harder(run: Path) -> None:
    first, second, third = _ranks(run, ROUNDS, unrelated=False)
    for query in first:
        assert (first[query], second[query], third[query]) == ([8, 9], [6, 7], [4, 5]), "2 and 3 are suspected"


def test_a_new_head_begins_with_what_was_not_found(run: Path) -> None:
    first, second, third = _ranks(run, ROUNDS, unrelated=True)
    for query in first:
        assert len(first[query]) == NEGATIVES
        assert all(rank > 13 for rank in first[query]), "not found for the query"
        assert (second[query], third[query]) == ([6, 7], [4, 5])


def test_too_few_mined_negatives_are_filled_up(run: Path) -> None:
    """Ten are mined; the first of six rounds would take the eleventh and twelfth."""
    rounds = _ranks(run, 6, unrelated=False)
    for query, ranks in rounds[0].items():
        assert len(ranks) == NEGATIVES
        assert all(rank > 13 for rank in ranks)
        assert rounds[1][query] == [12, 13]


def test_too_few_queries_is_said(run: Path) -> None:
    with pytest.raises(HardnegError, match="too few to learn from and to hold 50 out"):
        pairs_of_run(_opened(run), ROUNDS, NEGATIVES, 50, unrelated=False)


@given(
    scores=st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 0.3, 0.5, 1.0])), min_size=1, max_size=40),
    held_out=st.integers(0, 4),
)
def test_scored_pairs_are_learned_or_held_out(scores: list[tuple[int, float]], held_out: int) -> None:
    rows = [{"query": f"q{query}", "passage": f"p{row}", "score": score} for row, (query, score) in enumerate(scores)]
    data = pairs_of_tables([pa.Table.from_pylist(rows, schema=PAIRS)], held_out)
    learned = set(data.rounds[0]["query"].to_pylist())
    assert not learned & {each.query for each in data.held_out}
    assert len(data.held_out) <= held_out
    for each in data.held_out:
        own = {row["passage"]: row["score"] for row in rows if row["query"] == each.query}
        assert each.documents == list(own)
        assert each.positives == [passage for passage, score in own.items() if score >= 0.5]
        assert 0 < len(each.positives) < len(own)
    kept = [row for row in rows if row["query"] in learned]
    assert len(kept) == data.pairs


GOOD = [{"query": "a", "passage": "b", "score": 0.25}, {"query": "c", "passage": 'd"', "score": 1.0}]


def _jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _parquet(rows: list[dict]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "data"),
    {
        "pairs.jsonl": _jsonl(GOOD),
        "pairs.parquet": _parquet(GOOD),
        "pairs.tsv": b'query\tpassage\tscore\na\tb\t0.25\nc\td"\t1\n',
        "pairs.csv": b'anchor,document,label\na,b,0.25\nc,"d""",1\n',
    }.items(),
)
def test_scored_pairs_are_read(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    (table,) = read_scored_pairs([str(tmp_path / name)])
    assert table.to_pylist() == GOOD
    assert table.schema == PAIRS


def test_logits_are_squashed(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(_jsonl([{"query": "a", "passage": "b", "logit": logit} for logit in (0.0, -40.0, 1.0986123)]))
    (table,) = read_scored_pairs([str(path)])
    assert table["score"].to_pylist() == pytest.approx([0.5, 0.0, 0.75], abs=1e-6)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_jsonl([{**GOOD[0], "score": 1.5}]), "row 1 has the score 1.5, and it must lie between 0 and 1"),
        (_jsonl([{**GOOD[0], "score": None}, GOOD[1]]), "row 1 has the score nan"),
        (_jsonl([{**GOOD[0], "score": "high"}]), "pairs.jsonl:1 can't be used (grade is not a number)"),
        (_jsonl([GOOD[0], {**GOOD[0], "query": "  "}]), "pairs.jsonl:2 has no text in 'query'"),
        (_jsonl([{**GOOD[0], "passage": None}, GOOD[1]]), "pairs.jsonl:1 has no text in 'passage'"),
        (_jsonl([{**GOOD[0], "passage": 7}]), "pairs.jsonl:1 can't be used (wrong type for column passage)"),
        (_jsonl([{"query": "a", "passage": "b"}]), "none of them is one of label, score, logit"),
        (b"{not json}\n", "is not JSON lines"),
    ],
)
def test_bad_scored_pairs_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(data)
    with pytest.raises(HardnegError, match=r"pairs\.jsonl") as error:
        read_scored_pairs([str(path)])
    assert said in str(error.value)
    with pytest.raises(HardnegError, match="matches no file"):
        read_scored_pairs([str(tmp_path / "nothing*.jsonl")])


@given(st.lists(st.tuples(st.text(), st.text()), max_size=20), st.lists(st.tuples(st.text(), st.text()), max_size=20))
def test_digests_know_the_pairs_of_the_training(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], others: list[tuple[str, str]]
) -> None:
    def digests(pairs: list[tuple[str, str]]) -> Any:
        return pair_digests((text_digest(query), text_digest(passage)) for query, passage in pairs)

    folder = tmp_path_factory.mktemp("model")
    write_digests(folder, digests(pairs))
    training = read_digests(folder)
    assert seen(digests(pairs), training).all()
    known = {(normalise(query), normalise(passage)) for query, passage in pairs}
    expected = [(normalise(query), normalise(passage)) in known for query, passage in others]
    assert seen(digests(others), training).tolist() == expected


def test_damaged_digests_are_refused(tmp_path: Path) -> None:
    assert len(read_digests(tmp_path)) == 0
    write_digests(tmp_path, np.arange(4, dtype=np.uint64))
    path = tmp_path / "training_pairs.npy"
    whole = path.read_bytes()
    for damaged in (whole[:-3], b"", b"\x93NUMPY garbage"):
        path.write_bytes(damaged)
        with pytest.raises(HardnegError, match="is damaged"):
            read_digests(tmp_path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(HardnegError, match="is damaged"):
        read_digests(tmp_path)


@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=3),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 5),
)
def test_batches_hold_every_pair_once_and_rounds_in_order(sizes: list[int], batch_size: int, seed: int) -> None:
    texts = ["x" * (7 * row % 50) for row in range(sum(sizes))]
    table = pa.table({"query": pa.array(texts, pa.string()), "passage": pa.array(texts, pa.string())})
    ends = np.cumsum([0, *sizes]).tolist()
    batches: Callable[[], list[list[int]]] = lambda: list(Rounds(ends, table, seed).batches(batch_size))  # noqa: E731
    rows = [row for batch in batches() for row in batch]
    assert sorted(rows) == list(range(sum(sizes)))
    of_round = np.searchsorted(ends, rows, "right")
    assert (np.diff(of_round) >= 0).all()
    assert all(len(batch) <= batch_size for batch in batches())
    assert batches() == batches()
