"""The examples run as they stand: on a small run, with the bundled bi-encoder and a small random cross-encoder."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pairs_run
import pytest
from conftest import ANIMALS, PLACES
from pairs_run import COLUMNS

import hardneg
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.spec import ModelSpec

models, run = pairs_run.models, pairs_run.run

EXAMPLES = Path(__file__).parents[2] / "examples"
BUNDLED = str(find_model(ModelSpec("bi-encoder", "bundled")))


def run_example(name: str, *arguments: str) -> str:
    """Run an example as a user would, with this interpreter's programs in reach; return what it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env={**os.environ, "PATH": path, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """Return a collection in the BEIR layout: for each animal, its question about one place."""
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    corpus = [
        {"_id": f"{animal}-{place}", "title": "", "text": f"In {place} the {animal} lives near water and eats {food}."}
        for animal in ANIMALS
        for place, food in PLACES.items()
    ]
    place = next(iter(PLACES))
    queries = [{"_id": animal, "text": f"What is the food of the {animal} in {place}?"} for animal in ANIMALS]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines = ["query-id\tcorpus-id\tscore", *(f"{animal}\t{animal}-{place}\t1" for animal in ANIMALS)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def weights(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(["otter"])[0]


@pytest.mark.slow
def test_train_bi_encoder(run: hardneg.Run, beir: Path, tmp_path: Path) -> None:
    assert len((EXAMPLES / "train_bi_encoder.py").read_text(encoding="utf-8").splitlines()) < 80
    output = tmp_path / "trained"
    said = run_example(
        *("train_bi_encoder.py", run.folder, "--model", BUNDLED, "--evaluate", str(beir), "--output", str(output)),
        *("--batch-size", "16"),
    )
    before, after = map(float, re.findall(r"(\d\.\d{4}) (?:before|after)", said))
    assert 0 < before <= 1
    assert 0 < after <= 1
    assert abs(weights(output) - weights(Path(BUNDLED))).max() > 1e-4


@pytest.mark.slow
def test_rounds(models: dict[str, str], beir: Path, tmp_path: Path) -> None:
    assert len((EXAMPLES / "rounds.py").read_text(encoding="utf-8").splitlines()) < 100
    store, output = tmp_path / "store", tmp_path / "student"
    said = run_example(
        *("rounds.py", str(beir), "--split", "test", "--store", str(store), "--output", str(output)),
        *("--model", models["bi_encoder"], "--cross-encoder", models["cross_encoder"], "--batch-size", "8"),
    )
    shares = re.findall(r"in the store were (\d+)% of the logits, (\d+)% of the passages' embeddings", said)
    assert [embeddings for _, embeddings in shares] == ["0"] * 3, said
    assert all(int(logits) > 0 for logits, _ in shares[1:]), said
    assert len(list((store / "snapshots").iterdir())) == 3
    assert abs(weights(output) - weights(Path(models["bi_encoder"]))).max() > 0


@pytest.mark.slow
def test_distill(run: hardneg.Run, tmp_path: Path) -> None:
    output = tmp_path / "distilled"
    said = run_example("distill.py", run.folder, "--model", BUNDLED, "--output", str(output), "--batch-size", "16")
    rows = int(re.findall(r"learned from ([\d,]+) rows", said)[0].replace(",", ""))
    assert rows == len({row["query_id"] for row in run.candidates(verdict="negative").to_pylist() if row["selected"]})
    assert abs(weights(output) - weights(Path(BUNDLED))).max() > 1e-4


@pytest.mark.slow
def test_notebook_mine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its data and models come from a hub: here they are those that are installed."""
    import datasets
    import sentence_transformers
    from sentence_transformers import CrossEncoder, SentenceTransformer

    columns = {"query": COLUMNS["anchor"], "answer": COLUMNS["positive"]}
    judge = str(find_model(ModelSpec("cross-encoder", "bundled")))
    load = datasets.load_dataset

    def load_dataset(name: str, **options: Any) -> Any:
        return datasets.Dataset.from_dict(columns) if "natural-questions" in name else load(name, **options)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for kind, folder in ((SentenceTransformer, BUNDLED), (CrossEncoder, judge)):

        def model(name: str, *, _kind: Any = kind, _folder: str = folder, **options: Any) -> Any:
            return _kind(name if Path(name).is_dir() else _folder, **options)

        monkeypatch.setattr(sentence_transformers, kind.__name__, model)
    made = runpy.run_path(str(EXAMPLES / "notebook_mine.py"))
    first = made["run"].triplets()[0]
    assert first["anchor"] in columns["query"]
    assert first["anchor"] in capsys.readouterr().out
