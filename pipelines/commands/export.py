"""`hardneg export`: a finished run in the form that a trainer takes. Shard by shard; runs no model."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import HardnegError
from hardneg.pipelines.options.finished import ExportOptions
from hardneg.transforms.core import storage
from hardneg.transforms.core.hashing import Keys, id_keys
from hardneg.transforms.corpus.segments import open_segment
from hardneg.transforms.export.choice import COLUMNS, Asked, Chosen, choose_pairs, with_texts
from hardneg.transforms.export.exporting import (
    FIXED,
    TABLE_NAMES,
    file_name,
    main_table,
    make_manifest,
    shard_bytes,
    views,
    write_export_card,
    write_part,
)
from hardneg.transforms.output.finished_run import RUN_TABLES, FinishedRun
from hardneg.transforms.output.manifest import CARD, JUDGE, MANIFEST, write_manifest
from hardneg.transforms.output.run_segments import store_segments
from hardneg.transforms.output.run_tables import read_shard
from hardneg.transforms.output.shards import Shard

_FILES = (MANIFEST, CARD, JUDGE, "report.html")


@dataclass(frozen=True)
class Survey:
    """What there is to export, known before anything is written.

    Attributes:
        wanted: keys of the passages whose texts are needed, each once.
        counts: queries exported, short, without negatives or positives; pairs; pairs without a logit.
    """

    wanted: Keys
    counts: dict[str, int]


@dataclass(frozen=True)
class _Source:
    """The run, and what is taken of it."""

    run: FinishedRun
    asked: Asked
    options: ExportOptions

    @property
    def negatives(self) -> int:
        return self.asked.negatives


def export(run: str, options: ExportOptions) -> dict[str, Any]:
    """Export a run; return the export's manifest.

    Raises:
        HardnegError: no finished run, an output that is in the way, or a run that lacks what the format needs.
    """
    _check_apart(run, options.output)
    taken = Path(options.output).exists() if storage.is_local(options.output) else _has_manifest(options.output)
    if taken and not options.overwrite:
        raise HardnegError(
            f"--output {options.output}: it exists; choose another folder, or pass --overwrite to replace it."
        )
    source = _open(run, options)
    survey = _survey(source)
    _check(source, survey.counts)
    with _publishing(options.output) as (folder, work):
        shards = list(_write(source, survey, folder, work))
        asked = options.model_dump(exclude={"overwrite"}) | {"scores": options.with_scores}
        manifest = make_manifest(run, source.run.manifest, asked, survey.counts, shards)
        write_export_card(folder, manifest)
        write_manifest(folder, manifest)
    return manifest


def _check_apart(run: str, output: str) -> None:
    if storage.is_local(run) != storage.is_local(output):
        return
    local = storage.is_local(run)
    of_run, of_output = (Path(path).resolve() if local else PurePosixPath(path) for path in (run, output))
    inside = of_output.relative_to(of_run).parts[:1] if of_run in of_output.parents else ()
    if of_run == of_output or of_output in of_run.parents or (inside and inside[0] in (*RUN_TABLES, *_FILES)):
        raise HardnegError(f"--output {output} would replace a part of the run {run}: give the export its own folder.")


def _has_manifest(output: str) -> bool:
    return storage.exists(storage.join(output, MANIFEST))


def _open(run: str, options: ExportOptions) -> _Source:
    finished = FinishedRun.open(run)
    asked = finished.options.get("negatives")
    if not isinstance(asked, int):
        raise HardnegError(f"{run}: its manifest.json names no --negatives: give a folder that `hardneg mine` wrote.")
    finished.require("candidates", COLUMNS)
    for kind in ("queries", "passages"):
        finished.require(kind)
    exactly = options.format in FIXED and options.short == "drop"
    relabel = bool(finished.options.get("relabel_suspected"))
    return _Source(finished, Asked(options.negatives or asked, relabel, exactly), options)


def _survey(source: _Source) -> Survey:
    """Look through the candidates once, without their texts."""
    counts = dict.fromkeys(("queries", "queries_short", "queries_left_out", "pairs", "pairs_without_logit"), 0)
    keys, held_out = [np.zeros(0, dtype=np.uint64)], 0
    for table in source.run.tables("candidates", COLUMNS):
        chosen = choose_pairs(table, source.asked)
        counts["queries"] += len(chosen.table["query_id"].unique())
        counts["queries_short"] += chosen.short
        counts["queries_left_out"] += chosen.left_out
        counts["pairs"] += len(chosen.table)
        counts["pairs_without_logit"] += int((~np.isfinite(_logits(chosen.table))).sum())
        held_out += chosen.held_out
        keys.append(np.unique(id_keys(chosen.table["passage_id"])))
    if held_out != source.run.counts.get("positives_held_out", 0):
        raise HardnegError(
            f"{source.run.path}: its candidates/ does not say which positives belong to an evaluation set, so an older "
            f"hardneg mined it: `hardneg mine --from {source.run.path} --output NEW` mines it again from its scores."
        )
    return Survey(np.unique(np.concatenate(keys)), counts)


def _logits(table: pa.Table) -> np.ndarray:
    return pc.fill_null(table["logit"], float("nan")).to_numpy()


def _check(source: _Source, counts: dict[str, int]) -> None:
    """Raise HardnegError where the run lacks what the format needs, or leaves a choice open."""
    options, run = source.options, source.run.path
    if options.format in FIXED and options.short is None and counts["queries_short"]:
        raise HardnegError(
            f"{counts['queries_short']:,} of {counts['queries']:,} queries of {run} have fewer than "
            f"{source.negatives} negatives, and every row of {options.format} has as many: choose --short drop, to "
            "leave them out, or --short smaller, to have tables of fewer negatives beside."
        )
    if not counts["pairs"]:
        if counts["queries_short"]:
            raise HardnegError(f"No query of {run} has {source.negatives} negatives: take fewer, or --short smaller.")
        raise HardnegError(f"{run} has no mined negatives: there is nothing to export.")
    if options.with_scores and counts["pairs_without_logit"]:
        what = f"{counts['pairs_without_logit']:,} of the {counts['pairs']:,} pairs of {run} have no logit"
        if "cross_encoder" not in source.run.models:
            raise HardnegError(f"{what}: it was mined without a cross-encoder; mine with one, or export no scores.")
        raise HardnegError(
            f"{what}: `hardneg mine --from {run} --score all --score-missing --output NEW` scores them; export NEW."
        )


@contextmanager
def _publishing(output: str) -> Iterator[tuple[str, str]]:
    """Yield the folder to write into and a scratch folder; put the first into its place at the end.

    Locally by a rename, and what stood there is kept as OUTPUT.old; in an object store in place, manifest last.
    """
    if not storage.is_local(output):
        for pattern in (MANIFEST, CARD, *(f"{table}/part-*" for name in TABLE_NAMES for table in (name, f"{name}-*"))):
            storage.delete_files(storage.join(output, pattern))
        with tempfile.TemporaryDirectory(prefix="hardneg-export-") as work:
            yield output, work
        return
    target = Path(output)
    prefix = f".{target.name}."
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix, ignore_cleanup_errors=True) as work:
            new, old = Path(work) / "export", target.with_name(f"{target.name}.old")
            yield str(new), work
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
                os.replace(target, old)
            os.replace(new, target)
    except OSError as error:
        raise HardnegError(f"--output {output}: it cannot be written ({error.strerror or error}).") from error


def _write(source: _Source, survey: Survey, folder: str, work: str) -> Iterator[Shard]:
    """Write the shards, one after the other."""
    parts = source.run.parts
    built = store_segments(source.run, work, survey.wanted)
    queries = source.run.shards("queries")
    for number, path in source.run.shards("candidates").items():
        pairs = choose_pairs(read_shard(path, COLUMNS), source.asked).table
        if not len(pairs):
            continue
        if number not in queries:
            raise HardnegError(f"{source.run.path} has no shard {number} of queries/: the run is damaged.")
        chosen = with_texts(pairs, read_shard(queries[number]), work, parts, built)
        yield from _write_views(source, chosen, folder, file_name(source.options.format, number, parts))
    if source.options.format == "pylate":
        yield from _write_documents(folder, work, parts, built)


def _write_views(source: _Source, chosen: Chosen, folder: str, name: str) -> Iterator[Shard]:
    form = source.options.format
    texts = 1 if form == "pylate" else 2 if form == "labeled-pair" else 3 if form == "triplet" else 2 + source.negatives
    for table, view in views(chosen, form, source.negatives, source.options.with_scores):
        rows, close = view.laid_out()
        yield write_part(folder, table, name, shard_bytes(form, rows, texts), len(rows), close)
    if form == "pylate":
        rows = chosen.queries.sort_by([("digest", "ascending"), ("query_id", "ascending")]).select(["query_id", "text"])
        yield write_part(folder, "queries", name, shard_bytes(form, rows, 1), len(rows))


def _write_documents(folder: str, work: str, parts: int, built: Sequence[int]) -> Iterator[Shard]:
    """Write the passages that the exported pairs refer to, each once."""
    for number in built:
        passages = open_segment(work, number).passages
        rows = pa.table({"document_id": passages["passage_id"], "text": passages["text"]})
        name = file_name("pylate", number, parts)
        yield write_part(folder, "documents", name, shard_bytes("pylate", rows, 1), len(rows))


def summary(manifest: dict[str, Any], output: str) -> list[str]:
    """Return what a person should know of an export, a line each."""
    form, counts = manifest["format"], manifest["counts"]
    main = main_table(form)
    tables = ", ".join(f"{rows:,} rows in {storage.join(output, name)}" for name, rows in manifest["rows"].items())
    lines = [f"{form}: {tables}."]
    if counts["queries_short"] and form in FIXED:
        what = "left out" if manifest["options"]["short"] == "drop" else f"in {main}-N"
        lines.append(f"{counts['queries_short']:,} queries have fewer negatives than asked for: {what}.")
    if counts["queries_left_out"]:
        lines.append(f"{counts['queries_left_out']:,} queries have no mined negative, or no positive: left out.")
    return lines
