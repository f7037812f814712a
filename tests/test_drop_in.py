"""The drop-in against the function that it stands in for, as installed; then where it differs, and what it adds."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers.util
import torch
from datasets import Dataset
from live_models import (
    RuleCrossEncoder,
    TableCrossEncoder,
    TableModel,
    WordModel,
    fake_faiss,
)

import hardneg
from hardneg import mine_hard_negatives
from hardneg.errors import HardnegError
from hardneg.transforms import drop_in_scores, drop_in_search, drop_in_target
from hardneg.transforms.drop_in_output import report
from hardneg.transforms.drop_in_pairs import read_pairs
from hardneg.transforms.drop_in_request import Filters, Request
from hardneg.transforms.drop_in_selection import Mined
from hardneg.transforms.model_files import ModelSpec, find_model

peer = sentence_transformers.util.mine_hard_negatives
pytestmark = pytest.mark.filterwarnings("ignore:std")  # the peer's, of one score
FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")


def quietly(function: Any, **arguments: Any) -> Any:
    """Call without progress bars: the peer always draws them."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return function(**arguments)


def case(seed: int, documents: int = 0) -> tuple[dict[str, Any], int]:
    """Return a dataset and a corpus, and how many documents there are: repeated rows, shared positives, all sizes."""
    rng = random.Random(seed)
    documents = documents or rng.randint(3, 45)
    queries = rng.randint(1, 9)
    rows = [(f"q{rng.randrange(queries)}", f"d{rng.randrange(documents)}") for _ in range(rng.randint(1, 25))]
    columns = {"id": list(range(len(rows))), "question": [query for query, _ in rows], "answer": [d for _, d in rows]}
    corpus = [f"d{rng.randrange(documents)}" for _ in range(rng.randint(0, 2 * documents))]
    given: dict[str, Any] = {
        "dataset": Dataset.from_dict(columns),
        "anchor_column_name": "question",
        "positive_column_name": "answer",
        "corpus": rng.choice([None, corpus, [f"d{number}" for number in range(documents)]]),
    }
    return given, documents


def options(seed: int) -> dict[str, Any]:
    """Return arguments that say how to mine."""
    rng = random.Random(seed + 10**6)
    given: dict[str, Any] = {
        "num_negatives": rng.randint(1, 5),
        "range_min": rng.choice([0, 0, 1, 3]),
        "output_format": rng.choice(FORMATS),
        "output_scores": rng.random() < 0.5,
        "include_positives": rng.random() < 0.15,
        "faiss_batch_size": rng.choice([1, 2, 5, 16384]),
        "batch_size": rng.choice([1, 3, 32]),
        "verbose": rng.random() < 0.2,
        "use_multi_process": rng.choice([False, False, True, ["cpu", "cpu"]]),
    }
    if rng.random() < 0.4:
        given["range_max"] = given["range_min"] + given["num_negatives"] + rng.randint(-1, 12)
    for name, low, high in (
        ("max_score", -0.5, 1.0),
        ("min_score", -1.0, 0.5),
        ("absolute_margin", -0.3, 0.6),
        ("relative_margin", -0.2, 0.8),
        ("margin", -0.3, 0.6),
    ):
        if rng.random() < (0.05 if name == "margin" else 0.25):
            given[name] = rng.uniform(low, high)
    if rng.random() < 0.1:
        given["as_triplets"] = rng.random() < 0.5
    if rng.random() < 0.05:
        given["output_format"] = "n-tuple-scores"
    return given


def same_rows(ours: Dataset, theirs: Dataset) -> None:
    assert ours.column_names == theirs.column_names
    assert ours.features == theirs.features
    for name in theirs.column_names:
        if name in ("score", "scores"):
            pairs = zip(ours[name], theirs[name], strict=True)
            assert all(np.shape(mine) == np.shape(other) for mine, other in pairs)
            assert np.allclose(np.hstack([0, *ours[name]]), np.hstack([0, *theirs[name]]), rtol=0, atol=1e-5)
        else:
            assert list(ours[name]) == list(theirs[name]), name


