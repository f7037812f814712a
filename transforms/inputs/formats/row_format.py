"""The door for formats of input files: what each must tell and give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

# The values of one row in the order of the wanted columns, or the reason why it has none.
Values = tuple[Any, ...] | str


@dataclass(frozen=True)
class Head:
    """What the head of a file shows; it travels to whoever reads the file.

    Attributes:
        format: the name of its ``RowFormat``.
        columns: their names, in order; empty if the file has no row. Where rows are cells, the first row's cells,
            until it is decided whether they are names (``columns.named_by_header``).
        empty: there is no row (and no header).
        header: the names are from the first row, which is no row of data.
        partial: further rows may have further columns.
        delimiter: what stands between cells that are quoted as csv writers quote; empty where no cell is quoted.
    """

    format: str
    columns: tuple[str, ...] = ()
    empty: bool = False
    header: bool = False
    partial: bool = False
    delimiter: str = ""

    def named(self) -> Head:
        """Return the head of a file of cells whose first row holds the columns' names, without what wraps those."""
        if self.empty:
            return self
        quoted = all(len(cell.strip()) > 1 and cell.strip()[0] == cell.strip()[-1] == '"' for cell in self.columns)
        names = [cell.strip()[1:-1] if quoted else cell for cell in self.columns]
        return replace(self, columns=tuple(name.strip() for name in names), header=True)


class RowFormat(ABC):
    """A format of files whose rows have named columns. It is stateless, and knows nothing of what the columns mean.

    Attributes:
        name: as ``InputFile.format`` has it.
        title: what messages call it.
        suffixes: of the files' names, in lower case, without the suffix of a compression.
        unit: what a row's number counts: ``line`` or ``row``.
        compressible: its files may be compressed as a whole (``files.COMPRESSIONS``).
        cells: rows are cells, whose names stand in a first row that may be missing.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    unit: ClassVar[str] = "line"
    compressible: ClassVar[bool] = True
    cells: ClassVar[bool] = False

    def recognises(self, path: str) -> bool:
        """Return whether a file with one of the suffixes is of this format: asked where several formats share one."""
        return True

    @abstractmethod
    def head(self, path: str) -> Head:
        """Look into the first rows of a file.

        Raises:
            InputError: it can't be opened, or is not what its name says.
        """

    @abstractmethod
    def rows(self, path: str, head: Head, wanted: Sequence[str | None]) -> Iterator[tuple[int, Values]]:
        """Yield (1-based line or row, values of the wanted columns) for every row of a file.

        Rows are decoded as they are asked for, a few MiB at a time. Values are as the format has them: str in cells;
        bool, int, float, str, list, dict from JSON; those or bytes from Parquet and Arrow. None stands for a wanted
        column that is None, that the file has not, or that is null. Header and blank lines are no rows.

        Raises:
            InputError: the file can't be read to its end.
        """

    def objects(self, path: str, head: Head) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Yield (line or row, all that the row holds by column, or the reason why it can't be decoded)."""
        for number, values in self.rows(path, head, head.columns):
            yield number, values if isinstance(values, str) else dict(zip(head.columns, values, strict=True))
