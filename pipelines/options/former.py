"""Options of the version before: what is written instead, and how a former run's are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from hardneg.errors import parameter
from hardneg.pipelines.options.retrievers import split_names


def _table(kind: str, key: str, example: str) -> str:
    return (
        f'it is a key of a [[retriever]] table now, in the file that {parameter("config")} names: kind = "{kind}", '
        f'{key} = {example}; from Python, retriever=[{{"kind": "{kind}", "{key}": {example}}}, ...]'
    )


def _instead(name: str, value: str) -> str:
    return f'write {parameter(name)} {value} instead (from Python, {name}="{value}")'


# By the option that went: what to do instead.
GONE = {
    "run": _table("run", "file", '"FILE"'),
    "embeddings": _table("bi-encoder", "vectors", '"GLOB"'),
    "query_embeddings": _table("vectors", "query_vectors", '"GLOB"'),
    "query_prompt": _table("bi-encoder", "query_prompt", '"query: "'),
    "passage_prompt": _table("bi-encoder", "passage_prompt", '"passage: "'),
    "bi_encoder_max_length": _table("bi-encoder", "max_length", "256"),
    "bm25_engine": _table("bm25", "engine", '"rank-bm25"'),
    "bm25_tokenizer": _table("bm25", "tokenizer", '"jieba"'),
    "bm25_stemmer": _table("bm25", "stemmer", '"english"'),
    "group_column": _instead("group", "COLUMN:forbid"),
    "same_group": _instead("group", "COLUMN:forbid"),
    "min_rank": _instead("ranks", "FIRST:LAST"),
    "max_rank": _instead("ranks", "FIRST:LAST"),
    "seed": _instead("order", "random:SEED"),
    "allow_near_duplicates": _instead("near_duplicates", "off"),
    "holdout_split": _instead("holdout", "FOLDER:SPLIT"),
    "hydrate": "leave it out: whether texts travel with the blocks follows from Beam's runner",
}


def refuse_former(given: Any) -> None:
    """Raise ValueError for an option of the version before, with what to write instead."""
    for name in GONE if isinstance(given, Mapping) else ():
        if name in given:
            raise ValueError(f"{parameter(name)} has gone: {GONE[name]}")


def upgraded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run's manifest as this version writes them; those of this version stay as they are."""
    new = {name: value for name, value in options.items() if name not in GONE}
    old = {name: options[name] for name in GONE if options.get(name) not in (None, [], False)}
    if tables := _tables(options, old):
        new["retriever"], new["bi_encoder"] = tables, []
    if "group_column" in old:
        new["group"] = f"{old['group_column']}:{old['same_group']}"
    first, last = old.get("min_rank", 1), old.get("max_rank", "")
    if (first, last) != (1, ""):
        new["ranks"] = f"{first}:{last}"
    if options.get("order") == "random" and old.get("seed"):
        new["order"] = f"random:{old['seed']}"
    if "allow_near_duplicates" in old:
        new["near_duplicates"] = "off"
    if "holdout_split" in old:  # it was told to the folders among them
        named = options.get("holdout", [])
        new["holdout"] = [path if PurePath(path).suffix else f"{path}:{old['holdout_split']}" for path in named]
    return new


def _tables(options: Mapping[str, Any], old: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one table a retriever, where the version before was told more of them than ``bi_encoder``."""
    bm25 = {"kind": "bm25", **_told(old, tokenizer="bm25_tokenizer", stemmer="bm25_stemmer", engine="bm25_engine")}
    bm25 = {key: value for key, value in bm25.items() if value not in ("unicode", "numba")}
    own = _told(old, query_prompt="query_prompt", passage_prompt="passage_prompt", max_length="bi_encoder_max_length")
    further = [old.get(name) for name in ("run", "embeddings", "query_embeddings")]
    if len(bm25) == 1 and not own and not any(further):
        return []
    runs, vectors, queries = (dict(value.split("=", 1) for value in values or []) for values in further)
    models = options.get("bi_encoder") or ([] if vectors else ["bundled"])
    named = split_names(models)
    dense: list[dict[str, Any]] = []
    for name in dict.fromkeys([*named, *vectors]):
        if name in queries:
            dense.append({"kind": "vectors", "name": name, "vectors": vectors[name], "query_vectors": queries[name]})
        else:
            brought = {"vectors": vectors[name]} if name in vectors else {}
            dense.append({"kind": "bi-encoder", "name": name, "model": named[name], **own, **brought})
    return [bm25, *dense, *({"kind": "run", "name": name, "file": file} for name, file in runs.items())]


def _told(old: Mapping[str, Any], **names: str) -> dict[str, Any]:
    return {key: old[name] for key, name in names.items() if name in old}
