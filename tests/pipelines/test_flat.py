"""The options as a flat map of texts: a Flex Template's parameters, its description, and its program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from hardneg.errors import InputError, OptionError
from hardneg.pipelines.options.files import load_options
from hardneg.pipelines.options.flat import command_line_of, flat_fields, read_flat, split_flat, template_metadata
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.refresh import RefreshOptions

ROOT = Path(__file__).parents[2]
FLEX = ROOT / "deploy" / "flex"


def test_the_description_is_made_from_the_options() -> None:
    written = json.loads((FLEX / "metadata.json").read_text(encoding="utf-8"))
    assert written == template_metadata(), "run python -m hardneg.pipelines.options.flat deploy/flex/metadata.json"


def test_every_option_is_a_parameter_and_every_parameter_an_option() -> None:
    names = [each["name"] for each in template_metadata()["parameters"]]
    assert len(names) == len(set(names))
    assert set(names) == {"command", "config", *MineConfig.model_fields, *RefreshOptions.model_fields}
    for each in template_metadata()["parameters"]:
        assert each["helpText"].endswith((".", ")")), each
        assert each["label"]
        assert each["isOptional"]


def test_no_parameter_has_the_name_of_an_option_of_beams() -> None:
    names: set[str] = set()
    PipelineOptions([]).get_all_options(add_extra_args_fn=lambda parser: names.update(parser._option_string_actions))
    assert {f"--{name}" for name in flat_fields()} & names == set()


def test_texts_become_what_the_options_take() -> None:
    parameters = {
        "command": "mine",
        "corpus": "gs://b/one.jsonl, gs://b/two.jsonl",
        "queries": '["gs://b/with, comma.jsonl"]',
        "output": "gs://b/out",
        "k": "20",
        "relabel_suspected": "True",
        "allow_no_positives": "false",
        "cross_encoder_prompt": '["query: ", "passage: "]',
        "retriever": '[{"kind": "bm25"}, {"kind": "bi-encoder", "model": "m"}]',
        "holdout": "",
        "judge": "  ",
    }
    command, options = read_flat(parameters)
    assert command == "mine"
    config = MineConfig(**options)
    assert config.corpus == ["gs://b/one.jsonl", "gs://b/two.jsonl"]
    assert config.queries == ["gs://b/with, comma.jsonl"]
    assert (config.k, config.relabel_suspected, config.allow_no_positives) == (20, True, False)
    assert config.cross_encoder_prompt == ["query: ", "passage: "]
    assert [table["kind"] for table in config.retriever] == ["bm25", "bi-encoder"]
    assert {"holdout", "judge"} & set(options) == set()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"colour": "red"}, "colour: there is no such parameter"),
        ({"command": "audit"}, "command: 'audit' is none of refresh, mine"),
        ({"recalibrate": "perhaps"}, "recalibrate: 'perhaps' is neither true nor false"),
        ({"retriever": "[{"}, "retriever: '[{' is no JSON"),
    ],
)
def test_what_does_not_hold_is_a_sentence(parameters: dict[str, str], said: str) -> None:
    with pytest.raises(OptionError, match=said.replace("[", r"\[")):
        read_flat(parameters)


def test_parameters_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text("k = 30\nnegatives = 3\n[gates]\nmax-drop = 0.1\n", encoding="utf-8")
    command, options = read_flat({"config": str(file), "k": "40", "store": "gs://b/store"})
    assert command == "refresh"
    assert options == {"k": "40", "negatives": 3, "gates": {"max-drop": 0.1}, "store": "gs://b/store"}
    with pytest.raises(InputError, match="cannot be read"):
        read_flat({"config": str(tmp_path / "nothing.toml")})


def test_the_program_turns_them_into_a_command_line(tmp_path: Path) -> None:
    argv = ["--store=gs://b/store", "--gate=max-drop=0.2,audit=off", "--recalibrate=true", "--k=20", "--overwrite=true"]
    beam = ["--runner=DataflowRunner", "--project=p", "--temp_location=gs://b/t", "--experiments=a=b"]
    ours, rest = split_flat([*argv, *beam])
    assert (set(ours), rest) == ({"store", "gate", "recalibrate", "k", "overwrite"}, beam)
    line = command_line_of([*argv, *beam], tmp_path)
    place = line.index("--config")
    gates = ["--gate", "max-drop=0.2", "--gate", "audit=off"]
    assert line[:place] == ["refresh", "--store", "gs://b/store", "--recalibrate", *gates, "--overwrite"]
    assert line[place + 2 :] == ["--no-wait", "--", *beam]
    assert load_options(line[place + 1]) == {"k": "20"}


def test_the_program_says_what_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, str(FLEX / "main.py"), "--command=audit", "--runner=DataflowRunner"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (1, "hardneg: command: 'audit' is none of refresh, mine.\n")
