"""Options of the version before, and options that are written in a file only: what to write instead is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from config_cases import RUN_FILE, config

from hardneg.errors import OptionError
from hardneg.pipelines.options.command_line import about_of, refuse_unwritten, told_to_mine
from hardneg.pipelines.options.files import checked, load_options
from hardneg.pipelines.options.former import GONE, upgraded
from hardneg.pipelines.options.mine import MineConfig

_TABLE = "it is a key of a [[retriever]] table now, in the file that --config names: kind = "
GONE_TOLD = {
    "run": _TABLE + '"run", file = "FILE"; from Python, retriever=[{"kind": "run", "file": "FILE"}, ...]',
    "group_column": 'write --group COLUMN:forbid instead (from Python, group="COLUMN:forbid")',
}


@pytest.mark.parametrize("name", sorted(GONE))
def test_an_option_that_went_says_what_to_write_instead(name: str) -> None:
    option = "--" + name.replace("_", "-")
    with pytest.raises(OptionError) as raised:
        refuse_unwritten(["mine", option, "x"])
    said = raised.value.told(told_to_mine)
    assert said.startswith(f"{option} has gone: {GONE_TOLD.get(name, '')}")
    assert "\n" not in said
    with pytest.raises(OptionError, match=rf"^{name} has gone: "):
        checked(MineConfig, {"output": "out", name: "x"})


@pytest.mark.parametrize(
    "name", [name for name, field in MineConfig.model_fields.items() if about_of(field)["file_only"]]
)
def test_an_option_of_the_file_says_where_it_stands(name: str) -> None:
    written = name.replace("_", "-")
    with pytest.raises(OptionError) as raised:
        refuse_unwritten(["mine", f"--{written}=3"])
    assert raised.value.told(told_to_mine) == (
        f"--{written} is written in the file that --config names, as {written} = ...; from Python, {name}=... is an "
        "argument."
    )


FORMER = {
    **{"input": None, "bi_encoder": [], "run": [], "embeddings": [], "query_embeddings": [], "query_prompt": None},
    **{"passage_prompt": None, "bi_encoder_max_length": None, "bm25_engine": "numba", "bm25_tokenizer": "unicode"},
    **{"bm25_stemmer": None, "group_column": None, "same_group": None, "min_rank": 1, "max_rank": None},
    **{"order": "similarity", "seed": 0, "near_duplicates": 0.8, "allow_near_duplicates": False, "holdout": []},
    **{"holdout_split": None, "hydrate": "local", "output": "out"},
}


@pytest.mark.parametrize(
    ("former", "now"),
    [
        ({}, {}),
        ({"bi_encoder": ["b=x"]}, {"bi_encoder": ["b=x"]}),
        (
            {"bi_encoder": ["b=x", "y"], "run": ["r=x"], "query_prompt": "", "bm25_stemmer": "english"},
            {
                "retriever": [
                    {"kind": "bm25", "stemmer": "english"},
                    {"kind": "bi-encoder", "name": "b", "model": "x", "query_prompt": ""},
                    {"kind": "bi-encoder", "name": "dense", "model": "y", "query_prompt": ""},
                    RUN_FILE,
                ]
            },
        ),
        (
            {"embeddings": ["v=p", "dense=e"], "query_embeddings": ["v=q"], "bi_encoder": ["m"]},
            {
                "retriever": [
                    {"kind": "bm25"},
                    {"kind": "bi-encoder", "name": "dense", "model": "m", "vectors": "e"},
                    {"kind": "vectors", "name": "v", "vectors": "p", "query_vectors": "q"},
                ]
            },
        ),
        ({"group_column": "doc", "same_group": "suspect", "max_rank": 9}, {"group": "doc:suspect", "ranks": "1:9"}),
        ({"min_rank": 3, "order": "random", "seed": 4}, {"ranks": "3:", "order": "random:4"}),
        ({"order": "fused", "seed": 4, "allow_near_duplicates": True}, {"order": "fused", "near_duplicates": "off"}),
        (
            {"holdout": ["nq", "texts.txt"], "holdout_split": "dev", "hydrate": "shuffle"},
            {"holdout": ["nq:dev", "texts.txt"]},
        ),
    ],
    ids=str,
)
def test_a_manifest_of_the_version_before_repeats_its_run(
    tmp_path: Path, former: dict[str, Any], now: dict[str, Any]
) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"options": {**FORMER, **former}}))
    found = MineConfig(**load_options(str(path)))
    assert found == config(**now)
    assert found.retrievers == config(**now).retrievers
    assert upgraded(found.model_dump()) == found.model_dump(), "what is of this version stays"
