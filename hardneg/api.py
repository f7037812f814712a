"""hardneg from Python: the commands as functions, with live objects where the commands take files and models.

    import hardneg

    run = hardneg.mine(pairs=dataset, corpus={"text": passages}, bi_encoder=model, target_false_negative_rate=0.05)
    run.triplets()

It is the same pipeline as ``hardneg mine``: a table is written to a file and a live model to a folder first, so a
run has the same bytes, promises and manifest, whichever way it was started.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from hardneg.errors import GateError, HardnegError, InputError, OptionError, RunError, parameter
from hardneg.pipelines.commands import audit as auditing
from hardneg.pipelines.commands import driver
from hardneg.pipelines.commands import refresh as refreshing
from hardneg.pipelines.commands.audit import AuditReport, Example
from hardneg.pipelines.options.files import checked
from hardneg.pipelines.options.finished import AuditOptions
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.refresh import RefreshOptions
from hardneg.pipelines.report.difference import read_difference
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.snapshots import latest_snapshot, snapshot_folder

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder, SentenceTransformer

__all__ = ["AuditReport", "Run", "Snapshot", "audit", "latest", "load_candidates", "mine", "refresh"]

PathLike: TypeAlias = "str | os.PathLike[str]"
# A datasets.Dataset or IterableDataset, a pyarrow.Table, a pandas.DataFrame, columns, or rows.
TableLike: TypeAlias = "Dataset | pa.Table | Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | Any"
Options = TypeVar("Options", bound=BaseModel)

_TABLES = ("corpus", "queries", "qrels", "pairs")
_ONE_WORKER = ("--direct_num_workers=1",)  # this process, with all its threads


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it lies; README.md says what is in it.
    """

    folder: str
    _scratch: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    @property
    def manifest(self) -> dict[str, Any]:
        """What was asked, what it was computed with, and what came out."""
        return FinishedRun.open(self.folder).manifest

    def triplets(self) -> Dataset:
        """Return anchor, positive and negative, in the order that trainers should read them in.

        Raises:
            HardnegError: no triplet was written.
            ImportError: ``datasets`` is not installed.
        """
        from datasets import load_dataset

        files = list(FinishedRun.open(self.folder).shards("triplets").values())
        if not files:
            raise RunError(f"{self.folder} has no triplets: no candidate passed; see the verdicts of candidates().")
        return load_dataset("parquet", data_files=files, split="train")

    def candidates(self, **options: Any) -> pa.Table:
        """Return what ``load_candidates`` does."""
        return load_candidates(self, **options)


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


def mine(
    *,
    output: PathLike | None = None,
    bi_encoder: str | SentenceTransformer | Mapping[str, str | SentenceTransformer] | Sequence[str] = (),
    retriever: Sequence[Mapping[str, Any]] = (),
    cross_encoder: str | CrossEncoder = "bundled",
    corpus: PathLike | Sequence[PathLike] | TableLike = (),
    queries: PathLike | Sequence[PathLike] | TableLike = (),
    qrels: PathLike | Sequence[PathLike] | TableLike = (),
    pairs: PathLike | Sequence[PathLike] | TableLike = (),
    beam_args: Sequence[str] = _ONE_WORKER,
    progress: bool = True,
    **options: Any,
) -> Run:
    """Mine hard negatives; ``hardneg mine`` as a function.

    Args:
        output: the folder to write; by default a temporary one, which goes when the ``Run`` does.
        bi_encoder: the model to be trained, live or by its name; or several, by source name.
        retriever: tables, one a retriever, as in the file of options: ``{"kind": "bi-encoder", "model": ...}``; a
            ``model`` may be live.
        cross_encoder: live, or a name, a folder or an address.
        corpus, queries, qrels, pairs: paths, or a live table with the columns that a file would have.
        beam_args: options of Apache Beam; by default, all happens in this process.
        progress: tell on stderr how far it is.
        options: all others of ``hardneg mine``, with underscores: ``input``, ``split``,
            ``target_false_negative_rate``, ``negatives``, ...

    Raises:
        HardnegError: anything that is wrong with the input or the options.
    """
    scratch = None
    if output is None:
        scratch = tempfile.TemporaryDirectory(prefix="hardneg-run-")
        output = Path(scratch.name) / "run"
    with tempfile.TemporaryDirectory(prefix="hardneg-live-") as live, _told_by_name(live):
        given = {"corpus": corpus, "queries": queries, "qrels": qrels, "pairs": pairs}
        named = _options_of_live(given, bi_encoder, retriever, cross_encoder, live)
        config = checked(MineConfig, {**options, **named, "output": os.fspath(output)})
        with _showing(config.work_folder) if progress else nullcontext():
            driver.mine(config, list(beam_args))
    return Run(config.output, scratch)


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
    beam_args: Sequence[str] = _ONE_WORKER,
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
    with tempfile.TemporaryDirectory(prefix="hardneg-live-") as live, _told_by_name(live):
        given = {"corpus": corpus, "queries": queries, "qrels": qrels, "pairs": pairs}
        named = _options_of_live(given, bi_encoder, retriever, cross_encoder, live)
        with _showing(os.path.join(asked.store, "work")) if progress else nullcontext():
            done = refreshing.refresh(asked, {**options, **named, "gates": gates or {}}, list(beam_args))
    if done.refused:
        raise GateError(
            f"Snapshot {done.date} is refused, and kept in {done.folder}: {'; '.join(done.refused)}.", path=done.folder
        )
    return Snapshot(done.folder, store=done.store, date=done.date, changed=tuple(done.changed))


