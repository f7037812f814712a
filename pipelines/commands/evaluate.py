"""`hardneg evaluate`: a finished run against judgements it was not told of, or a person's. Runs no model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hardneg.errors import InputError, OptionError, RunError, parameter
from hardneg.pipelines.options.finished import EvaluateOptions
from hardneg.transforms.core import storage
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.inputs.judgements import read_judgements
from hardneg.transforms.inputs.looking import plan_files
from hardneg.transforms.inputs.rejections import left_out
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.run_tables import columns_of
from hardneg.transforms.reports.evaluation import CANDIDATE_COLUMNS, Figure, QuerySums, Relevance, figures, sum_queries
from hardneg.transforms.reports.marking import (
    Certificate,
    Pair,
    certify,
    delimiter_of,
    draw_pairs,
    read_marks,
    sheet_of,
)

_DRAWN_COLUMNS = ["query_id", "passage_id", "verdict", "selected", LOGIT]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        run: the run's folder.
        queries: queries of the run.
        judged_queries: those that a judgement names.
        figures: over all queries of the run.
        judged_figures: over the judged ones; empty if these are all, or none.
        counts: what the figures were made of.
        promised: by figure, what the run's manifest had promised, in words.
        certificate: from a marked sheet.
        relevant_pairs: of the certificate: query, passage, and their texts.
        drawn: how many pairs went into a sheet.
        notes: what a reader should know.
    """

    run: str
    queries: int
    judged_queries: int
    figures: list[Figure]
    judged_figures: list[Figure] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    promised: dict[str, str] = field(default_factory=dict)
    certificate: Certificate | None = None
    relevant_pairs: list[dict[str, str]] = field(default_factory=list)
    drawn: int = 0
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON takes it; nothing is NaN."""
        certificate = asdict(self.certificate) if self.certificate else None
        if certificate:
            certificate["pairs"] = self.relevant_pairs
        return {
            "run": self.run,
            "queries": self.queries,
            "judged_queries": self.judged_queries,
            "figures": {figure.name: _without_name(figure) for figure in self.figures},
            "figures_of_judged_queries": {figure.name: _without_name(figure) for figure in self.judged_figures},
            "counts": self.counts,
            "promised": self.promised,
            "certificate": certificate,
            "drawn": self.drawn,
            "notes": self.notes,
        }


def _without_name(figure: Figure) -> dict[str, Any]:
    return {name: value for name, value in asdict(figure).items() if name != "name"}


def evaluate(run: str, options: EvaluateOptions) -> Evaluation:
    """Evaluate a run, draw a sheet from it, or read one back.

    Raises:
        HardnegError: no finished run, options that do not fit, files that can't be read, judgements of other queries.
    """
    _check_options(options)
    finished = FinishedRun.open(run)
    for kind in ("candidates", "queries"):
        finished.require(kind)
    drawn = _draw(finished, options) if options.draw else 0
    certificate = _certify(finished, options) if options.marked else None
    if not options.judgements and not certificate:
        return Evaluation(run, int(finished.counts.get("queries", 0)), 0, [], drawn=drawn)
    sums, found = _sums(finished, options)
    judged = bool(options.judgements)
    partly = judged and not sums.judged.all()
    return Evaluation(
        run=run,
        queries=len(sums.queries),
        judged_queries=int(sums.judged.sum()),
        figures=figures(sums, judged),
        judged_figures=figures(sums.of_judged(), True) if partly else [],
        counts={name: int(sums.total(name)) for name in _counted(judged)},
        promised=promised(finished.manifest),
        certificate=certificate,
        relevant_pairs=_with_texts(finished, certificate.pairs) if certificate else [],
        drawn=drawn,
        notes=[*found, *_notes(sums)] if judged else [],
    )


def _counted(judged: bool) -> tuple[str, ...]:
    own = ("asked", "mined")
    return (
        (*own, "mined_relevant", "mined_relevant_by_text", "relevant", "retrieved", "scored", "leaked", "known")
        if judged
        else own
    )


def _check_options(options: EvaluateOptions) -> None:
    if not (options.judgements or options.draw or options.marked):
        raise OptionError(
            f"Nothing to do: give {parameter('judgements')} FILE, {parameter('draw')} N with {parameter('sheet')} "
            f"FILE, or {parameter('marked')} FILE."
        )
    if bool(options.draw) != bool(options.sheet):
        raise OptionError(f"{parameter('draw')} N and {parameter('sheet')} FILE belong together: give both.")
    if options.sheet:
        delimiter_of(options.sheet)
        if storage.exists(options.sheet):
            raise OptionError(
                f"{parameter('sheet')} {options.sheet} exists, and may hold marks: move it away or name another file."
            )


def _draw(run: FinishedRun, options: EvaluateOptions) -> int:
    """Write the sheet; return how many pairs are on it."""
    assert options.draw
    assert options.sheet
    pairs = draw_pairs(run.tables("candidates", _DRAWN_COLUMNS), options.draw, options.seed)
    if not pairs:
        raise RunError(f"{run.path} has no mined pair to draw.")
    passages = [each for pair in pairs for each in (pair.passage_id, pair.positive_id) if each]
    text = sheet_of(
        pairs,
        run.texts("queries", [pair.query_id for pair in pairs]),
        run.texts("passages", passages),
        delimiter_of(options.sheet),
    )
    with explaining(options.sheet):
        storage.write_file(options.sheet, lambda sink: sink.write(text.encode("utf-8-sig")))
    return len(pairs)


def _certify(run: FinishedRun, options: EvaluateOptions) -> Certificate:
    assert options.marked
    with explaining(options.marked):
        data = storage.read_file(options.marked)
    marks = read_marks(options.marked, data)
    pairs = draw_pairs(run.tables("candidates", _DRAWN_COLUMNS), len(marks), options.seed)
    return certify(options.marked, marks, pairs)


def _with_texts(run: FinishedRun, pairs: list[Pair]) -> list[dict[str, str]]:
    queries = run.texts("queries", [pair.query_id for pair in pairs])
    passages = run.texts("passages", [pair.passage_id for pair in pairs])
    return [
        {
            "query_id": pair.query_id,
            "passage_id": pair.passage_id,
            "query": queries.get(pair.query_id, ""),
            "passage": passages.get(pair.passage_id, ""),
        }
        for pair in pairs
    ]


def _sums(run: FinishedRun, options: EvaluateOptions) -> tuple[QuerySums, list[str]]:
    """Sum over the run's queries, with the judgements if there are any; return how much of those was found, too."""
    columns = columns_of(next(iter(run.shards("candidates").values())))
    similarity = next((name for name in columns if name.startswith("similarity_")), None)
    queries = run.text_keys("queries")
    relevance = None
    found: list[str] = []
    if options.judgements:
        judgements = read_judgements(plan_files("qrels", options.judgements, "judgements"), options.min_relevance)
        found = left_out(judgements.rejections, "judgements")
        known = int(np.isin(judgements.judged_queries, queries.keys).sum())
        found.append(f"{known:,} of {len(judgements.judged_queries):,} judged queries are of this run.")
        if not known:
            raise InputError(
                f"{parameter('judgements')} {options.judgements[0]}: it names no query of {run.path}: check that its "
                "ids are the run's."
            )
        relevance = Relevance(judgements, queries, run.text_keys("passages"))
    wanted = [*CANDIDATE_COLUMNS, *([similarity] if similarity else [])]
    negatives = int(run.options.get("negatives", 0))
    return sum_queries(run.tables("candidates", wanted), queries.keys, negatives, similarity, relevance), found


