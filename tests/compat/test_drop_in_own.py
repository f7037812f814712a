"""Where the drop-in differs from the function that it stands in for, and what it adds."""

from __future__ import annotations

import logging
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from drop_in_cases import CORPUS, DATA, DEFAULTS, mine, peer, quietly, same_rows
from live_models import (
    RuleCrossEncoder,
    TableCrossEncoder,
    TableModel,
    WordModel,
    fake_faiss,
)

from hardneg import mine_hard_negatives
from hardneg.compat import scores as drop_in_scores
from hardneg.compat import target as drop_in_target
from hardneg.compat.output import report
from hardneg.compat.pairs import read_pairs
from hardneg.compat.request import Filters, Request
from hardneg.compat.selection import Mined
from hardneg.errors import HardnegError

pytestmark = pytest.mark.filterwarnings("ignore:std")  # the peer's, of one score
FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="hardneg.compat.drop_in")
    return caplog


# Where the peer is wrong.


def test_margins_that_leave_nothing_do_not_divide_by_zero() -> None:
    given = {"absolute_margin": 5.0, "min_score": 0.0, "include_positives": True, "range_max": 10}
    with pytest.raises(ZeroDivisionError):
        quietly(peer, **DEFAULTS, **given)
    assert len(mine(**given)) == 0


def test_a_filter_is_blamed_only_for_what_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    mine(absolute_margin=0.1, min_score=-2.0, range_max=18, verbose=True)
    printed = capsys.readouterr().out
    assert "due to the absolute_margin of 0.1" in printed
    assert "Skipped 0 candidates (0.00%) due to the min_score" in printed
    assert "Could not find enough negatives for" in printed
    assert "range_max, absolute_margin and min_score parameters" in printed


def test_other_weights_do_not_meet_old_embeddings(tmp_path: Path) -> None:
    texts = [f"word{number} other{number % 7}" for number in range(100)]
    data = Dataset.from_dict({"anchor": texts[:20], "positive": texts[20:40]})
    given = {"dataset": data, "corpus": texts[40:], "cache_folder": str(tmp_path / "new"), "verbose": False}
    results = []
    for weights in (1, 2):
        model = WordModel(weights)
        mined = mine_hard_negatives(model=model, **given)
        assert len(model.encoded) >= 100
        again = WordModel(weights)
        assert mine_hard_negatives(model=again, **given)[:] == mined[:]
        assert len(again.encoded) == 20 + 32  # the probes alone
        results.append(mined["negative"])
    assert results[0] != results[1]
    names = sorted(path.name.split("_embeddings_")[0] for path in (tmp_path / "new").iterdir())
    assert names == ["corpus", "corpus", "query", "query"]
    for path in (tmp_path / "new").iterdir():
        path.write_bytes(b"damaged")
    assert mine_hard_negatives(model=WordModel(2), **given)["negative"] == results[1]


def test_prompts_belong_to_the_address(tmp_path: Path) -> None:
    for prompt in ("query: ", "question: "):
        mine(query_prompt=prompt, cache_folder=str(tmp_path))
    assert len(list(tmp_path.glob("query_embeddings_*.npy"))) == 2
    assert len(list(tmp_path.glob("corpus_embeddings_*.npy"))) == 1


def test_nothing_is_drawn_or_printed_unless_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    model = TableModel(5, 20)
    mine(model=model, cross_encoder=TableCrossEncoder(5, 20), max_score=0.5)
    assert capfd.readouterr() == ("", "")
    assert model.bars == [False, False]
    mine(model=model, verbose=True)
    assert model.bars[2:] == [True, True]
    assert "positive    negative  difference" in capfd.readouterr().out


def test_a_cross_encoder_is_asked_without_a_filter_too(warnings: pytest.LogCaptureFixture) -> None:
    scorer = TableCrossEncoder(5, 20)
    mined = mine(cross_encoder=scorer, output_scores=True, range_max=18)
    assert "most relevant on top" in warnings.text
    for query, positives in (("q0", {"d0"}), ("q1", {"d1", "d2"})):
        best = sorted(set(CORPUS) - positives, key=lambda text: -scorer.score(query, text))[:3]
        rows = mined.filter(lambda row, query=query: row["anchor"] == query)
        assert rows["negative"][:3] == best
        assert [scores[1] for scores in rows["scores"][:3]] == [scorer.score(query, text) for text in best]


