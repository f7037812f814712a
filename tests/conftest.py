"""What several tests share: a small collection, a way to mine it, and the real collections where they are."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from mined_runs import ONE_WORKER, Mine, Run, TinyModels, mine_into, mined_once, tiny_models_in
from profiles import PROFILE
from rerank_server import RerankServer

# Beam warns of missing cloud libraries while it is imported.
logging.getLogger().setLevel(logging.ERROR)

settings.load_profile(PROFILE)

CUTS = Path(__file__).parent / "data"
WHOLE = Path(__file__).parents[2] / "shared" / "data"
ANIMALS = ("otter", "badger", "lynx", "heron", "marten", "beaver", "stork", "weasel")
PLACES = {"Norway": "trout", "Galicia": "chestnuts", "Silesia": "frogs", "Crete": "olives", "Wales": "eels"}


@pytest.fixture(scope="session")
def collection() -> Callable[..., Path]:
    """Return a function that gives the folder of a real collection's cut; or, if it is here, of the ``whole`` of it."""

    def find(name: str, whole: bool = False) -> Path:
        folder = (WHOLE if whole else CUTS) / name
        if whole and not folder.is_dir():
            pytest.skip(f"the whole of {name} is not here")
        return folder

    return find


def write_beir(folder: Path, corpus: Iterable[dict], queries: Iterable[dict], qrels: Iterable[tuple]) -> Path:
    """Write a collection in the BEIR layout; qrels are (query id, passage id, grade)."""
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    lines = "".join(f"{query}\t{passage}\t{grade}\n" for query, passage, grade in qrels)
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of 42 short passages and 21 queries with everything in it that masks look at."""
    corpus, queries, qrels = [], [], []
    for animal in ANIMALS:
        for place, food in PLACES.items():
            corpus.append(
                {
                    "_id": f"{animal}-{place}",
                    "title": f"The {animal}",
                    "text": f"In {place} the {animal} lives near water and eats mostly {food}.",
                }
            )
    # The same text under another id, and one that is the same only after normalisation.
    corpus.append({**corpus[0], "_id": "twin"})
    corpus.append({**corpus[6], "_id": "shouting", "text": corpus[6]["text"].upper()})
    for number, animal in enumerate(ANIMALS):
        for place in list(PLACES)[number % 2 :: 2]:
            name = f"q-{animal}-{place}"
            queries.append({"_id": name, "text": f"What does the {animal} eat in {place}?"})
            qrels.append((name, f"{animal}-{place}", 2))
    # A second query with the text of the first and another positive; a partially relevant passage; a refused one.
    queries.append({"_id": "q-again", "text": queries[0]["text"].upper()})
    qrels += [
        ("q-again", "otter-Silesia", 1),
        (queries[1]["_id"], "otter-Wales", 1),
        (queries[1]["_id"], "otter-Crete", -1),
    ]
    qrels.append((queries[2]["_id"], "badger-Norway", 2))
    return write_beir(tmp_path_factory.mktemp("animals") / "collection", corpus, queries, qrels)


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of one test session have."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def tiny_models(session_folder: Path) -> TinyModels:
    return tiny_models_in(session_folder)


@pytest.fixture(scope="session")
def mined(session_folder: Path, tiny_models: TinyModels) -> Mine:
    """Return a function that gives a run of some options, to look at: mined once, whoever asks for it.

    With ``page``, it has its report.html.
    """

    def find(beam_args: list[str] = ONE_WORKER, page: bool = False, **options: Any) -> Run:
        return mined_once(session_folder, tiny_models.with_options(options), beam_args, page)

    return find


@pytest.fixture
def mine(tmp_path: Path, tiny_models: TinyModels) -> Mine:
    """Return a function that mines into a fresh folder, with tiny models unless others are named."""

    def run(
        name: str = "out",
        beam_args: list[str] = ONE_WORKER,
        texts_travel: bool | None = None,
        page: bool = False,
        **options: Any,
    ) -> Run:
        output = tmp_path / name
        return Run(output, mine_into(output, tiny_models.with_options(options), beam_args, page, texts_travel))

    return run


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RerankServer]:
    """A running rerank server, in an environment with no key for it and no proxy before it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HARDNEG_API_KEY", raising=False)
    with RerankServer().running() as running:
        yield running
