"""`hardneg export`: a finished run in the form that a trainer takes. Shard by shard; runs no model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import OptionError, RunError, parameter
from hardneg.pipelines.options.finished import ExportOptions
from hardneg.pipelines.runs.output_place import put_in_place, refuse_existing
from hardneg.transforms.core import storage
from hardneg.transforms.core.hashing import Keys, id_keys
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.corpus.segments import open_segment
from hardneg.transforms.export.choice import CHOICE_COLUMNS, ChoiceOptions, choose_pairs, with_texts
from hardneg.transforms.export.files import (
    export_file_name,
    export_manifest,
    shard_bytes,
    write_export_card,
    write_part,
)
from hardneg.transforms.export.format import Format
from hardneg.transforms.export.registry import export_formats, format_named
from hardneg.transforms.export.scattered import ScatteredViews
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
        wanted: keys of the passages that rows have, each once.
        avoided: keys of those that no batch is to show them, each once.
        counts: queries exported, short, without negatives or positives; pairs; pairs without a logit.
    """

    wanted: Keys
    avoided: Keys
    counts: dict[str, int]


@dataclass(frozen=True)
class _Source:
    """The run, and what is taken of it."""

    run: FinishedRun
    asked: ChoiceOptions
    options: ExportOptions
    form: Format

    @property
    def negatives(self) -> int:
        return self.asked.negatives

    @property
    def scores(self) -> bool:
        return self.options.scores or self.form.scored


def export(run: str, options: ExportOptions) -> dict[str, Any]:
    """Export a run; return the export's manifest.

    Raises:
        HardnegError: no finished run, an output that is in the way, or a run that lacks what the format needs.
    """
    _check_apart(run, options.output)
    refuse_existing(options.output, options.overwrite)
    source = _open(run, options)
    survey = _survey(source)
    _check(source, survey.counts)
    with _publishing(options.output) as (folder, work):
        shards = list(_write(source, survey, folder, work))
        asked = options.model_dump(exclude={"overwrite"}) | {"scores": source.scores}
        manifest = export_manifest(run, source.run.manifest, source.form, asked, survey.counts, shards)
        write_export_card(folder, source.form, manifest)
        write_manifest(folder, manifest)
    return manifest


def _check_apart(run: str, output: str) -> None:
    if storage.is_local(run) != storage.is_local(output):
        return
    local = storage.is_local(run)
    of_run, of_output = (Path(path).resolve() if local else PurePosixPath(path) for path in (run, output))
    inside = of_output.relative_to(of_run).parts[:1] if of_run in of_output.parents else ()
    if of_run == of_output or of_output in of_run.parents or (inside and inside[0] in (*RUN_TABLES, *_FILES)):
        raise OptionError(
            f"{parameter('output')} {output} would replace a part of the run {run}: give the export its own folder."
        )


def _open(run: str, options: ExportOptions) -> _Source:
    finished = FinishedRun.open(run)
    asked = finished.options.get("negatives")
    if not isinstance(asked, int):
        raise RunError(
            f"{run}: its manifest.json names no {parameter('negatives')}: give a folder that `hardneg mine` wrote."
        )
    finished.require("candidates", CHOICE_COLUMNS)
    for kind in ("queries", "passages"):
        finished.require(kind)
    form = format_named(options.format)
    exactly = form.fixed and options.short == "drop"
    relabel = bool(finished.options.get("relabel_suspected"))
    return _Source(finished, ChoiceOptions(options.negatives or asked, relabel, exactly), options, form)


def _survey(source: _Source) -> Survey:
    """Look through the candidates once, without their texts."""
    counts = dict.fromkeys(("queries", "queries_short", "queries_left_out", "pairs", "pairs_without_logit"), 0)
    wanted, avoided, held_out = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)], 0
    for table in source.run.tables("candidates", CHOICE_COLUMNS):
        chosen = choose_pairs(table, source.asked)
        counts["queries"] += len(chosen.table["query_id"].unique())
        counts["queries_short"] += chosen.short
        counts["queries_left_out"] += chosen.left_out
        counts["pairs"] += len(chosen.table)
        counts["pairs_without_logit"] += int((~np.isfinite(_logits(chosen.table))).sum())
        held_out += chosen.held_out
        wanted.append(np.unique(id_keys(chosen.table["passage_id"])))
        avoided.append(np.unique(id_keys(chosen.avoided["passage_id"])))
    if held_out != source.run.counts.get("positives_held_out", 0):
        raise RunError(
            f"{source.run.path}: its candidates/ does not say which positives belong to an evaluation set, so an older "
            f"hardneg mined it: `hardneg mine --from {source.run.path} --output NEW` mines it again from its scores."
        )
    return Survey(np.unique(np.concatenate(wanted)), np.unique(np.concatenate(avoided)), counts)


def _logits(table: pa.Table) -> np.ndarray:
    return pc.fill_null(table[LOGIT], float("nan")).to_numpy()


