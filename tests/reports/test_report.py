"""Reports on finished runs: outcomes against calibration and brute force, what is unsupported, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mined_runs import Mine
from report_cases import (
    FEW,
    NEGATIVES,
    POLICY,
    Rows,
    denoising_of,
    judged,
    lazily,
    random_rows,
    sample_of,
    scored_by,
    write,
    write_random,
)

from hardneg.pipelines.options.finished import ReportOptions
from hardneg.pipelines.report.report import Report, report
from hardneg.pipelines.report.tables import bar_line
from hardneg.transforms.core.arrays import sigmoid
from hardneg.transforms.core.text import cut_digest
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, Target
from hardneg.transforms.judge.calibration import calibrate
from hardneg.transforms.judge.counts import edges
from hardneg.transforms.judge.false_negative_rate import extract
from hardneg.transforms.judge.leak_rate import leak_rate_threshold
from hardneg.transforms.reports.other_thresholds import Outcome, rates_at
from hardneg.transforms.reports.tallies import GROUPS, Tally, histogram


@pytest.fixture(scope="module")
def rows() -> Rows:
    return random_rows()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def found(run: Path) -> Report:
    return report(str(run), FEW)


def outcome(found: Report, kind: str, value: float) -> Outcome:
    (one,) = (each for each in found.outcomes if (each.kind, each.value) == (kind, value))
    return one


def brute_force(rows: Rows, passes: Callable[[dict[str, Any]], bool]) -> dict[str, float]:
    """Select one query at a time; also un-label one known positive at a time and select again."""
    sums: Counter[str] = Counter()
    similarity, ranks = [], []
    for query in {row["query_id"] for row in rows}:
        own = [row for row in rows if row["query_id"] == query and row["fused_rank"] is not None]
        own.sort(key=lambda row: (-row["similarity_dense"], row["passage_id"]))
        masked = {row["passage_id"] for row in own if row["reason"] or row["passage_id"] == "p0-3"}
        positive = {row["passage_id"] for row in own if row["verdict"] == "positive"}
        open_ = [row for row in own if row["passage_id"] not in masked | positive and passes(row)]
        mined = open_[:NEGATIVES]
        similarity += [row["similarity_dense"] for row in mined]
        ranks += [row["fused_rank"] for row in mined]
        sums.update(full=len(mined) == NEGATIVES, none=not mined, mined=len(mined), positives=len(positive))
        for each in positive:
            unlabelled = [row for row in own if passes(row) and row["passage_id"] not in (masked | positive) - {each}]
            sums["leaked"] += each in [row["passage_id"] for row in unlabelled[:NEGATIVES]]
            sums["passing"] += any(row["passage_id"] == each and passes(row) for row in own)
    return {**sums, "similarity": float(np.mean(similarity)), "fused_rank": float(np.mean(ranks))}


@pytest.mark.parametrize("value", [0.1, 0.3])
def test_a_sigmoid_threshold_agrees_with_brute_force(rows: Rows, found: Report, value: float) -> None:
    below = brute_force(rows, lambda row: bool(sigmoid(np.array([row["logit"]]))[0] < np.float32(value)))
    one = outcome(found, "sigmoid", value)
    assert one.kept is not None
    assert (one.scale, one.threshold, one.status) == ("sigmoid", value, "estimated")
    assert (one.kept.queries, one.kept.queries_full, one.kept.queries_none) == (150, below["full"], below["none"])
    assert (one.kept.mined, one.kept.asked) == (below["mined"], 150 * NEGATIVES)
    assert one.kept.yielded == pytest.approx(below["mined"] / (150 * NEGATIVES))
    assert one.kept.similarity == pytest.approx(below["similarity"])
    assert one.kept.fused_rank == pytest.approx(below["fused_rank"])
    assert one.leak_rate == pytest.approx(below["passing"] / below["positives"])

    # The point estimate by its definition, on the grid of thresholds that has this one in it.
    sample, _ = sample_of(rows)
    logits, is_candidate, countable = (sample[name].to_numpy() for name in ("logit", "is_candidate", "countable"))
    cut = float(logits[sigmoid(logits) >= np.float32(value)].min())
    grid = edges("logit") + cut - edges("logit")[np.abs(edges("logit") - cut).argmin()]
    positives, candidates = logits[countable], logits[is_candidate]
    least = max(20, len(positives) / 10)
    ratios = [
        (1 + (candidates >= each).sum()) / (positives >= each).mean()
        for each in grid
        if (positives >= each).sum() >= least
    ]
    relevant = min(*ratios, len(candidates))
    leaked = (below["leaked"] + 1) / (below["positives"] + 1)
    assert one.expected_rate == pytest.approx(relevant * leaked / below["mined"])
    assert one.upper_bound is not None
    assert one.upper_bound >= one.expected_rate


def test_targets_agree_with_calibration(rows: Rows, run: Path) -> None:
    targets = [0.0001, 0.02, 0.05, 0.2]
    found = report(str(run), ReportOptions(targets=targets))
    scored = scored_by(rows, "combined")
    said = set()
    for value in targets:
        one = outcome(found, "false_negative_rate", value)
        expected = calibrate(scored, POLICY, Target("combined", value))
        assert one.kept is not None
        assert (one.threshold, one.status, one.reason) == (expected.threshold, expected.status, expected.reason)
        for name in ("expected_rate", "upper_bound", "largest_gamma", "gamma"):
            assert getattr(one, name) == expected.choice[name]
        figures = (one.kept.mined, one.kept.yielded, one.kept.similarity, one.leak_rate)
        assert figures == tuple(expected.figures[name] for name in ("mined", "yield", "hardness", "leak_rate"))
        if one.status == "estimated":  # read off at a threshold, as for the others, it is the same
            assert one.threshold is not None
            assert one.gamma is not None
            read = rates_at(scored, one.threshold, NEGATIVES, one.gamma)
            assert (read.expected, read.bound) == (one.expected_rate, one.upper_bound)
        said.add(one.status)
    assert said == {"estimated", "unsupported"}


def test_leak_rates_are_thresholds_with_an_estimate_of_their_own(rows: Rows, found: Report) -> None:
    scored = scored_by(rows, "combined")
    positives = scored.scores[scored.countable]
    for value in FEW.leak_rates:
        one = outcome(found, "leak_rate", value)
        assert one.kept is not None
        assert one.leak_rate is not None
        assert one.threshold == leak_rate_threshold(positives, value)
        assert one.leak_rate <= value
        assert one.status == "estimated"
        assert one.gamma == outcome(found, "false_negative_rate", 0.1).gamma
    # Between two edges, what is mined and leaks is counted at the threshold, not at one of them.
    one = outcome(found, "leak_rate", 0.2)
    assert one.threshold is not None
    assert one.kept is not None
    assert one.threshold not in edges("standardised")
    below = scored.counts(NEGATIVES)
    index = int(np.searchsorted(edges("standardised"), one.threshold))
    assert extract(below).mined[index - 1] <= one.kept.mined <= extract(below).mined[index]


def test_gamma_can_be_given(run: Path) -> None:
    one = report(str(run), ReportOptions(gamma=2.0, targets=[0.2], leak_rates=[0.1], sigmoids=[0.1]))
    assert {each.gamma for each in one.outcomes} == {2.0}
    wide, narrow = (
        outcome(report(str(run), FEW.model_copy(update={"gamma": gamma})), "sigmoid", 0.3).upper_bound
        for gamma in (2.0, 1.0)
    )
    assert wide is not None
    assert narrow is not None
    assert wide > narrow


def test_the_sample_is_the_queries_of_smallest_digests(rows: Rows, tmp_path: Path) -> None:
    chosen = sorted({row["query_id"] for row in rows}, key=cut_digest)[:60]
    own = [row for row in rows if row["query_id"] in chosen]
    denoising = denoising_of(own, Target("combined", 0.1))
    cut = report(str(write(tmp_path / "cut", rows, denoising, calibration_queries=60)), FEW)
    whole = report(str(write(tmp_path / "own", own, denoising)), FEW)
    assert cut.sample["queries"] == 60
    assert cut.outcomes == whole.outcomes
    assert cut.mined.queries == 150


def test_the_number_of_shards_does_not_matter(rows: Rows, found: Report, tmp_path: Path) -> None:
    denoising = denoising_of(rows, Target("combined", 0.1))
    for shards in (1, 11):
        other = report(str(write(tmp_path / str(shards), rows, denoising, shards)), FEW)
        assert other.outcomes == found.outcomes
        assert other.histograms == found.histograms
        assert (other.groups, other.reasons) == (found.groups, found.reasons)


def test_counts_of_the_whole_run_agree_with_brute_force(rows: Rows, found: Report) -> None:
    stored = judged(rows, denoising_of(rows, Target("combined", 0.1)))
    assert found.verdicts == Counter(row["verdict"] for row in stored)
    assert found.reasons == Counter(row["reason"] for row in stored if row["reason"])
    mined = [row for row in stored if row["selected"]]
    per_query = Counter(row["query_id"] for row in mined)
    assert (found.mined.mined, found.mined.queries) == (len(mined), 150)
    assert found.mined.queries_full == sum(number == NEGATIVES for number in per_query.values())
    assert found.mined.queries_none == 150 - len(per_query)
    assert found.mined.similarity == pytest.approx(np.mean([row["similarity_dense"] for row in mined]))
    assert found.mined.fused_rank == pytest.approx(np.mean([row["fused_rank"] for row in mined]))
    for name in ("bm25", "dense"):
        here = [row for row in stored if row[f"rank_{name}"] is not None]
        assert found.sources[name]["positive"] == sum(row["verdict"] == "positive" for row in here)
        assert found.sources[name]["suspected_positive"] == sum(row["verdict"] == "suspected_positive" for row in here)
        own = [row["similarity_dense"] for row in here if row["selected"]]
        assert found.sources[name]["mined"] == len(own)
        assert found.sources[name]["similarity_of_mined"] == pytest.approx(np.mean(own))
    assert sum(found.groups.values()) == len(stored)


def test_histograms_count_every_score_once(rows: Rows, found: Report) -> None:
    stored = judged(rows, denoising_of(rows, Target("combined", 0.1)))
    for drawn in found.histograms:
        assert 2 <= len(drawn.edges) <= 21
        assert list(drawn.edges) == sorted(drawn.edges)
        total = np.sum([drawn.counts[group] for group in GROUPS], axis=0)
        scores = np.array([row[drawn.score] for row in stored if row[drawn.score] is not None], dtype=np.float32)
        assert total.tolist() == np.histogram(scores, bins=drawn.edges)[0].tolist()
        assert sum(drawn.unscored.values()) == len(stored) - len(scores)
    assert [drawn.score for drawn in found.histograms] == ["judge_score", "logit"]


def test_a_histogram_of_nothing_is_empty() -> None:
    drawn = histogram(Tally(), "logit", "logit", None)
    assert drawn.edges == ()
    assert bar_line([]) == ""
    assert bar_line([0, 1, 1000]) == " ▁█"


def test_a_sample_that_is_not_scored_supports_nothing(rows: Rows, tmp_path: Path) -> None:
    few = lazily(rows)
    run = write(tmp_path / "lazy", few, denoising_of(rows, Target("cross-encoder")), max_sigmoid=0.1)
    found = report(str(run), FEW)
    missing = sum(row["logit"] is None for row in few)
    assert found.sample["pairs_missing"] == missing
    assert {each.status for each in found.outcomes} == {"unsupported"}
    assert all(each.expected_rate is each.upper_bound is each.gamma is None for each in found.outcomes)
    assert all(f"{missing:,} pairs of the calibration sample are not scored" in each.reason for each in found.outcomes)
    assert f"{missing:,} of " in found.notes[0]
    assert f"hardneg mine --from {run} --target-false-negative-rate 0.05 --score-missing" in found.notes[0]
    assert "--max-sigmoid" in found.notes[1]
    for value in (0.1, 0.3):
        scored = [row for row in few if row["logit"] is not None]
        below = brute_force(scored, lambda row: bool(sigmoid(np.array([row["logit"]]))[0] < np.float32(value)))  # noqa: B023
        one = outcome(found, "sigmoid", value)
        assert one.kept is not None
        assert (one.kept.mined, one.kept.queries_full) == (below["mined"], below["full"])
        assert one.kept.similarity == pytest.approx(below["similarity"])
    target = outcome(found, "false_negative_rate", 0.1)
    assert target.threshold is target.kept is None
    # A leak rate is had from the positives, which are all scored.
    logits = [row["logit"] for row in rows if row["verdict"] == "positive" and row["fused_rank"]]
    assert outcome(found, "leak_rate", 0.1).threshold == pytest.approx(leak_rate_threshold(logits, 0.1))


def test_a_judge_that_was_brought_along_scores_what_can_be_scored(rows: Rows, tmp_path: Path) -> None:
    denoising = denoising_of(rows, Target("combined", 0.1))
    found = report(str(write(tmp_path / "run", lazily(rows), denoising, judge_file="judge.json")), FEW)
    scored = scored_by(rows, "combined")
    one = outcome(found, "leak_rate", 0.1)
    assert one.status == "unsupported"
    assert one.threshold == leak_rate_threshold(scored.published[scored.countable], 0.1)
    assert "--judge-file" in found.notes[0]
    whole = report(str(write(tmp_path / "whole", rows, denoising, judge_file="judge.json")), FEW)
    assert outcome(whole, "leak_rate", 0.1).status == "estimated"
    assert "--judge-file" in whole.notes[0]


def test_a_bi_encoder_judge_needs_no_logits(rows: Rows, tmp_path: Path) -> None:
    bare = [row | {"logit": None} for row in rows]
    denoising = denoising_of(rows, Target("bi-encoder", 0.2))
    found = report(str(write(tmp_path / "run", bare, denoising, judge="bi-encoder")), FEW)
    assert outcome(found, "leak_rate", 0.2).status == "estimated"
    one = outcome(found, "sigmoid", 0.3)
    assert (one.status, one.kept, one.leak_rate) == ("unsupported", None, None)
    assert "sigmoid" in found.notes[0]


def test_few_positives_fall_back_as_mining_does(tmp_path: Path) -> None:
    rows = random_rows(8)
    denoising = denoising_of(rows, Target("combined", 0.1))
    found = report(str(write(tmp_path / "run", rows, denoising)), FEW)
    one = outcome(found, "false_negative_rate", 0.1)
    assert (one.status, one.scale, one.threshold) == ("unsupported", "standardised", denoising.threshold)
    assert one.reason == denoising.reason
    assert one.kept is not None
    assert one.kept.mined == denoising.figures["mined"] > 0
    assert "at least 20 are needed" in outcome(found, "sigmoid", 0.1).reason
    assert "needs at least 99 known positives" in outcome(found, "leak_rate", 0.01).reason
    similar = write(tmp_path / "similar", rows, replace(denoising, judge_name="bi-encoder"), judge="bi-encoder")
    one = outcome(report(str(similar), FEW), "false_negative_rate", 0.1)
    assert (one.status, one.scale) == ("unsupported", "similarity")
    assert one.reason.endswith("a guess, not a bound")


def test_thresholds_of_the_run_make_way_and_windows_stay(rows: Rows, found: Report, tmp_path: Path) -> None:
    denoising = denoising_of(rows, Target("combined", 0.1))
    margins = write(tmp_path / "margins", rows, denoising, relative_margin=0.05, absolute_margin=3.0)
    other = report(str(margins), FEW)
    assert other.outcomes == found.outcomes
    assert "--absolute-margin and --relative-margin" in other.notes[0]
    near = report(str(write(tmp_path / "window", rows, denoising, ranks=":5")), FEW)
    within = [row for row in rows if row["fused_rank"] is not None and row["fused_rank"] <= 5]
    below = brute_force(within, lambda row: bool(sigmoid(np.array([row["logit"]]))[0] < np.float32(0.3)))
    one = outcome(near, "sigmoid", 0.3)
    assert one.kept is not None
    assert (one.kept.mined, one.kept.fused_rank) == (below["mined"], pytest.approx(below["fused_rank"]))


@pytest.mark.parametrize("lazy", [False, True])
def test_what_is_too_easy_stays_out(rows: Rows, tmp_path: Path, lazy: bool) -> None:
    own = lazily(rows) if lazy else rows
    denoising = denoising_of(rows, Target("combined", 0.1))
    found = report(str(write(tmp_path / "run", own, denoising, min_sigmoid=0.01)), FEW)

    def passes(row: dict[str, Any]) -> bool:
        score = sigmoid(np.array([row["logit"]]))[0]
        return bool(np.float32(0.01) <= score < np.float32(0.3))

    below = brute_force([row for row in own if row["logit"] is not None], passes)
    one = outcome(found, "sigmoid", 0.3)
    assert one.kept is not None
    assert (one.kept.mined, one.kept.queries_none) == (below["mined"], below["none"])
    assert one.kept.similarity == pytest.approx(below["similarity"])
    assert one.status == ("unsupported" if lazy else "estimated")


def test_what_was_held_out_stays_out_without_the_evaluation_set(rows: Rows, tmp_path: Path) -> None:
    held = [row | ({"verdict": "dropped", "reason": "held_out"} if row["passage_id"] == "p1-4" else {}) for row in rows]
    denoising = denoising_of(rows, Target("combined", 0.1))
    found = report(str(write(tmp_path / "run", held, denoising, holdout=["gone/"])), FEW)
    below = brute_force(held, lambda row: bool(sigmoid(np.array([row["logit"]]))[0] < np.float32(0.5)))
    one = outcome(found, "sigmoid", 0.5)
    assert one.kept is not None
    assert (one.kept.mined, one.kept.similarity) == (below["mined"], pytest.approx(below["similarity"]))


def test_a_mined_run_is_reported_as_its_judge_says(animals: Path, mined: Mine) -> None:
    done = mined(input=str(animals), target_false_negative_rate=0.2, k=10)
    found = report(str(done.folder), ReportOptions())
    judge = CalibratedJudge.from_json((done.folder / "judge.json").read_text(encoding="utf-8"))
    one = outcome(found, "false_negative_rate", 0.2)
    assert one.kept is not None
    assert (one.threshold, one.status, one.reason) == (judge.threshold, judge.status, judge.reason)
    assert (one.kept.mined, one.kept.similarity) == (judge.figures["mined"], judge.figures["hardness"])
    assert found.mined.mined == done.manifest["counts"]["mined"]
    for name, number in found.verdicts.items():
        assert done.manifest["counts"][f"verdict_{name}"] == number
