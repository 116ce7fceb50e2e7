"""The figures of a report: means and their intervals, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from diffusion_tricks_batch.telling.tables import said, short

WIDE, ROW, ABOVE = 7.2, 0.32, 1.1  # inches: of a figure, for each value, and for title and axis
MOST = 40  # values in a figure
INK, LINE = "#1f5f8b", "#9aa5ad"
SETTINGS: Any = {"svg.hashsalt": "diffusion_tricks", "svg.fonttype": "none", "font.family": "sans-serif"}


def intervals(groups: Sequence[Mapping[str, Any]], measure: str, overall: float | None, title: str) -> str:
    """The mean and the interval of a measure for each group, and a line at the mean of all, as SVG."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    shown = [one for one in groups if one[measure]][:MOST]
    with rc_context(SETTINGS):
        figure = Figure((WIDE, ABOVE + ROW * len(shown)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        for place, one in enumerate(shown):
            value = one[measure]
            if value["low"] is not None:
                axes.plot([value["low"], value["high"]], [place, place], color=INK, linewidth=2)
            axes.plot([value["mean"]], [place], "o", color=INK, markersize=5)
        if overall is not None:
            axes.axvline(overall, color=LINE, linewidth=1, linestyle="--", zorder=0)
        axes.set_yticks(range(len(shown)), [f"{_plain(label(one['of'], 32))}  (n {one['n']})" for one in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel(f"{measure}: mean and 95 % interval; dashed: mean of all")
        axes.set_title(_plain(title), loc="left", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        data = io.StringIO()
        figure.savefig(data, format="svg", metadata={"Date": None})
    text = data.getvalue()
    return text[text.index("<svg") :]


def label(of: Mapping[str, Any], most: int) -> str:
    """The values of a group, in a line."""
    return ", ".join(short(said(value), most) for value in of.values())


def _plain(text: str) -> str:
    """A text in which matplotlib finds no formula."""
    return text.replace("$", r"\$")
