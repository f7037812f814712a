"""Whether what hardneg promises holds, over draws of which positives are known.

    python -m benchmarks.promise --data DATA --runs RUNS

Takes the scored runs of ``benchmarks.false_negatives`` and runs no model. Of the queries that are calibrated on, the
judge sees what a calibration sample scores (``sample_rows``), or everything with ``--all-scored``. All judgements of a
collection, known and hidden, are pooled; in each draw some are known anew (one a query, or half of a query's, rounded
up), the rest are hidden. The judge is fitted and calibrated on what is known, and what is then mined is judged by what
is hidden.
Calibrated are all queries that are mined; or, as ``hardneg mine`` does, the sample of them that it takes, which is the
same in every draw; or one half of the queries, drawn anew, and the other half is mined. Where some queries have a
single relevant text, which is always known, there is nothing hidden in them to compare with: ``several`` leaves them
out altogether.

A false-negative rate is kept in a draw if the true rate of what is mined is at most the target; only draws whose
status is ``estimated`` promise anything. A leak rate is kept if the mean over draws of the hidden positives' leak
rate, each query weighing the same, is at most alpha plus two standard errors.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.promise.rows import (
    SIMILARITY,
    Labelling,
    Mask,
    Rows,
    draw_half,
    draw_known,
    read_rows,
    relevant_passages,
)
from benchmarks.withheld import NAMES, Collection, read_collection
from hardneg.errors import HardnegError
from hardneg.transforms.core.text import cut_digest
from hardneg.transforms.judge.counts import selection_counts
from hardneg.transforms.judge.false_negative_rate import DEFAULT_GAMMA, Choice, choose, extract
from hardneg.transforms.judge.gamma import estimate_gamma
from hardneg.transforms.judge.judge import apply_judge, cross_fit, fit_judge
from hardneg.transforms.judge.leak_rate import leak_rate_threshold
from hardneg.transforms.judge.sample_rows import SampleRows, all_rows, sample_rows

NEGATIVES = 5
TARGETS = (0.02, 0.05, 0.1)
LEAKS = (0.01, 0.05, 0.1)
LABELLINGS: tuple[Labelling, ...] = ("one", "half")
Numbers = list[int]
KEPT_IN = 0.9  # of the draws whose status is estimated


@dataclass(frozen=True)
class Outcome:
    """What was promised in one draw, and what came of it.

    Attributes:
        kind: ``false-negative rate`` or ``leak rate``.
        target: what was asked.
        status: ``estimated`` or ``unsupported``.
        positives: known positives that were counted.
        gamma: the allowance; None for a leak rate.
        bound: what was promised; None where nothing was.
        rate: the true rate of this kind; None where nothing was mined, or nothing hidden was retrieved.
        yielded: mined / asked for.
        hardness: mean similarity of the mined; None without any.
    """

    kind: str
    target: float
    status: str
    positives: int
    gamma: float | None = None
    bound: float | None = None
    rate: float | None = None
    yielded: float = 0.0
    hardness: float | None = None


@dataclass(frozen=True)
class Promised:
    """A threshold, what was promised of it, and the scores that it is compared with in the queries to be mined."""

    kind: str
    target: float
    status: str
    positives: int
    gamma: float | None
    bound: float | None
    threshold: float | None
    scores: npt.NDArray[np.float32]


def promise(
    sample: Rows, sample_known: Mask, rows: Rows, targets: Sequence[float], leaks: Sequence[float], all_scored: bool
) -> Iterator[Promised]:
    """Fit the judge on a sample, calibrate, and score the rows to be mined: the program's own functions.

    Thresholds come from scores that are cross-fitted over queries; the judge that scores ``rows`` is fitted on all of
    the sample. Gamma is at least the default, and more where queries with several positives show it.

    Args:
        sample: the queries to calibrate on.
        sample_known: bool, one a row of ``sample``: the known positives.
        rows: the queries to be mined.
        targets: false-negative rates.
        leaks: leak rates.
        all_scored: take all candidates of the sample for scored.
    """
    known = sample_known & sample.retrieved
    part = scored_part(sample, sample_known, all_scored)
    labels: dict[str, Any] = {
        "is_candidate": sample.retrieved & ~sample_known,
        "in_window": sample.retrieved,
        "weight": np.where(sample_known, 1, part.weight),
    }
    scores = cross_fit(sample.signals, sample.query_ids, sample.query, sample_known, **labels)
    judge = fit_judge(sample.signals, sample.query, sample_known, **labels)
    published = apply_judge(judge, rows.signals, rows.query, in_window=rows.retrieved)
    here = (part.weight > 0) | known
    in_order, weight = part.in_order[here], part.weight[here]
    counts = selection_counts(
        sample.query_ids, sample.query[here], scores[here], known[here], NEGATIVES, in_order=in_order, weight=weight
    )
    seen = estimate_gamma(scores[known], sample.query[known], np.ones(int(known.sum()), dtype=np.bool_))
    gamma = max(DEFAULT_GAMMA, seen.gamma if seen else 1.0)
    estimate = extract(counts, gamma)
    n = int(known.sum())
    for target in targets:
        found: Choice = choose(estimate, target)
        yield Promised(
            "false-negative rate", target, found.status, n, gamma, found.upper_bound, found.threshold, published
        )
    for alpha in leaks:
        try:
            threshold = leak_rate_threshold(scores[known], alpha)
        except HardnegError:
            yield Promised("leak rate", alpha, "unsupported", n, None, None, None, published)
        else:
            yield Promised("leak rate", alpha, "estimated", n, None, alpha, threshold, published)


def scored_part(sample: Rows, known: Mask, all_scored: bool) -> SampleRows:
    """Return what a calibration sample scores of some queries; lots are drawn by the pair, as in the program."""
    candidate, counted = sample.retrieved & ~known, sample.retrieved & known
    if all_scored:
        return all_rows(candidate, counted)
    order = -np.arange(len(known)).astype(np.float64)  # rows stand in selection order
    lots = sample.pair.view(np.uint64).reshape(len(known), -1)[:, 0] >> np.uint64(11)
    return sample_rows(sample.query, candidate, counted, order, lots.astype(np.int64), NEGATIVES)


def outcome(promised: Promised, rows: Rows, known: Mask) -> Outcome:
    """Mine by what was promised, and say what is true of it."""
    said = (promised.kind, promised.target, promised.status, promised.positives, promised.gamma, promised.bound)
    if promised.threshold is None:
        return Outcome(*said)
    passes = promised.scores < promised.threshold
    mined = mine(rows, passes & rows.retrieved & ~known)
    similarity = rows.signals[SIMILARITY][mined]
    return Outcome(
        *said,
        rate=_leak_rate(rows, known, passes) if promised.kind == "leak rate" else _share(rows.relevant[mined]),
        yielded=float(mined.sum() / (NEGATIVES * len(rows.query_ids))),
        hardness=float(similarity.mean()) if mined.any() else None,
    )


def mine(rows: Rows, may: Mask) -> Mask:
    """Return the first negatives of each query among the rows that may be mined."""
    chosen = np.flatnonzero(may)
    owner = rows.query[chosen]
    place = np.arange(len(chosen)) - np.searchsorted(owner, owner)
    mined = np.zeros(len(may), dtype=np.bool_)
    mined[chosen[place < NEGATIVES]] = True
    return mined


def _share(relevant: Mask) -> float | None:
    return float(relevant.mean()) if len(relevant) else None


def _leak_rate(rows: Rows, known: Mask, passes: Mask) -> float | None:
    """Return the share of hidden relevant passages that pass, each query weighing the same."""
    hidden = rows.relevant & rows.retrieved & ~known
    size = np.bincount(rows.query[hidden], minlength=len(rows.query_ids))
    leaked = np.bincount(rows.query[hidden & passes], minlength=len(rows.query_ids))
    return float((leaked[size > 0] / size[size > 0]).mean()) if hidden.any() else None


def modes(
    rows: Rows, relevant: dict[str, list[str]], sample_size: int, draw: int
) -> list[tuple[str, Numbers, Numbers]]:
    """Return (name, queries to calibrate on, queries to mine), as numbers."""
    everything = list(range(len(rows.query_ids)))
    half, other = draw_half(rows.query_ids, draw)
    found = [("all", everything, everything), ("the other half", half, other)]
    sample = sorted(everything, key=lambda number: cut_digest(rows.query_ids[number]))[:sample_size]
    if len(sample) < len(everything):
        found.insert(1, ("the sample", sample, everything))
    several = [number for number in everything if len(relevant[rows.query_ids[number]]) > 1]
    if len(several) < len(everything):
        found.append(("several", several, several))
    return found


def try_draw(
    rows: Rows,
    collection: Collection,
    relevant: dict[str, list[str]],
    labelling: Labelling,
    draw: int,
    sample: int,
    all_scored: bool,
) -> Iterator[tuple[str, Outcome]]:
    """Yield (which queries were calibrated on, outcome) of a draw."""
    known = draw_known(rows, collection, relevant, labelling, draw)
    for name, calibrated, mined in modes(rows, relevant, sample, draw):
        part, part_known = rows.of(mined), known[np.isin(rows.query, mined)]
        calibration = rows.of(calibrated), known[np.isin(rows.query, calibrated)]
        for promised in promise(*calibration, part, TARGETS, LEAKS, all_scored):
            yield name, outcome(promised, part, part_known)


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of one kind, target, labelling and mode over draws."""
    made = [each for each in outcomes if each.status == "estimated"]
    rates = np.array([each.rate for each in made if each.rate is not None])
    hardness = [each.hardness for each in made if each.hardness is not None]
    found: dict[str, Any] = {
        "draws": len(outcomes),
        "estimated": len(made),
        "positives": float(np.mean([each.positives for each in outcomes])),
        "gamma": _mean([each.gamma for each in made if each.gamma is not None]),
        "mean_rate": _mean(rates),
        "highest_rate": float(rates.max()) if len(rates) else None,
        "yield": _mean([each.yielded for each in made]),
        "hardness": _mean(hardness),
    }
    target = outcomes[0].target
    if outcomes[0].kind == "leak rate":
        error = float(rates.std(ddof=1) / np.sqrt(len(rates))) if len(rates) > 1 else 0.0
        return found | {
            "limit": target + 2 * error,
            "is_kept": bool(not len(rates) or rates.mean() <= target + 2 * error),
        }
    kept = int((rates <= target).sum()) + len(made) - len(rates)  # nothing mined: nothing false among it
    return found | {"kept": kept, "is_kept": kept >= KEPT_IN * len(made)}


