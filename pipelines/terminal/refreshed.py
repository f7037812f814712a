"""What a refresh, a publication and a rollback say to a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from hardneg.pipelines.report.difference import change_line, difference_table, drift_line, store_line
from hardneg.pipelines.report.tables import denoising_line


def refreshed_lines(
    date: str, folder: str, manifest: dict[str, Any], diff: Mapping[str, Any] | None, refused: list[str]
) -> Iterator[str | Text | Table]:
    """Yield what there is to say of a snapshot that was made.

    Args:
        date: what it is called.
        folder: where it lies.
        manifest: its manifest.
        diff: its ``diff.json``.
        refused: the gates that it did not pass.
    """
    if diff is not None:
        yield f"Changed since {diff['before'] or 'nothing was there'}: {', '.join(diff['changed'])}."
        yield difference_table(diff)
        for line in (change_line(diff), drift_line(diff), store_line(diff)):
            if line:
                yield line
    if promised := denoising_line(manifest["denoising"]):
        yield promised
    yield f"To look at it: {folder}/report.html"
    if refused:
        yield f"Snapshot {date} is refused, and kept in {folder}; LATEST is what it was. It did not pass:"
        yield from (f"- {sentence}" for sentence in refused)
    else:
        yield f"Published: LATEST names {date}."


def snapshot_figures(diff: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a snapshot's difference as the line of ``--json`` has it: numbers, no examples."""
    if diff is None:
        return {}
    triplets = diff["triplets"] or {}
    counts = {name: triplets[name]["count"] for name in ("added", "removed", "changed") if name in triplets}
    return {
        "before": diff["before"],
        "changed": diff["changed"],
        "changes": {**counts, "churn": triplets.get("churn")},
        "found_in_store": diff["store"],
        "drift": diff["drift"] and diff["drift"]["statistic"],
    }