def load_candidates(
    run: Run | PathLike,
    *,
    columns: Sequence[str] | None = None,
    verdict: str | Sequence[str] | None = None,
    texts: bool = False,
) -> pa.Table:
    """Return a run's candidates with their signals, verdicts and reasons, sorted by query within each shard.

    Args:
        run: a run, or its folder.
        columns: only these; default: all.
        verdict: only these verdicts, of ``negative``, ``positive``, ``suspected_positive``, ``dropped``, ``unscored``.
        texts: add the columns ``query`` and ``passage``.

    Raises:
        HardnegError: no finished run, an unknown column or verdict.
    """
    folder = run.folder if isinstance(run, Run) else os.fspath(run)
    finished = FinishedRun.open(folder)
    wanted = [verdict] if isinstance(verdict, str) else list(verdict or ())
    if unknown := [each for each in wanted if each not in set(Verdict)]:
        raise OptionError(f"There is no verdict {unknown[0]!r}: use one of {', '.join(Verdict)}.")
    finished.require("candidates")
    parts = [
        table.filter(pc.is_in(table["verdict"], value_set=pa.array(wanted))) if wanted else table
        for table in finished.tables("candidates")
    ]
    table = pa.concat_tables(parts, promote_options="default")
    if missing := [name for name in columns or () if name not in table.column_names]:
        raise OptionError(f"candidates/ has no column {missing[0]!r}: it has {', '.join(table.column_names)}.")
    kept = table.select(columns) if columns is not None else table
    for kind, name in (("queries", "query"), ("passages", "passage")) if texts else ():
        ids = table[f"{name}_id"].to_pylist()
        found = finished.texts(kind, list(dict.fromkeys(ids)))
        kept = kept.append_column(name, pa.array([found.get(each) for each in ids], pa.string()))
    return kept


def audit(data: Run | PathLike | Sequence[PathLike] | TableLike, **options: Any) -> AuditReport:
    """Check a set of training data, ours or another tool's; ``hardneg audit`` as a function.

    Args:
        data: a run, a folder, files, or a live table of triplets, n-tuples or lists.
        options: those of ``hardneg audit``, with underscores.

    Raises:
        HardnegError: something given is not there or can't be read, or the set has no row.
    """
    config = checked(AuditOptions, options)
    with tempfile.TemporaryDirectory(prefix="hardneg-live-") as live, _told_by_name(live):
        paths = [data.folder] if isinstance(data, Run) else _files(data, "data", live)
        if not paths:
            raise OptionError("There is nothing to audit: give a run, a folder, files or a table.")
        report = auditing.audit(paths, config)
        faults = [replace(fault, examples=[_named(each, live) for each in fault.examples]) for fault in report.faults]
        return replace(report, faults=faults)


def _named(example: Example, folder: str) -> Example:
    return replace(example, place=_written(folder).sub(r"\1", example.place))


def _written(folder: str) -> re.Pattern[str]:
    """Return what matches the path of a live table that was written, with its name as the group."""
    return re.compile(re.escape(folder + os.sep) + r"(\w+)\.(?:parquet|jsonl)")


