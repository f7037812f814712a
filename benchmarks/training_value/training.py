"""Training a base on an arm's rows with one of the losses, and asking the test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler
from sentence_transformers.sentence_transformer.losses import (
    MultipleNegativesRankingLoss,
    TripletDistanceMetric,
    TripletLoss,
)

from benchmarks.training_value.task import Test
from hardneg.train import NoFalseNegatives

BATCH = 64
EPOCHS = 3
SCALE = 20.0  # what cosines are multiplied by: sentence-transformers' default
MARGIN = 0.2  # of triplets, on cosines
# In the first two only the row's own negatives speak; in the others those of its batch, too.
LOSSES = ("triplet", "group", "mnrl", "mnrl-no-duplicates", "mnrl-no-false-negatives")
STATIC_RATES = {"triplet": 1e-2, "group": 1e-2}
STATIC_RATE, RATE = 2e-3, 2e-5
CUTOFF = 10
_GAINS = 1 / np.log2(np.arange(2, CUTOFF + 2))
_AT_ONCE = 256

Row = tuple[str, str, list[str]]  # anchor, positive, negatives
Batches = Callable[[int], Iterator[list[Row]]]  # of an epoch
Embed = Callable[[Sequence[str]], torch.Tensor]


@dataclass(frozen=True)
class Scores:
    """What the test says: means over its queries, and nDCG@10 of each of its groups, with how many queries it has."""

    ndcg: float
    map: float
    recall: float
    groups: list[float]


def rate_of(base: str, loss: str) -> float:
    """Return the learning rate of a base with a loss."""
    return STATIC_RATES.get(loss, STATIC_RATE) if base == "static" else RATE


def train(
    model: SentenceTransformer, rows: Sequence[Row], loss: str, steps: int, rate: float, seed: int, run: str | None
) -> None:
    """Train a model in place, for so many steps, whatever the number of rows.

    Args:
        model: the base.
        rows: of one negative each; of several for ``group``; of none for in-batch negatives alone.
        loss: one of LOSSES.
        steps: batches; rows come again, in another order, until there are as many.
        rate: the largest learning rate; it rises for a tenth of the steps, then falls to 0.
        seed: of the order.
        run: the run whose knowledge ``mnrl-no-false-negatives`` uses.
    """
    torch.manual_seed(seed)
    model.train()
    compute = _loss_of(model, loss)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm))
    )
    for batch, _ in zip(_endless(_batches_of(rows, loss, seed, run)), range(steps), strict=False):
        optimizer.zero_grad()
        compute(batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def _endless(batches: Batches) -> Iterator[list[Row]]:
    epoch = 0
    while True:
        yield from batches(epoch)
        epoch += 1


def _batches_of(rows: Sequence[Row], loss: str, seed: int, run: str | None) -> Batches:
    """Return what gives an epoch's batches: shuffled, or by a sampler that keeps rows apart."""
    size = BATCH if loss != "group" else max(2, BATCH // max(1, max(len(row[2]) for row in rows)))
    columns = {"anchor": [row[0] for row in rows], "positive": [row[1] for row in rows]}
    if all(row[2] for row in rows):
        columns["negative"] = [row[2][0] for row in rows]
    more: dict[str, Any] = {"generator": torch.Generator(), "seed": seed}
    sampler: Any = None
    if loss == "mnrl-no-duplicates":
        sampler = NoDuplicatesBatchSampler(Dataset.from_dict(columns), size, False, **more)
    elif loss == "mnrl-no-false-negatives":
        sampler = NoFalseNegatives(Dataset.from_dict(columns), size, False, run=run, **more)

    def batches(epoch: int) -> Iterator[list[Row]]:
        if sampler is None:
            order = np.random.default_rng([seed, epoch]).permutation(len(rows)).tolist()
            numbers = (order[start : start + size] for start in range(0, len(order), size))
        else:
            sampler.set_epoch(epoch)
            numbers = iter(sampler)
        for batch in numbers:
            yield [rows[number] for number in batch]

    return batches


def _loss_of(model: SentenceTransformer, loss: str) -> Callable[[list[Row]], torch.Tensor]:
    if loss == "group":
        return lambda batch: _group_loss(model, batch)
    inner = (
        TripletLoss(model, TripletDistanceMetric.COSINE, MARGIN)
        if loss == "triplet"
        else MultipleNegativesRankingLoss(model, scale=SCALE)
    )

    def compute(batch: list[Row]) -> torch.Tensor:
        columns = [[row[0] for row in batch], [row[1] for row in batch]]
        if batch[0][2]:
            columns.append([row[2][0] for row in batch])
        return inner([_features(model, texts) for texts in columns], torch.empty(0))

    return compute


def _group_loss(model: SentenceTransformer, batch: list[Row]) -> torch.Tensor:
    """Return the mean cross-entropy of each positive among its own negatives."""
    texts = [text for _, positive, negatives in batch for text in (positive, *negatives)]
    sizes = [1 + len(negatives) for *_, negatives in batch]
    anchors, passages = (
        torch.nn.functional.normalize(model(_features(model, each))["sentence_embedding"], dim=1)
        for each in ([row[0] for row in batch], texts)
    )
    owner = torch.repeat_interleave(torch.arange(len(batch)), torch.tensor(sizes))
    scores = SCALE * (anchors[owner] * passages).sum(dim=1)
    losses = [torch.logsumexp(own, 0) - own[0] for own in torch.split(scores, sizes)]
    return torch.stack(losses).mean()


def _features(model: SentenceTransformer, texts: list[str]) -> dict[str, torch.Tensor]:
    return {name: value.to(model.device) for name, value in model.preprocess(texts).items()}


def ask(model: SentenceTransformer, test: Test) -> Scores:
    """Return how well a model ranks a test's passages."""
    with torch.inference_mode():
        passages, queries = (
            torch.from_numpy(model.encode(list(texts.values()), normalize_embeddings=True, batch_size=256))
            for texts in (test.corpus, test.queries)
        )
    place = {passage: number for number, passage in enumerate(test.corpus)}
    found: dict[str, tuple[float, float, float]] = {}
    ids = list(test.queries)
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        scores = queries[start : start + _AT_ONCE] @ passages.T
        orders = torch.argsort(scores, dim=1, descending=True, stable=True).numpy()
        for query, order in zip(part, orders, strict=True):
            found[query] = _figures(order, [place[each] for each in test.relevant[query]])
    ndcg, mean_precision, recall = (float(np.mean(each)) for each in zip(*found.values(), strict=True))
    groups = [math.fsum(found[query][0] for query in group) for group in test.groups]
    return Scores(ndcg, mean_precision, recall, groups)


def _figures(order: np.ndarray, relevant: list[int]) -> tuple[float, float, float]:
    """Return nDCG@10, average precision and recall@10 of passages in an order, given the places of the relevant."""
    right = np.zeros(len(order), dtype=bool)
    right[relevant] = True
    hits = np.flatnonzero(right[order])
    top = hits[hits < CUTOFF]
    precision = np.arange(1, len(hits) + 1) / (hits + 1)
    best = _GAINS[: min(CUTOFF, len(hits))].sum()
    return float(_GAINS[top].sum() / best), float(precision.mean()), len(top) / len(hits)
