"""An input format of one's own: blocks of ``name: value`` lines with a blank line between. All that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hardneg.transforms.inputs.files import lines
from hardneg.transforms.inputs.formats.registry import register_row_format
from hardneg.transforms.inputs.formats.row_format import Head, RowFormat, Values


class Records(RowFormat):
    """Records as catalogues write them; a name without a colon after it makes its record unreadable."""

    name = "records"
    title = "a file of records"
    suffixes = (".records",)

    def head(self, path: str) -> Head:
        _, first = next(_records(path), (0, {}))
        return Head(self.name, tuple(first), empty=not first, partial=True)

    def rows(self, path: str, head: Head, wanted: Sequence[str | None]) -> Iterator[tuple[int, Values]]:
        for number, record in _records(path):
            if "" in record:
                yield number, f"{record['']!r} is no `name: value`"
            else:
                yield number, tuple(record.get(name) if name else None for name in wanted)


def _records(path: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (the line where it begins, its values by name) of each record."""
    start, record = 0, dict[str, str]()
    for number, line in lines(path):
        text = line.decode("utf-8", "replace").strip()
        if text:
            start = start if record else number
            name, colon, value = text.partition(":")
            record[name.strip() if colon else ""] = value.strip() if colon else text
        elif record:
            yield start, record
            record = {}
    if record:
        yield start, record


register_row_format(Records())
