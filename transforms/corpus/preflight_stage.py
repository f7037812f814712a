"""The stage that tries every model, before anything expensive starts."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core.progress import timed
from hardneg.transforms.corpus.ingestion import SAMPLE_PASSAGES, sample_passages
from hardneg.transforms.models.loaded import bi_encoder, cross_encoder, use_threads
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.models.tokens import check_unknown_tokens
from hardneg.transforms.store.known_models import described, share_of_unknown_tokens
from hardneg.transforms.store.uses import StorePlace


@dataclass(eq=False)
class CheckModels(beam.PTransform):
    """Try every model's tokenizer on a sample of the corpus, if that is not known; ask a served one for one score.

    In: ``SegmentInfo``. Out: (source name, the model's description as JSON).

    Attributes:
        work: the run's work folder.
        models: what is loaded, by source name.
        place: where it is known what was tried before.
        allow_unknown: go on with a model whose tokenizer does not know the corpus's language.
        threads: of one worker; None: as they are.
    """

    work: str
    models: Sequence[tuple[str, ModelSpec | RemoteSpec]]
    place: StorePlace
    allow_unknown: bool
    threads: int | None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        sample = (
            segments
            | beam.FlatMap(lambda info, work: sample_passages(work, info.number), self.work)
            | beam.CombineGlobally(SmallestSample())
        )
        check = _CheckModel(self.work, self.place, self.allow_unknown, self.threads)
        return (
            segments.pipeline
            | beam.Create(list(self.models), reshuffle=False)
            | beam.ParDo(check, beam.pvalue.AsSingleton(sample)).with_output_types(tuple[str, str])
        )


class SmallestSample(beam.CombineFn):
    """The texts of the SAMPLE_PASSAGES smallest (digest, text) pairs, in that order."""

    def create_accumulator(self) -> list[tuple[int, str]]:
        return []

    def add_input(self, accumulator: list[tuple[int, str]], pair: tuple[int, str]) -> list[tuple[int, str]]:
        accumulator.append(pair)
        return accumulator if len(accumulator) < 4 * SAMPLE_PASSAGES else heapq.nsmallest(SAMPLE_PASSAGES, accumulator)

    def merge_accumulators(self, accumulators: Iterable[list[tuple[int, str]]]) -> list[tuple[int, str]]:
        return heapq.nsmallest(SAMPLE_PASSAGES, (pair for part in accumulators for pair in part))

    def extract_output(self, accumulator: list[tuple[int, str]]) -> list[str]:
        return [text for _, text in heapq.nsmallest(SAMPLE_PASSAGES, accumulator)]


@dataclass(eq=False)
class _CheckModel(beam.DoFn):
    work: str
    place: StorePlace
    allow_unknown: bool
    threads: int | None

    def setup(self) -> None:
        use_threads(self.threads)

    def process(self, element: tuple[str, Any], sample: list[str]) -> Iterator[tuple[str, str]]:
        name, spec = element
        with timed(self.work, "check models", done=1):
            description = described(self.place, spec)
            found: dict[str, Any] = {}
            if isinstance(spec, RemoteSpec):
                # Its base is Beam's, whose module brings PyTorch and more: seconds, where no model may run at all.
                from hardneg.transforms.models.served.cross_encoder import RemoteCrossEncoder

                RemoteCrossEncoder(spec).check()
            else:
                share = share_of_unknown_tokens(
                    self.place,
                    spec,
                    [*sample, str(self.allow_unknown)],
                    lambda: check_unknown_tokens(spec, _loaded(spec).tokenizer, sample, self.allow_unknown),
                )
                found["unknown_token_share"] = round(share, 6)
        yield name, json.dumps({**description, **found})


def _loaded(spec: ModelSpec) -> Any:
    return bi_encoder(spec) if spec.kind == "bi-encoder" else cross_encoder(spec)
