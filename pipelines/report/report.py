"""`hardneg report`: what a finished run kept, and what it would keep at other targets. Runs no model."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from hardneg.errors import HardnegError
from hardneg.pipelines.options.finished import ReportOptions
from hardneg.pipelines.options.mine import MineConfig, problems_of
from hardneg.transforms.core import storage
from hardneg.transforms.core.hashing import id_keys
from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.core.source import first_similarity
from hardneg.transforms.core.text import cut_digest, text_digest
from hardneg.transforms.corpus.query_blocks import SmallestDigests
from hardneg.transforms.corpus.segments import TEXTS, folder, write_table
from hardneg.transforms.filters.screen import Policy
from hardneg.transforms.filters.verdicts import Reason
from hardneg.transforms.inputs.evaluation_sets import Holdout
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.judge.calibrated_judge import Denoising, Target
from hardneg.transforms.mining.calibrate_stage import sample_block
from hardneg.transforms.mining.mine_stage import Job
from hardneg.transforms.output.finished_run import read_batches, read_manifest, read_shard
from hardneg.transforms.output.manifest import JUDGE, MANIFEST
from hardneg.transforms.output.reread import numbered, place_candidates, shard_count, stored_block, stored_queries
from hardneg.transforms.reports.reporting import Asked, Kept, Outcome, Sample, outcomes, without_thresholds
from hardneg.transforms.reports.tallies import GROUPS, Histogram, Tally, histogram, tally, total

_NO_IDS = pa.array([], pa.string())


@dataclass(frozen=True)
class Report:
    """What there is to say of a run.

    Attributes:
        run: the run's folder.
        judge: the name of its judge.
        promised: of the run's negatives, as its manifest has it.
        negatives: asked of each query.
        sample: queries, pairs, candidates and positives of the calibration sample; pairs that are not scored.
        outcomes: what each target and threshold would keep of the sample.
        mined: what the run kept.
        verdicts, reasons: candidates of each.
        groups: candidates by group of ``reporting.GROUPS``.
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
    manifest = read_manifest(run)
    denoising = read_judge(run)
    config = config_of(run, manifest)
    policy = without_thresholds(config.policy)
    whole, sample, queries = _read(run, config, policy, denoising)
    targets, leak_rates, sigmoids = map(_ascending, (options.targets, options.leak_rates, options.sigmoids))
    asked = Asked(targets, leak_rates, sigmoids, options.gamma)
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
        notes=_notes(run, manifest, config, denoising, sample),
    )


def _ascending(values: list[float]) -> list[float]:
    return sorted(set(values))


def read_judge(run: str) -> Denoising:
    """Return a run's judge.

    Raises:
        HardnegError: it has none, or one that can't be read.
    """
    path = storage.join(run, JUDGE)
    if not storage.exists(path):
        raise HardnegError(
            f"{run} has no {JUDGE}, so an older hardneg mined it: `hardneg mine --from {run} --output NEW` mines it "
            "again from its scores, and NEW can be reported on."
        )
    with explaining(path):
        data = storage.read_file(path)
    return Denoising.from_json(data.decode("utf-8", "replace"), path)


def config_of(run: str, manifest: dict[str, Any]) -> MineConfig:
    """Return the run's options; folders play no part.

    Raises:
        HardnegError: they are of another version.
    """
    aside = {"output": "report", "work": None, "from_run": None, "score_missing": False}
    try:
        return MineConfig.model_validate({**manifest["options"], **aside})
    except ValidationError as error:
        raise HardnegError(
            f"{storage.join(run, MANIFEST)} has options that this version of hardneg does not take: mine again, or "
            f"report with the version that mined. {problems_of(error)}"
        ) from None


