"""What `--why` found of a pair, as a table for a terminal; nothing here prints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.report.page import shortened
from hardneg.pipelines.report.reason_texts import meaning, options_of
from hardneg.pipelines.report.tables import plain
from hardneg.pipelines.report.why import Why
from hardneg.transforms.core.arrays import sigmoid
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.filters.verdicts import Verdict

_MOST_CELLS = 400


def why_table(answer: Why) -> Table:
    """Return a pair's story, a line a fact: texts, who found it where, signals, judge, verdict and reason."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in why_rows(answer):
        table.add_row(Text(plain(name)), Text(plain(value)))
    return table


def why_rows(answer: Why) -> Iterator[tuple[str, str]]:
    """Yield (what, its value) for each line."""
    yield "query", f"{answer.query_id}: {shortened(answer.query, _MOST_CELLS)}"
    yield "passage", f"{answer.passage_id}: {shortened(answer.passage, _MOST_CELLS)}"
    row, config = answer.row, answer.config
    if row is None:
        yield (
            "verdict",
            f"none: no retriever found it among its first {config.k:,} for this query, so it was never judged",
        )
        return
    for source in config.sources:
        rank = row.get(source.rank)
        yield f"found by {source.name}", f"not in its first {config.k:,}" if rank is None else f"rank {rank:,}"
    yield (
        "fused rank",
        "none: only looked up, as a known positive" if _none(row, "fused_rank") else _text(row, "fused_rank"),
    )
    for source in config.sources:
        if source.signal:
            yield source.signal, _score(row, source.signal)
    yield "logit", _logit(answer, row)
    yield "judge score", _judge_score(answer, row)
    if answer.positives:
        low, high = answer.positives[0], answer.positives[-1]
        yield "its positives' scores", f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    yield "difficulty", _score(row, "difficulty")
    yield "grade", "not judged" if _none(row, "grade") else f"{row['grade']:g}"
    if row.get("seen_in_training") is not None:
        yield "seen in training", "yes, so it does not count in a calibration" if row["seen_in_training"] else "no"
    yield "selected", "no" if _none(row, "selected") else f"as number {row['selected']} of at most {config.negatives}"
    yield "verdict", f"{row['verdict']}: {reason_text(row, config)}"


def reason_text(row: dict[str, Any], config: MineConfig) -> str:
    """Return a verdict's reason in words, with the name that it has in ``candidates/`` and the options behind it."""
    verdict, reason = row["verdict"], row["reason"]
    text = meaning(verdict, reason)
    if verdict == Verdict.NEGATIVE:
        text = "passed every threshold" + (", but the query had its negatives already" if _none(row, "selected") else
                                           ", and was mined")  # fmt: skip
    if reason is None:
        return text
    settings = {**config.model_dump(), **config.filter.get(reason, {})}
    given = [
        f"--{name.replace('_', '-')} {settings[name]}" for name in options_of(reason) if settings.get(name) is not None
    ]
    return f"{text} ({', '.join([reason, *given])})"


def _judge_score(answer: Why, row: dict[str, Any]) -> str:
    """Return the score against the threshold, and where the sigmoid decides, that."""
    denoising = answer.denoising
    name = f"by the judge {denoising.judge_name}"
    if _none(row, "judge_score"):
        return f"none {name}: a signal was not computed, as it was not needed"
    score, threshold = float(np.float32(row["judge_score"])), denoising.threshold
    if threshold is None:
        return f"{score:.4g} {name}, which has no threshold in this run"
    digits = _digits(score, threshold)
    how = "below" if score < threshold else "not below"
    return f"{score:.{digits}g} {name}, {how} the threshold {threshold:.{digits}g} of judge.json"


def _digits(one: float, other: float) -> int:
    """Return how many digits tell two numbers apart: at least 4."""
    return next((digits for digits in range(4, 17) if f"{one:.{digits}g}" != f"{other:.{digits}g}"), 17)


def _logit(answer: Why, row: dict[str, Any]) -> str:
    """Return the logit with its sigmoid, against the limit on it if there is one."""
    if _none(row, LOGIT):
        return "not scored by a cross-encoder"
    value = sigmoid(np.array([row[LOGIT]]))[0]
    given = [limit for limit in (answer.config.max_sigmoid, answer.denoising.max_sigmoid) if limit is not None]
    against = f", {'below' if value < np.float32(min(given)) else 'not below'} {min(given):g}" if given else ""
    return f"{row['logit']:.4g} (sigmoid {float(value):.4g}{against})"


def _none(row: dict[str, Any], name: str) -> bool:
    value = row.get(name)
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:,}"


def _score(row: dict[str, Any], name: str) -> str:
    return "none" if _none(row, name) else f"{row[name]:.4g}"