def compare(model: Any, cross_encoder: Any, given: dict[str, Any]) -> str:
    """Run both functions; return how it went: ``rows``, ``empty``, ``error``, or what the peer died of."""
    arguments = {**given, "model": model, "cross_encoder": cross_encoder}
    try:
        theirs = quietly(peer, **arguments)
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error)[:40])):
            quietly(mine_hard_negatives, **arguments)
        return "error"
    except ZeroDivisionError:
        quietly(mine_hard_negatives, **arguments)
        return "divided by zero"
    ours = quietly(mine_hard_negatives, **arguments)
    same_rows(ours, theirs)
    return "rows" if len(theirs) else "empty"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="hardneg.st_compat")
    return caplog


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut queries, corpus and pairs into several blocks."""
    monkeypatch.setattr(drop_in_search, "_QUERIES", 3)
    monkeypatch.setattr(drop_in_search, "_DOCUMENTS", 7)
    monkeypatch.setattr(drop_in_search, "_PAIRS", 4)
    monkeypatch.setattr(drop_in_scores, "_BATCHES", 2)


@pytest.mark.parametrize("part", range(6))
def test_every_row_is_the_peers(part: int, request: pytest.FixtureRequest) -> None:
    if part % 2:
        request.getfixturevalue("small_blocks")
    outcomes = []
    for seed in range(part * 70, part * 70 + 70):
        data, documents = case(seed)
        given = {**data, **options(seed)}
        filtered = any(
            name in given for name in ("max_score", "min_score", "absolute_margin", "relative_margin", "margin")
        )
        scorer = TableCrossEncoder(seed, documents, sigmoids=bool(seed % 3)) if filtered and seed % 2 else None
        outcomes.append(compare(TableModel(seed, documents), scorer, given))
    assert outcomes.count("rows") > 40


@pytest.mark.parametrize("gpus", [0, 1])
def test_every_row_is_the_peers_with_faiss(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setitem(sys.modules, "faiss", fake_faiss(gpus))
    outcomes = []
    for seed in range(1000, 1050):
        data, documents = case(seed)
        given = {**data, **options(seed), "use_faiss": True}
        if seed % 20 == 0:
            given |= {"range_min": 2040, "range_max": None}  # the limit of a GPU
        outcomes.append(compare(TableModel(seed, documents), None, given))
    assert outcomes.count("rows") > 30


def test_every_row_is_the_peers_by_embeddings() -> None:
    words = ["trout", "otter", "river", "lynx", "snow", "birch", "heron", "frog", "marsh", "eel", "olive", "chestnut"]
    for seed in range(40):
        rng = random.Random(seed)
        bags = {tuple(sorted(rng.sample(words, rng.randint(2, 6)))) for _ in range(50)}
        texts = [" ".join(bag) for bag in sorted(bags)[:40]]  # of different words, so that no scores tie
        rng.shuffle(texts)
        data = Dataset.from_dict({"anchor": texts[:12], "positive": texts[12:24]})
        given = {"dataset": data, "corpus": texts[20:], **options(seed)}
        compare(WordModel(seed), None, given)


def test_real_models() -> None:
    from sentence_transformers import CrossEncoder, SentenceTransformer

    model = SentenceTransformer(str(find_model(ModelSpec("bi-encoder", "bundled"))), device="cpu")
    cross_encoder = CrossEncoder(str(find_model(ModelSpec("cross-encoder", "bundled"))), device="cpu")
    places = {"Norway": "trout", "Silesia": "frogs", "Crete": "olives"}
    animals = ("otter", "badger", "heron")
    rows = [(animal, place, food) for animal in animals for place, food in places.items()]
    data = Dataset.from_dict(
        {
            "anchor": [f"What does the {animal} eat in {place}?" for animal, place, _ in rows],
            "positive": [f"In {place} the {animal} lives near water and eats {food}." for animal, place, food in rows],
        }
    )
    given = {"model": model, "output_scores": True, "verbose": False}
    few = {"dataset": data.select(range(3)), "corpus": data["positive"][:], "range_max": 6, "num_negatives": 2}
    for more in ({"dataset": data, "relative_margin": 0.05}, {**few, "max_score": 0.8, "cross_encoder": cross_encoder}):
        same_rows(mine_hard_negatives(**given, **more), quietly(peer, **given, **more))


def test_signature() -> None:
    ours, theirs = (list(inspect.signature(each).parameters.values()) for each in (mine_hard_negatives, peer))
    assert [(each.name, each.default) for each in ours[:29]] == [(each.name, each.default) for each in theirs]
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in ours[29:])
    assert mine_hard_negatives is hardneg.st_compat.mine_hard_negatives


def test_importing_hardneg_loads_no_torch_and_the_drop_in_no_beam() -> None:
    code = (
        "import sys, hardneg; assert 'torch' not in sys.modules; hardneg.mine_hard_negatives; "
        "assert 'apache_beam' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'mine_soft_negatives'"):
        hardneg.mine_soft_negatives  # noqa: B018


DATA = {"anchor": ["q0", "q1", "q1"], "positive": ["d0", "d1", "d2"]}
CORPUS = [f"d{number}" for number in range(20)]


def mine(**given: Any) -> Dataset:
    """Mine 20 documents for two queries."""
    arguments = {"dataset": Dataset.from_dict(DATA), "model": TableModel(5, 20), "corpus": CORPUS, "verbose": False}
    return mine_hard_negatives(**{**arguments, **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dataset": Dataset.from_dict({"anchor": [], "positive": []})}, "The dataset is empty"),
        ({"faiss_batch_size": 0}, "faiss_batch_size must be a positive integer, got 0"),
        ({"dataset": Dataset.from_dict({"anchor": ["q0"]})}, "at least two columns"),
        ({"output_format": "quads"}, "Invalid output_format: quads. Must be one of 'triplet'"),
        ({"num_negatives": 0}, "num_negatives must be at least 1, got num_negatives=0"),
        ({"range_min": -1}, "range_min must be non-negative, got range_min=-1"),
        ({"range_min": 4, "range_max": 4}, "range_min must be smaller than range_max, got range_min=4 and range_max=4"),
        ({"range_min": 2, "range_max": 4}, "Cannot mine 3 negatives per query: only 2 candidates remain"),
    ],
)
def test_errors_that_the_peer_raises_too(given: dict[str, Any], message: str) -> None:
    for function in (mine, lambda **each: quietly(peer, **{**DEFAULTS, **each})):
        with pytest.raises(ValueError, match=message):
            function(**given)


DEFAULTS = {"dataset": Dataset.from_dict(DATA), "model": TableModel(5, 20), "corpus": CORPUS}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sampling_strategy": "best"}, "sampling_strategy must be 'top' or 'random', got 'best'"),
        ({"anchor_column_name": "positive"}, "'positive' cannot be both anchor and positive"),
        ({"dataset": Dataset.from_dict({"a": ["q0", None], "b": ["d0", "d1"]})}, "Row 1 of the dataset has no anchor"),
        ({"corpus_ids": [1]}, "one id for each text of corpus"),
        ({"anchor_id_column_name": "qid"}, "no column 'qid'"),
        ({"judge": "combined"}, "decides nothing without"),
        ({"target_false_negative_rate": 1.0}, "between 0 and 1, got 1.0"),
        ({"target_false_negative_rate": 0.1, "judge": "judge"}, "judge must be"),
        ({"target_false_negative_rate": 0.1, "judge": "combined"}, "needs a cross_encoder"),
        ({"target_false_negative_rate": 0.1, "relative_margin": 0.05}, "give one or the other"),
        ({"target_false_negative_rate": 0.1, "range_min": 2}, "range_min skips what passes"),
        ({"target_false_negative_rate": 0.1, "include_positives": True}, "include_positives ranks positives"),
    ],
)
def test_errors_of_our_own(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mine(**given)


def test_a_limit_of_faiss_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match="Please install `faiss`"):
        mine(use_faiss=True)
    monkeypatch.setitem(sys.modules, "faiss", fake_faiss(gpus=1))
    with pytest.raises(ValueError, match="range_max was capped to 2046 because FAISS on GPU"):
        mine(use_faiss=True, range_min=2044)


def test_random_with_nothing_of_ours_is_the_installed_function(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(sentence_transformers.util, "mine_hard_negatives", lambda **given: calls.append(given))
    mine(sampling_strategy="random", num_negatives=3, max_score=0.5)
    assert sorted(calls[0]) == ["corpus", "dataset", "max_score", "model", "sampling_strategy", "verbose"]


def test_random_with_a_seed_is_drawn_among_the_survivors() -> None:
    given = {"sampling_strategy": "random", "range_min": 1, "range_max": 12, "output_scores": True}
    drawn = mine(**given, seed=1)
    assert drawn[:] == mine(**given, seed=1)[:]
    assert drawn["negative"] != mine(**given, seed=2)["negative"]
    survivors = mine(range_min=1, range_max=12, num_negatives=11)
    of_query: dict[str, set[str]] = {"q0": set(), "q1": set()}
    for row in survivors:
        of_query[row["anchor"]].add(row["negative"])
    assert all(row["negative"] in of_query[row["anchor"]] for row in drawn)
    assert [row["scores"][1] for row in drawn][:3] == sorted(
        (row["scores"][1] for row in drawn.select(range(3))), reverse=True
    )
    found = {mine(**given, seed=seed, num_negatives=1)["negative"][0] for seed in range(60)}
    assert found == of_query["q0"]


def test_a_seed_of_python_decides_where_none_is_given() -> None:
    given = {"sampling_strategy": "random", "range_max": 12, "corpus_ids": CORPUS}
    results = []
    for seed in (1, 1, 2):
        random.seed(seed)
        results.append(mine(**given)["negative"])
    assert results[0] == results[1] != results[2]


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
    with pytest.raises(HardnegError, match="too few to calibrate the judge 'bi-encoder'"):
        mine_hard_negatives(**{**given, "dataset": few}, target_false_negative_rate=0.2, verbose=False)
    scorer = RuleCrossEncoder(judge_rule)
    mined = mine_hard_negatives(
        **{**given, "dataset": few}, cross_encoder=scorer, target_false_negative_rate=0.02, verbose=False
    )
    assert "is unsupported" in mined.info.description
    assert "is unsupported" in warnings.text
    assert len(mined)
    assert all(judge_rule(row["anchor"], row["negative"]) < -2 for row in mined)  # a sigmoid below 0.1


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
