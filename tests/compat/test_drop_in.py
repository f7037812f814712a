"""The drop-in against the function that it stands in for, as installed."""

from __future__ import annotations

import inspect
import random
import re
import subprocess
import sys
from typing import Any

import pytest
import sentence_transformers.util
from datasets import Dataset
from drop_in_cases import CORPUS, DEFAULTS, mine, peer, quietly, same_rows
from live_models import (
    TableCrossEncoder,
    TableModel,
    WordModel,
    fake_faiss,
)

import hardneg
from hardneg import mine_hard_negatives
from hardneg.compat import scores as drop_in_scores
from hardneg.compat import search as drop_in_search
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.spec import ModelSpec

pytestmark = pytest.mark.filterwarnings("ignore:std")  # the peer's, of one score
FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")


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


@pytest.mark.slow
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
    assert mine_hard_negatives is hardneg.compat.drop_in.mine_hard_negatives


def test_importing_hardneg_loads_no_torch_and_the_drop_in_no_beam() -> None:
    code = (
        "import sys, hardneg; assert 'torch' not in sys.modules; hardneg.mine_hard_negatives; "
        "assert 'apache_beam' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'mine_soft_negatives'"):
        hardneg.mine_soft_negatives  # noqa: B018


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
