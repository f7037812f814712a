"""From the signals of a pair to the one score that is thresholded: the judge.

Each signal is standardised over the collection and within its query, and the sums are weighted by how
often the signal puts a known positive above a candidate of the same query. Nothing here depends on the
order of rows or of signals, nor on how queries are cut into blocks.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hardneg.errors import InputError
from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.judge.counts import SCORE_RANGE, Scale

Signals = Mapping[str, npt.ArrayLike]
Mask = npt.ArrayLike | None

WEIGHT_FLOOR = 0.01  # a signal no better than chance keeps this much beside weights of 1 to 4
FOLDS = 5
_VERSION = 1
_NO_SPREAD = 1e-6  # deviations this small beside the values are rounding: signals are float32


@dataclass(frozen=True)
class SignalPart:
    """What the judge makes of one signal.

    Attributes:
        name: the signal.
        mean: over the collection.
        deviation: over the collection; 0 if the signal is constant, which then says nothing.
        separation: how often a known positive scores above a candidate of its query; None if not fitted.
        weight: the signal's share; all shares of a judge sum to 1.
        within_query: whether the signal is also standardised within the query. Not so for a signal that
            is scored lazily, as its mean over the query would need every candidate scored.
    """

    name: str
    mean: float
    deviation: float
    separation: float | None
    weight: float
    within_query: bool


@dataclass(frozen=True)
class Judge:
    """A named, frozen function from signals to one score; higher means more relevant.

    Attributes:
        parts: one a signal, sorted by name.
        scale: the scale of its scores, which decides the thresholds that can be chosen.
    """

    parts: tuple[SignalPart, ...]
    scale: Scale = "standardised"

    @property
    def signals(self) -> tuple[str, ...]:
        """The names of the signals it needs."""
        return tuple(part.name for part in self.parts)

    @property
    def fingerprint(self) -> str:
        """32 hex digits that change whenever a score could."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.blake2b(canonical.encode("utf-8"), digest_size=16).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; floats come back bit for bit."""
        return {"version": _VERSION, "scale": self.scale, "signals": [asdict(part) for part in self.parts]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Judge:
        """Build the judge that ``to_dict`` described.

        Raises:
            InputError: not such a description, or one of another version.
        """
        if data.get("version") != _VERSION:
            raise InputError(
                f"the judge has version {data.get('version')}, this program reads {_VERSION}: calibrate again"
            )
        if data.get("scale") not in SCORE_RANGE:
            raise InputError(f"the judge has scale {data.get('scale')!r}; known: {sorted(SCORE_RANGE)}")
        try:
            parts = [SignalPart(**part) for part in data["signals"]]
        except (KeyError, TypeError) as error:
            raise InputError(f"the judge's description is damaged ({error}): calibrate again") from error
        return cls(tuple(sorted(parts, key=lambda part: part.name)), data["scale"])


def single_signal_judge(name: str, scale: Scale) -> Judge:
    """Return the judge that is one signal as it stands (clamped to its scale): needs no fitting."""
    return Judge((SignalPart(name, 0.0, 1.0, None, 1.0, within_query=False),), scale)


def fit_judge(
    signals: Signals,
    query: npt.ArrayLike,
    is_positive: npt.ArrayLike,
    global_only: Collection[str] = (LOGIT,),
    *,
    is_candidate: Mask = None,
    in_window: Mask = None,
    weight: npt.ArrayLike | None = None,
) -> Judge:
    """Fit means, deviations and weights on a calibration sample.

    weight = log(s / (1 - s)), at least ``WEIGHT_FLOOR``, divided by the sum of all; s = (wins + ties / 2 +
    0.5) / (comparisons + 1), over all pairs of a known positive and a candidate of the same query. Weights
    of log odds are those of independent votes (Nitzan and Paroush 1982). Sums are correctly rounded, so
    the order of rows does not matter in any bit.

    Args:
        signals: per name, float (rows,).
        query: (rows,); any labels of the queries, in any order.
        is_positive: bool (rows,); known positives.
        global_only: signals that are not standardised within the query.
        is_candidate: bool (rows,); what positives are compared with. Default: all that is not positive.
        in_window: bool (rows,); retrieved inside the rank window. Only these rows enter means, deviations
            and comparisons. Default: all.
        weight: int (rows,); how many rows a row stands for in the signals of ``global_only``, which are scored for a
            part of the rows: those of weight 0 may lack them. Default: 1.

    Raises:
        InputError: no signal, one with NaN or infinite values, or no row in the window.
        ValueError: arrays of different lengths.
    """
    columns, group = _checked(_where_scored(signals, global_only, weight), query)
    rows = len(group)
    each = np.ones(rows, dtype=np.int64)
    scored = each if weight is None else np.asarray(weight, dtype=np.int64)
    window = _mask(in_window, rows, default=np.ones(rows, dtype=np.bool_))
    positive = _mask(is_positive, rows) & window
    candidate = _mask(is_candidate, rows, default=~_mask(is_positive, rows)) & window & ~positive
    if not window.any():
        raise InputError("nothing was retrieved inside the rank window: there is nothing to fit a judge on")
    raw: list[tuple[str, float, float, float, float]] = []
    for name, values in columns.items():
        stands_for = scored if name in global_only else each
        mean, deviation = _collection_constants(values[window], stands_for[window])
        s = _separation(values, group, positive & (stands_for > 0), np.where(candidate, stands_for, 0))
        raw.append((name, mean, deviation, s, max(math.log(s / (1 - s)), WEIGHT_FLOOR)))
    total = math.fsum(weight for *_, weight in raw)
    return Judge(
        tuple(
            SignalPart(name, mean, deviation, s, weight / total, name not in global_only)
            for name, mean, deviation, s, weight in raw
        )
    )


def apply_judge(
    judge: Judge, signals: Signals, query: npt.ArrayLike, *, in_window: Mask = None
) -> npt.NDArray[np.float32]:
    """Return the judge's score of every row: float32 (rows,), clamped to its scale.

    All rows of a query must be in one call, as the query's own mean and deviation are taken over them.

    Args:
        judge: a fitted one.
        signals: per name, float (rows,); more signals than the judge needs are ignored.
        query: (rows,); any labels of the queries, in any order.
        in_window: bool (rows,); the rows over which the query's mean and deviation run: everything
            retrieved in the rank window, known positives included. Default: all.

    Raises:
        InputError: a signal is missing, NaN or infinite.
        ValueError: arrays of different lengths.
    """
    return complete_scores(judge, cheap_scores(judge, signals, query, in_window=in_window), signals)


def cheap_scores(judge: Judge, signals: Signals, query: npt.ArrayLike, *, in_window: Mask = None) -> FloatArray:
    """Return the part of the score that comes from signals which every candidate has: float64 (rows,).

    Those are the signals standardised within the query. Arguments and errors as in ``apply_judge``, but
    the other signals are not looked at.
    """
    parts = [part for part in judge.parts if part.within_query]
    if not parts:
        return np.zeros(len(np.asarray(query)), dtype=np.float64)
    columns, group = _checked(signals, query, [part.name for part in parts])
    window = _mask(in_window, len(group), default=np.ones(len(group), dtype=np.bool_))
    total = np.zeros(len(group), dtype=np.float64)
    for part in parts:
        values = columns[part.name]
        standard = _standardise(values, part.mean, part.deviation)
        total += part.weight * (standard + _within_query(values, group, window))
    return total


def complete_scores(judge: Judge, cheap: FloatArray, signals: Signals) -> npt.NDArray[np.float32]:
    """Return the scores of rows whose remaining signals are known by now: float32 (rows,).

    Args:
        judge: the one that made ``cheap``.
        cheap: float64 (rows,); what ``cheap_scores`` gave for these rows, which may be any subset.
        signals: per name, float (rows,); the signals that are used globally only.

    Raises:
        InputError: such a signal is missing, NaN or infinite.
        ValueError: arrays of different lengths.
    """
    parts = [part for part in judge.parts if not part.within_query]
    total = np.array(cheap, dtype=np.float64)
    if parts:
        columns, _ = _checked(signals, np.arange(len(total)), [part.name for part in parts])
        for part in parts:
            total += part.weight * _standardise(columns[part.name], part.mean, part.deviation)
    low, high = SCORE_RANGE[judge.scale]
    return np.clip(total, low, high).astype(np.float32)


def fold_of(query_id: str, folds: int = FOLDS) -> int:
    """Return the fold of a query, by a digest of its id that is unrelated to blocks and samples."""
    digest = hashlib.blake2b(query_id.encode("utf-8"), digest_size=8, person=b"fold").digest()
    return int.from_bytes(digest, "big") % folds


def cross_fit(
    signals: Signals,
    query_ids: Sequence[str],
    query: npt.ArrayLike,
    is_positive: npt.ArrayLike,
    global_only: Collection[str] = (LOGIT,),
    *,
    is_candidate: Mask = None,
    in_window: Mask = None,
    weight: npt.ArrayLike | None = None,
    folds: int = FOLDS,
) -> npt.NDArray[np.float32]:
    """Return scores of which none comes from a judge fitted on its own query: float32 (rows,).

    These are the scores to calibrate on and to compare judges by; the published judge is fitted on all.
    If one fold holds every query there is nothing else to fit on, and it is fitted on itself: so few
    positives support no claim anyway.

    Args:
        query_ids: the queries; decide the folds.
        query: int (rows,); index into ``query_ids``.
        folds: how many parts to cut the queries into.

    The other arguments, and errors, as in ``fit_judge``.
    """
    columns, _ = _checked(_where_scored(signals, global_only, weight), query)
    index = np.asarray(query, dtype=np.int64)
    rows = len(index)
    stands_for = np.ones(rows, dtype=np.int64) if weight is None else np.asarray(weight, dtype=np.int64)
    fold = np.array([fold_of(each, folds) for each in query_ids], dtype=np.int64)[index]
    positive = _mask(is_positive, rows)
    candidate = _mask(is_candidate, rows, default=~positive)
    window = _mask(in_window, rows, default=np.ones(rows, dtype=np.bool_))
    scores = np.empty(rows, dtype=np.float32)
    for held_out in np.unique(fold):
        here = fold == held_out
        fitted_on = ~here if (window & ~here).any() else here
        judge = fit_judge(
            {name: values[fitted_on] for name, values in columns.items()},
            index[fitted_on],
            positive[fitted_on],
            global_only,
            is_candidate=candidate[fitted_on],
            in_window=window[fitted_on],
            weight=stands_for[fitted_on],
        )
        part = {name: values[here] for name, values in columns.items()}
        scores[here] = apply_judge(judge, part, index[here], in_window=window[here])
    return scores


def _where_scored(signals: Signals, lazily: Collection[str], weight: npt.ArrayLike | None) -> Signals:
    """Return signals in which those that are scored lazily are 0 where nothing is scored."""
    if weight is None:
        return signals
    scored = np.asarray(weight) > 0
    return {name: np.where(scored, values, 0.0) if name in lazily else values for name, values in signals.items()}


def _checked(
    signals: Signals, query: npt.ArrayLike, names: Sequence[str] | None = None
) -> tuple[dict[str, FloatArray], IntArray]:
    """Return the named signals, sorted by name, as float64, and the queries as numbers from 0."""
    group = np.unique(np.asarray(query), return_inverse=True)[1].astype(np.int64).ravel()
    wanted = sorted(signals if names is None else names)
    if not wanted:
        raise InputError("a judge needs at least one signal")
    columns = {}
    for name in wanted:
        if name not in signals:
            raise InputError(f"the judge needs the signal {name!r}; there are {sorted(signals)}")
        values = np.asarray(signals[name], dtype=np.float64)
        if values.shape != group.shape:
            raise ValueError(f"signal {name!r} has shape {values.shape}, query has {group.shape}")
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise InputError(
                f"signal {name!r} is missing, NaN or infinite in {bad} of {len(values)} rows: every row that "
                "is judged needs every signal of the judge"
            )
        columns[name] = values
    return columns, group


def _mask(mask: Mask, rows: int, default: BoolArray | None = None) -> BoolArray:
    if mask is None and default is not None:
        return default
    result = np.asarray(mask, dtype=np.bool_)
    if result.shape != (rows,):
        raise ValueError(f"a mask has shape {result.shape}, query has ({rows},)")
    return result


def _collection_constants(values: FloatArray, weight: IntArray) -> tuple[float, float]:
    """Return mean and deviation; ``fsum`` rounds once, so they do not depend on the order of values."""
    total = int(weight.sum())
    if not total:
        return 0.0, 0.0
    mean = math.fsum(values * weight) / total
    deviation = math.sqrt(math.fsum((values - mean) ** 2 * weight) / total)
    return mean, deviation if deviation > _NO_SPREAD * float(np.abs(values[weight > 0]).max()) else 0.0


def _standardise(values: FloatArray, mean: float, deviation: float) -> FloatArray:
    return (values - mean) / deviation if deviation > 0 else np.zeros_like(values)


def _within_query(values: FloatArray, group: IntArray, window: BoolArray) -> FloatArray:
    """Standardise within the query, over the rows in the window; 0 where they do not differ.

    Each query's sums run over its values in ascending order, one after the other, so they depend neither
    on the order of rows nor on the other queries of the block.
    """
    groups = int(group.max(initial=-1)) + 1
    order = np.lexsort((values, group))
    order = order[window[order]]
    own, ascending = group[order], values[order]
    size = np.maximum(np.bincount(own, minlength=groups), 1)
    mean = np.bincount(own, weights=ascending, minlength=groups) / size
    squares = np.bincount(own, weights=(ascending - mean[own]) ** 2, minlength=groups)
    deviation = np.sqrt(squares / size)
    magnitude = np.zeros(groups)
    np.maximum.at(magnitude, own, np.abs(ascending))
    spread = deviation > _NO_SPREAD * magnitude
    centred = values - mean[group]
    return np.divide(centred, deviation[group], out=np.zeros_like(values), where=spread[group])


def _separation(values: FloatArray, group: IntArray, positive: BoolArray, weight: IntArray) -> float:
    """Return how often a positive scores above a candidate of its query, shrunk towards one half.

    Args:
        weight: how many candidates a row stands for; 0: it is none.
    """
    rank = np.unique(values, return_inverse=True)[1].astype(np.int64).ravel()
    width = int(rank.max(initial=0)) + 1
    key = group * width + rank  # orders by query, then by value
    rows = np.flatnonzero(weight)
    rows = rows[np.argsort(key[rows], kind="stable")]
    candidates, sums = key[rows], np.concatenate([[0], np.cumsum(weight[rows])])
    start = sums[np.searchsorted(candidates, group[positive] * width, side="left")]
    end = sums[np.searchsorted(candidates, (group[positive] + 1) * width, side="left")]
    below = sums[np.searchsorted(candidates, key[positive], side="left")] - start
    not_above = sums[np.searchsorted(candidates, key[positive], side="right")] - start
    wins, ties, comparisons = int(below.sum()), int((not_above - below).sum()), int((end - start).sum())
    return (wins + ties / 2 + 0.5) / (comparisons + 1)
