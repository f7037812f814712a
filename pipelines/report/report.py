"""`hardneg report`: what a finished run kept, and what it would keep at other targets. Runs no model."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hardneg.pipelines.options.finished import ReportOptions
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.stored import config_of
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.reports.other_thresholds import AskedThresholds, Outcome, outcomes
from hardneg.transforms.reports.run_sample import SampleTaking, count_and_sample
from hardneg.transforms.reports.sample_view import Kept, RunSample
from hardneg.transforms.reports.tallies import GROUPS, Histogram, Tally, histogram


@dataclass(frozen=True)
class Report:
    """What there is to say of a run.

    Attributes:
        run: the run's folder.
        judge: the name of its judge.
        promised: of the run's negatives, as its manifest has it.
        negatives: asked of each query.
        sample: queries, pairs, candidates and positives of the calibration sample; pairs that it scores, and lacks.
        outcomes: what each target and threshold would keep of the sample.
        mined: what the run kept.
        verdicts, reasons: candidates of each.
        groups: candidates by group of ``tallies.GROUPS``.
        sources: by retriever, what it found of each group, and the mean similarity of the mined that it found.
        histograms: of the judge's score and the logit.
        notes: what a reader should know.
    """

    run: str
    judge: str
    promised: dict[str, Any]
    negatives: int
    sample: dict[str, int]
    outcomes: list[Outcome]
    mined: Kept
    verdicts: dict[str, int]
    reasons: dict[str, int]
    groups: dict[str, int]
    sources: dict[str, dict[str, Any]]
    histograms: list[Histogram]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON takes it; nothing is NaN."""
        return {
            "run": self.run,
            "judge": self.judge,
            "promised": self.promised,
            "negatives": self.negatives,
            "sample": self.sample,
            "outcomes": [each.to_json() for each in self.outcomes],
            "mined": self.mined.to_json(),
            "verdicts": self.verdicts,
            "reasons": self.reasons,
            "groups": self.groups,
            "sources": self.sources,
            "histograms": [asdict(each) for each in self.histograms],
            "notes": self.notes,
        }


def report(run: str, options: ReportOptions) -> Report:
    """Report on a run.

    Raises:
        HardnegError: no finished run, or one that lacks what a report needs.
    """
    finished = FinishedRun.open(run)
    denoising, config = finished.judge, config_of(finished)
    policy = config.policy.without_thresholds()
    taking = SampleTaking(config.sources, policy, config.calibration_queries, config.negatives, denoising.judge.scale)
    whole, sample, queries = count_and_sample(finished, taking)
    targets, leak_rates, sigmoids = map(_ascending, (options.targets, options.leak_rates, options.sigmoids))
    asked = AskedThresholds(targets, leak_rates, sigmoids, options.gamma)
    found = outcomes(sample, config.sources, policy, denoising, asked)
    rows = sample.rows
    return Report(
        run=run,
        judge=denoising.judge_name,
        promised=denoising.manifest_entry(),
        negatives=config.negatives,
        sample={
            "queries": len(sample.query_ids),
            "pairs": len(rows),
            "pairs_to_score": sample.asked,
            "pairs_missing": sample.missing,
            "candidates": _count(rows["is_candidate"]),
            "positives": _count(rows["is_positive"]),
            "positives_counted": _count(rows["countable"]),
        },
        outcomes=found,
        mined=whole.kept(queries, config.negatives),
        verdicts=dict(sorted(whole.verdicts.items())),
        reasons=dict(sorted(whole.reasons.items())),
        groups={name: whole.groups[name] for name in GROUPS},
        sources={source.name: _of_source(whole, source.name) for source in config.sources},
        histograms=_histograms(whole, config, denoising),
        notes=_notes(finished, config, denoising, sample),
    )


def _ascending(values: list[float]) -> list[float]:
    return sorted(set(values))


def _count(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def _histograms(whole: Tally, config: MineConfig, denoising: CalibratedJudge) -> list[Histogram]:
    """Return the judge's scores and the logits, each with the run's threshold; once where they are the same."""
    given = [each for each in (config.max_sigmoid, denoising.max_sigmoid) if each is not None and each < 1]
    limits = [math.log(each / (1 - each)) for each in given]
    if denoising.judge.signals == (LOGIT,):
        limits += [] if denoising.threshold is None else [denoising.threshold]
        return [histogram(whole, LOGIT, "logit", min(limits, default=None))]
    return [
        histogram(whole, "judge_score", denoising.judge.scale, denoising.threshold),
        histogram(whole, LOGIT, "logit", min(limits, default=None)),
    ]


def _of_source(whole: Tally, name: str) -> dict[str, Any]:
    found = {group: whole.sources[name, group] for group in GROUPS}
    mined = found["mined"]
    return {**found, "similarity_of_mined": whole.number(f"similarity {name}") / mined if mined else None}


def _notes(run: FinishedRun, config: MineConfig, denoising: CalibratedJudge, sample: RunSample) -> list[str]:
    """Return what a reader of the report should know."""
    said = []
    if sample.missing:
        said.append(_missing_note(run, config, denoising, sample))
    elif sample.left_out and denoising.needs_logit:
        said.append(
            f"Of the calibration sample {sample.left_out:,} candidates are not scored, as they stand deep in selection "
            "order; others that were drawn from there stand for them, so what a strict threshold keeps is an estimate."
        )
    of_run = {"max_sigmoid": config.max_sigmoid, "absolute_margin": config.absolute_margin,
              "relative_margin": config.relative_margin}  # fmt: skip
    replaced = [f"--{name.replace('_', '-')}" for name, value in of_run.items() if value is not None]
    if replaced:
        said.append(
            f"The run's {' and '.join(replaced)} has no part in what is shown for other targets and thresholds, which "
            "stand instead of it."
        )
    if config.judge_file and not sample.missing:
        said.append(
            "The run's judge came with --judge-file; the targets are those of a judge that is fitted on this sample."
        )
    if held := run.counts.get("positives_held_out", 0):
        said.append(
            f"{held:,} known positives belong to an evaluation set; those that the run does not name count as any "
            "other here."
        )
    return said


def _missing_note(run: FinishedRun, config: MineConfig, denoising: CalibratedJudge, sample: RunSample) -> str:
    """Say what of the sample is not scored, what that means, and how it is scored."""
    why = "the run was mined with --judge-file" if config.judge_file else "the run was mined without a target"
    if denoising.judge_name == "bi-encoder":
        why = "the run's judge is bi-encoder"
    what = f"{sample.missing:,} of {sample.asked:,} pairs of the calibration sample are not scored ({why})"
    if denoising.judge_name == "bi-encoder" and not config.policy.needs_logit:
        meaning = "so nothing is estimated for sigmoid thresholds"
    else:
        meaning = "so nothing is estimated, and the figures of thresholds are of the scored pairs alone"
    if "cross_encoder" not in run.models:
        return f"{what}, {meaning}; mine from the inputs with a target to have them."
    return (
        f"{what}, {meaning}; `hardneg mine --from {run.path} --target-false-negative-rate 0.05 --score-missing "
        "--output NEW` scores the others."
    )
