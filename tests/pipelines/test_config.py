"""The options of a run: every check, every problem in one message, and a manifest that repeats its run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hardneg.errors import HardnegError
from hardneg.pipelines import cli
from hardneg.pipelines.options.mine import MineConfig, load_options, parse_named, problems_of
from hardneg.transforms.core.source import Source
from hardneg.transforms.core.tokenization import TokenizerSpec
from hardneg.transforms.filters.near_duplicates import NearDuplicate
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.filters.registry import make_filters
from hardneg.transforms.judge.calibrated_judge import Target
from hardneg.transforms.models.spec import ModelSpec

BOTH = "--group-column NAME and --same-group allow|forbid|suspect belong together; give both."


def config(**options: Any) -> MineConfig:
    return MineConfig(**{"output": "out", **options})


def problem(**options: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        config(**options)
    return problems_of(raised.value)


@pytest.mark.parametrize(
    ("values", "unnamed", "expected"),
    [
        ([], None, {}),
        (["a=x", "b_2=y"], None, {"a": "x", "b_2": "y"}),
        (["x"], "dense", {"dense": "x"}),
        (["b=y", "x"], "dense", {"b": "y", "dense": "x"}),
        (["a=x=y"], None, {"a": "x=y"}),
        (["./lr=0.1/model"], "dense", {"dense": "./lr=0.1/model"}),  # a path, whose part before = is no name
        (["org/model@v=1"], "dense", {"dense": "org/model@v=1"}),
        (["a=two\nlines"], None, {"a": "two\nlines"}),
    ],
)
def test_parse_named(values: list[str], unnamed: str | None, expected: dict[str, str]) -> None:
    assert parse_named(values, "--opt", unnamed) == expected
    assert list(parse_named(values, "--opt", unnamed)) == list(expected)


@pytest.mark.parametrize(
    ("values", "unnamed", "message"),
    [
        (["x"], None, "--opt takes NAME=VALUE, and 'x' has no name"),
        (["=x"], None, "--opt takes NAME=VALUE, and '=x' has no name"),
        (["a="], None, "--opt takes NAME=VALUE, and 'a=' has no name"),
        (["1a=x"], None, "--opt takes NAME=VALUE, and '1a=x' has no name"),
        (["a-b=x"], None, "--opt takes NAME=VALUE, and 'a-b=x' has no name"),
        (["a=x", "a=y"], None, "--opt names 'a' twice; write --opt NAME=y with another name"),
        (["x", "y"], "dense", "--opt names 'dense' twice; write --opt NAME=y with another name"),
        (["x", "dense=y"], "dense", "--opt names 'dense' twice; write --opt NAME=y with another name"),
    ],
)
def test_parse_named_refuses(values: list[str], unnamed: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_named(values, "--opt", unnamed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": ""}, "--output: string should have at least 1 character, not ''."),
        ({"k": 0}, "--k: input should be greater than or equal to 1, not 0."),
        ({"negatives": 0}, "--negatives: input should be greater than or equal to 1, not 0."),
        ({"max_sigmoid": 0}, "--max-sigmoid: input should be greater than 0, not 0."),
        ({"max_sigmoid": 1.1}, "--max-sigmoid: input should be less than or equal to 1, not 1.1."),
        ({"max_sigmoid": float("nan")}, "--max-sigmoid: input should be less than or equal to 1, not nan."),
        ({"min_relevance": 0}, "--min-relevance: input should be greater than 0, not 0."),
        ({"min_relevance": float("nan")}, "--min-relevance: input should be a finite number, not nan."),
        ({"max_rejected": -0.1}, "--max-rejected: input should be greater than or equal to 0, not -0.1."),
        ({"max_rejected": 2}, "--max-rejected: input should be less than or equal to 1, not 2."),
        ({"max_queries": 0}, "--max-queries: input should be greater than or equal to 1, not 0."),
        ({"output_shards": 0}, "--output-shards: input should be greater than or equal to 1, not 0."),
        ({"output_shards": 100_001}, "--output-shards: input should be less than or equal to 100000, not 100001."),
        ({"block_size": 0}, "--block-size: input should be greater than or equal to 1, not 0."),
        ({"segments": 0}, "--segments: input should be greater than or equal to 1, not 0."),
        ({"bi_encoder_max_length": 7}, "--bi-encoder-max-length: input should be greater than or equal to 8, not 7."),
        (
            {"cross_encoder_max_length": 9},
            "--cross-encoder-max-length: input should be greater than or equal to 16, not 9.",
        ),
        ({"order": "best"}, "--order: input should be 'similarity', 'fused', 'judge' or 'random', not 'best'."),
        ({"group_column": "doc"}, BOTH),
        ({"same_group": "forbid"}, BOTH),
        ({"min_rank": 9, "max_rank": 8}, "--max-rank 8 is before --min-rank 9."),
        ({"min_sigmoid": 0.2, "max_sigmoid": 0.2}, "no sigmoid is both below 0.2 and not below 0.2."),
        (
            {"judge_file": "j.json", "target_leak_rate": 0.1},
            "--judge-file brings its own threshold, so --target-leak-rate has nothing to decide; give one of them.",
        ),
        ({"score_missing": True}, "--score-missing belongs to --from RUN."),
        ({"from_run": "run", "output": "run/new"}, "--from run and --output run/new: give the output its own folder."),
        ({"score": "some"}, "--score: input should be 'lazy' or 'all', not 'some'."),
        ({"hydrate": "x"}, "--hydrate: input should be 'local' or 'shuffle', not 'x'."),
        ({"dtype": "int8"}, "--dtype: input should be 'auto', 'bfloat16', 'float16' or 'float32', not 'int8'."),
        ({"bm25_engine": "x"}, "--bm25-engine: input should be 'numba' or 'rank-bm25', not 'x'."),
        ({"bm25_tokenizer": "x"}, "--bm25-tokenizer: input should be 'unicode' or 'jieba', not 'x'."),
        ({"max_sigmoids": 0.2}, "--max-sigmoids: there is no such option."),
        ({"run": ["a.trec"]}, "--run takes NAME=VALUE, and 'a.trec' has no name."),
        ({"run": ["bm25=a.trec"]}, "two retrievers are called 'bm25'; give each its own NAME=."),
        ({"bi_encoder": ["bm25=bundled"]}, "two retrievers are called 'bm25'; give each its own NAME=."),
        ({"run": ["dense=a.trec"]}, "two retrievers are called 'dense'; give each its own NAME=."),
        ({"bi_encoder": ["x=a", "x=b"]}, "--bi-encoder names 'x' twice; write --bi-encoder NAME=b with another name."),
        (
            {"embeddings": ["mine=v*.parquet"]},
            "--embeddings mine=... brings passage vectors only: add --query-embeddings mine=GLOB, or "
            "--bi-encoder mine=MODEL to encode the queries.",
        ),
        (
            {"query_embeddings": ["mine=v*.parquet"]},
            "--query-embeddings mine=... needs --embeddings mine=GLOB beside it.",
        ),
        (
            {"cross_encoder_prompt": ["a", "b", "c"]},
            "--cross-encoder-prompt may be given twice at most: for the query and for the passage.",
        ),
        (
            {"pass_through": ["verdict"]},
            "--pass-through verdict: candidates/ has a column of that name already; rename yours.",
        ),
        (
            {"pass_through": ["rank_other"], "run": ["other=x"]},
            "--pass-through rank_other: candidates/ has a column of that name already; rename yours.",
        ),
        (
            {"pass_through": ["url", "url"]},
            "--pass-through url: candidates/ has a column of that name already; rename yours.",
        ),
        ({"work": "out"}, "--output out and --work out: one lies in the other; keep them apart."),
        ({"work": "./out/work"}, "--output out and --work ./out/work: one lies in the other; keep them apart."),
        ({"work": "."}, "--output out and --work .: one lies in the other; keep them apart."),
        (
            {"output": "gs://b/run/out", "work": "gs://b/run"},
            "--output gs://b/run/out and --work gs://b/run: one lies in the other; keep them apart.",
        ),
        ({"work": "gs://b/w"}, "--output out is a local folder, so --work gs://b/w must be one too."),
    ],
    ids=str,
)  # fmt: skip
def test_every_check(options: dict[str, Any], message: str) -> None:
    assert problem(**options) == message


def test_every_problem_is_listed() -> None:
    with pytest.raises(ValidationError) as raised:
        MineConfig(k="many", negatives=0, nonsense=1)  # type: ignore[call-arg, arg-type]
    assert problems_of(raised.value).splitlines() == [
        "--k: input should be a valid integer, unable to parse string as an integer, not 'many'.",
        "--negatives: input should be greater than or equal to 1, not 0.",
        "--output: it must be given.",
        "--nonsense: there is no such option.",
    ]


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        config().k = 5  # type: ignore[misc]


BM25 = Source("bm25", signal="bm25")


@pytest.mark.parametrize(
    ("options", "names", "models"),
    [
        ({}, ["dense"], {"dense": "bundled"}),
        ({"bi_encoder": ["org/m@v1"]}, ["dense"], {"dense": "org/m@v1"}),
        (
            {"bi_encoder": ["b=one", "two"], "run": ["r=x"]},
            ["b", "dense", "r"],
            {"b": "one", "dense": "two"},
        ),
        # The user's vectors stand in for the default model, under whatever name.
        ({"embeddings": ["v=p"], "query_embeddings": ["v=q"]}, ["v"], {}),
        ({"embeddings": ["dense=p"], "query_embeddings": ["dense=q"]}, ["dense"], {}),
        ({"embeddings": ["v=p"], "bi_encoder": ["v=m"]}, ["v"], {"v": "m"}),
        ({"embeddings": ["dense=p"], "bi_encoder": ["bundled"]}, ["dense"], {"dense": "bundled"}),
        (
            {"embeddings": ["v=p"], "query_embeddings": ["v=q"], "bi_encoder": ["bundled"]},
            ["dense", "v"],
            {"dense": "bundled"},
        ),
    ],
    ids=str,
)  # fmt: skip
def test_retrievers(options: dict[str, Any], names: list[str], models: dict[str, str]) -> None:
    made = config(**options)
    assert [each.name for each in made.retrievers] == ["bm25", *names]
    assert made.sources == [BM25, *(Source("r") if name == "r" else Source.of_similarity(name) for name in names)]
    assert {each.name: each.spec.model for each in made.retrievers if each.spec} == models


def test_specs() -> None:
    made = config(
        cross_encoder="org/x", cross_encoder_prompt=["Q: ", "P: "], cross_encoder_max_length=64, dtype="float32",
        device="cpu", trust_remote_code=True, query_prompt="q: ", passage_prompt="", bi_encoder_max_length=32,
    )  # fmt: skip
    assert made.cross_encoder_spec == ModelSpec("cross-encoder", "org/x", "Q: ", "P: ", 64, "float32", "cpu", True)
    assert [each.spec for each in made.retrievers if each.spec] == [
        ModelSpec("bi-encoder", "bundled", "q: ", "", 32, "float32", "cpu", True)
    ]
    assert config(cross_encoder_prompt=["Q: "]).cross_encoder_spec.passage_prompt is None
    assert config().cross_encoder_spec == ModelSpec("cross-encoder", "bundled")


def test_policy_inputs_and_folders() -> None:
    made = config(max_sigmoid=0.3, negatives=7, order="fused", min_relevance=2, score="all", pass_through=["url"])
    assert made.policy == Policy(
        7,
        "fused",
        min_relevance=2,
        score_all=True,
        filters=make_filters({"max_sigmoid": 0.3, "near_duplicates": 0.8}),
        pass_through=("url",),
    )
    assert config(allow_near_duplicates=True).policy.filters == make_filters({})
    stemmed = config(bm25_stemmer="english").policy.filters
    assert NearDuplicate(0.8, TokenizerSpec("unicode", "english")) in stemmed
    grouped = config(group_column="doc", same_group="suspect", pass_through=["url"])
    assert grouped.policy.pass_through == ("url", "doc")
    assert grouped.inputs.pass_through == ["url", "doc"]
    assert not config().policy.score_all
    assert made.inputs.pass_through == ["url"]
    assert config(corpus=["c"], id_column="n", split="dev").inputs.id_column == "n"
    assert config().work_folder == "out.work"
    assert config(output="a/out/").work_folder == "a/out.work"
    assert config(work="w").work_folder == "w"


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, Target("combined", 0.02)),
        ({"target_leak_rate": 0.1}, Target("combined", None, 0.1)),
        ({"target_leak_rate": 0.1, "target_false_negative_rate": 0.2, "gamma": 2}, Target("combined", 0.2, 0.1, 2)),
        ({"judge": "bi-encoder"}, Target("bi-encoder", 0.02)),
        # Another threshold stands instead of a target, and its score is the judge.
        ({"max_sigmoid": 0.1}, Target("cross-encoder")),
        ({"relative_margin": 0.05, "judge": "combined"}, Target("combined")),
        ({"absolute_margin": 3}, Target("cross-encoder")),
        ({"relative_margin": 0.05}, Target("bi-encoder")),
        ({"min_sigmoid": 0.01}, Target("combined", 0.02)),
    ],
)
def test_what_is_asked_of_the_judge(options: dict[str, Any], target: Target) -> None:
    assert config(**options).target == target


RUNS = [
    {},
    {"input": "data", "split": "dev", "max_queries": 3, "k": 7, "score": "all"},
    {"pairs": ["a.parquet", "b.parquet"], "anchor_column": "q", "pass_through": ["url"], "trust_remote_code": True},
    {"bi_encoder": ["b=x", "y"], "run": ["r=f=g"], "cross_encoder_prompt": ["Query: ", ""], "query_prompt": ""},
    {"embeddings": ["v=p"], "query_embeddings": ["v=q"]},
    {"embeddings": ["dense=p"], "query_embeddings": ["dense=q"], "max_rejected": 0, "segments": 4},
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
    args = ["mine", *argv]
    cli.app.config = cli._config_of(args)
    _, bound, _ = cli.app.parse_args(args, exit_on_error=False, print_error=False)
    return bound.kwargs["config"]


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
    assert str(raised.value).startswith(f"--config {path}: {message}")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(HardnegError, match=r"it is neither TOML nor a manifest\.json"):
        load_options(str(path))