def test_a_cross_encoder_gets_many_queries_in_a_call() -> None:
    scorer = TableCrossEncoder(5, 20)
    mine(cross_encoder=scorer, max_score=10.0)
    assert scorer.calls == [40]  # every pair once, the positives among them


def test_more_scores_than_torch_takes_quantiles_of() -> None:
    size = 2**24 + 1
    with pytest.raises(RuntimeError, match="too large"):
        torch.quantile(torch.zeros(size), 0.5)
    pairs = read_pairs(["q"], ["d"], None)
    request = Request("a", "p", Filters(), 0, size, size, False, False, "triplet", False)
    values = np.linspace(0, 1, size, dtype=np.float32)[None]
    mined = Mined(np.zeros((1, size), np.int64), values, np.ones(1, np.float32), {}, size)
    (line,) = [line for line in report(pairs, mined, request, size) if line.startswith("25%")]
    assert line.split() == ["25%", "1.0000", "0.2500", "0.2500"]


def test_faiss_and_another_similarity_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    class Distances(WordModel):
        def similarity(self, queries: Any, documents: Any) -> torch.Tensor:
            return -torch.cdist(torch.as_tensor(queries), torch.as_tensor(documents))

        def similarity_pairwise(self, queries: Any, documents: Any) -> torch.Tensor:
            return -(torch.as_tensor(queries) - torch.as_tensor(documents)).norm(dim=1)

    monkeypatch.setitem(sys.modules, "faiss", fake_faiss())
    texts = [f"word{number} other{number % 7}" for number in range(60)]
    data = Dataset.from_dict({"anchor": texts[:10], "positive": texts[10:20]})
    given = {"dataset": data, "corpus": texts[20:], "relative_margin": 0.1, "output_scores": True, "verbose": False}
    same_rows(
        mine_hard_negatives(model=Distances(), use_faiss=True, **given), mine_hard_negatives(model=Distances(), **given)
    )


def test_what_is_not_a_number_is_refused() -> None:
    class Broken(TableModel):
        def encode_query(self, texts: Any, **given: Any) -> np.ndarray:
            return super().encode_query(texts, **given) * np.nan

    with pytest.raises(HardnegError, match="embedding of 'q0' is not finite"):
        mine(model=Broken(5, 20))
    with pytest.raises(HardnegError, match="'q0' and 'd0' is not finite"):
        mine(cross_encoder=RuleCrossEncoder(lambda query, document: float("nan")), max_score=1.0)


def test_a_name_that_is_no_column_is_said(warnings: pytest.LogCaptureFixture) -> None:
    assert mine(anchor_column_name="question").column_names == ["anchor", "positive", "negative"]
    assert "no column 'question'; it has 'anchor', 'positive'" in warnings.text


def test_processes_are_stopped_after_an_error() -> None:
    model = TableModel(5, 20)
    model.encode_document = lambda *_, **__: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        mine(model=model, use_multi_process=["cpu"])
    assert model.pools == ["start ['cpu']", "stop"]
    scorer = RuleCrossEncoder(lambda query, document: float("nan"))
    with pytest.raises(HardnegError):
        mine(cross_encoder=scorer, max_score=1.0, use_multi_process=True)
    assert scorer.pools == ["start None", "stop"]


# What hardneg adds.


@pytest.mark.parametrize("output_format", FORMATS)
def test_ids_are_kept(output_format: str) -> None:
    columns = {**DATA, "qid": [10, 11, 12], "pid": [0, -1, -2]}
    mined = mine(
        dataset=Dataset.from_dict(columns),
        corpus=CORPUS[3:],
        corpus_ids=[int(text[1:]) for text in CORPUS[3:]],
        anchor_id_column_name="qid",
        positive_id_column_name="pid",
        output_format=output_format,
    )
    plain = mine(dataset=Dataset.from_dict(columns), corpus=CORPUS[3:], output_format=output_format)
    assert mined.select_columns(plain.column_names)[:] == plain[:]
    known = {f"d{number}": number for number in range(20)} | {"d1": -1, "d2": -2}
    ids = {("q0", "d0"): (10, 0), ("q1", "d1"): (11, -1), ("q1", "d2"): (12, -2)}
    for row in mined:
        if output_format in ("triplet", "n-tuple"):
            assert (row["qid"], row["pid"]) == ids[row["anchor"], row["positive"]]
            names = ["negative"] if output_format == "triplet" else ["negative_1", "negative_2", "negative_3"]
            assert [row[f"{name}_id"] for name in names] == [known[row[name]] for name in names]
        elif output_format == "labeled-list":
            assert row["pid"] == [known[text] for text in row["positive"]]
        else:
            assert row["pid"] == known[row["positive"]]
            assert row["qid"] in (10, 11, 12)


