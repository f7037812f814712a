"""The same inputs and options give the same bytes, however the work is cut and shared out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mined_runs import CHECKED, TWO_WORKERS, Mine, Run

from hardneg.errors import HardnegError
from hardneg.pipelines.options.files import options_of_run

COMMON: dict[str, Any] = {"k": 12, "negatives": 3, "min_relevance": 2, "output_shards": 3}
OPTIONS: dict[str, Any] = {**COMMON, "max_sigmoid": 0.4}
KINDS = ("triplets", "candidates", "suspect_pairs", "passages", "queries")
# Eleven of 21 queries are scored completely, the others lazily.
CALIBRATED: dict[str, Any] = {**COMMON, "calibration_queries": 11, "target_leak_rate": 0.1}


RANK_BM25 = [{"kind": "bm25", "engine": "rank-bm25"}, {"kind": "bi-encoder"}]


@pytest.fixture(scope="module")
def reference(animals: Path, mined: Mine) -> Run:
    return mined(input=str(animals), **OPTIONS)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"segments": 4}, marks=pytest.mark.slow),
        pytest.param({"block_size": 5, "segments": 2}, marks=pytest.mark.slow),
        {"texts_travel": True, "block_size": 3, "segments": 3},
        {"retriever": RANK_BM25},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
def test_cut(animals: Path, reference: Run, mine: Mine, options: dict[str, Any]) -> None:
    run = mine(input=str(animals), **OPTIONS, **options)
    for kind in KINDS:
        if "retriever" in options and kind == "candidates":
            continue  # the library sums in another order: its last bits differ
        assert run.hashes(kind) == reference.hashes(kind), kind


def test_lazy_triplets_are_those_of_full_scoring(animals: Path, reference: Run, mine: Mine) -> None:
    run = mine(input=str(animals), **OPTIONS, score="all", segments=2)
    # In another order: a run that scored more knows of more texts that a row's batch has to avoid.
    key = [("anchor", "ascending"), ("positive", "ascending"), ("negative", "ascending")]
    assert run.table("triplets").sort_by(key).equals(reference.table("triplets").sort_by(key))
    assert run.manifest["counts"]["pairs_scored"] > reference.manifest["counts"]["pairs_scored"]
    assert run.manifest["counts"]["verdict_unscored"] == 0


def judge_of(run: Run) -> str:
    return (run.folder / "judge.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def calibrated(animals: Path, mined: Mine) -> Run:
    return mined(input=str(animals), **CALIBRATED)


# The one run of two processes: with a calibration, it goes through every stage that a plain threshold does.
@pytest.mark.parametrize(
    ("beam_args", "options"),
    [
        (CHECKED, {"segments": 4, "block_size": 5, "texts_travel": True}),
        pytest.param(TWO_WORKERS, {"segments": 3, "block_size": 4}, marks=pytest.mark.slow),
    ],
    ids=["cut", "two workers"],
)
def test_calibration_does_not_depend_on_the_cut(
    animals: Path, calibrated: Run, mine: Mine, beam_args: list[str], options: dict[str, Any]
) -> None:
    run = mine(input=str(animals), beam_args=beam_args, **CALIBRATED, **options)
    assert judge_of(run) == judge_of(calibrated)
    assert run.manifest["denoising"] == calibrated.manifest["denoising"]
    for kind in KINDS:
        assert run.hashes(kind) == calibrated.hashes(kind), kind


def test_the_sample_alone_is_scored_completely(calibrated: Run) -> None:
    unscored = {row["query_id"] for row in calibrated.rows("candidates") if row["verdict"] == "unscored"}
    assert 0 < len(unscored) <= 10
    assert calibrated.manifest["denoising"]["sample"]["queries"] == 11


def test_a_judge_file_is_used_as_it_is(animals: Path, calibrated: Run, mine: Mine) -> None:
    given = {name: value for name, value in CALIBRATED.items() if name != "target_leak_rate"}
    judge = str(calibrated.folder / "judge.json")
    run = mine(input=str(animals), **given, judge_file=judge, block_size=6)
    assert judge_of(run) == judge_of(calibrated)
    assert run.hashes("triplets") == calibrated.hashes("triplets")
    assert run.manifest["counts"]["pairs_scored"] < calibrated.manifest["counts"]["pairs_scored"]


CHANGES: list[dict[str, Any]] = [
    {"judge": "bi-encoder", "target_leak_rate": 0.1, "order": "fused"},
    {"max_sigmoid": 0.05, "min_sigmoid": 0.001, "ranks": "2:"},
]
MORE_CHANGES: list[dict[str, Any]] = [
    {"target_leak_rate": 0.15},
    {"target_false_negative_rate": 0.4, "gamma": 1.0},
    {"relative_margin": 0.1, "absolute_margin": 0.5, "order": "random:4"},
    {"order": "judge", "negatives": 2, "relabel_suspected": True, "drop_weak_positives": True},
    {"near_duplicates": "off", "ranks": ":9", "output_shards": 2},
]


@pytest.mark.parametrize(
    "options", [*CHANGES, *(pytest.param(options, marks=pytest.mark.slow) for options in MORE_CHANGES)], ids=str
)
def test_a_stored_run_is_mined_as_from_nothing(
    animals: Path, calibrated: Run, mine: Mine, options: dict[str, Any]
) -> None:
    changed = {**options_of_run(str(calibrated.folder), options), **options}
    run = mine("again", from_run=str(calibrated.folder), score_missing=True, **changed)
    new = mine("new", **changed)
    assert judge_of(run) == judge_of(new)
    for kind in KINDS:
        assert run.hashes(kind) == new.hashes(kind), kind
    assert input_counts(run) == input_counts(new)


def input_counts(run: Run) -> dict[str, int]:
    # What was computed is told of this run, and a run with --from computes less; of its pairs it knows which were cut.
    now = ("pairs_cut", "logits_", "passages_encoded", "queries_encoded", "store_files")
    return {name: count for name, count in run.manifest["counts"].items() if not name.startswith(now)}


def test_stored_scores_that_do_not_decide_are_counted(calibrated: Run, mine: Mine) -> None:
    stricter = {**options_of_run(str(calibrated.folder), ["max_sigmoid"]), "max_sigmoid": 0.0001}
    with pytest.raises(HardnegError, match=r"need at least \d+ pairs that it did not score; add score_missing"):
        mine("again", from_run=str(calibrated.folder), **stricter)
    larger = {**options_of_run(str(calibrated.folder), ()), "calibration_queries": 21}
    with pytest.raises(HardnegError, match=r"^\d+ pairs of the calibration sample are not scored in this run"):
        mine("again", from_run=str(calibrated.folder), **larger)


def test_other_shards_same_rows(animals: Path, reference: Run, mine: Mine) -> None:
    run = mine(input=str(animals), **{**OPTIONS, "output_shards": 1})
    for kind in KINDS:
        order = [(name, "ascending") for name in run.table(kind).column_names if name != "sources"]
        assert run.table(kind).sort_by(order).equals(reference.table(kind).sort_by(order)), kind


def test_what_a_killed_run_left_half_done_changes_nothing(
    animals: Path, reference: Run, mine: Mine, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    (kept / "progress").mkdir(parents=True)
    (kept / "progress" / "1.jsonl").write_text('{"stage": "score", "done": 7, "expected": 0, "seconds": 99}\n')
    (kept / "result" / "triplets").mkdir(parents=True)
    (kept / "result" / "triplets" / "part-00007-of-00008.parquet").write_bytes(b"half")
    run = mine(input=str(animals), **OPTIONS, work=str(kept))
    assert run.hashes("triplets") == reference.hashes("triplets")
    assert not list(run.folder.glob("triplets/part-00007*"))
    assert run.manifest["seconds"]["score"] < 99
    assert not kept.exists()  # a finished run leaves nothing
