"""Which column of a file plays which part: the one that the user named, else the only one recognised."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hardneg.errors import InputError, parameter
from hardneg.transforms.inputs import synonyms
from hardneg.transforms.inputs.formats.row_format import Head
from hardneg.transforms.inputs.input_files import Columns

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Part:
    """How the column for one part is found.

    Attributes:
        part: the field of ``Columns``.
        means: what a message calls it.
        named_by: the parameter that names it; empty if none does.
        known: the names by which it is recognised, in lower case.
        required: a file without it can't be read.
        first: a name that wins over the other known ones.
        ranked: of several known names, the one that stands first in ``known`` counts.
    """

    part: str
    means: str
    named_by: str
    known: tuple[str, ...]
    required: bool = True
    first: str | None = None
    ranked: bool = False


def parts_of(kind: str, beir: bool = False, with_corpus: bool = False) -> tuple[Part, ...]:
    """Return the parts of a kind of file.

    Args:
        kind: ``passages``, ``queries``, ``qrels`` or ``pairs``.
        beir: the file is in a BEIR folder, whose layout fixes the names.
        with_corpus: the run has pairs *and* a corpus, whose passages nothing refers to by id.
    """
    fixed_id, fixed_text = ("_id", "text") if beir else (None, None)
    if kind == "passages":
        return (
            Part("text", "passage's text", "text_column", synonyms.PASSAGE_TEXTS, first=fixed_text),
            Part("id", "passage's id", "id_column", synonyms.PASSAGE_IDS, not with_corpus, fixed_id),
            Part("title", "passage's title", "title_column", synonyms.TITLES, required=False),
        )
    if kind == "queries":
        return (
            Part("text", "query's text", "anchor_column", synonyms.QUERY_TEXTS, first=fixed_text),
            Part("id", "query's id", "query_id_column", synonyms.QUERY_IDS, first=fixed_id),
        )
    if kind == "qrels":
        return (
            Part("id", "query's id", "", synonyms.TO_QUERY),
            Part("passage_id", "passage's id", "", synonyms.TO_PASSAGE),
            Part("grade", "grade", "", synonyms.GRADES, required=False),
        )
    # With a corpus, title_column is the corpus's. Without, a title is never guessed: it is rarely the
    # positive's where nobody says so.
    titles = () if with_corpus else (Part("title", "positive's title", "title_column", (), required=False),)
    return (
        Part("text", "anchor (the query)", "anchor_column", synonyms.ANCHORS, first="anchor"),
        Part("positive", "positive passage", "positive_column", synonyms.POSITIVES, first="positive"),
        Part("id", "query's id", "query_id_column", synonyms.PAIR_QUERY_IDS, required=False),
        *titles,
        Part("grade", "pair's grade", "", synonyms.LABELS, required=False, ranked=True),
    )


def named_by_header(path: str, head: Head, parts: tuple[Part, ...], named: Mapping[str, str]) -> Head:
    """Decide whether the first row of cells holds the columns' names; without them, two columns are known.

    Args:
        path: for errors.
        head: of a format whose rows are cells.
        parts: of the kind of file.
        named: parameter -> column, where the user named one.

    Raises:
        InputError: no name is recognised, and it can't be told what the columns are.
    """
    names = head.named()
    if head.empty or _is_header(names, parts, named):
        return names
    pairs = any(part.part == "positive" for part in parts)
    asked = [named[part.named_by] for part in parts if part.named_by in named]
    numbers = tuple(str(number) for number in range(1, len(head.columns) + 1))
    if asked and set(asked) <= set(numbers):
        return names if _is_header(names, parts, {}) else replace(head, columns=numbers)
    if len(head.columns) == 2 and not asked and not (pairs and all(_NAME.fullmatch(cell) for cell in head.columns)):
        return replace(head, columns=("anchor", "positive") if pairs else ("id", "text"))
    if asked or (pairs and all(_NAME.fullmatch(cell) for cell in head.columns)):
        return names  # which `resolve` finds wanting
    kind = "an anchor and a positive" if pairs else "an id and a text"
    example = "anchor_column" if pairs else "text_column"
    raise InputError(
        f"{path} has {len(head.columns)} column{'s' if len(head.columns) > 1 else ''} and no header that names {kind}: "
        f"add a first line with the columns' names, or name the columns by their number, 1 for the first, with "
        f"{parameter(example)} and its like (without either, two columns are read as {kind}).",
        path=path,
    )


def by_name(head: Head, named: Mapping[str, str]) -> dict[str, str]:
    """Return parameter -> column, where a column may have been named by its number though the first row has names."""
    numbers = {str(number): name for number, name in enumerate(head.columns, start=1) if head.header}
    return {given: column if column in head.columns else numbers.get(column, column) for given, column in named.items()}


def plain(name: str) -> str:
    """Return a column's name as the known ones are written."""
    return name.strip().lower()


