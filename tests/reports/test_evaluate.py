"""Evaluation of a run: figures against brute force, intervals, promises, what is wrongly given."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate_cases import NEGATIVES, Rows, random_rows, write_qrels, write_random
from finished_run import candidate, write_run
from scipy.stats import beta

from hardneg.errors import HardnegError, InputError
from hardneg.pipelines.cli import run as command
from hardneg.pipelines.commands.evaluate import Evaluation, evaluate
from hardneg.pipelines.options.finished import EvaluateOptions
from hardneg.transforms.core.hashing import id_key
from hardneg.transforms.reports.evaluation import RESAMPLES, SEED


def figures_of(evaluation: Evaluation) -> dict[str, Any]:
    return {figure.name: figure for figure in evaluation.figures}


def brute_force(rows: Rows, hidden: set[tuple[str, str]], queries: list[str]) -> dict[str, float]:
    """Return the figures, one pair at a time; a query may stand in the list several times."""
    sums = dict.fromkeys(("mined", "bad", "all", "scored", "leaked", "rank", "similarity", "gap"), 0.0)
    by_query: dict[str, Rows] = {query: [] for query in queries}
    for row in rows:
        by_query.get(row["query_id"], []).append(row)
    for query in queries:
        own = by_query[query]
        known = {row["passage_id"] for row in own if row["verdict"] in ("positive", "dropped")}
        lowest = min((row["logit"] for row in own if row["verdict"] == "positive"), default=math.nan)
        sums["all"] += len({passage for owner, passage in hidden if owner == query} - known)
        for row in own:
            relevant = (query, row["passage_id"]) in hidden
            if row["selected"]:
                sums["mined"] += 1
                sums["bad"] += relevant
                sums["rank"] += row["fused_rank"]
                sums["similarity"] += row["similarity_dense"]
                sums["gap"] += lowest - row["logit"]
            if relevant and row["passage_id"] not in known and row["judge_score"] is not None:
                sums["scored"] += 1
                sums["leaked"] += row["verdict"] == "negative"
    sums["asked"] = len(queries) * NEGATIVES
    ratios = {
        "false_negative_rate": ("bad", "mined"),
        "leak_rate": ("leaked", "scored"),
        "leak_rate_over_all": ("leaked", "all"),
        "yield": ("mined", "asked"),
        "fused_rank": ("rank", "mined"),
        "similarity": ("similarity", "mined"),
        "logit_gap": ("gap", "mined"),
    }
    return {name: sums[a] / sums[b] if sums[b] else math.nan for name, (a, b) in ratios.items()}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_figures_and_intervals_agree_with_brute_force(seed: int, tmp_path: Path) -> None:
    rows, hidden = random_rows(14, seed)
    run = write_random(tmp_path / "run", rows, 14, shards=3)
    judged = EvaluateOptions(judgements=[str(write_qrels(tmp_path / "hidden.tsv", hidden))])
    found = evaluate(str(run), judged)
    queries = sorted((f"q{number}" for number in range(14)), key=id_key)
    assert {row["query_id"] for row in rows} < set(queries)  # a query without candidates counts, too
    values = figures_of(found)
    expected = brute_force(rows, hidden, queries)
    assert {name: figure.value for name, figure in values.items()} == pytest.approx(expected)
    draws = np.random.default_rng(SEED).integers(len(queries), size=(RESAMPLES, len(queries)))
    resampled = [brute_force(rows, hidden, [queries[query] for query in draw]) for draw in draws.tolist()]
    for name, figure in values.items():
        assert figure.interval == "bootstrap"
        ends = np.nanpercentile([each[name] for each in resampled], [2.5, 97.5])
        assert (figure.low, figure.high) == pytest.approx(tuple(ends))
    assert found.judged_figures == []
    assert evaluate(str(run), judged) == found


def test_the_order_and_number_of_shards_do_not_matter(tmp_path: Path) -> None:
    rows, hidden = random_rows()
    qrels = str(write_qrels(tmp_path / "hidden.tsv", hidden))
    one = evaluate(str(write_random(tmp_path / "one", rows, shards=1)), EvaluateOptions(judgements=[qrels]))
    many = evaluate(str(write_random(tmp_path / "many", rows, shards=7)), EvaluateOptions(judgements=[qrels]))
    assert one.counts == many.counts
    for first, second in zip(one.figures, many.figures, strict=True):
        assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))


def test_judged_queries_stand_apart(tmp_path: Path) -> None:
    rows, hidden = random_rows()
    hidden = {pair for pair in hidden if int(pair[0][1:]) < 25}
    run = write_random(tmp_path / "run", rows)
    found = evaluate(str(run), EvaluateOptions(judgements=[str(write_qrels(tmp_path / "hidden.tsv", hidden))]))
    assert (found.queries, found.judged_queries) == (40, 25)
    expected = brute_force(rows, hidden, [f"q{number}" for number in range(25)])
    assert {figure.name: figure.value for figure in found.judged_figures} == pytest.approx(expected)
    assert found.notes[0] == "25 of 25 judged queries are of this run."
    assert "15 of 40 queries have no judgement" in found.notes[1]


def test_grades_and_trec_judgements(tmp_path: Path) -> None:
    rows, hidden = random_rows()
    run = str(write_random(tmp_path / "run", rows))
    plain = evaluate(run, EvaluateOptions(judgements=[str(write_qrels(tmp_path / "hidden.tsv", hidden))]))
    trec = tmp_path / "hidden.txt"
    lines = [f"{query} 0 {passage.replace(' ', '_')} 2\n" for query, passage in sorted(hidden)]
    others = [(row["query_id"], row["passage_id"]) for row in rows]
    lines += [f"{query} 0 {passage} 0\n" for query, passage in others if (query, passage) not in hidden]
    trec.write_text("".join(lines), encoding="utf-8")
    graded = evaluate(run, EvaluateOptions(judgements=[str(trec)], min_relevance=2))
    assert graded.figures == plain.figures
    strict = evaluate(run, EvaluateOptions(judgements=[str(trec)], min_relevance=3))
    assert figures_of(strict)["false_negative_rate"].value == 0


def test_where_nothing_was_seen_the_interval_is_binomial(tmp_path: Path) -> None:
    rows, _ = random_rows()
    run = str(write_random(tmp_path / "run", rows))
    judged = write_qrels(tmp_path / "hidden.tsv", {("q1", "nowhere")})
    found = evaluate(run, EvaluateOptions(judgements=[str(judged)]))
    rate = figures_of(found)["false_negative_rate"]
    assert (rate.value, rate.low, rate.interval) == (0, 0, "clopper-pearson")
    assert rate.high == pytest.approx(beta.ppf(0.975, 1, rate.n))
    assert figures_of(found)["leak_rate"].value is None
    assert any("None of the relevant is among the candidates" in note for note in found.notes)


def test_equal_texts_are_as_relevant(tmp_path: Path) -> None:
    """The judged passage was dropped as the duplicate of the mined one; a query of equal text is judged."""
    queries = {"q1": "where?", "q2": "WHERE?"}
    passages = {"a": "gold", "b": "The  same", "c": "the same", "d": "Other", "e": "gold 2"}
    rows = [
        candidate("q1", "a", "positive", logit=3.0, fused_rank=1),
        candidate("q1", "b", "negative", logit=-5.0, fused_rank=2, selected=1),
        candidate("q1", "c", "dropped", reason="duplicate", fused_rank=3),
        candidate("q1", "d", "negative", logit=-5.0, fused_rank=4, selected=2),
        candidate("q2", "e", "positive", logit=3.0, fused_rank=1),
        candidate("q2", "b", "suspected_positive", logit=5.0, fused_rank=2),
    ]
    run = write_run(tmp_path / "run", queries, passages, rows)
    found = evaluate(str(run), EvaluateOptions(judgements=[str(write_qrels(tmp_path / "hidden.tsv", {("q1", "c")}))]))
    counts = {"mined": 2, "mined_relevant": 1, "mined_relevant_by_text": 1, "scored": 2, "leaked": 1, "relevant": 2}
    assert {name: found.counts[name] for name in counts} == counts
    assert figures_of(found)["leak_rate_over_all"].value == 0.5
    assert found.judged_queries == 2


def test_what_the_miner_was_told_has_no_part_in_the_leak_rate(tmp_path: Path) -> None:
    rows = [
        candidate("q", "a", "positive", logit=3.0, fused_rank=1, grade=1.0),
        candidate("q", "b", "negative", logit=-5.0, fused_rank=2, grade=0.0, selected=1),
        candidate("q", "c", "negative", logit=-5.0, fused_rank=3),
        candidate("q", "d", "unscored", fused_rank=4),
    ]
    run = write_run(tmp_path / "run", {"q": "?"}, {name: name for name in "abcd"}, rows)
    judged = write_qrels(tmp_path / "hidden.tsv", {("q", name) for name in "abcd"})
    found = evaluate(str(run), EvaluateOptions(judgements=[str(judged)]))
    assert found.counts == {
        "asked": 2, "mined": 1, "mined_relevant": 1, "mined_relevant_by_text": 0,
        "relevant": 2, "retrieved": 2, "scored": 1, "leaked": 1, "known": 2,
    }  # fmt: skip


def test_promises_stand_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, hidden = random_rows()
    qrels = str(write_qrels(tmp_path / "hidden.tsv", hidden))
    denoising = {"status": "estimated", "gamma": 1.25, "target": 0.05, "upper_bound": 0.043, "leak_rate": 0.1}
    run = str(write_random(tmp_path / "run", rows, denoising=denoising))
    found = evaluate(run, EvaluateOptions(judgements=[qrels]))
    assert found.promised == {
        "false_negative_rate": "at most 4.3% (estimated, Gamma 1.25)",
        "leak_rate": "10.0% (estimated, Gamma 1.25)",
    }
    unsupported = str(write_random(tmp_path / "other", rows, denoising={"status": "unsupported", "target": 0.05}))
    assert set(evaluate(unsupported, EvaluateOptions(judgements=[qrels])).promised.values()) == {"unsupported"}
    assert command(["evaluate", run, "--judgements", qrels, "--json", str(tmp_path / "out.json")]) == 0
    said = capsys.readouterr().out
    assert "promised" in said
    lines = [line for line in said.splitlines() if line.strip()]
    assert "false-negative rate" in lines[1]
    assert any(line.startswith("yield") for line in lines)
    assert sum(line.startswith("hardness") for line in lines) == 3
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert written["figures"]["yield"]["value"] == figures_of(found)["yield"].value
    assert written["promised"] == found.promised
    plain = str(write_random(tmp_path / "plain", rows))
    assert command(["evaluate", plain, "--judgements", qrels]) == 0
    assert "promised" not in capsys.readouterr().out


BROKEN = {
    "BEIR": ("hidden.tsv", "query-id\tcorpus-id\tscore\nq1\tp1\t1\nq2\tp2\n", "1 wrong number of columns"),
    "TREC": ("hidden.txt", "q1 0 p1 1\nq2 0 p2 high\n", "1 grade is not a number"),
    "JSON lines": ("hidden.jsonl", '{"qid": "q1", "pid": "p1"}\n{"qid": null, "pid": "p2"}\n', "1 missing id"),
    "CSV": ("hidden.csv", "query_id,doc_id,rel\nq1,p1,1\nq2,p2,\n", "1 grade is not a number"),
}


@pytest.mark.parametrize(("name", "content", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_judgements_are_named(name: str, content: str, reason: str, tmp_path: Path) -> None:
    run = write_random(tmp_path / "run", random_rows()[0])
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"judgements .*{name}: 1 of 2 rows can't be used \({reason}; the first is "):
        evaluate(str(run), EvaluateOptions(judgements=[str(tmp_path / name)]))


def test_a_few_broken_judgements_and_those_of_other_queries_are_said(tmp_path: Path) -> None:
    run = write_random(tmp_path / "run", random_rows()[0])
    rows = "".join(f"x{number} 0 p1 1\n" for number in range(2000))
    (tmp_path / "hidden.qrels").write_text(f"q1 0 p1 1\n{rows}q2 0 p2 high\n")
    said = evaluate(str(run), EvaluateOptions(judgements=[str(tmp_path / "hidden.qrels")])).notes
    assert "1 of 2,002 rows can't be used (1 grade is not a number; the first is " in said[0]
    assert said[1] == "1 of 2,001 judged queries are of this run."


def test_wrong_runs_and_judgements(tmp_path: Path) -> None:
    run = write_random(tmp_path / "run", random_rows()[0])
    qrels = write_qrels(tmp_path / "hidden.tsv", {("other", "p")})
    options = EvaluateOptions(judgements=[str(qrels)])
    with pytest.raises(HardnegError, match="names no query of"):
        evaluate(str(run), options)
    with pytest.raises(HardnegError, match="it is not there"):
        evaluate(str(tmp_path / "nowhere"), options)
    with pytest.raises(HardnegError, match=r"it has no manifest\.json"):
        evaluate(str(tmp_path), options)
    (run / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(HardnegError, match="not a run's manifest"):
        evaluate(str(run), options)
    assert command(["evaluate", str(run), "--judgements", str(qrels)]) == 2
