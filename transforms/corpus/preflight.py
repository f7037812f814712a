"""What must hold before anything expensive starts: a corpus, queries, models that can read it."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.errors import HardnegError
from hardneg.transforms.core.progress import record, timed
from hardneg.transforms.corpus.ingestion import SAMPLE, SegmentInfo, sample_passages
from hardneg.transforms.models.loaded import bi_encoder, cross_encoder, use_threads
from hardneg.transforms.models.served.cross_encoder import RemoteCrossEncoder
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.models.tokens import check_unknown_tokens


class CheckModels(beam.PTransform):
    """Load every model and try its tokenizer on a sample of the corpus; ask a served one for one score.

    In: ``SegmentInfo``. Out: (source name, the model's description as JSON).
    """

    def __init__(
        self, work: str, models: Sequence[tuple[str, ModelSpec | RemoteSpec]], allow_unknown: bool, threads: int | None
    ) -> None:
        super().__init__()
        self._work = work
        self._models = list(models)
        self._do = _CheckModel(work, allow_unknown, threads)

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        sample = (
            segments
            | beam.FlatMap(lambda info, work: sample_passages(work, info.number), self._work)
            | beam.CombineGlobally(SmallestSample())
        )
        return (
            segments.pipeline
            | beam.Create(self._models, reshuffle=False)
            | beam.ParDo(self._do, beam.pvalue.AsSingleton(sample)).with_output_types(tuple[str, str])
        )


class SmallestSample(beam.CombineFn):
    """The texts of the SAMPLE smallest (digest, text) pairs, in that order."""

    def create_accumulator(self) -> list[tuple[int, str]]:
        return []

    def add_input(self, accumulator: list[tuple[int, str]], pair: tuple[int, str]) -> list[tuple[int, str]]:
        accumulator.append(pair)
        return accumulator if len(accumulator) < 4 * SAMPLE else heapq.nsmallest(SAMPLE, accumulator)

    def merge_accumulators(self, accumulators: Iterable[list[tuple[int, str]]]) -> list[tuple[int, str]]:
        return heapq.nsmallest(SAMPLE, (pair for part in accumulators for pair in part))

    def extract_output(self, accumulator: list[tuple[int, str]]) -> list[str]:
        return [text for _, text in heapq.nsmallest(SAMPLE, accumulator)]


class _CheckModel(beam.DoFn):
    def __init__(self, work: str, allow_unknown: bool, threads: int | None) -> None:
        self._work = work
        self._allow_unknown = allow_unknown
        self._threads = threads

    def setup(self) -> None:
        use_threads(self._threads)

    def process(self, element: tuple[str, Any], sample: list[str]) -> Iterator[tuple[str, str]]:
        name, spec = element
        with timed(self._work, "check models", done=1):
            model: Any = bi_encoder(spec) if spec.kind == "bi-encoder" else cross_encoder(spec)
            found: dict[str, Any] = {}
            if isinstance(model, RemoteCrossEncoder):
                model.check()
            else:
                share = check_unknown_tokens(spec, model.tokenizer, sample, self._allow_unknown)
                found["unknown_token_share"] = round(share, 6)
        yield name, json.dumps({**model.description, **found})


def check_corpus(passages: int) -> str:
    """Raise HardnegError for a corpus without passages."""
    if not passages:
        raise HardnegError("The corpus has no passage; check --corpus, --input or --pairs.")
    return "corpus"


def check_queries(wanted: tuple[int, int], work: str) -> str:
    """Raise HardnegError for a run without queries."""
    if not wanted[0]:
        raise HardnegError(
            "No query has a known positive in the corpus; check that the ids in the qrels are those of the queries "
            "and the corpus, or pass --allow-no-positives to mine into candidates/ only."
        )
    record(work, "mine", expected=wanted[0])
    return "queries"


def count_segments(info: SegmentInfo, work: str, names: Sequence[str]) -> list[tuple[str, int]]:
    """Return a segment's counts, and tell the progress display how much there is to encode."""
    for name in names:
        record(work, f"encode passages ({name})", expected=info.passages)
    return [("segments", 1), ("passages", info.passages), ("passages_repeated", info.repeated)]
