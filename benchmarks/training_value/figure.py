"""The figure: what negatives gain over in-batch negatives alone, and what their hardness does, false or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.training_value.table import Lines, by_setting, lead

SHOWN = {
    "dense": ("the bi-encoder's first", "#c44e52"),
    "peer": ("sentence-transformers' miner", "#8172b3"),
    "random": ("random", "#888888"),
    "hardneg": ("hardneg", "#2a7f62"),
    "oracle": ("oracle, the most similar", "#c08a3e"),
}
LOSS = "triplet"  # in which only a row's own negatives speak
Arms = dict[tuple[str, str], Lines]


def draw(lines: list[dict[str, Any]], path: Path, base: str = "static") -> None:
    """Draw an SVG of two panels, of the settings with the most negatives a query.

    Left, one point a collection and arm: the gain over in-batch negatives alone, against how many of the naive
    miner's negatives are false. Right, of the collection with most lines: nDCG@10 against hardness, arm by arm.
    """
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "hardneg"
    settings = by_setting([line for line in lines if line["base"] == base])
    most = {name: max(n for other, _, n in settings if other == name) for name, _, _ in settings}
    arms = {name: settings[name, base, negatives] for name, negatives in sorted(most.items())}
    figure, axes = pyplot.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
    _gains(axes[0], arms)
    if arms:
        name = max(arms, key=lambda each: len(arms[each]))
        _hardness(axes[1], name, arms[name])
    for axis in axes:
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _gains(axis: Axes, collections: dict[str, Arms]) -> None:
    axis.axhline(0, color="#888888", linewidth=0.8)
    for place, (arm, (label, colour)) in enumerate(SHOWN.items()):
        for name, arms in collections.items():
            ours, theirs, naive = (arms.get(key) for key in ((arm, LOSS), ("in-batch", "mnrl"), ("dense", LOSS)))
            if not (ours and theirs and naive) or naive[0]["false"] is None:
                continue
            found = lead(ours, theirs)
            if found is None:
                continue
            gain, low, high = found
            x = 100 * naive[0]["false"] + 3 * (place - 2)  # beside each other
            known = label not in axis.get_legend_handles_labels()[1]
            axis.errorbar(x, gain, [[gain - low], [high - gain]], fmt="o", color=colour, capsize=2, markersize=5,
                          label=label if known else None)  # fmt: skip
            if arm == "hardneg":
                axis.annotate(name, (x, high), textcoords="offset points", xytext=(0, 4), ha="center", fontsize=8)
    axis.set_title("Triplets: gain in nDCG@10 over in-batch alone", fontsize=10)
    axis.set_xlabel("false among the bi-encoder's first, %", fontsize=9)
    axis.set_xlim(-5, 105)
    axis.legend(fontsize=8, frameon=False, loc="lower left")


def _hardness(axis: Axes, name: str, arms: Arms) -> None:
    points = {
        arm: (own[0]["hardness"], float(np.mean([line["ndcg@10"] for line in own])), own[0]["false"])
        for (arm, loss), own in arms.items()
        if loss == LOSS
    }
    true = sorted(point[:2] for arm, point in points.items() if arm.startswith("oracle"))
    if true:
        axis.plot(*zip(*true, strict=True), "o-", color=SHOWN["oracle"][1], markersize=4, linewidth=1)
        axis.annotate("oracle: none is false", true[len(true) // 2], xytext=(6, 6), textcoords="offset points",
                      fontsize=8, color=SHOWN["oracle"][1])  # fmt: skip
    for arm, (x, y, false) in points.items():
        if arm.startswith("oracle") or arm == "hardneg-relabelled":
            continue
        colour = SHOWN.get(arm.partition("-")[0], ("", "#4c72b0"))[1]
        axis.plot(x, y, "o", color=colour, markersize=6)
        said = arm if false is None else f"{arm}, {false:.0%} false"
        left = x > 0.55
        axis.annotate(said, (x, y), xytext=(-7 if left else 7, -3), textcoords="offset points", fontsize=8,
                      ha="right" if left else "left", color=colour)  # fmt: skip
    axis.set_title(f"{name}: nDCG@10 with triplets", fontsize=10)
    axis.set_xlabel("hardness: mean similarity to the query", fontsize=9)
    axis.set_xlim(0.1, 0.92)