def _count(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def _histograms(whole: Tally, config: MineConfig, denoising: Denoising) -> list[Histogram]:
    """Return the judge's scores and the logits, each with the run's threshold; once where they are the same."""
    given = [each for each in (config.max_sigmoid, denoising.max_sigmoid) if each is not None and each < 1]
    limits = [math.log(each / (1 - each)) for each in given]
    if denoising.judge.signals == ("logit",):
        limits += [] if denoising.threshold is None else [denoising.threshold]
        return [histogram(whole, "logit", "logit", min(limits, default=None))]
    return [
        histogram(whole, "judge_score", denoising.judge.scale, denoising.threshold),
        histogram(whole, "logit", "logit", min(limits, default=None)),
    ]


def _of_source(whole: Tally, name: str) -> dict[str, Any]:
    found = {group: whole.sources[name, group] for group in GROUPS}
    mined = found["mined"]
    return {**found, "similarity_of_mined": whole.number(f"similarity {name}") / mined if mined else None}


def _read(run: str, config: MineConfig, policy: Policy, denoising: Denoising) -> tuple[Tally, Sample, int]:
    """Count the run's candidates, take its calibration sample out of them, and count its queries."""
    paths = {kind: numbered(run, kind) for kind in ("queries", "candidates", "passages")}
    for kind, files in paths.items():
        if not files:
            raise HardnegError(f"{run} has no {kind}/: a report needs it; give a whole run.")
    digests = {number: _digests(path) for number, path in paths["queries"].items()}
    smallest = SmallestDigests(config.calibration_queries)
    every = [digest for each in digests.values() for digest in each.tolist()]
    _, cutoff = smallest.extract_output(smallest.add_input(smallest.create_accumulator(), every))
    sampled = {
        number: stored_queries(read_shard(paths["queries"][number]).filter(pa.array(each <= cutoff)))
        for number, each in sorted(digests.items())
        if (each <= cutoff).any()
    }
    candidates: dict[int, pa.Table] = {}

    def counted() -> Iterator[Tally]:
        for number, path in sorted(paths["candidates"].items()):
            table = read_shard(path)
            _check_columns(path, table, config)
            if number in sampled:
                mine = sampled[number]["query_id"].combine_chunks()
                candidates[number] = table.filter(pc.is_in(table["query_id"], value_set=mine))
            yield tally(table, config.sources, config.negatives, denoising.judge.scale)

    whole = total(counted())
    return whole, _sample(run, config, policy, sampled, candidates), len(every)


def _digests(path: str) -> npt.NDArray[np.int64]:
    """Return the digests of a shard's query ids, int64 (queries,)."""
    return np.array(
        [cut_digest(each) for each in read_shard(path, ["query_id"])["query_id"].to_pylist()], dtype=np.int64
    )


def _check_columns(path: str, table: pa.Table, config: MineConfig) -> None:
    needed = ["query_id", "passage_id", "fused_rank", "grade", "logit", "judge_score", "verdict", "reason", "selected"]
    needed += [first_similarity(config.sources), *(source.rank for source in config.sources)]
    lacking = [name for name in needed if name not in table.column_names]
    if lacking:
        raise HardnegError(f"{path} has no column {lacking[0]}: the run is damaged, or of another version; mine again.")


def _sample(
    run: str, config: MineConfig, policy: Policy, queries: dict[int, pa.Table], candidates: dict[int, pa.Table]
) -> Sample:
    """Bring the calibration sample into the shape that calibration takes it in."""
    shards = shard_count(run)
    with tempfile.TemporaryDirectory(prefix="hardneg-report-", ignore_cleanup_errors=True) as work:
        referred = [table["passage_id"].unique() for table in candidates.values()]
        built = _build_segments(run, work, pa.chunked_array([_NO_IDS, *referred]).unique())
        job = Job(work, tuple(config.sources), policy, None, _held_out(candidates), None)
        # One block of all shards: each text is looked at once, however many queries found it.
        placed = [place_candidates(own, work, shards, built) for _, own in sorted(candidates.items())]
        table = pa.concat_tables([each for _, each in sorted(queries.items())]).sort_by("query_id").combine_chunks()
        block = stored_block(table, pa.concat_tables(placed) if placed else None, config.sources)
        everything = np.ones(len(table), dtype=np.bool_)
        done = sample_block(block, job, Target("combined"), everything, job.texts_of(block), None)
        rows = _with_ranks(done.rows, table["query_id"], done.block.candidates)
    rows = rows.sort_by([("query_id", "ascending"), ("passage_id", "ascending")]).combine_chunks()
    return Sample(rows, table["query_id"].to_pylist())


def _with_ranks(rows: pa.Table, query_ids: pa.ChunkedArray, candidates: pa.Table) -> pa.Table:
    ranks = candidates.select(["passage_id", "fused_rank"])
    ranks = ranks.append_column("query_id", query_ids.combine_chunks().take(candidates["query"].combine_chunks()))
    return rows.join(ranks, ["query_id", "passage_id"], join_type="left outer", use_threads=False)


def _build_segments(run: str, work: str, wanted: pa.Array) -> list[int]:
    """Write the passages that a sample refers to where blocks look for texts; return the segments' numbers."""
    built = []
    for number, path in numbered(run, "passages").items():
        batches = read_batches(path, ["passage_id", "text"])
        kept = [batch.filter(pc.is_in(batch.column(0), value_set=wanted)) for batch in batches]
        if not any(len(batch) for batch in kept):
            continue
        table = pa.Table.from_batches(kept).sort_by("passage_id")
        digests = pa.array([text_digest(text) for text in table["text"].to_pylist()], DIGEST)
        write_table(storage.join(folder(work, number), TEXTS), table.append_column("text_digest", digests))
        built.append(number)
    return built


def _held_out(candidates: dict[int, pa.Table]) -> Holdout:
    """Return the evaluation sets' passages as far as the run's own reasons tell; their files may not be here."""
    held = [
        id_keys(table["passage_id"].filter(pc.equal(table["reason"], Reason.HELD_OUT))) for table in candidates.values()
    ]
    return Holdout(passage_ids=np.unique(np.concatenate(held))) if held else Holdout()


def _notes(run: str, manifest: dict[str, Any], config: MineConfig, denoising: Denoising, sample: Sample) -> list[str]:
    """Return what a reader of the report should know."""
    said = []
    if sample.missing:
        said.append(_missing_note(run, manifest, config, denoising, sample))
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
    if held := manifest["counts"].get("positives_held_out", 0):
        said.append(
            f"{held:,} known positives belong to an evaluation set; those that the run does not name count as any "
            "other here."
        )
    return said


def _missing_note(run: str, manifest: dict[str, Any], config: MineConfig, denoising: Denoising, sample: Sample) -> str:
    """Say what of the sample is not scored, what that means, and how it is scored."""
    why = "the run was mined with --judge-file" if config.judge_file else "the run was mined without a target"
    if denoising.judge_name == "bi-encoder":
        why = "the run's judge is bi-encoder"
    what = f"{sample.missing:,} of {len(sample.rows):,} pairs of the calibration sample are not scored ({why})"
    if denoising.judge_name == "bi-encoder" and not config.policy.needs_logit:
        meaning = "so nothing is estimated for sigmoid thresholds"
    else:
        meaning = "so nothing is estimated, and the figures of thresholds are of the scored pairs alone"
    if "cross_encoder" not in manifest.get("models", {}):
        return f"{what}, {meaning}; mine from the inputs with a target to have them."
    return (
        f"{what}, {meaning}; `hardneg mine --from {run} --target-false-negative-rate 0.05 --score-missing "
        "--output NEW` scores the others."
    )
