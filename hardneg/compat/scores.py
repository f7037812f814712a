"""A live cross-encoder's scores of pairs, asked for many queries at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from hardneg.compat.pairs import Pairs
from hardneg.compat.search import Pool, Vectors
from hardneg.errors import ModelError
from hardneg.transforms.core.arrays import IntArray

if TYPE_CHECKING:
    from hardneg.compat.bm25 import Bm25Search

_BATCHES = 64  # of a call, each of ``batch_size`` pairs
_LARGEST_LOGIT = 16.6  # whose sigmoid differs from 1 in float32


@dataclass(frozen=True, eq=False)
class PairTexts:
    """The texts of (query, document) places, made when they are looked at: there are more pairs than texts."""

    pairs: Pairs
    query: IntArray
    document: IntArray

    def __len__(self) -> int:
        return len(self.query)

    def __getitem__(self, part: slice) -> list[tuple[str, str]]:
        places = zip(self.query[part].tolist(), self.document[part].tolist(), strict=True)
        return [(self.pairs.queries[query], self.pairs.corpus[document]) for query, document in places]


@dataclass(eq=False)
class LiveCrossEncoder:
    """A cross-encoder object, asked for nothing but ``predict`` and a pool of processes.

    Attributes:
        model: the object.
        batch_size: pairs at a time.
        show: whether to draw a progress bar.
        pool: its processes, if there are several.
        sigmoids: whether its scores are taken for sigmoids; None: nothing has been seen yet.
    """

    model: Any
    batch_size: int
    show: bool
    sigmoids: bool | None = field(default=None, init=False)
    pool: Any = field(default=None, init=False)
    _known: dict[tuple[str, str], float] = field(default_factory=dict, init=False)

    def predict(self, pairs: PairTexts | list[tuple[str, str]]) -> np.ndarray:
        """Return the scores of (query, document) pairs, as the model scales them: float32 (n,).

        Raises:
            HardnegError: not one finite score a pair.
        """
        parts = [np.empty(0, np.float32)]
        size = self.batch_size * _BATCHES
        starts = range(0, len(pairs), size)
        for start in tqdm(starts, desc="Scoring with the cross-encoder", disable=not self.show or len(starts) < 2):
            parts.append(self._predict(pairs[start : start + size]))
        return np.concatenate(parts)

    def _predict(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        given = self.model.predict(pairs, batch_size=self.batch_size, convert_to_tensor=True, pool=self.pool)
        values = torch.as_tensor(given).detach().float().cpu().numpy()
        if values.shape != (len(pairs),):
            raise ModelError(
                f"The cross-encoder gave {values.shape} scores for {len(pairs)} pairs; take one that has one output."
            )
        finite = np.isfinite(values)
        if not finite.all():
            query, document = (text[:60] for text in pairs[int(np.argmin(finite))])
            raise ModelError(
                f"The cross-encoder's score of {query!r} and {document!r} is not finite: run it in float32."
            )
        return values

    def once(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        """Return what ``predict`` does, but remember it, and score no pair a second time."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        self._known.update(zip(new, self.predict(new).tolist(), strict=True))
        return np.array([self._known[pair] for pair in pairs], dtype=np.float32)

    def logits(self, scores: np.ndarray) -> np.ndarray:
        """Return scores as logits, float32, which calibration is made for.

        A cross-encoder object gives sigmoids or logits, as its configuration says. Those are taken for sigmoids
        that all lie between 0 and 1; the first call decides, so it should be of many.

        Raises:
            HardnegError: a later score does not.
        """
        if not len(scores):
            return scores
        inside = bool(((scores >= 0) & (scores <= 1)).all())
        if self.sigmoids is None:
            self.sigmoids = inside
        if not self.sigmoids:
            return scores
        if not inside:
            raise ModelError("The cross-encoder's scores are neither sigmoids nor logits: some only lie in 0 to 1.")
        wide = scores.astype(np.float64)
        with np.errstate(divide="ignore"):
            return np.clip(np.log(wide) - np.log1p(-wide), -_LARGEST_LOGIT, _LARGEST_LOGIT).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Found:
    """What was retrieved for a dataset's queries, and what is known of it.

    Attributes:
        pairs: texts and known positives.
        vectors: the bi-encoder's.
        pool: the candidates; their scores are the cross-encoder's if there is one and ``scored``, else similarities.
        positive_scores: float32 (pairs,), of the same kind; None: the cross-encoder has not been asked yet.
        bm25: the index, if BM25 searched too.
        cross_encoder: if there is one.
    """

    pairs: Pairs
    vectors: Vectors
    pool: Pool
    positive_scores: np.ndarray | None
    bm25: Bm25Search | None = None
    cross_encoder: LiveCrossEncoder | None = None

    @property
    def scored(self) -> bool:
        """Whether the pool's scores are those that count."""
        return self.positive_scores is not None

    def scores_of(self, documents: IntArray) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of some of each query's candidates, as ``Pool.scores_of``, and those of the positives."""
        if self.positive_scores is not None:
            return self.pool.scores_of(documents), self.positive_scores
        assert self.cross_encoder is not None
        query, place = np.nonzero(documents >= 0)
        scores = np.full(documents.shape, -np.inf, dtype=np.float32)
        scores[query, place] = self.cross_encoder.once(PairTexts(self.pairs, query, documents[query, place])[:])
        return scores, self.cross_encoder.once(PairTexts(self.pairs, self.pairs.query, self.pairs.document)[:])


def score_pool(cross_encoder: LiveCrossEncoder, pairs: Pairs, pool: Pool) -> tuple[Pool, np.ndarray]:
    """Return the pool with the cross-encoder's scores, and those of the positives, float32 (pairs,).

    A positive that is in the pool is scored once.
    """
    size = len(pairs.corpus)
    query, place = np.nonzero(pool.filled)
    wanted = np.concatenate([query * size + pool.documents[query, place], pairs.query * size + pairs.document])
    keys, back = np.unique(wanted, return_inverse=True)
    scores = cross_encoder.predict(PairTexts(pairs, keys // size, keys % size))[back]
    matrix = np.full(pool.scores.shape, -np.inf, dtype=np.float32)
    matrix[query, place] = scores[: len(query)]
    return Pool(pool.documents, matrix), scores[len(query) :]
