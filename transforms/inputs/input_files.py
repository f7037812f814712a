"""What an input file is, once planned, and why a row of one can be rejected."""

from __future__ import annotations

from dataclasses import dataclass

from hardneg.transforms.inputs.formats.row_format import Head

# In this order the files of a run are listed, and numbered.
KINDS = ("passages", "queries", "qrels", "pairs")

# Every reason for which reading rejects a row. WRONG_TYPE is followed by a blank and the column's name.
INVALID_UTF8 = "invalid UTF-8"  # encoded surrogates included
INVALID_JSON = "invalid JSON"
NOT_AN_OBJECT = "not a JSON object"
LONE_SURROGATE = "lone surrogate"  # JSON can spell half a character, as "\ud800"; no UTF-8 text can hold it
NUL_CHARACTER = "NUL character"
MISSING_ID = "missing id"  # absent, null, empty or white space, where the file has an id column
EMPTY_TEXT = "empty text"  # text and title, query, or positives; white space counts as empty
WRONG_COLUMNS = "wrong number of columns"
BAD_GRADE = "grade is not a number"  # neither are NaN and infinity
FRACTION = "no grade but a fraction in column"  # beside pairs; followed by a blank and the column's name
WRONG_LENGTH = "more or fewer grades than passages in column"  # a list beside pairs; followed by the same
LINE_TOO_LONG = "line too long"
BROKEN_QUOTES = "broken quotes"  # of a cell that is quoted as csv writers do
WRONG_TYPE = "wrong type for column"

REASONS = (
    INVALID_UTF8,
    INVALID_JSON,
    NOT_AN_OBJECT,
    LONE_SURROGATE,
    NUL_CHARACTER,
    MISSING_ID,
    EMPTY_TEXT,
    WRONG_COLUMNS,
    BAD_GRADE,
    FRACTION,
    WRONG_LENGTH,
    LINE_TOO_LONG,
    BROKEN_QUOTES,
    WRONG_TYPE,
)


@dataclass(frozen=True)
class Columns:
    """Which column of a file plays which part; None where no column does.

    Attributes:
        id: the passage's id (passages), the query's (queries, qrels, pairs).
        text: the passage's text (passages), the query (queries), the anchor (pairs).
        title: the passage's title (passages), that of the positives (pairs).
        positive: a string, an object with a text, or a list of those (pairs).
        passage_id: the passage's id (qrels).
        grade: the relevance (qrels, pairs); without one, every row means grade 1.
        late_grades: names of such a column that a row may have though the first rows have none (JSON).
        negatives: passages that someone took for negatives, in the forms of positives (pairs).
    """

    id: str | None = None
    text: str | None = None
    title: str | None = None
    positive: str | None = None
    passage_id: str | None = None
    grade: str | None = None
    late_grades: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class InputFile:
    """One file to read: everything that a worker needs to know about it.

    Attributes:
        path: as ``FileSystems.open`` takes it.
        kind: one of ``KINDS``.
        format: the name of its ``RowFormat``.
        columns: which column plays which part.
        size: in bytes, as stored (compressed, if it is).
        index: position in the run's list of files; the ``file`` column of every row read.
        names: all columns in their order, as far as the head shows them.
        header: the first line that is not blank holds the names, and is no row.
        delimiter: between cells that are quoted as csv writers do; empty where none is.
        pass_through: the further columns of every passage table of this run, whether this file has them
            or not, so that the tables of all files have one schema.
        judged_negatives: the negatives beside pairs count as judged, with grade 0.
        float_ids: columns whose ids are whole numbers that were written as floats: 7.0 is the id 7.
        copy: where workers read it, if they may not see ``path``; None: there.
    """

    path: str
    kind: str
    format: str
    columns: Columns
    size: int = 0
    index: int = 0
    names: tuple[str, ...] = ()
    header: bool = False
    delimiter: str = ""
    pass_through: tuple[str, ...] = ()
    judged_negatives: bool = False
    float_ids: tuple[str, ...] = ()
    copy: str | None = None

    @property
    def head(self) -> Head:
        """What the file's format needs to read it."""
        return Head(self.format, self.names, header=self.header, delimiter=self.delimiter)

    @property
    def wanted(self) -> tuple[str | None, ...]:
        """The columns that are read, in the order in which the values of a row come."""
        c = self.columns
        if self.kind == "passages":
            return (c.id, c.text, c.title, *self.pass_through)
        if self.kind == "queries":
            return (c.id, c.text)
        if self.kind == "qrels":
            return (c.id, c.passage_id, c.grade, *c.late_grades)
        return (c.id, c.text, c.title, c.positive, c.grade, *c.late_grades, *c.negatives)