def _mean(values: Sequence[float] | npt.NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def line(found: dict[str, Any]) -> str:
    """Return one row of the table."""
    kept = f"{found['kept']} of {found['estimated']}" if "kept" in found else f"limit {found['limit']:.2%}"
    if not found["estimated"]:
        kept = "nothing promised"
    verdict = "" if not found["estimated"] else "yes" if found["is_kept"] else "NO"
    return (
        f"{found['collection']:18}{found['known']:>6}  {found['calibrated']:16}{found['kind']:20}"
        f"{found['target']:>6.0%}"
        f"{found['estimated']:>5}/{found['draws']:<3}{kept:>18}{verdict:>5}{_percent(found['mean_rate']):>8}"
        f"{_percent(found['highest_rate']):>9}{_percent(found['yield']):>8}"
        f"{'' if found['hardness'] is None else format(found['hardness'], '.3f'):>10}{found['positives']:>11.0f}"
        f"{'' if found['gamma'] is None else format(found['gamma'], '.2f'):>7}"
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


HEAD = (
    f"{'':18}{'known':>6}  {'calibrated':16}{'promise':20}{'asked':>6}{'estimated':>9}{'kept':>18}{'':>5}{'mean':>8}"
    f"{'highest':>9}{'yield':>8}{'hardness':>10}{'positives':>11}{'gamma':>7}"
)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the collections")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of the scored runs")
    parser.add_argument("--collections", nargs="+", default=list(NAMES))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--calibration-queries", type=int, default=400, help="at most; as hardneg's option of the name")
    parser.add_argument("--all-scored", action="store_true", help="calibrate on all candidates, not a sample's part")
    options = parser.parse_args(argv)
    how = (options.calibration_queries, options.all_scored)
    print(HEAD)
    summaries, everything = [], []
    for name in options.collections:
        collection = read_collection(options.data / name)
        rows, relevant = read_rows(str(options.runs / name), collection), relevant_passages(collection)
        for labelling in LABELLINGS:
            outcomes: dict[tuple[str, str, float], list[Outcome]] = {}
            for draw in range(options.draws):
                tried = try_draw(rows, collection, relevant, labelling, draw, *how)
                for calibrated, each in tried:
                    outcomes.setdefault((calibrated, each.kind, each.target), []).append(each)
                    about = {"collection": name, "known": labelling, "calibrated": calibrated, "draw": draw}
                    everything.append(about | asdict(each))
            for (calibrated, kind, target), several in outcomes.items():
                about = {
                    "collection": name,
                    "known": labelling,
                    "calibrated": calibrated,
                    "kind": kind,
                    "target": target,
                }
                summaries.append(about | summarise(several))
                print(line(summaries[-1]), flush=True)
    print(conclusion(summaries))
    data = {"summaries": summaries, "draws": everything}
    (options.runs / "promise.json").write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def conclusion(summaries: Sequence[dict[str, Any]]) -> str:
    """Return whether every promise was kept, and whether any was made at 10 %."""
    broken = [each for each in summaries if each["estimated"] and not each["is_kept"]]
    at_ten = any(
        each["estimated"] for each in summaries if each["kind"] == "false-negative rate" and each["target"] == 0.1
    )
    kept = "every promise was kept" if not broken else f"{len(broken)} of {len(summaries)} lines were not kept"
    return f"{kept}; {'some' if at_ten else 'NO'} set was estimated at 10 %"


if __name__ == "__main__":
    main()
