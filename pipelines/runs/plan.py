"""A run, ready to be built: the configuration, and what was found and decided before any worker starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hardneg.errors import InputError, parameter
from hardneg.pipelines.options.mine import MineConfig
from hardneg.transforms.core import storage
from hardneg.transforms.filters.policy import Rules
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT, Holdout
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.marks import NOTHING_MARKED, Marks
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, conditions_of
from hardneg.transforms.judge.sample import signals_of
from hardneg.transforms.mining.job import Job
from hardneg.transforms.retrieval.retriever import Site
from hardneg.transforms.store.uses import StorePlace, use_name, values_of

STORE = "store"  # in a work folder
_SEGMENT_BYTES = 64 << 20
_BUCKET_BYTES = 8 << 20


@dataclass(frozen=True)
class Plan:
    """What a graph is built from.

    Attributes:
        config: the options.
        files: the inputs; none for ``mine --from``.
        work: folder for indexes, embeddings and the unfinished result.
        result: folder that the output's tables are written to.
        threads: torch and numba threads of one worker; None: theirs.
        texts_travel: whether texts are sent with the blocks, because scoring workers may not see the work folder.
        holdout: the evaluation sets.
        marks: what a person marked.
        denoising: the judge of ``--judge-file``; None: it is calibrated.
        stored: the manifest of the run that ``mine --from`` reads.
        notes: what was found and decided that a person should know, a sentence each.
    """

    config: MineConfig
    files: list[InputFile]
    work: str
    result: str
    threads: int | None
    texts_travel: bool = False
    holdout: Holdout = NOTHING_HELD_OUT
    marks: Marks = NOTHING_MARKED
    denoising: CalibratedJudge | None = None
    stored: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def segments(self) -> int:
        size = sum(file.size for file in self.files if file.kind in ("passages", "pairs"))
        return self.config.segments or max(1, round(size / _SEGMENT_BYTES))

    @property
    def buckets(self) -> int:
        """Slices of the query ids for the joins."""
        size = sum(file.size for file in self.files if file.kind != "passages")
        return max(1, min(256, round(size / _BUCKET_BYTES)))

    @property
    def site(self) -> Site:
        """Where and how the retrievers work."""
        return Site(self.work, self.segments, self.buckets, self.threads, self.place)

    @property
    def place(self) -> StorePlace:
        """Where models store what they compute: in the work folder, or in a store that outlives it and keeps notes."""
        return place_of(self.config.store, self.config.output, self.work)

    @property
    def scores(self) -> bool:
        """Whether the run may load the cross-encoder."""
        config = self.config
        if config.from_run and not config.score_missing:
            return False
        if self.denoising is not None:
            return self.denoising.needs_logit or config.policy.needs_logit
        return config.target.judge != "bi-encoder" or config.policy.needs_logit

    @property
    def models(self) -> list[tuple[str, Any]]:
        """The models to load and check, by source name."""
        retrievers = [] if self.config.from_run else self.config.retrievers
        found = [(each.name, each.spec) for each in retrievers if each.spec is not None]
        return [*found, *([("cross_encoder", self.config.cross_encoder_spec)] if self.scores else [])]

    @property
    def job(self) -> Job:
        config = self.config
        return Job(
            work=self.work,
            rules=Rules(tuple(config.sources), config.policy, self.holdout, self.marks),
            spec=config.cross_encoder_spec if self.scores else None,
            threads=self.threads,
            place=self.place,
            fingerprint=self.stored.get("models", {}).get("cross_encoder", {}).get("fingerprint"),
        )

    def on_model_workers(self, stage: Any) -> Any:
        """Return a stage that runs models, with what it asks of its workers' machines: an environment of its own."""
        accelerator = self.config.accelerator
        return stage.with_resource_hints(accelerator=accelerator) if accelerator else stage

    @property
    def conditions(self) -> dict[str, Any]:
        """What a threshold that is brought along must have been made for."""
        config = self.config
        conditions = conditions_of(config.policy, config.target, config.sources, config.k)
        if config.judge is None and self.denoising is not None:
            conditions["judge"] = self.denoising.conditions.get("judge")  # whichever it is
        return conditions


def place_of(store: str | None, output: str, work: str) -> StorePlace:
    """Return where the models of the run that writes ``output`` store what they compute.

    Args:
        store: the user's; None: the work folder.
        output: the run's.
        work: its work folder.
    """
    if store is None:
        return StorePlace(storage.join(work, STORE))
    return StorePlace(values_of(store), use_name(output))


def read_judge(config: MineConfig) -> CalibratedJudge:
    """Return the judge of ``--judge-file``.

    Raises:
        InputError: the file is none, or its judge goes by a retriever that the run has not.
    """
    path = str(config.judge_file)
    with explaining(path):
        data = storage.read_file(path)
    try:
        denoising = CalibratedJudge.from_json(data.decode("utf-8"), f"{parameter('judge_file')} {path}")
    except UnicodeDecodeError:
        raise InputError(
            f"{parameter('judge_file')} {path} is no judge.json: give the file of a calibration."
        ) from None
    if unknown := sorted(set(denoising.judge.signals) - set(signals_of(config.sources))):
        raise InputError(
            f"{parameter('judge_file')} {path} judges by {unknown[0]!r}, which no retriever of this run gives: name "
            "the retrievers as in its calibration, or calibrate again."
        )
    return denoising