def _notes(sums: QuerySums) -> list[str]:
    """Return what a reader of the figures should know."""
    said = []
    judged, queries = int(sums.judged.sum()), len(sums.queries)
    if judged < queries:
        said.append(
            f"{queries - judged:,} of {queries:,} queries have no judgement: the figures of the others stand apart."
        )
    if by_text := int(sums.total("mined_relevant_by_text")):
        said.append(
            f"{by_text:,} of the mined are relevant by a judged passage of equal text, or a query of equal text."
        )
    if known := int(sums.total("known")):
        said.append(f"{known:,} of the relevant were known to the miner: they are left out of the leak rates.")
    if not sums.total("retrieved"):
        said.append("None of the relevant is among the candidates: the judgements say nothing of this run.")
    said.append("What is not judged counts as not relevant.")
    return said


def promised(manifest: dict[str, Any]) -> dict[str, str]:
    """Return what a run's manifest promised of each figure, in words, always with the status.

    ``denoising`` in the manifest has the fields of ``calibration.Choice``; nothing is promised without it.
    """
    denoising = manifest.get("denoising") or {}
    status = denoising.get("status")
    if not isinstance(status, str):
        return {}
    gamma = denoising.get("gamma")
    words = f"({status}, Gamma {gamma:g})" if isinstance(gamma, int | float) else f"({status})"
    said = {}
    for name, fields in (("false_negative_rate", ("upper_bound", "target")), ("leak_rate", ("leak_rate",))):
        value = next((denoising[each] for each in fields if isinstance(denoising.get(each), int | float)), None)
        if status == "unsupported":
            said[name] = status
        elif value is not None:
            said[name] = f"{'at most ' if name == 'false_negative_rate' else ''}{value:.1%} {words}"
    return said
