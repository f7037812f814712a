"""The one line of ``--json``, and what of other libraries' logs is let through."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from finished_run import candidate, write_run

from hardneg.pipelines import cli
from hardneg.pipelines.options.exit_codes import FAULTS, LOCKED, NOT_ENDED, USER_ERROR
from hardneg.pipelines.terminal.json_line import without_flag
from hardneg.pipelines.terminal.said import DATAFLOW_LOGGER, quiet


def line_of(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict]:
    code = cli.run([*argv, "--json"])
    last = capsys.readouterr().out.splitlines()[-1]
    return code, json.loads(last)


def test_the_last_line_says_what_happened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [candidate("q1", "p1", "positive", logit=1.0), candidate("q1", "p1", "negative", logit=-1.0, selected=1)]
    run = write_run(tmp_path / "run", {"q1": "question"}, {"p1": "one"}, rows)
    code, line = line_of(capsys, "audit", str(run))
    assert code == line["exit"] == FAULTS
    assert (line["command"], line["outcome"]) == ("audit", "faults found")
    assert line["figures"]["faults"]["positives_among_negatives"] == 1


def test_errors_have_codes_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = line_of(capsys, "publish", str(tmp_path))
    assert (code, line["outcome"], line["error"]["code"]) == (NOT_ENDED, "not ended", "not-ended")
    code, line = line_of(capsys, "refresh", "--store", str(tmp_path), "--date", "yesterday")
    assert (code, line["error"]["code"]) == (USER_ERROR, "option")
    assert "it is a date such as 2026-11-28" in line["error"]["message"]
    told = {"host": "elsewhere", "process": 7, "since": 0.0, "until": 1e12, "token": "other"}
    (tmp_path / "lock").write_text(json.dumps(told))
    code, line = line_of(capsys, "refresh", "--store", str(tmp_path), "--input", "nowhere")
    assert (code, line["outcome"], line["error"]["fields"]["host"]) == (LOCKED, "locked", "elsewhere")


def test_a_file_after_the_flag_stays_what_it_is() -> None:
    assert without_flag(["report", "RUN", "--json", "FILE"]) == (["report", "RUN", "--json", "FILE"], False)
    assert without_flag(["report", "RUN", "--json"]) == (["report", "RUN"], True)
    assert without_flag(["mine", "--json", "--k", "3"]) == (["mine", "--k", "3"], True)
    assert without_flag(["mine", "--", "--json"]) == (["mine", "--", "--json"], False)


def test_the_line_that_names_a_dataflow_job_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    quiet()
    quiet()
    logger = logging.getLogger(DATAFLOW_LOGGER)
    logger.info("Created job with id: [%s]", "2026-11-28_02_15_00-1")
    logger.info("Submitted job: 1")
    logger.error("a worker's traceback")
    logging.getLogger("apache_beam.runners").error("chatter")
    said = capsys.readouterr().err.splitlines()
    assert said == [f"INFO:{DATAFLOW_LOGGER}:Created job with id: [2026-11-28_02_15_00-1]"]