def test_ids_of_the_corpus_alone() -> None:
    mined = mine(corpus=CORPUS[3:] * 2, corpus_ids=[*CORPUS[3:], *"x" * 17], num_negatives=18, range_max=19)
    assert mined.column_names == ["anchor", "positive", "negative", "negative_id"]
    assert all(row["negative_id"] in (row["negative"], None) for row in mined)
    assert {row["negative"] for row in mined if row["negative_id"] is None} == {"d0", "d1", "d2"}


def test_bm25_brings_what_the_embeddings_miss() -> None:
    class Whole(WordModel):
        def _embed(self, texts: Any, **given: Any) -> np.ndarray:
            return super()._embed([text.replace(" ", "-") for text in texts], **given)

        encode_query = encode_document = _embed

    filler = [f"alpha{number} beta{number % 5} gamma{number % 3}" for number in range(60)]
    data = Dataset.from_dict({"anchor": ["zebra stripes", "okapi legs"], "positive": filler[:2]})
    lexical = ["zebra crossing at night", "an okapi at the zoo"]
    scorer = RuleCrossEncoder(lambda query, document: len({*query.split()} & {*document.split()}))
    given = {"dataset": data, "corpus": filler[2:] + lexical, "cross_encoder": scorer, "range_max": 5, "verbose": False}
    dense = mine_hard_negatives(model=Whole(7), **given)
    fused = mine_hard_negatives(model=Whole(7), bm25=True, **given)
    for query, text in zip(data["anchor"], lexical, strict=True):
        assert text in [row["negative"] for row in fused if row["anchor"] == query]
    assert not set(lexical) & set(dense["negative"])
    assert fused.column_names == dense.column_names


def collection(queries: int, seed: int = 0) -> tuple[Dataset, list[str], set[tuple[str, str]]]:
    """Return rows, a corpus, and every relevant pair: two documents of a topic answer each query, one is known."""
    rng = random.Random(seed)
    anchors = [f"question topic{number} word{number % 40}" for number in range(queries)]
    documents, relevant = [], set()
    for number, anchor in enumerate(anchors):
        for kind in ("one", "two"):
            noise = " ".join(f"w{rng.randrange(400)}" for _ in range(6))
            documents.append(f"answer {kind} topic{number} word{number % 40} {noise}")
            relevant.add((anchor, documents[-1]))
    known = [documents[2 * number + rng.randrange(2)] for number in range(queries)]
    return Dataset.from_dict({"anchor": anchors, "positive": known}), documents, relevant


def judge_rule(query: str, document: str) -> float:
    """A good cross-encoder's logit, with some noise that depends on the pair."""
    same = query.split()[1] in document.split()
    noise = np.random.default_rng(abs(hash_of(query + document))).normal()
    return (4.0 if same else -4.0) + noise


def hash_of(text: str) -> int:
    import hashlib

    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")


def sigmoid_rule(query: str, document: str) -> float:
    return float(1 / (1 + np.exp(-judge_rule(query, document))))


