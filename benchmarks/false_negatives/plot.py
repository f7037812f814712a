"""The figure of the benchmark: false negatives against hardness and against yield, one row a collection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.false_negatives.figures import Point

# (miner, curve) -> (label, colour, line, marker)
_PEER = {
    "relative margin": ("peer, relative margin 0.05 to 0.6", "#c1272d", "-", "o"),
    "max score": ("peer, max score", "#e08a3c", ":", "^"),
    "top k": ("peer, no margin", "#c1272d", "", "s"),
}
_OURS = {
    "leak rate, combined judge": ("hardneg, combined judge", "#0b5fa5", "-", "o"),
    "leak rate, cross-encoder judge": ("hardneg, cross-encoder judge", "#3f9b6c", "--", ""),
    "leak rate, bi-encoder judge": ("hardneg, bi-encoder judge", "#8d8d8d", "--", ""),
    "target": ("hardneg, targets", "#0b5fa5", "", "x"),
    "default": ("hardneg, default", "#0b5fa5", "", "*"),
}
_PERFECT = ("perfect judge", "#000000", "-", "")


def plot(path: Path, collections: dict[str, list[Point]], our_curve: str) -> None:
    """Draw the curves as SVG; say so and draw nothing if matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        print(f"{path} was not drawn: it needs matplotlib (pip install matplotlib); the figures are in the JSON.")
        return
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "hardneg"  # ids that do not change from drawing to drawing
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(collections), 2, figsize=(11, 3.6 * len(collections)), squeeze=False, layout="constrained"
    )
    for row, (name, points) in zip(axes, collections.items(), strict=True):
        _draw(row[0], points, our_curve, "hardness")
        _draw(row[1], points, our_curve, "yielded")
        row[0].set_title(f"{name}: against hardness", loc="left", fontsize=10)
        row[1].set_title(f"{name}: against yield", loc="left", fontsize=10)
        row[0].set_xlabel("hardness: mean similarity of the mined to their query")
        row[1].set_xlabel("yield: mined / asked for")
        row[0].set_ylabel("false negatives among the mined")
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        handles.update(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _draw(axis: Any, points: Sequence[Point], our_curve: str, across: str) -> None:
    for curves, miner in ((_PEER, "peer"), (_OURS, "hardneg")):
        for curve, style in curves.items():
            chosen = [point for point in points if point.miner == miner and point.curve == curve]
            _draw_curve(axis, chosen, style, across, with_interval=curve in ("relative margin", our_curve))
    _draw_curve(axis, [point for point in points if point.miner == "perfect judge"], _PERFECT, across)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    if across == "yielded":
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.set_ylim(bottom=-0.005)
    axis.grid(color="#e5e5e5", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_curve(
    axis: Any, points: Sequence[Point], style: tuple[str, str, str, str], across: str, with_interval: bool = False
) -> None:
    """Draw points in the order of the setting that is swept."""
    label, colour, line, marker = style
    drawn = [point for point in points if getattr(point, across).value is not None and point.rate.value is not None]
    if not drawn:
        return
    x = [getattr(point, across).value for point in drawn]
    y = [point.rate.value for point in drawn]
    size = 13 if marker == "*" else 4
    axis.plot(x, y, color=colour, linestyle=line or "none", marker=marker or None, markersize=size, label=label)
    if with_interval:
        low, high = [point.rate.low for point in drawn], [point.rate.high for point in drawn]
        axis.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
