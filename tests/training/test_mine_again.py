"""Mining again while a bi-encoder is trained: the next epoch reads what the student of the last one mined."""

from __future__ import annotations

from pathlib import Path

import pytest
from mined_runs import TinyModels

import hardneg
from hardneg.errors import OptionError, RunError


@pytest.mark.slow
def test_each_epoch_reads_the_latest_snapshot(animals: Path, tiny_models: TinyModels, tmp_path: Path) -> None:
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from hardneg.train import MineAgain, latest_triplets

    store = tmp_path / "store"
    asked = {
        "input": str(animals),
        "cross_encoder": str(tiny_models.cross_encoder),
        "min_relevance": 2,
        "k": 8,
        "negatives": 2,
        "gates": {"max-drop": "off"},
    }
    with pytest.raises(RunError, match=r"has no snapshot yet: call hardneg\.refresh first"):
        latest_triplets(store)
    model = SentenceTransformer(str(tiny_models.bi_encoder), device="cpu")
    first = hardneg.refresh(store=store, bi_encoder=model, progress=False, **asked)
    assert hardneg.latest(store) == hardneg.Snapshot(first.folder, store=str(store), date=first.date)
    rows = len(first.triplets())
    triplets, again = latest_triplets(store), MineAgain(store, **asked)
    assert sum(1 for _ in triplets) == rows
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=2 * -(-rows // 16),
        per_device_train_batch_size=16,
        learning_rate=1e-2,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=triplets,
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[again],
    )
    trainer.train()
    assert again.refused == []
    assert len(again.snapshots) >= 1
    assert again.snapshots[0].date > first.date
    assert again.snapshots[0].changed == ("a model", "the judge is calibrated anew")
    assert sum(1 for _ in triplets) == len(again.snapshots[-1].triplets())
    assert not (tmp_path / "store" / "lock").exists()


def test_what_is_asked_is_looked_at_first() -> None:
    from hardneg.train import MineAgain

    with pytest.raises(OptionError, match="every is 0: it is a number of epochs"):
        MineAgain("store", every=0)
    with pytest.raises(OptionError, match="bi_encoder is not for MineAgain"):
        MineAgain("store", bi_encoder="bundled")
