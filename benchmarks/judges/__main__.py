"""Which judge: the false negatives that each is estimated to let into what is mined, at equal hardness.

    python -m benchmarks.judges --data DATA --runs RUNS

Takes the scored runs of ``benchmarks.false_negatives`` and runs no model. Judges are fitted and compared by
cross-fitting over queries on the known positives alone: each is counted as if it had not been known
(``false_negative_rate.count``), at the thresholds at which the mined are equally hard. The second figure is the true
rate, by the hidden judgements: it is there to see whether the first one tells the truth, and no judge was chosen by it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from benchmarks.promise.rows import SIMILARITY, Mask, Rows, read_rows
from benchmarks.withheld import NAMES, Collection, keys, read_collection
from hardneg.transforms.core.hashing import Keys, pair_keys
from hardneg.transforms.filters.order import select
from hardneg.transforms.judge.counts import edges, selection_counts
from hardneg.transforms.judge.false_negative_rate import extract
from hardneg.transforms.judge.judge import cross_fit, fold_of

NEGATIVES = 5
FOLDS = 5
PENALTIES = (1.0, 10.0, 100.0)
Scores = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


def judges(rows: Rows, known: Mask) -> Iterator[tuple[str, Scores]]:
    """Yield each judge's name and its cross-fitted scores."""
    base = rows.signals
    ranked = {**base, "log_rank": -np.log(rows.fused_rank)}
    labels: dict[str, Any] = {"is_candidate": rows.retrieved & ~known, "in_window": rows.retrieved}

    def fitted(signals: dict[str, Floats], global_only: tuple[str, ...]) -> Scores:
        return cross_fit(signals, rows.query_ids, rows.query, known & rows.retrieved, global_only, **labels)

    yield "combined", fitted(base, ("logit",))
    yield "combined, logit within the query too", fitted(base, ())
    yield "combined, all signals globally only", fitted(base, tuple(base))
    yield "combined and the fused rank", fitted(ranked, ("logit", "log_rank"))
    for left_out in base:
        yield f"combined without {left_out}", fitted({n: v for n, v in base.items() if n != left_out}, ("logit",))
    features = _features(rows)
    for penalty in PENALTIES:
        yield f"logistic regression, penalty {penalty:g}", _logistic(rows, known, features, penalty)
    yield "logit alone", _standardised(base["logit"], rows.retrieved)
    yield "similarity alone", _standardised(base[SIMILARITY], rows.retrieved)


def _standardised(values: Floats, where: Mask) -> Scores:
    return np.clip((values - values[where].mean()) / values[where].std(), -10, 10).astype(np.float32)


def _features(rows: Rows) -> Floats:
    """Return what the combined judge adds up: the signals over the collection, the cheap ones within the query."""
    here, query = rows.retrieved, rows.query
    columns = []
    for name, values in rows.signals.items():
        columns.append(np.asarray(_standardised(values, here), dtype=np.float64))
        if name != "logit":
            size = np.maximum(np.bincount(query[here], minlength=len(rows.query_ids)), 1)
            mean = np.bincount(query[here], values[here], len(rows.query_ids)) / size
            square = np.bincount(query[here], (values[here] - mean[query[here]]) ** 2, len(rows.query_ids)) / size
            deviation = np.sqrt(np.where(square > 0, square, 1.0))
            columns.append((values - mean[query]) / deviation[query])
    return np.stack(columns, axis=1)


def _logistic(rows: Rows, known: Mask, features: Floats, penalty: float) -> Scores:
    """Return cross-fitted scores of a regression of known positives against all candidates, both weighing the same."""
    fold = np.array([fold_of(each, FOLDS) for each in rows.query_ids])[rows.query]
    scores = np.zeros(len(features))
    for held_out in range(FOLDS):
        fitted_on = (fold != held_out) & rows.retrieved
        scores[fold == held_out] = features[fold == held_out] @ _weights(
            features[fitted_on], known[fitted_on].astype(np.float64), penalty
        )
    return _standardised(scores, rows.retrieved)


def _weights(features: Floats, label: Floats, penalty: float) -> Floats:
    weight = np.where(label == 1, 1.0, label.sum() / max(1.0, (1 - label).sum()))

    def loss(point: Floats) -> tuple[float, Floats]:
        score = features @ point[1:] + point[0]
        error = weight * (1 / (1 + np.exp(-score)) - label)
        value = float((weight * (np.logaddexp(0, score) - label * score)).sum() + penalty / 2 * point[1:] @ point[1:])
        return value, np.concatenate([[error.sum()], features.T @ error + penalty * point[1:]])

    return np.asarray(minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B").x[1:])


def curve(rows: Rows, known: Mask, scores: Scores) -> Floats:
    """Return (hardness, estimated rate, true rate, yield) at every second threshold that gives a tenth of the yield."""
    here = rows.retrieved
    counted = selection_counts(rows.query_ids, rows.query[here], scores[here], known[here], NEGATIVES)
    estimate = extract(counted, 1.0)
    ordered = np.flatnonzero(here & ~known)
    asked = NEGATIVES * len(rows.query_ids)
    points = []
    for place, threshold in list(enumerate(edges()))[::2]:
        mined = select(rows.query, ordered, here & ~known & (scores < threshold), NEGATIVES) > 0
        if mined.sum() >= asked / 10:
            hardness, true = rows.signals[SIMILARITY][mined].mean(), rows.relevant[mined].mean()
            points.append((hardness, estimate.f[place] / estimate.mined[place], true, mined.sum() / asked))
    return np.array(sorted(points))


def _known_pairs(collection: Collection) -> Keys:
    """Return the key of each known (query, normalised passage text)."""
    pairs = [(query, passage) for query, passages in collection.known.items() for passage in passages]
    texts = collection.passage_keys.get(keys([passage for _, passage in pairs]))
    return pair_keys(keys([query for query, _ in pairs]), texts)


def compare(collection: Collection, run: str, columns: int) -> None:
    """Print each judge's rates at the same hardnesses."""
    rows = read_rows(run, collection)
    known = np.isin(rows.pair, _known_pairs(collection))
    curves = {name: curve(rows, known, scores) for name, scores in judges(rows, known)}
    low, high = max(each[0, 0] for each in curves.values()), min(each[-1, 0] for each in curves.values())
    at = np.linspace(low, high, columns + 1)[1:]
    print(f"\n{collection.name}: estimated / true false-negative rate in %, at a mean similarity of")
    print(" " * 38 + "".join(f"{hardness:>15.3f}" for hardness in at) + "  yield (least)")
    for name, points in curves.items():
        rates = [100 * np.interp(at, points[:, 0], points[:, column]) for column in (1, 2)]
        cells = "".join(f"{estimated:8.2f} /{true:5.2f}" for estimated, true in zip(*rates, strict=True))
        print(f"{name:38}{cells}{np.interp(at, points[:, 0], points[:, 3]).min():10.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--collections", nargs="+", default=list(NAMES))
    parser.add_argument("--columns", type=int, default=5, help="hardnesses to compare at")
    args = parser.parse_args()
    for name in args.collections:
        collection = read_collection(args.data / name)
        compare(collection, str(args.runs / collection.name), args.columns)


if __name__ == "__main__":
    main()
