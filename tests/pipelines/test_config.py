"""The options of a run: every check, every problem in one message, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest
from config_cases import ENCODER, RUN_FILE, VECTORS, config
from pydantic import ValidationError

from hardneg.errors import OptionError
from hardneg.pipelines.options.command_line import told_to_mine
from hardneg.pipelines.options.files import checked
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.retrievers import split_names
from hardneg.transforms.core.source import Source
from hardneg.transforms.core.tokenization import TokenizerSpec
from hardneg.transforms.filters.groups import SameGroup
from hardneg.transforms.filters.near_duplicates import NearDuplicate
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.filters.ranks import OutsideRanks
from hardneg.transforms.filters.registry import make_filters
from hardneg.transforms.judge.calibrated_judge import Target
from hardneg.transforms.models.spec import ModelSpec

IN_FILE = "in the --config file"
TABLE = f"retriever {IN_FILE}"
GROUP = "--group: it is COLUMN:forbid, COLUMN:suspect or COLUMN:allow, not {!r}."
RANKS = "--ranks: it is FIRST:LAST, with one of them left out if need be (5:100, 5:, :100), not {!r}."


def problem(**options: Any) -> str:
    """Return what the command line says."""
    with pytest.raises(OptionError) as raised:
        checked(MineConfig, {"output": "out", **options})
    return raised.value.told(told_to_mine)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        (["a=x", "b_2=y"], {"a": "x", "b_2": "y"}),
        (["x"], {"dense": "x"}),
        (["b=y", "x"], {"b": "y", "dense": "x"}),
        (["a=x=y"], {"a": "x=y"}),
        (["./lr=0.1/model"], {"dense": "./lr=0.1/model"}),  # a path, whose part before = is no name
        (["org/model@v=1"], {"dense": "org/model@v=1"}),
        (["a=two\nlines"], {"a": "two\nlines"}),
    ],
)
def test_bi_encoders_by_name(values: list[str], expected: dict[str, str]) -> None:
    assert split_names(values) == expected
    assert list(split_names(values)) == list(expected)


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
        ({"max_rejected": -0.1}, f"max-rejected {IN_FILE}: input should be greater than or equal to 0, not -0.1."),
        ({"max_rejected": 2}, f"max-rejected {IN_FILE}: input should be less than or equal to 1, not 2."),
        ({"max_queries": 0}, "--max-queries: input should be greater than or equal to 1, not 0."),
        ({"output_shards": 0}, "--output-shards: input should be greater than or equal to 1, not 0."),
        ({"output_shards": 100_001}, "--output-shards: input should be less than or equal to 100000, not 100001."),
        ({"block_size": 0}, f"block-size {IN_FILE}: input should be greater than or equal to 1, not 0."),
        ({"segments": 0}, f"segments {IN_FILE}: input should be greater than or equal to 1, not 0."),
        (
            {"retriever": [{"kind": "bi-encoder", "max-length": 7}]},
            f"{TABLE} 1 (bi-encoder): max_length: input should be greater than or "
            "equal to 8, not 7.",
        ),
        (
            {"cross_encoder_max_length": 9},
            "--cross-encoder-max-length: input should be greater than or equal to 16, not 9.",
        ),
        (
            {"order": "best"},
            "--order: it is similarity, fused, judge or random, or random:SEED with a whole number, not 'best'.",
        ),
        (
            {"order": "judge:4"},
            "--order: it is similarity, fused, judge or random, or random:SEED with a whole number, not 'judge:4'.",
        ),
        ({"group": "doc"}, GROUP.format("doc")),
        ({"group": "doc:drop"}, GROUP.format("doc:drop")),
        ({"group": ":forbid"}, GROUP.format(":forbid")),
        ({"ranks": "9:8"}, "--ranks: ranks begin at 1, and the last is not before the first, not '9:8'."),
        ({"ranks": "0:8"}, "--ranks: ranks begin at 1, and the last is not before the first, not '0:8'."),
        ({"ranks": "9"}, RANKS.format("9")),
        ({"ranks": ":"}, RANKS.format(":")),
        ({"near_duplicates": 0}, "--near-duplicates: it is a share above 0 and at most 1, or off, not 0."),
        ({"near_duplicates": "no"}, "--near-duplicates: it is a share above 0 and at most 1, or off, not 'no'."),
        ({"min_sigmoid": 0.2, "max_sigmoid": 0.2}, "no sigmoid is both below 0.2 and not below 0.2."),
        (
            {"judge_file": "j.json", "target_leak_rate": 0.1},
            "--judge-file brings its own threshold, so --target-leak-rate has nothing to decide; give one of them.",
        ),
        ({"score_missing": True}, "--score-missing belongs to --from RUN."),
        ({"from_run": "run", "output": "run/new"}, "--from run and --output run/new: give the output its own folder."),
        ({"score": "some"}, "--score: input should be 'lazy' or 'all', not 'some'."),
        ({"dtype": "int8"}, "--dtype: input should be 'auto', 'bfloat16', 'float16' or 'float32', not 'int8'."),
        (
            {"bi_encoder": ["m"], "retriever": [{"kind": "bm25", "engine": "x"}]},
            f"{TABLE} 1 (bm25): engine: input should be 'numba' or 'rank-bm25', not 'x'.",
        ),
        (
            {"retriever": [{"kind": "bi-encoder"}, {"kind": "bm25", "tokenizer": "x", "nonsense": 1}]},
            f"{TABLE} 2 (bm25): tokenizer: input should be 'unicode' or 'jieba', not 'x'; {TABLE} 2 (bm25): it has no "
            "nonsense.",
        ),
        ({"retriever": [{"kind": "run", "name": "r"}]}, f"{TABLE} 1 (run): it needs file."),
        (
            {"retriever": [{"kind": "run", "name": "a-b", "file": "f"}]},
            f"{TABLE} 1 (run): its name 'a-b' may have letters, digits and _ only.",
        ),
        (
            {"retriever": [{"kind": "bm25"}]},
            f"no {TABLE} gives a similarity, by which candidates are ordered: add one of the kind bi-encoder or "
            "vectors, or --bi-encoder.",
        ),
        ({"max_sigmoids": 0.2}, "--max-sigmoids: there is no such option."),
        ({"bi_encoder": ["bm25=bundled"]}, "two retrievers are called 'bm25'; give each its own name."),
        (
            {"bi_encoder": ["m"], "retriever": [{"kind": "run", "name": "dense", "file": "f"}]},
            "two retrievers are called 'dense'; give each its own name.",
        ),
        ({"bi_encoder": ["x=a", "x=b"]}, "--bi-encoder names 'x' twice; write NAME=b with another name."),
        ({"bi_encoder": ["x", "y"]}, "--bi-encoder names 'dense' twice; write NAME=y with another name."),
        (
            {"cross_encoder_prompt": ["a", "b", "c"]},
            "--cross-encoder-prompt may be given twice at most: for the query and for the passage.",
        ),
        (
            {"pass_through": ["verdict"]},
            "--pass-through verdict: candidates/ has a column of that name already; rename yours.",
        ),
        (
            {"pass_through": ["rank_r"], "bi_encoder": ["m"], "retriever": [RUN_FILE]},
            "--pass-through rank_r: candidates/ has a column of that name already; rename yours.",
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


def test_a_kind_that_there_is_not() -> None:
    said = problem(retriever=[{"kind": "splade"}])
    assert said.startswith(f"{TABLE} 1: its kind is 'splade'; choose one of bm25, bi-encoder, vectors, run")


def test_every_problem_is_listed() -> None:
    with pytest.raises(OptionError) as raised:
        checked(MineConfig, {"k": "many", "negatives": 0, "nonsense": 1})
    assert str(raised.value).splitlines() == [  # from Python
        "k: input should be a valid integer, unable to parse string as an integer, not 'many'.",
        "negatives: input should be greater than or equal to 1, not 0.",
        "output: it must be given.",
        "nonsense: there is no such option.",
    ]


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        config().k = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "names", "models"),
    [
        ({}, ["bm25", "dense"], {"dense": "bundled"}),
        ({"bi_encoder": ["org/m@v1"]}, ["bm25", "dense"], {"dense": "org/m@v1"}),
        ({"bi_encoder": ["b=one", "two"]}, ["bm25", "b", "dense"], {"b": "one", "dense": "two"}),
        # With tables, only those and the short form's: BM25 can be left out, or stand anywhere.
        ({"retriever": [ENCODER]}, ["dense"], {"dense": "m"}),
        ({"retriever": [VECTORS, {"kind": "bm25"}]}, ["v", "bm25"], {}),
        ({"bi_encoder": ["b=one"], "retriever": [RUN_FILE, ENCODER]}, ["b", "r", "dense"], {"b": "one", "dense": "m"}),
    ],
    ids=str,
)
def test_retrievers(options: dict[str, Any], names: list[str], models: dict[str, str]) -> None:
    made = config(**options)
    assert [each.name for each in made.retrievers] == names
    sources = {"bm25": Source("bm25", signal="bm25"), "r": Source("r")}
    assert made.sources == [sources.get(name, Source.of_similarity(name)) for name in names]
    assert {each.name: each.spec.model for each in made.retrievers if each.spec} == models


def test_specs() -> None:
    made = config(
        cross_encoder="org/x", cross_encoder_prompt=["Q: ", "P: "], cross_encoder_max_length=64, dtype="float32",
        device="cpu", trust_remote_code=True,
        retriever=[
            {**ENCODER, "query_prompt": "q: ", "passage_prompt": "", "max_length": 32},
            {**ENCODER, "name": "other", "query_prompt": "Q: ", "dtype": "auto", "trust_remote_code": False},
        ],
    )  # fmt: skip
    assert made.cross_encoder_spec == ModelSpec("cross-encoder", "org/x", "Q: ", "P: ", 64, "float32", "cpu", True)
    assert [each.spec for each in made.retrievers] == [
        ModelSpec("bi-encoder", "m", "q: ", "", 32, "float32", "cpu", True),
        ModelSpec("bi-encoder", "m", "Q: ", None, None, "auto", "cpu", False),
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
    assert config(near_duplicates="off").policy.filters == make_filters({})
    assert NearDuplicate(0.5) in config(near_duplicates="0.5").policy.filters
    stemmed = config(retriever=[{"kind": "bm25", "stemmer": "english"}, ENCODER]).policy.filters
    assert NearDuplicate(0.8, TokenizerSpec("unicode", "english")) in stemmed
    assert NearDuplicate(0.8) in config(retriever=[ENCODER]).policy.filters
    window = config(ranks="2:9", order="random:4").policy
    assert (window.window, window.order, window.seed) == (OutsideRanks(2, 9), "random", 4)
    assert config(ranks=":9").policy.window == OutsideRanks(1, 9)
    assert config(ranks="2:").policy.window == OutsideRanks(2, None)
    grouped = config(group="doc:suspect", pass_through=["url"])
    assert SameGroup("doc", "suspect") in grouped.policy.filters
    assert grouped.policy.pass_through == ("url", "doc")
    assert not config().policy.score_all
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