def _check(source: _Source, counts: dict[str, int]) -> None:
    """Raise HardnegError where the run lacks what the format needs, or leaves a choice open."""
    options, run = source.options, source.run.path
    if source.form.fixed and options.short is None and counts["queries_short"]:
        raise OptionError(
            f"{counts['queries_short']:,} of {counts['queries']:,} queries of {run} have fewer than "
            f"{source.negatives} negatives, and every row of {options.format} has as many: choose {parameter('short')} "
            f"drop, to leave them out, or {parameter('short')} smaller, to have tables of fewer negatives beside."
        )
    if not counts["pairs"]:
        if counts["queries_short"]:
            raise OptionError(
                f"No query of {run} has {source.negatives} negatives: take fewer, or {parameter('short')} smaller."
            )
        raise RunError(f"{run} has no mined negatives: there is nothing to export.")
    if source.scores and counts["pairs_without_logit"]:
        what = f"{counts['pairs_without_logit']:,} of the {counts['pairs']:,} pairs of {run} have no logit"
        if "cross_encoder" not in source.run.models:
            raise RunError(f"{what}: it was mined without a cross-encoder; mine with one, or export no scores.")
        raise RunError(
            f"{what}: `hardneg mine --from {run} --score all --score-missing --output NEW` scores them; export NEW."
        )


@contextmanager
def _publishing(output: str) -> Iterator[tuple[str, str]]:
    """Yield the folder to write into and a scratch folder; put the first into its place at the end.

    Locally by a rename, and what stood there is kept as OUTPUT.old; in an object store in place, manifest last.
    """
    if not storage.is_local(output):
        tables = [f"{pattern}/part-*" for form in export_formats().values() for pattern in form.patterns]
        for pattern in (MANIFEST, CARD, *tables):
            storage.delete_files(storage.join(output, pattern))
        with tempfile.TemporaryDirectory(prefix="hardneg-export-") as work:
            yield output, work
        return
    target = Path(output)
    prefix = f".{target.name}."
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix, ignore_cleanup_errors=True) as work:
            made = Path(work) / "export"
            yield str(made), work
            put_in_place(made, output)
    except OSError as error:
        raise OptionError(
            f"{parameter('output')} {output}: it cannot be written ({error.strerror or error})."
        ) from error


def _write(source: _Source, survey: Survey, folder: str, work: str) -> Iterator[Shard]:
    """Write the shards, one after the other."""
    parts, form = source.run.parts, source.form
    built = store_segments(source.run, work, np.union1d(survey.wanted, survey.avoided))
    queries = source.run.shards("queries")
    scattered = ScatteredViews(Path(work) / "rows", parts)
    for number, path in source.run.shards("candidates").items():
        pairs = choose_pairs(read_shard(path, CHOICE_COLUMNS), source.asked)
        if not len(pairs.table):
            continue
        if number not in queries:
            raise RunError(f"{source.run.path} has no shard {number} of queries/: the run is damaged.")
        chosen = with_texts(pairs, read_shard(queries[number]), work, parts, built)
        for table, view in form.views(chosen, source.negatives, source.scores):
            scattered.add(table, view)
        name = export_file_name(form, number, parts)
        for table, rows in form.of_queries(chosen.queries):
            yield write_part(folder, table, name, shard_bytes(form.suffix, rows, 1), len(rows))
    texts = form.texts_of_row(source.negatives)
    for table, number, rows, clashes in scattered.laid_out():
        name = export_file_name(form, number, parts)
        yield write_part(folder, table, name, shard_bytes(form.suffix, rows, texts), len(rows), clashes)
    if form.beside:
        yield from _write_passages(source, survey.wanted, folder, work, built)


def _write_passages(source: _Source, wanted: Keys, folder: str, work: str, built: Sequence[int]) -> Iterator[Shard]:
    """Write the passages that the exported pairs refer to, each once, if the format has them beside its rows."""
    form = source.form
    for number in built:
        name = export_file_name(form, number, source.run.parts)
        passages = open_segment(work, number).passages
        passages = passages.filter(pa.array(np.isin(id_keys(passages["passage_id"]), wanted)))
        for table, rows in form.of_passages(passages) if len(passages) else ():
            yield write_part(folder, table, name, shard_bytes(form.suffix, rows, 1), len(rows))


def summary(manifest: dict[str, Any], output: str) -> list[str]:
    """Return what a person should know of an export, a line each."""
    form, counts = format_named(manifest["format"]), manifest["counts"]
    tables = ", ".join(f"{rows:,} rows in {storage.join(output, name)}" for name, rows in manifest["rows"].items())
    lines = [f"{form.name}: {tables}."]
    if counts["queries_short"] and form.fixed:
        what = "left out" if manifest["options"]["short"] == "drop" else f"in {form.main}-N"
        lines.append(f"{counts['queries_short']:,} queries have fewer negatives than asked for: {what}.")
    if counts["queries_left_out"]:
        lines.append(f"{counts['queries_left_out']:,} queries have no mined negative, or no positive: left out.")
    return lines
