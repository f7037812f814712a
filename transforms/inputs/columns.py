"""Looking into the head of a file to see what it is, and which of its columns plays which part."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hardneg.errors import HardnegError
from hardneg.transforms.inputs.files import blocks, cells_of, json_object, lines, opened_parquet
from hardneg.transforms.inputs.input_files import Columns

SAMPLE_ROWS = 1000  # JSON rows whose keys are taken for the columns
SAMPLE_BYTES = 1 << 20  # after which fewer rows will do

# How a column that refers to a passage or to a query is called, in qrels and elsewhere ...
_TO_PASSAGE = (
    "docid", "doc_id", "doc-id", "docno", "document_id", "pid", "passage_id", "passage-id", "corpus_id",
    "corpus-id",
)  # fmt: skip
_TO_QUERY = ("qid", "query_id", "query-id")
# ... and in its own file. In pairs, a bare `id` may be the pair's: one query may stand in several.
_PASSAGE_IDS = ("_id", "id", *_TO_PASSAGE)
_QUERY_IDS = ("_id", "id", *_TO_QUERY)
_PAIR_QUERY_IDS = (*_TO_QUERY, "anchor_id", "anchor-id")
_PASSAGE_TEXTS = ("text", "contents", "content", "passage", "passage_text", "document", "body")
_QUERY_TEXTS = ("text", "query", "question", "query_text", "anchor")
_ANCHORS = ("anchor", "query", "question", "query_text", "sentence1")
_POSITIVES = (
    "positive", "positives", "pos", "positive_passage", "answer", "response", "passage", "document", "doc",
    "context", "sentence2", "text",
)  # fmt: skip
_TITLES = ("title",)
_GRADES = ("score", "grade", "relevance", "rel", "label")

_MAGIC = {
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip data",
    b"PK\x03\x04": "a zip archive",
    b"BZh": "bzip2 data",
    b"\x28\xb5\x2f\xfd": "zstd data",
    b"\xfd7zXZ": "xz data",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"ARROW1": "Arrow data",
}


@dataclass(frozen=True)
class Part:
    """How the column for one part is found.

    Attributes:
        part: the field of ``Columns``.
        means: what a message calls it.
        option: the command line's option that names it.
        known: the names by which it is recognised, in lower case.
        required: a file without it can't be read.
        first: a name that wins over the other known ones.
    """

    part: str
    means: str
    option: str
    known: tuple[str, ...]
    required: bool = True
    first: str | None = None


@dataclass(frozen=True)
class Head:
    """What the head of a file shows.

    Attributes:
        format: as in ``InputFile``.
        columns: their names, in order; empty if the file has no row.
        empty: there is no row (and no header).
        header: the names are from the first line.
    """

    format: str
    columns: tuple[str, ...] = ()
    empty: bool = False
    header: bool = False


def parts_of(kind: str, beir: bool = False, with_corpus: bool = False) -> tuple[Part, ...]:
    """Return the parts of a kind of file.

    Args:
        kind: ``passages``, ``queries`` or ``pairs``.
        beir: the file is in a BEIR folder, whose layout fixes the names.
        with_corpus: the run has pairs *and* a corpus, whose passages nothing refers to by id.
    """
    fixed_id, fixed_text = ("_id", "text") if beir else (None, None)
    if kind == "passages":
        return (
            Part("text", "passage's text", "--text-column", _PASSAGE_TEXTS, first=fixed_text),
            Part("id", "passage's id", "--id-column", _PASSAGE_IDS, not with_corpus, fixed_id),
            Part("title", "passage's title", "--title-column", _TITLES, required=False),
        )
    if kind == "queries":
        return (
            Part("text", "query's text", "--anchor-column", _QUERY_TEXTS, first=fixed_text),
            Part("id", "query's id", "--query-id-column", _QUERY_IDS, first=fixed_id),
        )
    # With a corpus, --title-column is the corpus's. Without, a title is never guessed: it is rarely the
    # positive's where nobody says so.
    titles = () if with_corpus else (Part("title", "positive's title", "--title-column", (), required=False),)
    return (
        Part("text", "anchor (the query)", "--anchor-column", _ANCHORS, first="anchor"),
        Part("positive", "positive passage", "--positive-column", _POSITIVES, first="positive"),
        Part("id", "query's id", "--query-id-column", _PAIR_QUERY_IDS, required=False),
        *titles,
    )


def head_of_rows(path: str, form: str, parts: tuple[Part, ...], named: Mapping[str, str]) -> Head:
    """Look into a file of passages, queries or pairs.

    Args:
        path: the file.
        form: ``jsonl``, ``parquet`` or ``tsv``.
        parts: of the kind of file.
        named: option -> column, where the user named one.

    Raises:
        HardnegError: the file can't be opened, or is not what its name says.
    """
    if form == "parquet":
        with opened_parquet(path) as parquet:
            return Head(form, tuple(parquet.schema_arrow.names))
    _refuse_binary(path, form)
    return _jsonl_head(path) if form == "jsonl" else _tsv_head(path, parts, named)


def _refuse_binary(path: str, form: str) -> None:
    start = next(blocks(path), b"")
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            wanted = {"jsonl": "JSON lines", "tsv": "tab-separated text"}.get(form, "qrels")
            raise HardnegError(f"{path} holds {what}, not {wanted} in UTF-8: rename it to what it is, or convert it.")


def _jsonl_head(path: str) -> Head:
    keys: dict[str, None] = {}
    objects = seen = size = 0
    for _, line in lines(path):
        if line is not None and not line.strip():
            continue
        seen, size = seen + 1, size + len(line or b"")
        value = json_object(line) if line is not None else ""
        if isinstance(value, dict):
            objects += 1
            keys.update(dict.fromkeys(value))
        if seen >= SAMPLE_ROWS or (objects and size >= SAMPLE_BYTES):
            break
    if seen and not objects:
        raise HardnegError(
            f"{path} is not JSON lines, none of its first {seen} lines is a JSON object: "
            "write one object a line, or give the file the suffix of what it is."
        )
    return Head("jsonl", tuple(name for name in keys if _printable(name)), empty=not seen)


def _printable(name: str) -> bool:
    return name.isascii() or not re.search("[\ud800-\udfff]", name)


def _first_cells(path: str, form: str = "tsv") -> list[str] | None:
    """Return the cells of the first line that is not blank, None if there is none."""
    for number, line in lines(path):
        if line is None or line.strip(b" "):
            cells = cells_of(line, form) if line is not None else ""
            if isinstance(cells, str):
                raise HardnegError(
                    f"{path} is not tab-separated text in UTF-8 (line {number}): rename it to what it is, "
                    "or convert it."
                )
            return cells
    return None


def _tsv_head(path: str, parts: tuple[Part, ...], named: Mapping[str, str]) -> Head:
    """Tell whether a TSV file has a header; without one, two columns are id and text."""
    cells = _first_cells(path)
    if cells is None:
        return Head("tsv", empty=True)
    lower = [cell.lower() for cell in cells]
    known = {name for part in parts for name in part.known}
    ids = {name for part in parts if part.part == "id" for name in part.known}
    asked = [named[part.option] for part in parts if part.option in named]
    pairs = any(part.part == "positive" for part in parts)
    if pairs or asked or not ids.isdisjoint(lower) or known.issuperset(lower):
        return Head("tsv", tuple(cells), header=True)
    if len(cells) == 2:
        return Head("tsv", ("id", "text"))
    raise HardnegError(
        f"{path} has {len(cells)} tab-separated column{'s' if len(cells) > 1 else ''} and no header that "
        "names an id and a text: add a first line with the columns' names (without one, two columns are "
        "read as id and text)."
    )


def head_of_qrels(path: str) -> tuple[Head, Columns]:
    """Tell TREC qrels (query, iteration, passage, grade between blanks) from BEIR's (between tabs).

    BEIR's header is optional where there are three columns, and its grade where there is a header.

    Raises:
        HardnegError: the file can't be opened, or is neither.
    """
    _refuse_binary(path, "qrels")
    cells = _first_cells(path)
    if cells is None:
        return Head("beir-qrels", empty=True), Columns(id="query-id", passage_id="corpus-id")
    lower = [cell.strip().lower() for cell in cells]
    queries = [cell for cell, name in zip(cells, lower, strict=True) if name in _TO_QUERY]
    passages = [cell for cell, name in zip(cells, lower, strict=True) if name in _TO_PASSAGE]
    grades = [cell for cell, name in zip(cells, lower, strict=True) if name in _GRADES]
    if len(queries) == len(passages) == 1 and len(grades) <= 1:
        columns = Columns(id=queries[0], passage_id=passages[0], grade=grades[0] if grades else None)
        return Head("beir-qrels", tuple(cells), header=True), columns
    if len(cells) == 3 and _is_number(cells[2]):
        names = ("query-id", "corpus-id", "score")
        return Head("beir-qrels", names), Columns(id=names[0], passage_id=names[1], grade=names[2])
    if len(cells_of("\t".join(cells).encode(), "trec-qrels")) == 4:
        names4 = ("query", "iteration", "passage", "grade")
        return Head("trec-qrels", names4), Columns(id="query", passage_id="passage", grade="grade")
    start = _shortened("\t".join(cells))
    raise HardnegError(
        f"{path} is not qrels, its first line is {start!r}: write four columns (query, 0, passage, grade; "
        "TREC), or tab-separated ones with the header query-id, corpus-id, score (BEIR)."
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def resolve(path: str, head: Head, parts: tuple[Part, ...], named: Mapping[str, str]) -> Columns:
    """Decide which column plays which part: the one that the user named, else the only one recognised.

    Raises:
        HardnegError: a named column is not there, a required one is not recognised, or two might be meant.
    """
    if head.empty:
        return Columns(**{part.part: named.get(part.option) or part.known[0] for part in parts if part.required})
    found: dict[str, str] = {}
    for part in sorted(parts, key=lambda part: part.option not in named):
        if (name := named.get(part.option)) is not None:
            if head.columns.count(name) != 1:
                times = "more than one column" if name in head.columns else "no column"
                raise HardnegError(
                    f"{path} has {times} {name!r}, its columns are {listed(head.columns)}: "
                    f"name the {part.means} with {part.option}."
                )
            found[part.part] = name
        elif (name := _recognised(path, head, part, found.values())) is not None:
            found[part.part] = name
    if len(set(found.values())) < len(found):
        twice = next(name for name in found.values() if list(found.values()).count(name) > 1)
        options = " and ".join(part.option for part in parts if found.get(part.part) == twice)
        raise HardnegError(f"{path}: column {twice!r} can't be both {options}: name two columns.")
    if head.format == "jsonl" and "title" not in found and "title" not in found.values():
        # Rows further down may have one.
        found.update({part.part: part.known[0] for part in parts if part.part == "title" and part.known})
    return Columns(**found)


def _recognised(path: str, head: Head, part: Part, taken: Collection[str]) -> str | None:
    candidates = [name for name in head.columns if name.lower() in part.known and name not in taken]
    if part.first in candidates:
        candidates = [name for name in candidates if name == part.first][:1]
    if len(candidates) > 1:
        raise HardnegError(f"{path}: {listed(candidates)} might each be the {part.means}: name it with {part.option}.")
    if not candidates and part.required:
        raise HardnegError(
            f"{path} has no column that is known to be the {part.means}, its columns are "
            f"{listed(head.columns)}: name it with {part.option}."
        )
    return candidates[0] if candidates else None


def listed(names: Collection[str], most: int = 20) -> str:
    """Return names as a message lists them."""
    if not names:
        return "none"
    shown = ", ".join(_shortened(name) for name in list(names)[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
