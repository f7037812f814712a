"""A run's options from a file: a manifest that repeats its run, TOML, and files that are neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from config_cases import ENCODER, RUN_FILE, VECTORS, config

from hardneg.errors import HardnegError
from hardneg.pipelines import cli
from hardneg.pipelines.options.command_line import config_of_arguments
from hardneg.pipelines.options.files import load_options
from hardneg.pipelines.options.mine import MineConfig

RUNS = [
    {},
    {"input": "data", "split": "dev", "max_queries": 3, "k": 7, "score": "all"},
    {"pairs": ["a.parquet", "b.parquet"], "anchor_column": "q", "pass_through": ["url"], "trust_remote_code": True},
    {"bi_encoder": ["b=x", "y"], "cross_encoder_prompt": ["Query: ", ""], "near_duplicates": "off", "ranks": "2:"},
    {"bi_encoder": ["b=x"], "retriever": [VECTORS, {**ENCODER, "query-prompt": ""}], "group": "doc:forbid"},
    {"retriever": [ENCODER, RUN_FILE], "max_rejected": 0, "segments": 4, "order": "random:3"},
]


@pytest.mark.parametrize("options", RUNS, ids=str)
def test_a_manifest_repeats_its_run(tmp_path: Path, options: dict[str, Any]) -> None:
    """Read by itself, and through the command line, where options win."""
    original = config(**options)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"options": original.model_dump(), "counts": {}}))
    assert MineConfig(**load_options(str(path))) == original
    assert parsed("--config", str(path)) == original
    assert parsed(f"--config={path}", "--k", "3", "--output", "other") == original.model_copy(
        update={"k": 3, "output": "other"}
    )


def test_replacing_an_output_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"options": config(overwrite=True).model_dump()}))
    assert MineConfig(**load_options(str(path))) == config()


def parsed(*argv: str) -> MineConfig:
    """Return what the command line makes of its arguments."""
    _, bound, _ = cli.app.parse_args(["mine", *argv], exit_on_error=False, print_error=False)
    return config_of_arguments(bound.arguments.get("given", cli.NOTHING_GIVEN), bound.arguments.get("config_file"))


def test_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('input = "data"\nmax-sigmoid = 0.2\nbi-encoder = ["a=x", "b=y"]\noutput_shards = 3\noutput = "o"\n')
    expected = MineConfig(input="data", max_sigmoid=0.2, bi_encoder=["a=x", "b=y"], output_shards=3, output="o")
    assert MineConfig(**load_options(str(path))) == expected
    assert parsed("--config", str(path)) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "a = [", "it is neither TOML nor a manifest.json"),
        ("a.json", "{", "it is neither TOML nor a manifest.json"),
        ("a.json", "{}", 'it has no "options"'),
        ("a.json", "[1]", 'it has no "options"'),
        ("a.json", "3", 'it has no "options"'),
        ("a.json", '{"options": 3}', 'it has no "options"'),
        ("a.toml", None, "it cannot be read (No such file or directory); give an existing file."),
    ],
)
def test_config_files_that_are_none(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(HardnegError) as raised:
        load_options(str(path))
    assert str(raised.value).startswith(f"config {path}: {message}")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(HardnegError, match=r"it is neither TOML nor a manifest\.json"):
        load_options(str(path))


@pytest.mark.parametrize("command", ["mine", "calibrate", "refresh", "train-judge", "audit"])
def test_the_columns_of_pairs_are_named_on_every_command_line(command: str) -> None:
    """Pairs have names that nobody foresaw more often than not: those are asked for where the files are."""
    place = {"refresh": "--store", "audit": "x.jsonl"}.get(command, "--output")
    here = [command, place, *(["s"] if place.startswith("--") else [])]
    here += [] if command == "audit" else ["--pairs", "x.jsonl"]
    _, bound, _ = cli.app.parse_args(
        [*here, "--anchor-column", "1", "--positive-column", "positive_ctxs"], exit_on_error=False, print_error=False
    )
    [named] = [value for value in bound.arguments.values() if hasattr(value, "positive_column")]
    assert (named.anchor_column, named.positive_column) == ("1", "positive_ctxs")
