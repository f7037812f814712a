"""The plots of a run's report, as SVG to stand inside a page. The only module that loads matplotlib, when it draws."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from hardneg.pipelines.report.tables import GROUP_TITLES, plain
from hardneg.transforms.reports.tallies import GROUPS, Histogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart.
BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"),
)
INK, GREY, PALE = "#1f2328", "#8a9199", "#e4e7eb"
GROUP_COLOURS = {"positive": BLUE, "mined": RED, "passed": ORANGE, "suspected_positive": PINK, "other": GREY}
SHARE_COLOURS = (SKY, BLUE, ORANGE, GREEN, PINK, RED, YELLOW, GREY)

_WIDTH = 290  # points; as wide as a phone, so that a plot's text is as large as the page's there
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "hardneg",  # the same run gives the same bytes
    "text.parse_math": False,  # a model's name may have dollars
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # a person's own matplotlibrc has no say: the page is the same on every machine
        matplotlib.rcParams.update(_STYLE)
        warnings.simplefilter("ignore")  # that its own font lacks a sign: the browser has it
        yield


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH / 72, height / 72))


def bar_plot(name: str, title: str, rows: Sequence[tuple[str, float, str]], colour: str = BLUE) -> str:
    """Draw one bar a row, its label above it and its figure at the right; a bar that is not 0 is visible.

    Args:
        name: of the plot, for the ids in it.
        title: what it shows, for those who don't see it.
        rows: (label, value, figure).
        colour: of the bars.
    """
    with _styled():
        figure = _figure(24 * len(rows) + 6)
        axes = _bare_axes(figure, len(rows))
        most = max((value for _, value, _ in rows), default=0) or 1
        for place, (label, value, text) in enumerate(rows):
            axes.barh(place + 0.28, 1, height=0.3, color=PALE)
            axes.barh(place + 0.28, max(value / most, 0.004) if value else 0, height=0.3, color=colour)
            axes.text(0, place - 0.1, plain(label), va="center")
            axes.text(1, place - 0.1, text, va="center", ha="right")
        return _svg(figure, name, title)


def share_plot(
    name: str, title: str, rows: Sequence[tuple[str, Sequence[int]]], parts: Sequence[str], colours: Sequence[str]
) -> str:
    """Draw one bar a row, all of the same length, made of shares; a share that has the room says how large it is.

    Args:
        name: of the plot, for the ids in it.
        title: what it shows, for those who don't see it.
        rows: (label, number of each part).
        parts: names of the parts.
        colours: of the parts.
    """
    with _styled():
        figure = _figure(33 * len(rows) + 6)
        axes = _bare_axes(figure, len(rows))
        for place, (label, numbers) in enumerate(rows):
            axes.text(0, place - 0.2, plain(label), va="center")
            axes.text(1, place - 0.2, f"{sum(numbers):,}", va="center", ha="right")
            start, whole = 0.0, sum(numbers) or 1
            for number, colour in zip(numbers, colours, strict=True):
                share = number / whole
                axes.barh(place + 0.22, share, left=start, height=0.44, color=colour, edgecolor="white", linewidth=0.6)
                if share >= 0.09:
                    middle, ink = start + share / 2, _ink_on(colour)
                    axes.text(middle, place + 0.24, f"{share:.0%}", va="center", ha="center", color=ink, size=8.5)
                start += share
        return _svg(figure, name, f"{title} Parts: {', '.join(parts)}.")


def histogram_plot(name: str, title: str, drawn: Histogram, axis: str) -> str:
    """Draw a histogram a group, one under the other on one axis, with the run's threshold through all of them.

    Groups without a score are left out; each has a height of its own, for they differ by orders of magnitude.
    """
    groups = [group for group in GROUPS if sum(drawn.counts[group])]
    with _styled():
        figure = _figure(52 * len(groups) + 52)
        for place, group in enumerate(groups):
            axes = figure.add_subplot(len(groups), 1, place + 1)
            counts = drawn.counts[group]
            axes.stairs(counts, drawn.edges, fill=True, color=GROUP_COLOURS[group])
            axes.set_title(f"{GROUP_TITLES[group]}: {sum(counts):,}", loc="left", size=9.5, pad=3)
            _one_axis(axes, last=place == len(groups) - 1)
            if drawn.threshold is not None:
                axes.axvline(drawn.threshold, color=INK, linewidth=1.2, linestyle=(0, (3, 2)))
            axes.set_xlim(*_limits(drawn))
        axes.set_xlabel(axis if drawn.threshold is None else f"{axis}; dashed: threshold {drawn.threshold:.3g}")
        _spread(figure)
        return _svg(figure, name, title)


def difficulty_plot(name: str, title: str, counts: Sequence[int]) -> str:
    """Draw how the mined are spread from easy, 0, to hard, 1."""
    with _styled():
        figure = _figure(140)
        axes = figure.add_subplot()
        axes.stairs(counts, [place / len(counts) for place in range(len(counts) + 1)], fill=True, color=RED)
        axes.set_xlim(0, 1)
        axes.set_xlabel("difficulty: 0 is easy, 1 is hard")
        _one_axis(axes, last=True)
        figure.subplots_adjust(left=0.02, right=0.98, top=0.96, bottom=0.27)
        return _svg(figure, name, title)


def _limits(drawn: Histogram) -> tuple[float, float]:
    """Return the ends of the axis: the threshold is on it, wherever the scores are."""
    ends = [drawn.edges[0], drawn.edges[-1], *([] if drawn.threshold is None else [drawn.threshold])]
    low, high = min(ends), max(ends)
    return low - 0.02 * (high - low), high + 0.02 * (high - low)


def _one_axis(axes: Axes, last: bool) -> None:
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.set_ylim(0)
    axes.tick_params(axis="x", length=2.5, labelbottom=last)


def _spread(figure: Figure) -> None:
    height = figure.get_figheight() * 72
    figure.subplots_adjust(left=0.02, right=0.98, top=1 - 16 / height, bottom=36 / height, hspace=0.62)


def _bare_axes(figure: Figure, rows: int) -> Axes:
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(max(rows, 1) - 0.5, -0.5)
    return axes


def _ink_on(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 130 else "white"


def _svg(figure: Figure, name: str, title: str) -> str:
    """Return a figure as an element of HTML: no declarations, no metadata, ids of its own, as wide as its place."""
    whole = io.BytesIO()
    figure.savefig(whole, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(whole.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):  # a style would be the whole page's
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in list(element.attrib):
            value = element.attrib.pop(key)
            element.set(key.rpartition("}")[2], _renamed(key.rpartition("}")[2], value, name))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("class", "plot")
    root.set("role", "img")
    root.set("aria-label", plain(title))
    return ElementTree.tostring(root, encoding="unicode")


def _renamed(key: str, value: str, name: str) -> str:
    """Return an attribute's value with the plot's name in its ids, for another plot has the same ones."""
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return value.replace("#", f"#{name}-", 1)
    return value.replace("url(#", f"url(#{name}-")
