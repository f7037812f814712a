"""Shuffled batches in which no row meets what is relevant to its query."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from datasets import Dataset, IterableDataset
from finished_run import candidate, write_run
from mined_runs import TinyModels

from hardneg.errors import OptionError, RunError
from hardneg.train import NoFalseNegatives

ROWS = [
    {"anchor": f"Query {n % 200}", "positive": f"text {n % 200 // 4}", "negative": f"text {(7 * n + n // 200) % 400}"}
    for n in range(600)
]
SUSPECTED = {f"text {n}" for n in range(395, 400)}


def sampler(dataset: Dataset, seed: int = 0, size: int = 16, drop_last: bool = False) -> NoFalseNegatives:
    return NoFalseNegatives(dataset, size, drop_last, generator=torch.Generator(), seed=seed)


def meetings(batches: list[list[int]], suspected: int | None = None) -> int:
    """Return how many rows meet, in another row, the positive of their query, or, if they are of one, the suspected."""
    met = 0
    for batch in batches:
        for row in batch:
            texts = {ROWS[other][part] for other in batch if other != row for part in ("positive", "negative")}
            met += ROWS[row]["positive"] in texts or (row % 200 == suspected and bool(texts & SUSPECTED))
    return met


@pytest.mark.parametrize("drop_last", [False, True])
def test_no_row_meets_a_positive_of_its_query(drop_last: bool) -> None:
    made = sampler(Dataset.from_list(ROWS), drop_last=drop_last)
    batches = list(made)
    assert len(batches) == len(made) == (37 if drop_last else 38)
    rows = [row for batch in batches for row in batch]
    assert len(rows) == len(set(rows)) == 600 - made.left_out
    assert made.left_out <= (9 if drop_last else 1), "of the last rows, one may fit nowhere"
    assert max(map(len, batches)) == 16
    assert meetings(batches) == 0
    plain = torch.randperm(600, generator=torch.Generator().manual_seed(0)).tolist()
    assert meetings([plain[start : start + 16] for start in range(0, 600, 16)]) > 50


def test_each_epoch_and_each_seed_shuffles_anew() -> None:
    dataset = Dataset.from_list(ROWS)
    made = sampler(dataset)
    first = list(made)
    assert list(made) == first == list(sampler(dataset))
    made.set_epoch(1)
    assert list(made) != first
    assert list(made) == list(sampler(dataset, seed=1))
    assert meetings(list(made)) == 0


def test_rows_that_fit_nowhere_are_left_out_and_counted() -> None:
    made = sampler(Dataset.from_list([{"anchor": f"q{n}", "positive": "the same"} for n in range(40)]))
    assert [len(batch) for batch in made] == [1, 1, 1]
    assert made.left_out == 37


def test_what_a_run_suspects_stays_out_too(tmp_path: Path) -> None:
    queries = {f"q{n}": f"query {n}" for n in range(200)}
    passages = {f"p{n}": f"text {n}" for n in range(400)}
    rows = [candidate(f"q{n}", f"p{n // 4}", "positive") for n in range(200)]
    rows += [candidate("q5", f"p{n}", "suspected_positive") for n in range(395, 400)]
    run = write_run(tmp_path / "run", queries, passages, rows)
    dataset = Dataset.from_list(ROWS)
    met = sum(meetings(list(sampler(dataset, seed)), suspected=5) for seed in range(5))
    assert met > 0
    of_run = NoFalseNegatives.of_run(run)
    for seed in range(5):
        made = of_run(dataset=dataset, batch_size=16, drop_last=False, generator=torch.Generator(), seed=seed)
        assert meetings(list(made), suspected=5) == 0
        assert made.left_out <= 1
    with pytest.raises(RunError):
        NoFalseNegatives.of_run(tmp_path / "none")(dataset=dataset, batch_size=16, drop_last=False)


def test_columns_of_labels_and_numbers_are_no_texts() -> None:
    dataset = Dataset.from_list([{**row, "label": "text 1", "score": 0.5} for row in ROWS])
    made = NoFalseNegatives(dataset, 16, False, valid_label_columns=["label"], seed=0)
    assert list(made) == list(sampler(Dataset.from_list(ROWS)))


def test_what_it_cannot_shuffle_is_said() -> None:
    with pytest.raises(OptionError, match="needs an anchor and a positive; the columns are \\['anchor'\\]"):
        sampler(Dataset.from_list([{"anchor": "a"}]))
    with pytest.raises(OptionError, match=r"give a datasets\.Dataset, not a stream"):
        sampler(IterableDataset.from_generator(lambda: iter(ROWS)))


def test_a_trainer_takes_it(tiny_models: TinyModels, tmp_path: Path) -> None:
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model = SentenceTransformer(str(tiny_models.bi_encoder), device="cpu")
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path / "out"),
        batch_sampler=NoFalseNegatives,
        per_device_train_batch_size=16,
        max_steps=2,
        use_cpu=True,
        report_to="none",
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(ROWS),
        loss=MultipleNegativesRankingLoss(model),
    )
    assert isinstance(trainer.get_train_dataloader().batch_sampler, NoFalseNegatives)
    trainer.train()
    assert trainer.state.global_step == 2
