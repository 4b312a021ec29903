"""Where charts are drawn: one look for all, and SVG text that is the same for the same data.

Matplotlib takes a look and its SVG options from process-wide settings only; :func:`look` sets them for a while and puts
them back. No pyplot: nothing stays behind in its list of figures.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from training.report.format import figure as digits

#: Okabe & Ito's palette for colour-blind readers; every use comes with a line style, marker or label of its own.
BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#56B4E9",
    "#CC79A7",
)
INK, FAINT = "#1b1f24", "#6b7280"
_LOOK: dict[str, Any] = {
    "font.size": 10.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa1ab",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "counterfoil",
}
_MANY_DECADES = 1e5
#: Beside a text: how it stands to its point.
Place = tuple[float, float, str, str]
RIGHT: Place = (7, 0, "left", "center")
LEFT: Place = (-7, 0, "right", "center")
ABOVE: Place = (0, 7, "center", "bottom")
BELOW: Place = (0, -7, "center", "top")
ABOVE_RIGHT: Place = (7, 5, "left", "bottom")
BELOW_RIGHT: Place = (7, -5, "left", "top")
ABOVE_LEFT: Place = (-7, 5, "right", "bottom")
BELOW_LEFT: Place = (-7, -5, "right", "top")


@contextmanager
def look() -> Iterator[None]:
    """The report's look while charts are made, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(cast(Any, _LOOK))
        yield


def canvas(x: str, y: str) -> tuple[Figure, Axes]:
    """An empty chart with its axes named."""
    figure = Figure(figsize=(6.4, 3.9), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def label(axes: Axes, text: str, x: float, y: float, place: Place, colour: str = INK) -> None:
    """A direct label beside a point of the data."""
    dx, dy, across, up = place
    axes.annotate(
        text,
        (x, y),
        xytext=(dx, dy),
        textcoords="offset points",
        ha=across,
        va=up,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        zorder=6,
    )


def upright(axes: Axes, x: float, text: str, height: float, *, style: str = "--") -> None:
    """A vertical line over the whole chart, named at a height in [0, 1] on its side with more room."""
    axes.axvline(x, color=INK, linestyle=style, linewidth=1.3, zorder=4)
    left = axes.transAxes.inverted().transform(axes.transData.transform((x, axes.get_ylim()[0])))[0] > 0.5
    axes.annotate(
        text,
        (x, height),
        xycoords=("data", "axes fraction"),
        xytext=(-6 if left else 6, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        zorder=6,
    )


def _free_side(across: float, up: float, rising: bool) -> Place:
    """Where a label beside a point at a place in [0, 1] x [0, 1] of the chart meets neither curve nor edge."""
    if rising and across < 0.55:
        return BELOW_RIGHT if up > 0.1 else ABOVE_RIGHT
    if rising:
        return ABOVE_LEFT if up < 0.9 else BELOW_LEFT
    if across < 0.55:
        return ABOVE_RIGHT if up < 0.9 else BELOW_RIGHT
    return BELOW_LEFT if up > 0.1 else ABOVE_LEFT


def operating_point(axes: Axes, x: float, y: float, text: str, *, rising: bool = True) -> None:
    """The threshold in use, as a diamond, with a label on the side that a rising or falling curve leaves free."""
    axes.plot([x], [y], marker="D", markersize=9, color=ORANGE, markeredgecolor=INK, zorder=7, clip_on=False)
    across, up = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
    place = _free_side(across, up, rising)
    label(axes, text, x, y, (place[0] * 1.5, place[1] * 1.5, place[2], place[3]))


def percents(*axes: Any) -> None:
    """Label these axes' shares as percentages."""
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def log_scale(axes: Axes, which: str, span: float, *, percent: bool = False) -> None:
    """A logarithmic axis with plain numbers at the decades; between them too where largest / smallest is small."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_formatter(
        FuncFormatter(
            lambda value, _: (
                f"{100 * value:g} %" if percent else f"{value:,.0f}" if value >= 1 else digits(value).rstrip("0")
            )
        )
    )
    # Side by side, numbers of seven digits at every decade would touch.
    base = 100 if which == "x" and span >= _MANY_DECADES else 10
    axis.set_major_locator(LogLocator(base, subs=(1, 2, 5) if span < 100 else (1,)))
    axis.set_minor_formatter(NullFormatter())


def spread_ticks(axes: Axes, at: Sequence[float], names: Sequence[str], most: int) -> None:
    """Name at most so many places of the x axis, evenly."""
    every = max(1, -(-len(names) // most))
    axes.set_xticks([at[i] for i in range(0, len(names), every)], [names[i] for i in range(0, len(names), every)])


def svg(figure: Figure, name: str, description: str) -> str:
    """The chart as an ``<svg>`` element for an HTML page.

    Args:
        name: makes the ids inside it unique on the page.
        description: what a reader who does not see it should know.
    """
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine(None)  # else all is drawn once more, only to be laid out
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:xlink)?="[^"]*"', "", text)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"<!--.*?-->\s*", "", text)
    text = re.sub(r"\n\s*", "\n", text)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    head = f'<svg class="chart" role="img" aria-label="{escape(description, quote=True)}" {box[0]}>'
    return re.sub(r"^<svg[^>]*>", lambda _: head, text, count=1)