def _is_header(head: Head, parts: tuple[Part, ...], named: Mapping[str, str]) -> bool:
    lower = [plain(cell) for cell in head.columns]
    known = {name for part in parts for name in part.known}
    asked = [named[part.named_by] for part in parts if part.named_by in named]
    if asked:
        return set(asked) <= set(head.columns)
    if known.issuperset(lower) or (len(lower) != 2 and not known.isdisjoint(lower)):
        return True
    if any(part.part == "positive" for part in parts):
        anchors, positives = ({*part.known} for part in parts[:2])
        return not anchors.isdisjoint(lower) or not positives.isdisjoint(lower)
    ids = {name for part in parts if part.part in ("id", "passage_id") for name in part.known}
    return not ids.isdisjoint(lower)


def resolve(path: str, head: Head, parts: tuple[Part, ...], named: Mapping[str, str]) -> Columns:
    """Decide which column plays which part: the one that the user named, else the only one recognised.

    Raises:
        InputError: a named column is not there, a required one is not recognised, or two might be meant.
    """
    if head.empty:
        return _columns({part.part: named.get(part.named_by) or part.known[0] for part in parts if part.required})
    found: dict[str, str] = {}
    for part in sorted(parts, key=lambda part: part.named_by not in named):
        if (name := named.get(part.named_by)) is not None:
            if head.columns.count(name) != 1:
                times = "more than one column" if name in head.columns else "no column"
                raise InputError(
                    f"{path} has {times} {name!r}, its columns are {listed(head.columns)}: "
                    f"name the {part.means} with {parameter(part.named_by)}.",
                    path=path,
                    parameter=part.named_by,
                )
            found[part.part] = name
        elif (name := _recognised(path, head, part, found.values())) is not None:
            found[part.part] = name
    if len(set(found.values())) < len(found):
        twice = next(name for name in found.values() if list(found.values()).count(name) > 1)
        both = " and ".join(parameter(part.named_by) for part in parts if found.get(part.part) == twice)
        raise InputError(f"{path}: column {twice!r} can't be both {both}: name two columns.", path=path)
    if head.partial and "title" not in found and "title" not in found.values():
        # Rows further down may have one.
        found.update({part.part: part.known[0] for part in parts if part.part == "title" and part.known})
    negatives = negative_columns(head.columns, found.values()) if "positive" in found else ()
    return replace(_columns(found), negatives=negatives, late_grades=_late_grades(head, parts, found))


def _late_grades(head: Head, parts: tuple[Part, ...], found: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names by which a grade is known further down: a row labelled 0 must not become a positive there."""
    grades = [part for part in parts if part.part == "grade" and head.partial and "grade" not in found]
    return tuple(each for part in grades for name in part.known for each in (name, name.capitalize()))


def _columns(found: Mapping[str, Any]) -> Columns:
    return Columns(**found)


def negative_columns(names: Collection[str], taken: Collection[str]) -> tuple[str, ...]:
    """Return the columns that hold negatives: those of a known name, then the numbered ones in their order."""
    free = [name for name in names if name not in taken]
    known = [name for name in free if plain(name) in synonyms.NEGATIVES]
    numbers = [(int(hit[1]), name) for name in free if (hit := synonyms.NUMBERED_NEGATIVE.fullmatch(plain(name)))]
    return (*known, *(name for _, name in sorted(numbers)))


def _recognised(path: str, head: Head, part: Part, taken: Collection[str]) -> str | None:
    candidates = [name for name in head.columns if plain(name) in part.known and name not in taken]
    if part.first in candidates:
        candidates = [name for name in candidates if name == part.first][:1]
    if part.ranked:
        candidates = sorted(candidates, key=lambda name: part.known.index(plain(name)))[:1]
    if len(candidates) > 1:
        several = listed(candidates)
        naming = _naming(part, head) if part.named_by else "rename all but one"
        raise InputError(f"{path}: {several} might each be the {part.means}: {naming}.", path=path)
    if not candidates and part.required:
        raise InputError(
            f"{path} has no column that is known to be the {part.means}, its columns are "
            f"{listed(head.columns)}: {_naming(part, head)}.",
            path=path,
        )
    return candidates[0] if candidates else None


def _naming(part: Part, head: Head) -> str:
    if part.named_by:
        numbers = " (by its number, if the first line is no header but a row)" if head.header else ""
        return f"name it with {parameter(part.named_by)}{numbers}"
    return f"call it {part.known[-1]}" if part.known else "rename one"


def listed(names: Collection[str], most: int = 20) -> str:
    """Return names as a message lists them."""
    if not names:
        return "none"
    shown = ", ".join(shortened(name) for name in list(names)[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def shortened(text: str) -> str:
    """Return a text as a message quotes it."""
    return text if len(text) <= 80 else text[:77] + "..."
