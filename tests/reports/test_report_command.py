"""The report command: what it prints and writes, hostile text, what is no run."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from finished_run import write_run
from report_cases import FEW, NEGATIVES, denoising_of, judged, lazily, random_rows, write, write_random
from rich.console import Console

from hardneg.errors import HardnegError
from hardneg.pipelines.cli import run as command
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.report.report import report
from hardneg.pipelines.report.tables import outcome_tables
from hardneg.transforms.judge.calibrated_judge import Target


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("runs") / "run")


def test_the_command_prints_tables_and_writes_json(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "report.json"
    given = ["report", str(run), "--json", str(file), "--targets", "0.1", "0.3", "--leak-rates", "0.25"]
    assert command([*given, "--sigmoids", "0.4"]) == 0
    printed = capsys.readouterr().out
    data = json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert [(each["kind"], each["value"]) for each in data["outcomes"]] == [
        ("false_negative_rate", 0.1),
        ("false_negative_rate", 0.3),
        ("leak_rate", 0.25),
        ("sigmoid", 0.4),
    ]
    for each in data["outcomes"]:
        assert each["status"] in printed
        assert f"{each['kept']['mined']:,}" in printed
        assert {"yield", "similarity", "fused_rank", "queries_full", "queries_none"} < set(each["kept"])
    assert data["histograms"][0]["counts"]["mined"]
    assert "suspected positives" in printed
    assert "█" in printed


def test_no_figure_is_cut_short_on_a_narrow_terminal(run: Path) -> None:
    found, printed = report(str(run), FEW), []
    for width in (20, 80, 200):
        console = Console(width=width, soft_wrap=True, file=io.StringIO())
        for table in outcome_tables(found):
            console.print(table)
        assert isinstance(console.file, io.StringIO)
        printed.append(console.file.getvalue())
    assert printed[0] == printed[1] == printed[2]
    assert "…" not in printed[0]
    assert max(map(len, printed[0].splitlines())) <= 80


def test_nothing_in_a_run_is_taken_for_markup(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    wild = "[red]x[/red] [/] [bold \x1b[31m\r"
    rows = [row | {"query_id": f"[/b]{row['query_id']}"} for row in random_rows(30)]
    passages = {f"{wild}{row['passage_id']}": wild for row in rows}
    rows = [row | {"passage_id": f"{wild}{row['passage_id']}"} for row in rows]
    denoising = replace(denoising_of(rows, Target("combined", 0.1)), reason=f"no [/] threshold {wild}")
    folder = tmp_path / "[bold]run"
    stored = [row | {"reason": row["reason"] or "[odd] \x1b[0m"} for row in judged(lazily(rows), denoising)]
    options = MineConfig(output="out", negatives=NEGATIVES, judge_file="[j].json").model_dump()
    write_run(folder, {row["query_id"]: wild for row in rows}, passages, stored, NEGATIVES, 2, options=options,
              models={"cross_encoder": {}})  # fmt: skip
    (folder / "judge.json").write_text(denoising.to_json(), encoding="utf-8")
    assert command(["report", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "[bold]run" in printed
    assert "[odd]" in printed


def test_what_is_no_run_is_told_in_a_sentence(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = random_rows()
    with pytest.raises(HardnegError, match="not a finished run"):
        report(str(tmp_path / "nothing"), FEW)
    denoising = denoising_of(rows, Target("combined", 0.1))
    old = write(tmp_path / "old", rows, denoising)
    (old / "judge.json").unlink()
    with pytest.raises(HardnegError, match=r"has no judge\.json, .*hardneg mine --from"):
        report(str(old), FEW)
    (old / "judge.json").write_text("{}", encoding="utf-8")
    with pytest.raises(HardnegError, match=r"is no judge\.json"):
        report(str(old), FEW)
    (old / "judge.json").write_text(denoising.to_json(), encoding="utf-8")
    shard = sorted((old / "candidates").iterdir())[1]
    pq.write_table(pq.read_table(shard).drop_columns(["logit"]), shard)
    with pytest.raises(HardnegError, match="has no column logit"):
        report(str(old), FEW)
    manifest = json.loads((old / "manifest.json").read_text(encoding="utf-8"))
    manifest["options"]["of_another_time"] = 1
    (old / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(HardnegError, match="of_another_time"):
        report(str(old), FEW)
    assert command(["report", str(run), "--targets", "2"]) == 2
    assert "--targets" in capsys.readouterr().err
