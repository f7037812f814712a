"""What `hardneg store` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text


def told(done: dict[str, Any]) -> Iterator[Any]:
    """Yield what is printed of what was done with a store, as ``Store``'s methods returned it."""
    if "verify" in done:
        found = done["verify"]
        yield f"{found['files']:,} files read again, {found['sound']:,} of them sound."
        for path in found["damaged"]:
            yield f"{path} was damaged, and is set aside; what it held is computed again when it is asked for."
    if "gc" in done:
        yield _table(
            ("kind", "model", "values", "kept", "bytes", "now"),
            [
                (each["kind"], each["model"], each["before"], each["after"], each["bytes_before"], each["bytes_after"])
                for each in done["gc"]
            ],
        )
    if "list" in done:
        if not done["list"]:
            yield f"{done['store']} holds nothing yet."
            return
        yield _table(
            ("kind", "model", "fingerprint", "values", "files", "bytes", "last used"),
            [
                (
                    *(each["kind"], each["model"], each["fingerprint"][:8], each["values"], each["files"]),
                    *(each["bytes"], (each["last_used"] or "unknown")[:10]),
                )
                for each in done["list"]
            ],
        )


def _table(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="left" if name in ("kind", "model", "fingerprint", "last used") else "right")
    for row in rows:
        table.add_row(*(Text(f"{value:,}" if isinstance(value, int) else str(value)) for value in row))
    return table
