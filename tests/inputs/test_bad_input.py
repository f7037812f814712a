"""Bad input through the command line: one clear sentence, exit code 2, nothing that looks finished."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import write_beir
from mined_runs import TinyModels

from hardneg.pipelines.cli import run

CORPUS: list[dict[str, Any]] = [{"_id": f"p{n}", "text": f"The {n}th passage is about rivers."} for n in range(30)]
QUERIES = [{"_id": "q0", "text": "rivers?"}, {"_id": "q1", "text": "passages?"}]
QRELS = [("q0", "p0", 1), ("q1", "p1", 1)]


class Outcome:
    def __init__(self, code: int, said: str, output: Path) -> None:
        self.code = code
        self.said = " ".join(said.split())
        self.output = output


@pytest.fixture
def hardneg(tmp_path: Path, capfd: pytest.CaptureFixture[str], tiny_models: TinyModels) -> Any:
    """Return a function that runs `hardneg mine` on an input folder."""

    def call(folder: Path, *options: str) -> Outcome:
        output = tmp_path / "out"
        models = tiny_models.arguments if not set(options) & {"--bi-encoder", "--cross-encoder"} else []
        code = run(["mine", "--input", str(folder), "--output", str(output), *options, *models])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return Outcome(code, captured.err, output)

    return call


def refused(outcome: Outcome, *parts: str) -> None:
    assert outcome.code == 2
    assert not outcome.output.exists()
    for part in parts:
        assert part in outcome.said
    assert outcome.said.count("hardneg: ") == 1


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


BROKEN_LINES = {
    b'{"_id": "x", "text": \n': "invalid JSON",
    b'{"_id": "x", "text": "\xff"}\n': "invalid UTF-8",
    b'{"_id": "x", "text": "\\ud800"}\n': "lone surrogate",
    b'{"_id": "x", "text": "a\\u0000b"}\n': "NUL character",
    b'{"text": "no id"}\n': "missing id",
    b'{"_id": "", "text": "empty id"}\n': "missing id",
    b'{"_id": "x", "title": "", "text": " "}\n': "empty text",
    b'{"_id": "x", "text": ["list"]}\n': "wrong type for column text",
}


def test_broken_lines_stop_the_run_above_the_limit(hardneg: Any, tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "in", CORPUS, QUERIES, QRELS)
    append(folder / "corpus.jsonl", b"".join(BROKEN_LINES))
    counted = [f"{number} {reason}" for reason, number in Counter(BROKEN_LINES.values()).items()]
    refused(hardneg(folder), "corpus.jsonl: 8 of 38 rows were rejected (2 missing id, ", *counted)
    (listed,) = (tmp_path / "out.work" / "result" / "rejected").glob("*.jsonl")
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [(row["line"], row["reason"]) for row in rows] == list(enumerate(BROKEN_LINES.values(), start=31))


def test_one_broken_line_in_a_small_file_is_too_many(hardneg: Any, tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "in", CORPUS, QUERIES, QRELS)
    append(folder / "corpus.jsonl", b"not JSON\n")
    said = (
        "1 of 31 rows were rejected (1 invalid JSON; the first in line 31)",
        "the share of 0.001 that may be broken",
    )
    refused(hardneg(folder), *said, "mend the file, or go on without them and set max-rejected", "to 0.033. Every")


def test_a_twentieth_of_the_rows_may_hold_nothing(hardneg: Any, tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "in", CORPUS, QUERIES, QRELS)
    append(folder / "corpus.jsonl", b'{"_id": "x", "title": "", "text": " "}\n')
    outcome = hardneg(folder, "--max-sigmoid", "1")
    assert outcome.code == 0
    assert json.loads((outcome.output / "rejected" / "file-00000.jsonl").read_text())["reason"] == "empty text"
    append(folder / "corpus.jsonl", b'{"_id": "y", "text": null}\n')
    said = hardneg(folder, "--max-sigmoid", "1", "--overwrite").said
    assert "2 of 32 rows were rejected (2 empty text; the first in line 31)" in said
    assert "to 0.063. Every" in said


@pytest.mark.parametrize("kind", ["corpus", "queries", "qrels"])
def test_where_every_row_is_rejected_the_reason_is_told(hardneg: Any, tmp_path: Path, kind: str) -> None:
    folder = write_beir(tmp_path / "in", CORPUS, QUERIES, QRELS)
    files = {"corpus": "corpus.jsonl", "queries": "queries.jsonl", "qrels": "qrels/train.tsv"}
    head = "query-id\tcorpus-id\tscore\n" if kind == "qrels" else ""
    broken = "q0\tp0\tyes\n" if kind == "qrels" else '{"_id": [], "text": "a"}\n'
    (folder / files[kind]).write_text(head + broken * 2)
    outcome = hardneg(folder)
    refused(outcome, "2 rows were rejected")
    assert "no passage" not in outcome.said
    assert list((tmp_path / "out.work" / "result" / "rejected").glob("*.jsonl"))


def test_judgements_of_unknown_ids_are_rejected(hardneg: Any, tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "in", CORPUS, QUERIES, [*QRELS, ("q0", "nobody", 1), ("nobody", "p0", 1)])
    reasons = "1 unknown passage id, 1 unknown query id; the first in line 4"
    refused(hardneg(folder), f"train.tsv: 2 of 4 rows were rejected ({reasons})")


def test_one_id_with_two_texts_names_both_places(hardneg: Any, tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "in", [*CORPUS, {"_id": "p3", "text": "other"}], QUERIES, QRELS)
    refused(hardneg(folder), "'p3'", "corpus.jsonl:4", "corpus.jsonl:31")
    folder = write_beir(tmp_path / "in2", CORPUS, [*QUERIES, {"_id": "q1", "text": "other"}], QRELS)
    refused(hardneg(folder), "'q1'", "queries.jsonl:2", "queries.jsonl:3")


def test_an_empty_corpus_and_queries_without_positives(hardneg: Any, tmp_path: Path) -> None:
    refused(hardneg(write_beir(tmp_path / "a", [], QUERIES, [])), "no passage")
    refused(hardneg(write_beir(tmp_path / "b", CORPUS, QUERIES, [])), "No query has a known positive")


def test_files_that_are_not_what_their_names_say(hardneg: Any, tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "in", CORPUS, QUERIES, QRELS)
    pq.write_table(pa.Table.from_pylist(CORPUS), folder / "corpus.jsonl")
    refused(hardneg(folder), "corpus.jsonl")
    refused(hardneg(tmp_path / "nowhere"), "nowhere")
    refused(hardneg(write_beir(tmp_path / "b", CORPUS, QUERIES, QRELS), "--split", "dev"), "dev", "train")


def test_parquet_without_the_columns(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.table({"left": ["a"], "right": ["b"]}), tmp_path / "pairs.parquet")
    assert run(["mine", "--pairs", str(tmp_path / "pairs.parquet"), "--output", str(tmp_path / "out")]) == 2
    said = capfd.readouterr().err
    assert "left" in said
    assert "name it with --anchor-column." in said


def test_models_that_are_not_there(hardneg: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = write_beir(tmp_path / "in", CORPUS, QUERIES, QRELS)
    refused(hardneg(folder, "--cross-encoder", "./no/such/folder"), "no such folder")
    refused(hardneg(folder, "--bi-encoder", "nobody/no-such-model"), "nobody/no-such-model", "network")


def test_outputs_that_cannot_be_written(hardneg: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = write_beir(tmp_path / "in", CORPUS, QUERIES, QRELS)
    (tmp_path / "file").write_text("")
    assert run(["mine", "--input", str(folder), "--output", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written" in " ".join(capfd.readouterr().err.split())
    (tmp_path / "out").mkdir()
    outcome = hardneg(folder)
    assert outcome.code == 2
    assert "--overwrite" in outcome.said
    assert not list((tmp_path / "out").iterdir())


def test_a_second_run_of_the_same_output_is_refused(hardneg: Any, tmp_path: Path) -> None:
    import os
    import socket

    folder = write_beir(tmp_path / "in", CORPUS, QUERIES, QRELS)
    (tmp_path / "out.work").mkdir()
    lock = tmp_path / "out.work" / "lock"
    lock.write_text(f"{socket.gethostname()} {os.getppid()}")
    refused(hardneg(folder), "another run holds it", str(os.getppid()))
    assert lock.exists()


def test_options_that_cannot_be(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["mine", "--output", str(tmp_path / "out"), "--negatives", "0", "--max-sigmoid", "2"]) == 2
    said = capfd.readouterr().err
    assert "--negatives" in said
    assert "--max-sigmoid" in said
    assert run(["mine", "--output", str(tmp_path / "out"), "--", "--runer", "X"]) == 2
    assert "Beam has no option --runer" in capfd.readouterr().err


@pytest.mark.slow
def test_odd_but_valid_input_is_mined(hardneg: Any, tmp_path: Path) -> None:
    """A corpus smaller than k, a 2 MB passage, one without a word, a line that repeats, a broken line in a thousand."""
    corpus = [*CORPUS[:6], {"_id": "huge", "text": "river and bank " * 140_000}, {"_id": "mute", "text": "🙂 !!"}]
    folder = write_beir(tmp_path / "in", [*corpus, CORPUS[2]], QUERIES, QRELS)
    append(folder / "corpus.jsonl", b"not JSON\n")
    (tmp_path / "run.toml").write_text("max-rejected = 0.2\n")
    outcome = hardneg(
        folder, "--config", str(tmp_path / "run.toml"), "--max-sigmoid", "1", "--cross-encoder-max-length", "64"
    )
    assert outcome.code == 0
    manifest = json.loads((outcome.output / "manifest.json").read_text())
    assert manifest["counts"]["passages"] == 8
    assert manifest["counts"]["passages_repeated"] == 1
    assert manifest["counts"]["rows_rejected"] == 1
    assert manifest["counts"]["pairs_cut"] >= 1
    assert json.loads((outcome.output / "rejected" / "file-00000.jsonl").read_text())["reason"] == "invalid JSON"
    rows = pq.read_table(outcome.output / "candidates").to_pylist()
    assert {row["passage_id"] for row in rows} == {row["_id"] for row in corpus}
    mute = [row for row in rows if row["passage_id"] == "mute"]
    assert all(row["rank_bm25"] is None and row["bm25"] == 0 and row["rank_dense"] for row in mute)


def test_a_corpus_without_a_token(hardneg: Any, tmp_path: Path) -> None:
    corpus = [{"_id": f"p{n}", "text": "!" * (n + 1)} for n in range(4)]
    folder = write_beir(tmp_path / "in", corpus, QUERIES, QRELS)
    outcome = hardneg(folder, "--max-sigmoid", "1", "--allow-unknown-tokens")
    assert outcome.code == 0
    rows = pq.read_table(outcome.output / "candidates").to_pylist()
    assert {row["rank_bm25"] for row in rows} == {None}
    assert len(rows) == 8
