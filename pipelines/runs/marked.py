"""From the files of ``--marks`` to pairs of ids: a sheet that was drawn from a run is read beside that run."""

from __future__ import annotations

from collections.abc import Sequence

from hardneg.errors import InputError, parameter
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.inputs.marks import MarkedPair, read_marked_pairs
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.reports.marking import draw_pairs, read_marks

_ALL = 1 << 62


def read_all_marks(paths: Sequence[str], runs: Sequence[str]) -> list[MarkedPair]:
    """Return the pairs that some files mark.

    Args:
        paths: of the files.
        runs: finished runs that a sheet may have been drawn from, the likeliest first.

    Raises:
        InputError: a file can't be read, or a sheet is of none of the runs.
    """
    found: list[MarkedPair] = []
    for path in paths:
        pairs = read_marked_pairs(path)
        found += _of_sheet(path, runs) if pairs is None else pairs
    return found


def _of_sheet(path: str, runs: Sequence[str]) -> list[MarkedPair]:
    with explaining(path):
        marks = read_marks(path, storage.read_file(path))
    wanted = {key: mark for key, mark in marks.items() if mark is not None}
    found: dict[str, MarkedPair] = {}
    for run in runs:
        if len(found) == len(wanted):
            break
        for pair in draw_pairs(FinishedRun.open(run).tables("candidates"), _ALL, 0):
            if pair.key in wanted and pair.key not in found:
                found[pair.key] = MarkedPair(pair.query_id, pair.passage_id, bool(wanted[pair.key]))
    if lost := sorted(set(wanted) - set(found)):
        looked = f"was not drawn, with seed 0, from {', '.join(runs)}" if runs else "names pairs by the run it is of"
        raise InputError(
            f"{parameter('marks')} {path}: pair {lost[0]} {looked}: give a file with the columns query_id, passage_id "
            "and relevant instead.",
            path=path,
        )
    return list(found.values())
