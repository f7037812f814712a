"""A finished run's passages as segments, where the text of any of them is found: ``mine --from``, export, report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hardneg.errors import RunError
from hardneg.transforms.core import storage
from hardneg.transforms.core.hashing import Keys, id_keys
from hardneg.transforms.core.partition import DIGEST, cut
from hardneg.transforms.core.text import text_digest
from hardneg.transforms.corpus.segments import TEXTS, folder, open_segment, write_table
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.run_tables import read_batches


def store_segment(path: str, work: str, number: int, wanted: Keys | None = None) -> bool:
    """Write a shard of ``passages/`` as a segment without indexes: mapped when it is read, not loaded.

    Args:
        path: the shard; it is read in pieces.
        work: the folder whose segment it becomes.
        number: the segment's.
        wanted: keys of the passages' ids to take; None: all.

    Returns:
        whether there is such a passage; without one nothing is written.
    """
    parts = []
    for batch in read_batches(path, ["passage_id", "text"]):
        kept = batch if wanted is None else batch.filter(pa.array(np.isin(id_keys(batch.column(0)), wanted)))
        parts += [kept] if len(kept) else []
    if not parts:
        return False
    table = pa.Table.from_batches(parts).sort_by("passage_id").combine_chunks()
    digests = pa.array([text_digest(text) for text in table["text"].to_pylist()], DIGEST)
    write_table(storage.join(folder(work, number), TEXTS), table.append_column("text_digest", digests))
    return True


def store_segments(run: FinishedRun, work: str, wanted: Keys) -> list[int]:
    """Write the passages of these ids' keys as segments, one a shard; return the segments' numbers."""
    return [number for number, path in run.shards("passages").items() if store_segment(path, work, number, wanted)]


def place_candidates(candidates: pa.Table, work: str, parts: int, built: Sequence[int]) -> pa.Table:
    """Add where each candidate's passage lies (segment, row), and the digest of its text.

    Args:
        candidates: of a run.
        work: where its passages are stored as segments.
        parts: shards of the run's tables.
        built: numbers of the segments that are there.

    Raises:
        RunError: a passage is not there.
    """
    ids = candidates["passage_id"].combine_chunks()
    segments = cut(ids.to_pylist(), parts)
    rows = np.full(len(ids), -1, dtype=np.int64)
    digests = np.full(len(ids), None, dtype=object)
    for number in np.unique(segments).tolist():
        here = np.flatnonzero(segments == number)
        if number not in built:
            continue
        segment = open_segment(work, number)
        rows[here] = segment.find(ids.take(pa.array(here)))
        digests[here] = segment.passages["text_digest"].take(pa.array(np.maximum(rows[here], 0))).to_pylist()
    if (rows < 0).any():
        lost = ids[int(np.flatnonzero(rows < 0)[0])].as_py()
        raise RunError(f"passages/ lacks passage {lost!r}, which candidates/ names: the run is damaged.")
    candidates = candidates.append_column("segment", pa.array(segments, pa.int32()))
    candidates = candidates.append_column("row", pa.array(rows, pa.int32()))
    return candidates.append_column("text_digest", pa.array(digests.tolist(), DIGEST))
