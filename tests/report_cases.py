"""Runs to report on, made by hand: random candidates with scores, a judge calibrated on them, their files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from finished_run import candidate, write_run

from hardneg.pipelines.options.finished import ReportOptions
from hardneg.pipelines.options.mine import MineConfig
from hardneg.transforms.core.source import Source
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, JudgeName, Target
from hardneg.transforms.judge.calibration import calibrate
from hardneg.transforms.judge.sample import SAMPLE, SampleScores, score_sample

Rows = list[dict[str, Any]]
SOURCES = [Source("bm25", signal="bm25"), Source.of_similarity("dense")]
NEGATIVES = 3
POLICY = MineConfig(output="out", negatives=NEGATIVES).policy
FEW = ReportOptions(targets=[0.1], leak_rates=[0.01, 0.1, 0.2], sigmoids=[0.1, 0.3, 0.5])
LONG = "the marten lives in old forests near the river and eats berries in the autumn and voles in the winter"


def random_rows(queries: int = 150, seed: int = 11) -> Rows:
    """Return what was retrieved for some queries; a few candidates score like positives."""
    generator = np.random.default_rng(seed)
    rows: Rows = []
    for number in range(queries):
        places = int(generator.integers(8, 16))
        ranks = generator.permutation(places) + 1
        for place in range(places):
            known = place == 0 or (place == 1 and number % 3 == 0)
            relevant = known or generator.uniform() < 0.02
            columns: dict[str, Any] = {
                "logit": float(np.float32(generator.normal(2 if relevant else -4, 2))),
                "similarity_dense": float(np.float32(generator.normal(0.6 if relevant else 0.4, 0.1))),
                "bm25": float(np.float32(generator.normal(7 if relevant else 4, 2))),
                "fused_rank": int(ranks[place]),
                "rank_bm25": int(ranks[place]) if place % 3 else None,
                "rank_dense": int(ranks[place]) if place % 2 or not place % 3 else None,
            }
            kind = "unscored"
            if known:
                kind = "positive"
                if number % 10 == 9:  # not retrieved
                    columns |= {"fused_rank": None, "rank_bm25": None, "rank_dense": None}
            elif place == 2 and number % 4 == 0:
                kind = "dropped"
                columns["reason"] = "duplicate"
            rows.append(candidate(f"q{number}", f"p{number}-{place}", kind, **columns))
    # A near-duplicate of a positive, by its text (``passages_of``): no mask, a guard takes it out.
    near = next(row for row in rows if row["passage_id"] == "p0-3")
    near.update(logit=-9.0, similarity_dense=0.99)
    return rows


def passages_of(rows: Rows) -> dict[str, str]:
    texts = {row["passage_id"]: f"text of {row['passage_id']}" for row in rows}
    return texts | {"p0-0": LONG, "p0-3": f"{LONG} as everybody knows"}


def sample_of(rows: Rows) -> tuple[pa.Table, list[str]]:
    """Return the calibration sample that these rows are, put together without the code under test."""
    kept = []
    for row in rows:
        retrieved, positive = row["fused_rank"] is not None, row["verdict"] == "positive"
        masked = row["reason"] == "duplicate" or row["passage_id"] == "p0-3"
        if retrieved or positive:
            kept.append(
                {
                    "query_id": row["query_id"],
                    "passage_id": row["passage_id"],
                    "order": row["similarity_dense"],
                    "in_window": retrieved,
                    "is_positive": positive,
                    "countable": positive and retrieved,
                    "is_candidate": not positive and not masked,
                    "in_order": True,
                    "weight": int(not masked),  # no query has so many candidates that some are left out
                    **{name: row[name] for name in ("logit", "bm25", "similarity_dense")},
                }
            )
    schema = pa.schema([*SAMPLE, *((name, pa.float32()) for name in ("logit", "bm25", "similarity_dense"))])
    return pa.Table.from_pylist(kept, schema), sorted({row["query_id"] for row in rows})


def scored_by(rows: Rows, judge: JudgeName) -> SampleScores:
    return score_sample(*sample_of(rows), SOURCES, POLICY, judge)


def denoising_of(rows: Rows, target: Target) -> CalibratedJudge:
    return calibrate(scored_by(rows, target.judge), POLICY, target)


def judged(rows: Rows, denoising: CalibratedJudge) -> Rows:
    """Return the rows with made-up verdicts; the report counts what it finds."""
    threshold = denoising.threshold or 0.0
    mined: Counter[str] = Counter()
    done = []
    for each in rows:
        row = dict(each)
        if row["verdict"] == "unscored" and row["logit"] is not None:
            row["judge_score"] = row["logit"] / 4
            row["verdict"] = "negative" if row["judge_score"] < threshold else "suspected_positive"
            if row["verdict"] == "negative" and mined[row["query_id"]] < NEGATIVES:
                mined[row["query_id"]] += 1
                row["selected"] = mined[row["query_id"]]
            elif row["verdict"] == "suspected_positive":
                row["reason"] = "above_threshold"
        elif row["logit"] is not None:
            row["judge_score"] = row["logit"] / 4
        done.append(row)
    return done


def write(folder: Path, rows: Rows, denoising: CalibratedJudge, shards: int = 3, **options: Any) -> Path:
    """Write a finished run of these rows."""
    config = MineConfig(output="out", negatives=NEGATIVES, **options)
    queries = {row["query_id"]: f"question {row['query_id']}" for row in rows}
    run = write_run(
        folder,
        queries,
        passages_of(rows),
        judged(rows, denoising),
        NEGATIVES,
        shards,
        options=config.model_dump(),
        models={"cross_encoder": {}},
    )
    (run / "judge.json").write_text(denoising.to_json(), encoding="utf-8")
    return run


def write_random(folder: Path) -> Path:
    """Write a finished run of the random rows, calibrated at a tenth of false negatives."""
    rows = random_rows()
    return write(folder, rows, denoising_of(rows, Target("combined", 0.1)))


def lazily(rows: Rows) -> Rows:
    """Return the rows as a run without a target leaves them: only the first of a query's candidates are scored."""
    result = []
    for query in dict.fromkeys(row["query_id"] for row in rows):
        own = [dict(row) for row in rows if row["query_id"] == query]
        tried = sorted((row for row in own if row["verdict"] == "unscored"), key=lambda row: -row["similarity_dense"])
        for row in tried[6:]:
            row["logit"] = None
        result += own
    return result
