"""What several tests share: a small collection, a way to mine it, and the real collections where they are."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pytest
from rerank_server import RerankServer

# Beam warns of missing cloud libraries while it is imported.
logging.getLogger().setLevel(logging.ERROR)

from hardneg.pipelines.commands import driver  # noqa: E402
from hardneg.pipelines.options.mine import MineConfig  # noqa: E402

SHARED = Path(__file__).parents[2] / "shared" / "data"
# One runner everywhere, named, with Beam's type checks of every element.
ONE_WORKER = ["--runner", "FnApiRunner", "--runtime_type_check"]
TWO_WORKERS = ["--runner", "FnApiRunner", "--direct_num_workers", "2"]

ANIMALS = ("otter", "badger", "lynx", "heron", "marten", "beaver", "stork", "weasel")
PLACES = {"Norway": "trout", "Galicia": "chestnuts", "Silesia": "frogs", "Crete": "olives", "Wales": "eels"}


@pytest.fixture(scope="session")
def collection() -> Callable[[str], Path]:
    """Return a function that gives a real collection's folder, or skips the test."""

    def find(name: str) -> Path:
        folder = SHARED / name
        if not folder.is_dir():
            pytest.skip(f"the collection {name} is not here")
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


class Run:
    """A finished run: its folder, its manifest and its tables."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    def table(self, kind: str) -> pa.Table:
        return pyarrow.dataset.dataset(self.folder / kind, format="parquet").to_table()

    def rows(self, kind: str) -> list[dict[str, Any]]:
        return self.table(kind).to_pylist()

    def hashes(self, kind: str) -> dict[str, str]:
        shards = self.manifest["shards"]
        return {shard["name"]: shard["sha256"] for shard in shards if shard["name"].startswith(kind + "/")}


@pytest.fixture
def mine(tmp_path: Path) -> Callable[..., Run]:
    """Return a function that mines with the bundled models, into a fresh folder."""

    def run(name: str = "out", beam_args: list[str] = ONE_WORKER, **options: Any) -> Run:
        output = tmp_path / name
        manifest = driver.mine(MineConfig(output=str(output), **options), beam_args)
        return Run(output, manifest)

    return run


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RerankServer]:
    """A running rerank server, in an environment with no key for it and no proxy before it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HARDNEG_API_KEY", raising=False)
    with RerankServer().running() as running:
        yield running
