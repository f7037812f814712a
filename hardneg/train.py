"""For sentence-transformers' trainers: batches without false negatives, and mining again while a model is trained.

``NoFalseNegatives`` is a batch sampler. ``MineAgain`` mines each time with the student as it is by then:

    snapshot = hardneg.refresh(store="store", pairs=pairs, bi_encoder=model)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments("out", max_steps=1000),
        train_dataset=latest_triplets("store"),
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[MineAgain("store", every=1, pairs=pairs)],
    )

Needs ``pip install 'hardneg[train]'``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hardneg.batches import NoFalseNegatives
from hardneg.errors import GateError, OptionError, RunError
from hardneg.snapshots import Snapshot, latest, refresh

if TYPE_CHECKING:
    from datasets import IterableDataset

__all__ = ["MineAgain", "NoFalseNegatives", "latest_triplets"]


def latest_triplets(store: str | os.PathLike[str]) -> IterableDataset:
    """Return the triplets of the snapshot that a store's LATEST names, looked up anew whenever an epoch begins.

    It has no length, as the next snapshot's is not known: give the trainer ``max_steps``.

    Raises:
        RunError: the store has no snapshot yet.
    """
    from datasets import Features, IterableDataset, Value

    root = os.path.abspath(store)
    if latest(root) is None:
        raise RunError(f"{root} has no snapshot yet: call hardneg.refresh first.")
    texts = Features({name: Value("string") for name in ("anchor", "positive", "negative")})
    return IterableDataset.from_generator(_triplets, gen_kwargs={"store": root}, features=texts)


def _triplets(store: str) -> Iterator[dict[str, str]]:
    from hardneg.transforms.output.finished_run import FinishedRun

    found = latest(store)
    assert found is not None
    for table in FinishedRun.open(found.folder).tables("triplets"):
        yield from table.to_pylist()


class MineAgain(TrainerCallback):
    """Refreshes a store with the student, every so many epochs.

    Attributes:
        snapshots: those that were published, in their order.
        refused: the sentences of those that did not pass their gates: the training goes on with the last one.
    """

    def __init__(self, store: str | os.PathLike[str], every: int = 1, recalibrate: bool = True, **options: Any) -> None:
        """Say what is mined.

        Args:
            store: the store.
            every: epochs between two refreshes.
            recalibrate: the judge's threshold was made for the student as it was, so it is made anew.
            options: those of ``hardneg.refresh`` but for the bi-encoder, which is the student.

        Raises:
            OptionError: ``every`` is below 1, or a bi-encoder is given.
        """
        if every < 1:
            raise OptionError(f"every is {every}: it is a number of epochs, at least 1.")
        if "bi_encoder" in options:
            raise OptionError("bi_encoder is not for MineAgain: it mines with the model that is trained.")
        self.snapshots: list[Snapshot] = []
        self.refused: list[str] = []
        self._every, self._epochs = every, 0
        self._asked = {"store": store, "recalibrate": recalibrate, **options}

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Mine again, unless the training ends here."""
        if args.world_size > 1:
            raise OptionError("MineAgain mines in one process: train in one, or refresh the store between trainings.")
        self._epochs += 1
        if self._epochs % self._every or state.global_step >= state.max_steps:
            return
        model = kwargs["model"]
        training = model.training
        try:
            self.snapshots.append(refresh(bi_encoder=model, progress=False, **self._asked))
        except GateError as error:
            self.refused.append(str(error))
        finally:
            model.train(training)
