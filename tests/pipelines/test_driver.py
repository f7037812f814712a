"""What is looked at before a run starts, and what a dry run says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mined_runs import ONE_WORKER, TinyModels

from hardneg.errors import HardnegError
from hardneg.pipelines.commands import driver
from hardneg.pipelines.commands import estimate as estimates
from hardneg.pipelines.commands.driver import make_plan
from hardneg.pipelines.commands.estimate import estimate
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.runner import pipeline_options
from hardneg.transforms.inputs.input_files import Columns, InputFile


def test_make_plan_looks_at_everything_first(animals: Path, tmp_path: Path) -> None:
    (tmp_path / "one.run").write_text("")
    options = pipeline_options([])
    good = {"input": str(animals), "output": str(tmp_path / "out")}
    runs = [{"kind": "bi-encoder"}, {"kind": "run", "name": "r", "file": f"{tmp_path}/*.run"}]
    plan = make_plan(MineConfig(**good, retriever=runs), options)
    assert [source.name for source in plan.config.sources] == ["dense", "r"]
    assert [file.kind for file in plan.files] == ["passages", "queries", "qrels"]
    assert (plan.work, plan.result) == (str(tmp_path / "out.work"), str(tmp_path / "out.work" / "result"))
    for wrong, message in (
        (
            {"retriever": [runs[0], {**runs[1], "file": "nothing*"}]},
            r"retriever r, file = 'nothing\*': no file matches; check the path\.",
        ),
        (
            {"retriever": [{"kind": "bi-encoder", "name": "e", "vectors": "no"}]},
            "retriever e, vectors = 'no': no file matches",
        ),
        ({"bi_encoder": ["./no-model"]}, "bi-encoder ./no-model: there is no such folder"),
        ({"cross_encoder": "/no/model"}, "cross-encoder /no/model: there is no such folder"),
    ):
        with pytest.raises(HardnegError, match=message):
            make_plan(MineConfig(**good, **wrong), options)
    assert not (tmp_path / "out.work").exists()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure on two texts only: what it says about time is not looked at here."""
    monkeypatch.setattr(estimates, "MEASURED", 2)


@pytest.mark.usefixtures("measured")
def test_a_dry_run_says_what_a_run_would_take(animals: Path, tiny_models: TinyModels, tmp_path: Path) -> None:
    """Counts of the real input, and a measurement with the models; it writes no output."""
    options: dict[str, Any] = {"input": str(animals), "output": str(tmp_path / "out"), "max_queries": 10}
    options |= tiny_models.options
    lines = estimate(MineConfig(**options, negatives=4, k=20, max_sigmoid=0.1), ONE_WORKER)
    assert lines[0] == "42 passages, 10 queries, 0 rows rejected"
    # Two retrievers; the four that are tried first, and each query's positive.
    assert lines[1] == "at most 400 pairs retrieved; at least 50 pairs scored"
    assert lines[2].startswith("dense: ")
    assert lines[3].startswith("about ")
    assert not (tmp_path / "out").exists()
    lines = estimate(MineConfig(**options, score="all"), ONE_WORKER)
    assert lines[1] == "at most 420 pairs retrieved; 430 pairs scored"
    # Of three queries of the calibration sample 24 candidates, with their positives; the others as above.
    lines = estimate(MineConfig(**options, negatives=4, k=20, calibration_queries=3), ONE_WORKER)
    assert lines[1] == "at most 400 pairs retrieved; at least 110 pairs scored"
    lines = estimate(MineConfig(**options, judge="bi-encoder"), ONE_WORKER)
    assert lines[1] == "at most 420 pairs retrieved; at least 0 pairs scored"


@pytest.mark.usefixtures("measured")
def test_a_dry_run_leaves_what_a_run_can_go_on_from(animals: Path, tiny_models: TinyModels, tmp_path: Path) -> None:
    config = MineConfig(
        input=str(animals), output=str(tmp_path / "out"), max_queries=2, max_sigmoid=1, **tiny_models.options
    )
    estimate(config, ONE_WORKER)
    manifest = driver.mine_tables(config, ONE_WORKER)
    assert manifest["counts"]["queries"] == 2
    assert not (tmp_path / "out.work").exists()


def test_a_plan_cuts_by_size() -> None:
    """One segment per 64 MB of corpus, one bucket per 8 MB of the rest, unless told otherwise."""

    def file(kind: Any, size: int) -> InputFile:
        return InputFile(f"/{kind}", kind, "jsonl", Columns(), size)

    config = MineConfig(output="out")
    plan = Plan(config, [file("passages", 300 << 20), file("queries", 30 << 20)], "w", "r", 1)
    assert (plan.segments, plan.buckets) == (5, 4)
    small = replace(plan, files=[file("passages", 10), file("queries", 10)])
    assert (small.segments, small.buckets) == (1, 1)
    pairs = replace(plan, files=[file("pairs", 128 << 20)])
    assert (pairs.segments, pairs.buckets) == (2, 16)
    asked = replace(plan, config=MineConfig(output="out", segments=17))
    assert asked.segments == 17
