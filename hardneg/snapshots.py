"""The snapshots of a store from Python: ``hardneg refresh`` as a function, and what it published last."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hardneg.api import Run
from hardneg.errors import GateError
from hardneg.live import ONE_WORKER, PathLike, TableLike, options_of_live, showing, told_by_name
from hardneg.pipelines.commands import refresh as refreshing
from hardneg.pipelines.options.files import checked
from hardneg.pipelines.options.refresh import RefreshOptions
from hardneg.pipelines.report.difference import read_difference
from hardneg.transforms.output.snapshots import latest_snapshot, snapshot_folder

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer

__all__ = ["Snapshot", "latest", "refresh"]


@dataclass(frozen=True)
class Snapshot(Run):
    """A published snapshot of a store.

    Attributes:
        store: the store.
        date: what it is called.
        changed: what changed since the last one, in words; empty: nothing did, and this is the last one.
    """

    store: str = ""
    date: str = ""
    changed: tuple[str, ...] = ()

    @property
    def difference(self) -> dict[str, Any]:
        """What changed against the snapshot before, and figures then and now: ``diff.json``."""
        return read_difference(self.folder) or {}


def latest(store: PathLike) -> Snapshot | None:
    """Return the snapshot that a store's LATEST names; None before the first one.

    Raises:
        HardnegError: LATEST is damaged.
    """
    root = os.fspath(store)
    date = latest_snapshot(root)
    return Snapshot(snapshot_folder(root, date), store=root, date=date) if date else None


def refresh(
    *,
    store: PathLike,
    date: str | None = None,
    recalibrate: bool = False,
    keep: int | None = None,
    gates: Mapping[str, Any] | None = None,
    bi_encoder: str | SentenceTransformer | Mapping[str, str | SentenceTransformer] | Sequence[str] = (),
    retriever: Sequence[Mapping[str, Any]] = (),
    cross_encoder: str | CrossEncoder = "bundled",
    corpus: PathLike | Sequence[PathLike] | TableLike = (),
    queries: PathLike | Sequence[PathLike] | TableLike = (),
    qrels: PathLike | Sequence[PathLike] | TableLike = (),
    pairs: PathLike | Sequence[PathLike] | TableLike = (),
    beam_args: Sequence[str] = ONE_WORKER,
    progress: bool = True,
    **options: Any,
) -> Snapshot:
    """Mine again what changed, into a snapshot of a store; ``hardneg refresh`` as a function.

    Args:
        store: the folder of scores and snapshots; made if it is not there.
        date: what the snapshot is called; default: today's date.
        recalibrate: calibrate anew, instead of judging as the last snapshot did; needed where a model changed.
        keep: snapshots to keep.
        gates: what it must come to, by name, as in the table ``[gates]``: ``{"max-drop": 0.2, "audit": "off"}``.
        bi_encoder, retriever, cross_encoder, corpus, queries, qrels, pairs, beam_args, progress: as for ``mine``.
        options: all others of ``hardneg mine`` but those that the store decides.

    Returns:
        the snapshot that was published; the last one, if nothing changed.

    Raises:
        GateError: it did not pass its gates: it is kept, and not published.
        LockedError: another process refreshes the store.
        HardnegError: anything else that is wrong with the input or the options.
    """
    told = {"store": os.fspath(store), "date": date, "recalibrate": recalibrate, "keep": keep}
    asked = checked(RefreshOptions, told)
    with tempfile.TemporaryDirectory(prefix="hardneg-live-") as live, told_by_name(live):
        given = {"corpus": corpus, "queries": queries, "qrels": qrels, "pairs": pairs}
        named = options_of_live(given, bi_encoder, retriever, cross_encoder, live)
        with showing(os.path.join(asked.store, "work")) if progress else nullcontext():
            done = refreshing.refresh(asked, {**options, **named, "gates": gates or {}}, list(beam_args))
    if done.refused:
        raise GateError(
            f"Snapshot {done.date} is refused, and kept in {done.folder}: {'; '.join(done.refused)}.", path=done.folder
        )
    return Snapshot(done.folder, store=done.store, date=done.date, changed=tuple(done.changed))
