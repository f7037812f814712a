"""From what is asked for to retrievers: ``[[retriever]]`` tables, and bi-encoders in their short form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hardneg.errors import parameter
from hardneg.transforms.models.spec import BUNDLED
from hardneg.transforms.retrieval.registry import RETRIEVERS
from hardneg.transforms.retrieval.retriever import Retriever

DEFAULT_NAME = "dense"
_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=(.+)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def make_retrievers(tables: Sequence[Mapping[str, Any]], bi_encoders: Sequence[str]) -> list[Retriever]:
    """Return the retrievers of a run, in the order of their columns.

    Args:
        tables: one a retriever; none: BM25 and the bi-encoders. With tables there is nothing that they do not name.
        bi_encoders: MODEL or NAME=MODEL, each short for a table of that kind; they come before the tables'.

    Raises:
        ValueError: a table that makes no retriever, two of one name, or none with a similarity.
    """
    if not tables and not bi_encoders:
        bi_encoders = [BUNDLED]
    short = [{"kind": "bi-encoder", "name": name, "model": model} for name, model in split_names(bi_encoders).items()]
    asked = [*short, *tables] if tables else [{"kind": "bm25"}, *short]
    made = [_retriever(table, place - len(short) if tables else place) for place, table in enumerate(asked, start=1)]
    names = [each.name for each in made]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two retrievers are called {name!r}; give each its own name")
    if not any(each.source.similarity for each in made):
        raise ValueError(
            f"no {parameter('retriever')} gives a similarity, by which candidates are ordered: add one of the kind "
            f"bi-encoder or vectors, or {parameter('bi_encoder')}"
        )
    return made


def _retriever(table: Mapping[str, Any], number: int) -> Retriever:
    where = f"{parameter('retriever')} {number}"
    kind = table.get("kind")
    if kind not in RETRIEVERS:
        raise ValueError(f"{where}: its kind is {kind!r}; choose one of {', '.join(RETRIEVERS)}")
    keys = {name.replace("-", "_"): value for name, value in table.items() if name != "kind" and value is not None}
    try:
        made = TypeAdapter(RETRIEVERS[kind]).validate_python(keys)
    except ValidationError as error:
        raise ValueError("; ".join(_problem(f"{where} ({kind})", problem) for problem in error.errors())) from None
    if not _NAME.fullmatch(made.name):
        raise ValueError(f"{where} ({kind}): its name {made.name!r} may have letters, digits and _ only")
    return made


def _problem(where: str, problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] in ("missing", "missing_keyword_only_argument"):
        return f"{where}: it needs {key}"
    if problem["type"] == "unexpected_keyword_argument":
        return f"{where}: it has no {key}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {key}: {message[0].lower()}{message[1:]}, not {problem['input']!r}"


def split_names(values: Sequence[str]) -> dict[str, str]:
    """Return the bi-encoders by name; the one without NAME= is called ``dense``.

    Raises:
        ValueError: two of one name.
    """
    named: dict[str, str] = {}
    for value in values:
        match = _NAMED.fullmatch(value)
        name, model = match.groups() if match else (DEFAULT_NAME, value)
        if name in named:
            raise ValueError(f"{parameter('bi_encoder')} names {name!r} twice; write NAME={model} with another name")
        named[name] = model
    return named
