"""The figure: what negatives gain over in-batch negatives alone, against how many of the naive ones are false."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot

from benchmarks.training_value.table import by_setting, lead

SHOWN = {
    "dense": ("the bi-encoder's first", "#c44e52"),
    "peer": ("sentence-transformers' miner", "#8172b3"),
    "hardneg": ("hardneg", "#2a7f62"),
    "oracle": ("oracle, most similar", "#937860"),
}
LOSSES = {"triplet": "Triplets: only the row's own negatives speak", "mnrl": "With in-batch negatives"}


def draw(lines: list[dict[str, Any]], path: Path, base: str = "static") -> None:
    """Draw one point a collection and arm, of the most negatives that were trained with, into an SVG."""
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "hardneg"
    settings = {name: arms for (name, of, _), arms in sorted(by_setting(lines).items()) if of == base}
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.8), sharex=True, layout="constrained")
    for (loss, title), axis in zip(LOSSES.items(), axes, strict=True):
        axis.axhline(0, color="#888888", linewidth=0.8)
        for place, (arm, (label, colour)) in enumerate(SHOWN.items()):
            first = True
            for name, arms in settings.items():
                ours, theirs, naive = (arms.get(key) for key in ((arm, loss), ("in-batch", "mnrl"), ("dense", loss)))
                if not (ours and theirs and naive) or naive[0]["false"] is None:
                    continue
                found = lead(ours, theirs)
                if found is None:
                    continue
                gain, low, high = found
                x = 100 * naive[0]["false"] + (place - 1.5) * 1.2  # beside each other
                axis.errorbar(x, gain, [[gain - low], [high - gain]], fmt="o", color=colour, capsize=2, markersize=5,
                              label=label if first else None)  # fmt: skip
                if arm == "hardneg":
                    axis.annotate(name, (x, high), textcoords="offset points", xytext=(0, 5), ha="center", fontsize=8)
                first = False
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("false among the bi-encoder's first, %", fontsize=9)
        axis.set_xlim(-5, 105)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(y=0.15)
    axes[0].set_ylabel("gain in nDCG@10 over in-batch alone", fontsize=9)
    axes[0].legend(fontsize=8, frameon=False, loc="lower left")
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
