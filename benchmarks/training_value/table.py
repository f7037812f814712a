"""Finished trainings as Markdown tables: means over seeds, and hardneg's lead over each arm, with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

RESAMPLES = 10_000
OURS = "hardneg"
TITLES = {
    "untrained": "untrained",
    "in-batch": "in-batch negatives only",
    "random": "random",
    "bm25": "BM25's first",
    "dense": "the bi-encoder's first",
    "peer": "sentence-transformers' miner, margin 0.05",
    "peer-reranked": "the same with our cross-encoder",
    "hardneg": "**hardneg**",
    "hardneg-relabelled": "hardneg, suspected positives relabelled",
    "hardneg-leak-5": "hardneg, `--target-leak-rate 0.05`",
    "hardneg-leak-20": "hardneg, `--target-leak-rate 0.2`",
    "oracle": "oracle: the most similar that are not relevant",
    "oracle-10": "oracle, from its 11th on",
    "oracle-30": "oracle, from its 31st on",
    "oracle-100": "oracle, from its 101st on",
    "oracle-300": "oracle, from its 301st on",
}
LOSS_TITLES = {
    "triplet": "triplets",
    "group": "its own group",
    "mnrl": "in-batch",
    "mnrl-no-duplicates": "in-batch, NO_DUPLICATES",
    "mnrl-no-false-negatives": "in-batch, NoFalseNegatives",
}
Lines = list[dict[str, Any]]
Setting = tuple[str, str, int]  # collection, base, negatives


def by_setting(lines: Lines) -> dict[Setting, dict[tuple[str, str], Lines]]:
    """Return lines by setting, then by (arm, loss)."""
    found: defaultdict[Setting, defaultdict[tuple[str, str], Lines]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        found[line["collection"], line["base"], line["negatives"]][line["arm"], line["loss"]].append(line)
    return {setting: dict(each) for setting, each in found.items()}


def lead(ours: Lines, theirs: Lines) -> tuple[float, float, float] | None:
    """Return by how much nDCG@10 is higher in the first, with its 95 % interval; over the seeds that both have.

    The interval is a paired bootstrap over groups of test queries: those that have the same relevant passages.
    """
    seeds = {line["seed"] for line in ours} & {line["seed"] for line in theirs}
    if theirs[0]["loss"] == "none":  # there is but one
        seeds, theirs = {line["seed"] for line in ours}, [{**theirs[0], "seed": line["seed"]} for line in ours]
    if not seeds:
        return None
    sums = [np.mean([line["groups"] for line in part if line["seed"] in seeds], axis=0) for part in (ours, theirs)]
    sizes = np.array(ours[0]["sizes"])
    differences = sums[0] - sums[1]
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(sizes), size=(RESAMPLES, len(sizes)))
    means = differences[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(differences.sum() / sizes.sum()), float(low), float(high)


def table(lines: Lines) -> str:
    """Return every setting's tables."""
    return "\n".join(part for setting, arms in by_setting(lines).items() for part in _tables(setting, arms))


def _tables(setting: Setting, arms: dict[tuple[str, str], Lines]) -> Iterator[str]:
    collection, base, negatives = setting
    first = next(iter(arms.values()))[0]
    losses = [loss for loss in LOSS_TITLES if any(each == loss for _, each in arms)]
    names = [arm for arm in TITLES if any(each == arm for each, _ in arms)]
    yield (
        f"\n{collection}, {base}, {first['queries']} training queries, {negatives} negatives each; "
        f"{sum(first['sizes']):,} test queries in {len(first['sizes']):,} groups; nDCG@10, mean of seeds (of so many, "
        "spread)\n"
    )
    heads = " | ".join(LOSS_TITLES[loss] for loss in losses)
    yield f"| negatives | false | yield | hardness | {heads} |\n|---|---:|---:|---:|{'---|' * len(losses)}"
    for arm in names:
        cells = [_cell(arms.get((arm, loss)) or (arms.get((arm, "none")) if arm == "untrained" else None))
                 for loss in losses]  # fmt: skip
        yield f"| {' | '.join([TITLES[arm], *_facts(arms, arm), *cells])} |"
    yield f"\nhardneg's lead in nDCG@10, and its 95 % interval\n\n| over | {heads} |\n|---|{'---|' * len(losses)}"
    for arm in names:
        if arm != OURS:
            cells = [_lead_cell(arms, arm, loss) for loss in losses]
            yield f"| {' | '.join([TITLES[arm], *cells])} |"
    yield f"\nMAP and recall@10\n\n| negatives | {heads} |\n|---|{'---|' * len(losses)}"
    for arm in names:
        rows = [arms.get((arm, loss)) or (arms.get((arm, "none")) if arm == "untrained" else None) for loss in losses]
        yield f"| {' | '.join([TITLES[arm], *(_more(row) for row in rows)])} |"


def _facts(arms: dict[tuple[str, str], Lines], arm: str) -> list[str]:
    own = [line for (each, _), found in arms.items() if each == arm for line in found]
    if own[0]["hardness"] is None:
        return ["", "", ""]
    false = [line["false"] for line in own if line["false"] is not None]
    return [
        f"{np.mean(false):.1%}" if false else "not known",
        f"{np.mean([line['yield'] for line in own]):.0%}",
        f"{np.mean([line['hardness'] for line in own]):.3f}",
    ]


def _cell(own: Lines | None) -> str:
    if not own:
        return ""
    values = [line["ndcg@10"] for line in own]
    return f"{np.mean(values):.4f}" + (f" ({len(own)}, {np.std(values, ddof=1):.4f})" if len(own) > 1 else "")


def _more(own: Lines | None) -> str:
    return f"{np.mean([e['map'] for e in own]):.4f}, {np.mean([e['recall@10'] for e in own]):.4f}" if own else ""


def _lead_cell(arms: dict[tuple[str, str], Lines], arm: str, loss: str) -> str:
    theirs = arms.get((arm, loss)) or (arms.get((arm, "none")) if arm == "untrained" else None)
    found = lead(arms[OURS, loss], theirs) if theirs and (OURS, loss) in arms else None
    return "" if found is None else f"{found[0]:+.4f} ({found[1]:+.4f} to {found[2]:+.4f})"
