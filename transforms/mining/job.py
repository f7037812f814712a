"""What the stages that judge blocks share: the rules, and where and with what a run computes."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.corpus.texts import texts_from_segments, texts_from_table
from hardneg.transforms.filters.policy import Rules
from hardneg.transforms.judge.seen_pairs import NO_DIGESTS, Digests, read_digests
from hardneg.transforms.mining.stored_logits import StoredLogits
from hardneg.transforms.models.loaded import from_files
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.store.uses import StorePlace


@dataclass(frozen=True)
class Job:
    """What the stages that judge blocks share.

    Attributes:
        work: the run's work folder.
        rules: retrievers, policy, evaluation sets.
        spec: the cross-encoder; None: nothing is scored, and missing scores are counted.
        threads: of one worker; None: as they are.
        place: where logits are stored.
        fingerprint: of the cross-encoder whose stored scores are used, if there are some.
    """

    work: str
    rules: Rules
    spec: ModelSpec | RemoteSpec | None
    threads: int | None
    place: StorePlace
    fingerprint: str | None = None

    def texts_of(self, block: Block) -> TextsOf:
        """Return where a block's texts are: with it, if they travelled, or in the segments."""
        return texts_from_table(block.texts) if len(block.texts) else texts_from_segments(self.work)

    def scoring(self) -> StoredLogits | None:
        """Return what scores a block's pairs; None: nothing does."""
        return StoredLogits(self.work, self.place, self.spec, self.fingerprint) if self.spec else None

    @property
    def training(self) -> Digests | None:
        """The pairs that the cross-encoder was trained on, as far as it says; None where no model runs."""
        spec = self.spec
        if not isinstance(spec, ModelSpec):
            return None if spec is None else NO_DIGESTS
        return from_files(spec, read_digests, "training pairs")


def in_sample(queries: pa.Table, cutoff: int) -> BoolArray:
    """Return which queries of a block belong to the calibration sample, bool; ``cutoff``: the largest digest of it."""
    return queries["digest"].to_numpy() <= cutoff
