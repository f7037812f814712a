"""`hardneg report RUN --why QUERY PASSAGE`: who found the pair where, every signal, the threshold, the reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from finished_run import candidate, write_run
from report_cases import NEGATIVES, denoising_of, random_rows

from hardneg.errors import HardnegError
from hardneg.pipelines.cli import run as command
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.report import why as why_module
from hardneg.pipelines.report.why import Why, why
from hardneg.pipelines.report.why_table import why_rows
from hardneg.transforms.core.text import cut_digest
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, Target
from hardneg.transforms.judge.judge import single_signal_judge

THRESHOLD = 1.25
QUERIES = {"q1": "what does the otter eat?", "q2": "水獭吃什么？", "q3": "what does the otter eat?", "p-mined": "odd"}
PASSAGES = {
    "p-positive": "The otter eats fish.",
    "p-mined": "The otter sleeps a lot.",
    "p-spare": "The badger sleeps a lot.",
    "p-above": "Otters like trout.",
    "p-never": "p-above",  # its text is another's id
    "p-twin": "The otter sleeps a lot.",
    "p-wild": "[bold]\x1b[31m red \r\nline " + "x" * 1000,
    "p-far": "An otter far away.",
}


def rows() -> list[dict[str, Any]]:
    """Return candidates of q1, and one of q2."""
    found = {"fused_rank": 3, "rank_bm25": 4, "rank_dense": None, "bm25": 7.5, "similarity_dense": 0.625}
    return [
        candidate("q1", "p-positive", "positive", logit=3.5, grade=2.0, similarity_dense=0.75),
        candidate("q1", "p-mined", "negative", logit=-2.0, selected=1, **found),
        candidate("q1", "p-spare", "negative", logit=1.2499999, **found),
        candidate("q1", "p-above", "suspected_positive", reason="above_threshold", logit=4.0, **found),
        candidate("q1", "p-wild", "dropped", reason="relative_margin", **found),
        candidate("q1", "p-far", "unscored", **found),
        candidate("q2", "p-mined", "dropped", reason="above_max_sigmoid", logit=0.0, **found),
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = MineConfig(output="out", negatives=NEGATIVES, relative_margin=0.05, max_sigmoid=0.3, k=50)
    folder = tmp_path_factory.mktemp("why") / "run"
    write_run(folder, QUERIES, PASSAGES, rows(), NEGATIVES, 3, options=config.model_dump())
    judge = CalibratedJudge("cross-encoder", single_signal_judge("logit", "logit"), threshold=THRESHOLD)
    (folder / "judge.json").write_text(judge.to_json(), encoding="utf-8")
    return folder


def facts(run: Path, query: str, passage: str) -> dict[str, str]:
    (answer,) = why(str(run), query, passage)
    return dict(why_rows(answer))


def pairs(answers: Sequence[Why]) -> list[tuple[str, str]]:
    return [(each.query_id, each.passage_id) for each in answers]


def test_a_mined_pair_tells_its_story(run: Path) -> None:
    assert facts(run, "q1", "p-mined") == {
        "query": "q1: what does the otter eat?",
        "passage": "p-mined: The otter sleeps a lot.",
        "found by bm25": "rank 4",
        "found by dense": "not in its first 50",
        "fused rank": "3",
        "bm25": "7.5",
        "similarity_dense": "0.625",
        "logit": "-2 (sigmoid 0.1192, below 0.3)",
        "judge score": "-2 by the judge cross-encoder, below the threshold 1.25 of judge.json",
        "its positives' scores": "3.5",
        "difficulty": "none",
        "grade": "not judged",
        "selected": "as number 1 of at most 3",
        "verdict": "negative: passed every threshold, and was mined",
    }


def test_a_verdict_has_its_reason_and_the_options_behind_it(run: Path) -> None:
    above = facts(run, "q1", "p-above")
    assert above["judge score"] == "4 by the judge cross-encoder, not below the threshold 1.25 of judge.json"
    assert above["verdict"].startswith("suspected_positive: its judge score is not below the threshold of judge.json,")
    assert above["verdict"].endswith("worth a look (above_threshold)")
    assert above["selected"] == "no"
    assert facts(run, "q1", "p-wild")["verdict"] == (
        "dropped: its similarity is not --relative-margin below the query's lowest positive "
        "(relative_margin, --relative-margin 0.05)"
    )
    sigmoid = facts(run, "q2", "p-mined")
    assert sigmoid["logit"] == "0 (sigmoid 0.5, not below 0.3)"
    assert sigmoid["verdict"].endswith("(above_max_sigmoid, --max-sigmoid 0.3)")
    assert "had its negatives already" in facts(run, "q1", "p-spare")["verdict"]
    unscored = facts(run, "q1", "p-far")
    assert unscored["logit"] == "not scored by a cross-encoder"
    assert unscored["judge score"].startswith("none by the judge cross-encoder")
    assert "before its turn came" in unscored["verdict"]


def test_scores_that_differ_are_shown_different(run: Path) -> None:
    score, threshold = facts(run, "q1", "p-spare")["judge score"].split(" by ")[0], "1.25"
    assert score != threshold
    assert float(score) < float(threshold)


def test_a_known_positive_that_nobody_found(run: Path) -> None:
    positive = facts(run, "q1", "p-positive")
    assert positive["found by bm25"] == positive["found by dense"] == "not in its first 50"
    assert positive["fused rank"] == "none: only looked up, as a known positive"
    assert (positive["grade"], positive["bm25"]) == ("2", "1")


def test_texts_stand_for_ids_and_ids_win(run: Path) -> None:
    # q3 has the text of q1, p-twin that of p-mined; of these pairs, one was looked at.
    assert pairs(why(str(run), "what does the otter eat?", "The otter sleeps a lot.")) == [("q1", "p-mined")]
    assert pairs(why(str(run), "水獭吃什么？", "p-mined")) == [("q2", "p-mined")]
    assert pairs(why(str(run), "q1", "p-above")) == [("q1", "p-above")]
    assert pairs(why(str(run), "q1", PASSAGES["p-wild"])) == [("q1", "p-wild")]
    assert pairs(why(str(run), "q1", "p-twin")) == [("q1", "p-twin")]


def test_two_pairs_of_one_text_are_both_told(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    twin = candidate("q3", "p-mined", "dropped", reason="duplicate", fused_rank=9, rank_bm25=9, logit=-2.0)
    config = MineConfig(output="out", negatives=NEGATIVES)
    write_run(tmp_path / "run", QUERIES, PASSAGES, [*rows(), twin], NEGATIVES, options=config.model_dump())
    (tmp_path / "run" / "judge.json").write_bytes((run / "judge.json").read_bytes())
    given = [str(tmp_path / "run"), "what does the otter eat?", "The otter sleeps a lot."]
    assert pairs(why(*given)) == [("q1", "p-mined"), ("q3", "p-mined")]
    assert command(["report", given[0], "--why", *given[1:]]) == 0
    printed = capsys.readouterr().out
    assert printed.count("verdict") == 2
    assert "and was mined" in printed
    assert "duplicate" in printed


def test_a_pair_that_nobody_found(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert command(["report", str(run), "--why", "q2", "p-far"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "no retriever found it among its first 50 for this query, so it was never judged" in printed
    assert "found by" not in printed


@pytest.mark.parametrize(
    ("query", "passage", "named"),
    [("nobody", "p-far", "query"), ("q1", "--none", "passage"), ("q1", "y" * 200, "passage")],
)
def test_what_the_run_does_not_have_is_told_in_a_sentence(
    run: Path, query: str, passage: str, named: str, capsys: pytest.CaptureFixture
) -> None:
    assert command(["report", str(run), "--why", query, passage]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"has no {named} whose id or exact text is '{(query if named == 'query' else passage)[:50]}" in said.err
    assert len(said.err) < 400 + len(str(run))
    with pytest.raises(HardnegError, match="not a finished run"):
        why(str(run / "queries"), query, passage)


def test_nothing_in_a_text_moves_the_cursor(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert command(["report", str(run), "--why", "q1", "p-wild"]) == 0
    printed = capsys.readouterr().out
    assert "[bold]" in printed
    assert "\x1b" not in printed
    assert "\r" not in printed
    assert printed.count("x") < 500
    assert "…" in printed


def test_one_shard_of_candidates_is_read_and_no_page_is_written(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    read: list[str] = []
    true = why_module.read_shard

    def watched(path: str) -> Any:
        read.append(Path(path).name)
        return true(path)

    monkeypatch.setattr(why_module, "read_shard", watched)
    assert command(["report", str(run), "--why", "q1", "p-mined"]) == 0
    assert "and was mined" in capsys.readouterr().out
    assert read == [f"part-{cut_digest('q1') % 3:05d}-of-00003.parquet"]
    assert not (run / "report.html").exists()


def test_every_pair_of_a_run_is_found(tmp_path: Path) -> None:
    stored = random_rows(12)
    config = MineConfig(output="out", negatives=NEGATIVES)
    queries = {row["query_id"]: f"question {row['query_id']}" for row in stored}
    passages = {row["passage_id"]: f"text of {row['passage_id']}" for row in stored}
    run = write_run(tmp_path / "run", queries, passages, stored, NEGATIVES, 5, options=config.model_dump())
    (run / "judge.json").write_text(denoising_of(stored, Target("combined")).to_json(), encoding="utf-8")
    for row in stored[::7]:
        (answer,) = why(str(run), queries[row["query_id"]], passages[row["passage_id"]])
        assert answer.row is not None
        same = ("query_id", "passage_id", "logit", "verdict", "rank_bm25", "fused_rank")
        assert {name: answer.row[name] for name in same} == {name: row[name] for name in same}
