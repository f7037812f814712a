"""hardneg from Python: the commands as functions, with live objects where the commands take files and models.

    import hardneg

    run = hardneg.mine(pairs=dataset, corpus={"text": passages}, bi_encoder=model, target_false_negative_rate=0.05)
    run.triplets()

It is the same pipeline as ``hardneg mine``: a table is written to a file and a live model to a folder first, so a
run has the same bytes, promises and manifest, whichever way it was started.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import OptionError, RunError
from hardneg.live import ONE_WORKER, PathLike, TableLike, files_of, options_of_live, showing, told_by_name, written
from hardneg.pipelines.commands import audit as auditing
from hardneg.pipelines.commands import driver
from hardneg.pipelines.commands.audit import AuditReport, Example
from hardneg.pipelines.options.files import checked
from hardneg.pipelines.options.finished import AuditOptions
from hardneg.pipelines.options.mine import MineConfig
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.output.finished_run import FinishedRun

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder, SentenceTransformer

__all__ = ["AuditReport", "Run", "audit", "load_candidates", "mine"]


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
    beam_args: Sequence[str] = ONE_WORKER,
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
    with tempfile.TemporaryDirectory(prefix="hardneg-live-") as live, told_by_name(live):
        given = {"corpus": corpus, "queries": queries, "qrels": qrels, "pairs": pairs}
        named = options_of_live(given, bi_encoder, retriever, cross_encoder, live)
        config = checked(MineConfig, {**options, **named, "output": os.fspath(output)})
        with showing(config.work_folder) if progress else nullcontext():
            driver.mine(config, list(beam_args))
    return Run(config.output, scratch)


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
    with tempfile.TemporaryDirectory(prefix="hardneg-live-") as live, told_by_name(live):
        paths = [data.folder] if isinstance(data, Run) else files_of(data, "data", live)
        if not paths:
            raise OptionError("There is nothing to audit: give a run, a folder, files or a table.")
        report = auditing.audit(paths, config)
        faults = [replace(fault, examples=[_named(each, live) for each in fault.examples]) for fault in report.faults]
        return replace(report, faults=faults)


def _named(example: Example, folder: str) -> Example:
    return replace(example, place=written(folder).sub(r"\1", example.place))
