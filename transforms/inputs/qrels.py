"""What qrels are: TREC's four columns between blanks, BEIR's three between tabs, or a table with their names."""

from __future__ import annotations

import math
from dataclasses import replace

from hardneg.errors import InputError
from hardneg.transforms.inputs import synonyms
from hardneg.transforms.inputs.columns import listed, parts_of, plain, resolve, shortened
from hardneg.transforms.inputs.conversions import with_conversion
from hardneg.transforms.inputs.files import lines, refuse_binary
from hardneg.transforms.inputs.formats.cells import TrecQrels, Tsv, trec_cells
from hardneg.transforms.inputs.formats.registry import bare_suffix, format_of, has_row_format
from hardneg.transforms.inputs.formats.row_format import Head
from hardneg.transforms.inputs.input_files import Columns

_BEIR = ("query-id", "corpus-id", "score")
_TREC = Columns(id="query", passage_id="passage", grade="grade")
SAMPLE_LINES = 1000  # by which it is decided what a file is
_SAMPLE_BYTES = 1 << 20


def look_into_qrels(path: str) -> tuple[Head, Columns]:
    """Return what a file of judgements is, and which of its columns plays which part.

    BEIR's header is optional where there are three columns, and its grade where there is a header.

    Raises:
        InputError: the file can't be opened, or its first lines are no qrels.
    """
    if _is_table(path):
        form = format_of(path)
        head = form.head(path)
        if form.cells:
            head = _of_cells(path, head)
        try:
            return head, resolve(path, head, parts_of("qrels"), {})
        except InputError as error:
            raise with_conversion(error, "qrels", path, head) from None
    refuse_binary(path, "qrels")
    sample = _sample(path)
    if not sample:
        return Head(Tsv.name, empty=True), Columns(id=_BEIR[0], passage_id=_BEIR[1])
    if found := _with_header(path):
        return found
    if _is_trec_header(sample[0]):
        return replace(TrecQrels().head(path), header=True), _TREC
    trec, beir = (sum(test(line) for line in sample) for test in (_is_trec, _is_beir))
    # A first line that is of neither form is a header of unknown names.
    if 2 * max(trec, beir) >= len(sample) and (_is_trec(sample[0]) or _is_beir(sample[0])):
        if trec > beir:
            return TrecQrels().head(path), _TREC
        head = replace(Tsv().head(path), columns=_BEIR)
        return head, Columns(id=_BEIR[0], passage_id=_BEIR[1], grade=_BEIR[2])
    odd = next(line for line in sample if not _is_trec(line) and not _is_beir(line))
    raise InputError(
        f"{path} is not qrels, one of its first lines is {shortened(odd)!r}: write four columns (query, 0, passage, "
        "grade; TREC), or tab-separated ones with the header query-id, corpus-id, score (BEIR; also as Parquet, JSON "
        "lines or CSV).",
        path=path,
    )


def are_qrels(path: str) -> bool:
    """Return whether a file that may be anything is qrels: by its columns' names, or by all of its first lines.

    Raises:
        InputError: the file can't be opened.
    """
    if _is_table(path):
        form = format_of(path)
        head = form.head(path)
        return _names_both(head.named() if form.cells else head) or (form.cells and _without_header(head) is not None)
    refuse_binary(path, "text")
    sample = _sample(path)
    if not sample:
        return False
    if _with_header(path) or _is_trec_header(sample[0]):
        return True
    # A query that ends with a number may look like a line of qrels; most of them don't.
    trec = sum(_is_trec(line) and _is_iteration(trec_cells(line)[1]) for line in sample)
    return 2 * max(trec, sum(map(_is_beir, sample))) > len(sample)


def _of_cells(path: str, head: Head) -> Head:
    """Return the head of a CSV file of judgements: by its first line of names, or by the form of its first row.

    Raises:
        InputError: it has neither.
    """
    if head.empty or _names_both(head.named()):
        return head.named()
    if (found := _without_header(head)) is None:
        raise InputError(
            f"{path} has no first line with the names of judgements' columns, it begins with {listed(head.columns)}: "
            f"write {','.join(_BEIR)} as its first line, with what else it has between them.",
            path=path,
        )
    return found


def _names_both(head: Head) -> bool:
    lower = {plain(name) for name in head.columns}
    return not lower.isdisjoint(synonyms.TO_QUERY) and not lower.isdisjoint(synonyms.TO_PASSAGE)


def _without_header(head: Head) -> Head | None:
    """Return the head of cells whose first row is a judgement, as BEIR or TREC orders its parts; else None."""
    cells = head.columns
    if len(cells) == len(_BEIR) and is_number(cells[2]):
        return replace(head, columns=_BEIR)
    if len(cells) == len(_BEIR) + 1 and is_number(cells[3]) and _is_iteration(cells[1]):
        return replace(head, columns=(_BEIR[0], "iteration", *_BEIR[1:]))
    return None


def _is_table(path: str) -> bool:
    return has_row_format(path) and bare_suffix(path)[0] not in Tsv.suffixes


def _sample(path: str) -> list[str]:
    """Return the first lines of a file that are not blank."""
    found, size = list[str](), 0
    for _, line in lines(path):
        size += len(line or b"")
        if line is None or line.strip():
            found.append((line or b"").decode("utf-8", "replace"))
        if len(found) >= SAMPLE_LINES or size > _SAMPLE_BYTES:
            break
    return found


def _with_header(path: str) -> tuple[Head, Columns] | None:
    """Return what a tab-separated file is whose first line has the names of judgements' columns; else None."""
    head = Tsv().head(path).named()
    if not _names_both(head):
        return None
    return head, resolve(path, head, parts_of("qrels"), {})


def _is_trec(line: str) -> bool:
    cells = trec_cells(line)
    return len(cells) == 4 and is_number(cells[3])


def _is_trec_header(line: str) -> bool:
    names = [plain(cell) for cell in trec_cells(line)]
    if len(names) != len(_BEIR) + 1:
        return False
    return names[0] in synonyms.TO_QUERY and names[2] in synonyms.TO_PASSAGE and names[3] in synonyms.GRADES


def _is_iteration(cell: str) -> bool:
    return cell.lower() == "q0" or is_number(cell)


def _is_beir(line: str) -> bool:
    cells = line.split("\t")
    return len(cells) == 3 and is_number(cells[2].strip('"'))


def is_number(cell: str) -> bool:
    """Return whether a cell is a finite number as people write them: Python reads 1_0 as ten."""
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False