@contextmanager
def _told_by_name(folder: str) -> Iterator[None]:
    """Call a live table by its parameter in errors, not by the file that it was written to."""
    file = _written(folder)
    try:
        yield
    except HardnegError as error:
        said = error.told(parameter)
        if file.search(said) is None:
            raise
        raise type(error)(file.sub(lambda found: parameter(found[1]), said), error.fields) from None


def _files(value: Any, name: str, folder: str) -> list[str]:
    """Return the paths that are given, or that of a table that is given, which is written; None is nothing given."""
    if value is None:
        return []
    if isinstance(value, (str, os.PathLike)):
        return [os.fspath(value)]
    if isinstance(value, Sequence) and all(isinstance(each, (str, os.PathLike)) for each in value):
        return [os.fspath(each) for each in value]
    if isinstance(value, Iterable) and not hasattr(value, "__len__"):
        return [_streamed(value, name, folder)]
    path = os.path.join(folder, f"{name}.parquet")
    pq.write_table(_table(value, name), path)
    return [path]


def _streamed(rows: Iterable[Any], name: str, folder: str) -> str:
    """Write rows of which no one knows how many there are, one at a time: they may not fit into memory."""
    path = os.path.join(folder, f"{name}.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        try:
            for row in rows:
                file.write(json.dumps(dict(row), default=_plain) + "\n")
        except (TypeError, ValueError) as error:
            raise _no_table(name, error) from None
    return path


def _plain(value: Any) -> Any:
    """Return what JSON holds of a value: NumPy's numbers and arrays, bytes, dates."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _no_table(name: str, error: Exception) -> InputError:
    return InputError(
        f"{name} is no table ({error}): give paths, a datasets.Dataset, a pyarrow.Table, a pandas.DataFrame, a mapping "
        "of columns or rows."
    )


def _table(value: Any, name: str) -> pa.Table:
    try:
        if isinstance(value, pa.Table):
            return value
        if isinstance(value, Mapping):
            return pa.table({str(column): pa.array(rows) for column, rows in value.items()})
        if hasattr(value, "with_format") and hasattr(value, "num_rows"):  # datasets.Dataset, with its selections
            return value.with_format("arrow")[:]
        if hasattr(value, "to_records"):  # pandas.DataFrame
            return pa.Table.from_pandas(value, preserve_index=False)
        rows = [dict(row) for row in value]
        names = dict.fromkeys(str(name) for row in rows for name in row)  # a row may lack what another has
        return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _no_table(name, error) from None


def _options_of_live(
    given: Mapping[str, Any], bi_encoder: Any, retriever: Sequence[Mapping[str, Any]], cross_encoder: Any, folder: str
) -> dict[str, Any]:
    """Return options that name files, of tables and models that may be live: those are written into a folder."""
    return {
        **{name: _files(value, name, folder) for name, value in given.items()},
        "bi_encoder": _bi_encoders(bi_encoder, folder),
        "retriever": [_retriever(table, number, folder) for number, table in enumerate(retriever)],
        "cross_encoder": _model(cross_encoder, "cross_encoder", folder),
    }


def _bi_encoders(given: Any, folder: str) -> list[str]:
    if isinstance(given, str) or not isinstance(given, (Mapping, Sequence)):
        return [_model(given, "bi_encoder", folder)]
    if isinstance(given, Mapping):
        return [f"{name}={_model(model, f'bi_encoder_{name}', folder)}" for name, model in given.items()]
    return [_model(each, "bi_encoder", folder) for each in given]


def _retriever(table: Mapping[str, Any], number: int, folder: str) -> dict[str, Any]:
    live = {"model": _model(table["model"], f"retriever_{number}", folder)} if "model" in table else {}
    return {**table, **live}


def _model(given: Any, name: str, folder: str) -> str:
    """Return a model's name, or the folder that a live one is saved in."""
    if isinstance(given, (str, os.PathLike)):
        return os.fspath(given)
    if not hasattr(given, "save_pretrained"):
        raise OptionError(
            f"{name} is a {type(given).__name__}: give a name, a folder, or a model of sentence-transformers."
        )
    path = os.path.join(folder, name)
    given.save_pretrained(path)
    return path


@contextmanager
def _showing(work: str) -> Iterator[None]:
    from rich.console import Console

    from hardneg.pipelines.terminal.display import watching

    with watching(work, Console(stderr=True)):
        yield
