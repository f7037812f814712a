"""Simulated collections whose truth is known, some of them made to break the promise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """A collection to draw; scores of what is not relevant have mean 0 and deviation 1.

    Attributes:
        name: printed.
        queries: each with one known positive.
        candidates: of each query.
        relevant: share of the candidates that is.
        judge: how much higher relevant passages are judged.
        order: how much earlier they stand in selection order.
        broad: share of the queries that hold nine tenths of the relevant candidates; 0: all alike.
        easier: how much lower than the known positives the unlabelled relevant passages score.
        wrong: share of the relevant passages, known or not, that the judge puts in a narrow band of scores.
        band: the middle of that band.
    """

    name: str
    queries: int = 225
    candidates: int = 80
    relevant: float = 0.05
    judge: float = 2.0
    order: float = 2.0
    broad: float = 0.0
    easier: float = 0.0
    wrong: float = 0.0
    band: float = -1.0


WORLDS = (
    World("2 % relevant, separation 2.5", relevant=0.02, judge=2.5),
    World("5 % relevant, separation 2", relevant=0.05, judge=2.0),
    World("2 % relevant, separation 1.2", relevant=0.02, judge=1.2),
    World("20 % relevant, separation 2", relevant=0.20, judge=2.0),
    World("10 % relevant, in broad queries", relevant=0.10, judge=1.6, broad=0.2),
    World("10 % relevant, most of them deep", relevant=0.10, judge=2.5, order=0.3),
    World("15 % judged wrong, at -1", wrong=0.15, band=-1.0),
    World("30 % judged wrong, at -1.5", judge=2.5, wrong=0.30, band=-1.5),
    World("15 % judged wrong, at 0.5", judge=3.0, wrong=0.15, band=0.5),
    World("5 % judged wrong, 10 % relevant", relevant=0.10, judge=2.5, wrong=0.05, band=-1.5),
    World("40 positives", queries=40, relevant=0.03, judge=2.5),
    World("60 positives, 1 % relevant", queries=60, relevant=0.01, judge=2.5),
    World("80 positives, 10 % judged wrong", queries=80, relevant=0.03, judge=2.5, wrong=0.1),
    World("1,500 positives", queries=1500, relevant=0.10, judge=2.0, order=1.5),
    World("unlabelled ones score lower", relevant=0.10, judge=2.5, easier=0.2),
)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A drawn collection, each array (queries, candidates + 1), in selection order.

    Attributes:
        relevant: by truth.
        score: float32; the judge's.
        known: the known positive of each query.
    """

    relevant: Mask
    score: npt.NDArray[np.float32]
    known: Mask

    def mined(self, threshold: float, negatives: int) -> Mask:
        """Return what the whole rule mines at a threshold."""
        passes = (self.score < threshold) & ~self.known
        return passes & (np.cumsum(passes, axis=1) <= negatives)


def draw(world: World, rng: np.random.Generator) -> Drawn:
    """Draw a collection."""
    shape = (world.queries, world.candidates + 1)
    share = np.full((world.queries, 1), world.relevant)
    if world.broad:
        is_broad = rng.random((world.queries, 1)) < world.broad
        narrow = 0.1 * world.relevant / (1 - world.broad)
        share = np.where(is_broad, 0.9 * world.relevant / world.broad, narrow)
    relevant = rng.random(shape) < share
    relevant[:, 0] = True
    known = np.zeros(shape, dtype=np.bool_)
    known[:, 0] = True
    order = np.argsort(-rng.normal(world.order * relevant), axis=1)
    higher = world.judge - world.easier * ~known
    score = rng.normal(relevant * higher) + 0.3 * rng.normal(size=(world.queries, 1))
    wrong = relevant & (rng.random(shape) < world.wrong)
    score = np.where(wrong, rng.normal(world.band, 0.2, shape), score)
    rows = np.arange(world.queries)[:, None]
    return Drawn(relevant[rows, order], score.astype(np.float32)[rows, order], known[rows, order])