@pytest.mark.parametrize("judge", [None, "cross-encoder"])
@pytest.mark.parametrize("rule", [judge_rule, sigmoid_rule])
def test_a_target_is_kept(judge: Any, rule: Any) -> None:
    data, corpus, relevant = collection(600)
    scorer = RuleCrossEncoder(rule)
    mined = mine_hard_negatives(
        data,
        WordModel(3),
        corpus=corpus,
        cross_encoder=scorer,
        bm25=True,
        target_false_negative_rate=0.05,
        judge=judge,
        output_scores=True,
        verbose=False,
    )
    assert "is estimated: " in mined.info.description
    wrong = sum((row["anchor"], row["negative"]) in relevant for row in mined)
    assert len(mined) > 1200
    assert wrong / len(mined) <= 0.05
    naive = mine_hard_negatives(data, WordModel(3), corpus=corpus, bm25=True, verbose=False)
    assert sum((row["anchor"], row["negative"]) in relevant for row in naive) / len(naive) > 0.2
    # The sample's 400 queries whole, the others as far as need be; and each pair once.
    assert sum(scorer.calls) < 600 * 31 * 0.85
    for row in mined.select(range(20)):
        assert row["scores"] == pytest.approx(
            [rule(row["anchor"], row["positive"]), rule(row["anchor"], row["negative"])], abs=1e-5
        )


def test_a_target_without_a_cross_encoder(
    warnings: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    data, corpus, _ = collection(200)
    given = {"dataset": data, "model": WordModel(3), "corpus": corpus, "bm25": True}
    mined = mine_hard_negatives(**given, target_false_negative_rate=0.2, max_score=0.9)
    assert "target_false_negative_rate=0.2 is " in mined.info.description
    assert mined.info.description in capsys.readouterr().out
    few = data.select(range(5))
    mined = mine_hard_negatives(**{**given, "dataset": few}, target_false_negative_rate=0.2, verbose=False)
    assert "by 5 known positives: a guess, not a bound" in mined.info.description
    assert len(mined)
    scorer = RuleCrossEncoder(judge_rule)
    mined = mine_hard_negatives(
        **{**given, "dataset": few}, cross_encoder=scorer, target_false_negative_rate=0.02, verbose=False
    )
    assert "is unsupported" in mined.info.description
    assert "is unsupported" in warnings.text
    assert len(mined)


def test_a_target_with_lots_and_with_a_filter_on_the_cross_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop_in_target, "_BLOCK", 17)
    data, corpus, _ = collection(120)
    given = {
        "dataset": data,
        "corpus": corpus,
        "target_false_negative_rate": 0.1,
        "sampling_strategy": "random",
        "max_score": 3.0,
        "min_score": -5.0,
        "output_format": "n-tuple",
        "output_scores": True,
        "verbose": False,
    }
    first, again, other = (
        mine_hard_negatives(model=WordModel(3), cross_encoder=RuleCrossEncoder(judge_rule), seed=seed, **given)
        for seed in (1, 1, 2)
    )
    assert first[:] == again[:]
    assert first["negative_1"] != other["negative_1"]
    for row in first:
        _, *scores = row["scores"]
        assert scores == sorted(scores, reverse=True)
        assert all(-5.0 <= score <= 3.0 for score in scores)


def test_a_target_drops_copies_of_a_positive() -> None:
    data, corpus, _ = collection(60)
    copies = [text.upper() for text in data["positive"]]
    mined = mine_hard_negatives(
        data,
        WordModel(3),
        corpus=corpus + copies,
        cross_encoder=RuleCrossEncoder(
            lambda query, document: -3.0 if document.isupper() else judge_rule(query, document)
        ),
        target_false_negative_rate=0.3,
        num_negatives=40,
        verbose=False,
    )
    copy_of = dict(zip(data["anchor"], copies, strict=True))
    assert len(mined)
    assert not any(row["negative"] == copy_of[row["anchor"]] for row in mined)


def test_scores_that_change_their_scale_are_refused() -> None:
    scorer = drop_in_scores.LiveCrossEncoder(None, 1, False)
    assert scorer.logits(np.array([0.5, 1.0], np.float32)).tolist() == pytest.approx([0.0, 16.6])
    with pytest.raises(HardnegError, match="neither sigmoids nor logits"):
        scorer.logits(np.array([1.5], np.float32))


def test_deprecated_words_are_said(warnings: pytest.LogCaptureFixture) -> None:
    mine(margin=0.1, as_triplets=False)
    mine(include_positives=True, max_score=0.9)
    mine(output_format="n-tuple-scores")
    for word in (
        "`margin` is deprecated",
        "`as_triplets` is",
        "may still discard the positive values",
        "n-tuple-scores",
    ):
        assert word in warnings.text
