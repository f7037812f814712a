"""Finished trainings as a Markdown table, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.training_value.articles.fit import ndcg

RESAMPLES = 10_000
FIGURES = ("ndcg@10", "mrr@10", "recall@10")
TITLES = {
    "untrained": "no training",
    "in-batch": "in-batch negatives only",
    "random": "+ random negatives",
    "bm25-top": "+ BM25's first",
    "dense-top": "+ the bi-encoder's first",
    "peer": "+ sentence-transformers' miner, margin 0.05",
    "peer-reranked": "+ the same with our cross-encoder, range_max 30",
    "hardneg": "**+ hardneg**",
    "gist": "the bi-encoder's first, CachedGISTEmbedLoss",
    "no-duplicates": "the bi-encoder's first, BatchSamplers.NO_DUPLICATES",
    "hardneg-no-duplicates": "hardneg's, BatchSamplers.NO_DUPLICATES, as the README trains",
    "distilled": "hardneg's, MarginMSELoss from its logits",
}
OURS = "hardneg"


def table(lines: list[dict[str, Any]]) -> str:
    """Return one setting's lines as a table: means over seeds, and hardneg's lead over each kind.

    The lead is in nDCG@10, with a paired bootstrap over test questions (95 %; a question's figure is its mean over
    the seeds that both kinds have).
    """
    by_kind: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        by_kind.setdefault(line["kind"], {})[line["seed"]] = line
    first = lines[0]
    budget = f"{first['epochs']} epoch, batches of {first['batch_size']}, {first['max_length']} tokens, "
    budget += f"temperature {1 / first['scale']:g}"
    head = (
        f"{first['collection']}, {first['queries']:,} train queries, {len(first['ranks']):,} test questions, "
        f"{first['bi_encoder']}, {budget}\n\n"
        "| trained on | rows | seeds | nDCG@10 | MRR@10 | recall@10 | hardneg's lead in nDCG@10 |\n"
        "|---|---:|---:|---:|---:|---:|---|"
    )
    rows = [_row(kind, by_kind) for kind in TITLES if kind in by_kind]
    return "\n".join([head, *rows, ""])


def _row(kind: str, by_kind: dict[str, dict[int, dict[str, Any]]]) -> str:
    seeds = by_kind[kind]
    cells = [TITLES[kind], f"{next(iter(seeds.values()))['rows']:,}", str(len(seeds))]
    for name in FIGURES:
        values = [line[name] for line in seeds.values()]
        spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.4f}{spread}")
    shared = sorted(seeds.keys() & by_kind.get(OURS, {}).keys())
    if kind == OURS or not shared:
        return f"| {' | '.join([*cells, ''])} |"
    ours, theirs = (
        np.mean([ndcg(lines[seed]["ranks"]) for seed in shared], axis=0) for lines in (by_kind[OURS], seeds)
    )
    low, high = paired_bootstrap(ours - theirs)
    return f"| {' | '.join([*cells, f'{np.mean(ours - theirs):+.4f} ({low:+.4f} to {high:+.4f})'])} |"


def paired_bootstrap(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences, shape (n,), by resampling them."""
    generator, n = np.random.default_rng(seed), len(differences)
    means = [differences[generator.integers(n, size=n)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
