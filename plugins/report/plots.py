"""The pictures of a report: matplotlib figures as data URIs, so that the page needs no other file.

Colours are Okabe and Ito's (readable with any colour vision); decisions differ by shape as well as by colour.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from cosolve.core.fields_file import PlaneField, PlaneFields, grid_points
from cosolve.plugins.report.digest import Digest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

INK, QUIET, RULE = "#1b1f24", "#57606a", "#d0d7de"
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072b2", "#e69f00", "#007a5a", "#c44601", "#8b4a8b", "#56b4e9"
GREY = "#a6adb5"
SOURCE_COLOURS = (BLUE, PURPLE, "#d98ec0", INK, RED)
DECISIONS = {"accept": (GREEN, "o"), "correct": (ORANGE, "s"), "reject": (RED, "X")}
_MANY = 1500
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": RULE,
    "axes.labelcolor": QUIET,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eaeef2",
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "cosolve",
}


def source_colours(names: Sequence[str]) -> list[str]:
    """Return a colour for each source: grey for the solver, light blue where it finished a proposal, else strong."""
    strong = iter(SOURCE_COLOURS * (1 + len(names) // len(SOURCE_COLOURS)))
    return [
        GREY
        if "solve" in name
        else SKY
        if name.endswith("+correct") or name == "corrected"
        else RULE
        if name == "initial"
        else next(strong)
        for name in names
    ]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _uri(figure: Figure, kind: str) -> str:
    stream = io.BytesIO()
    # No date in the file: the same run gives the same bytes.
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(stream, format=kind, dpi=170, metadata=metadata)
    media = "image/svg+xml" if kind == "svg" else "image/png"
    return f"data:{media};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def fields(content: PlaneFields, *, columns: int = 4) -> str:
    """Draw each field in its own panel; returns a PNG as a data URI."""
    with matplotlib.rc_context(_STYLE):
        items = list(content.fields.items())
        columns = max(3, min(columns, len(items)))
        rows = math.ceil(len(items) / columns)
        span = np.ptp(content.x, axis=0)
        aspect = float(np.clip(span[1] / span[0], 0.25, 2.0)) if span[0] > 0 else 1.0
        width = 10.4 / columns
        figure = _figure(10.4, rows * (0.78 * width * aspect + 0.45))
        triangulation = _triangulation(content)
        for position, (name, item) in enumerate(items):
            axes = figure.add_subplot(rows, columns, position + 1)
            _panel(figure, axes, triangulation, name, item)
        for position in range(len(items), columns):
            # An empty place keeps a single field as small as it would be among others.
            figure.add_subplot(rows, columns, position + 1).axis("off")
        return _uri(figure, "png")


def _triangulation(content: PlaneFields) -> Triangulation:
    """Return the file's triangles, those of a grid where the points are one, else Delaunay's."""
    x = np.asarray(content.x, dtype=float)
    if content.triangles is not None:
        return Triangulation(x[:, 0], x[:, 1], content.triangles)
    columns = [np.unique(np.round(x[:, axis], 9), return_inverse=True) for axis in (0, 1)]
    shape = (len(columns[0][0]), len(columns[1][0]))
    place = columns[0][1] * shape[1] + columns[1][1]
    if shape[0] * shape[1] == len(x) and len(np.unique(place)) == len(x) and min(shape) > 1:
        # Delaunay's triangulation of a grid has slivers at its edges, which leave holes in a map.
        return Triangulation(x[:, 0], x[:, 1], np.argsort(place)[grid_points(shape)[1]])
    return Triangulation(x[:, 0], x[:, 1])


def _panel(figure: Figure, axes: Any, triangulation: Triangulation, name: str, item: PlaneField) -> None:
    values = np.asarray(item.values, dtype=float)
    finite = np.isfinite(values)
    axes.grid(False)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    unit = f" [{item.unit}]" if item.unit else ""
    axes.set_title(f"{item.label or name}{unit}")
    if not finite.all():
        axes.set_title(f"{item.label or name}: {np.count_nonzero(~finite)} values are not finite", color=RED)
        values = np.where(finite, values, 0.0)
    if item.role == "source" and item.categories:
        present = sorted({int(value) for value in values if 0 <= int(value) < len(item.categories)})
        names = [item.categories[index] for index in present]
        colours = [source_colours(item.categories)[index] for index in present]
        shown = np.searchsorted(present, values).astype(float)
        norm = BoundaryNorm(np.arange(len(present) + 1) - 0.5, len(present))
        image = axes.tripcolor(triangulation, shown, cmap=ListedColormap(colours), norm=norm)
        bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=range(len(present)))
        bar.ax.set_yticklabels(names)
    else:
        image = axes.tripcolor(
            triangulation, values, shading="gouraud", cmap="magma_r" if item.role == "error" else "cividis"
        )
        bar = figure.colorbar(image, ax=axes, shrink=0.8)
        bar.ax.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
        bar.ax.ticklabel_format(axis="y", scilimits=(-3, 4))
    bar.outline.set_visible(False)


def verdicts(digest: Digest, *, kind: str = "svg") -> str:
    """Draw measure over tolerance for each transaction, and below it who computed the value; a data URI."""
    with matplotlib.rc_context(_STYLE):
        figure = _figure(10.4, 3.1)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(6, 1))
        steps = np.array([row.step for row in digest.steps], dtype=float)
        ratios = np.array([row.ratio for row in digest.steps])
        size = 34.0 if len(steps) < 60 else 14.0 if len(steps) < 400 else 6.0
        positive = ratios[np.isfinite(ratios) & (ratios > 0)]
        floor = 0.3 * float(positive.min()) if positive.size else 0.1
        for decision, (colour, marker) in DECISIONS.items():
            chosen = np.array([row.decision == decision for row in digest.steps])
            shown = chosen & np.isfinite(ratios)
            if chosen.any():
                upper.scatter(
                    steps[shown],
                    np.maximum(ratios[shown], floor),
                    s=size,
                    color=colour,
                    marker=marker,
                    linewidths=0,
                    label=f"{decision} ({np.count_nonzero(chosen)})",
                    rasterized=len(steps) > _MANY,
                )
        upper.axhline(1.0, color=INK, linewidth=1.0)
        upper.annotate(
            "tolerance",
            (1.0, 1.0),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
            color=INK,
        )
        upper.set_yscale("log")
        ceiling = max(3.0, 3.0 * float(positive.max())) if positive.size else 10.0
        upper.set_ylim(min(floor, 0.3), ceiling)
        upper.set_ylabel("measure / tolerance")
        if upper.get_legend_handles_labels()[0]:
            upper.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.0, handletextpad=0.2)
        _source_strip(lower, digest, steps)
        lower.set_xlabel("transaction", loc="right")
        lower.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=12))
        return _uri(figure, kind)


def _source_strip(axes: Any, digest: Digest, steps: Any) -> None:
    names = list(digest.sources)
    for name, colour in zip(names, source_colours(names), strict=True):
        spans = _spans([row.source == name for row in digest.steps], steps)
        axes.broken_barh(spans, (0.0, 1.0), color=colour, label=name, linewidth=0, rasterized=len(spans) > _MANY)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    axes.set_ylabel("source", rotation=0, ha="right", va="center")
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(0.0, -0.65),
        ncols=min(6, max(1, len(names))),
        borderaxespad=0.0,
        handlelength=1.0,
    )


def _spans(mine: Sequence[bool], steps: Any) -> list[tuple[float, float]]:
    """Return start and width of each stretch of neighbouring transactions that are marked."""
    spans: list[tuple[float, float]] = []
    for step, marked in zip(steps, mine, strict=True):
        if not marked:
            continue
        if spans and spans[-1][0] + spans[-1][1] == step - 0.5:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1.0)
        else:
            spans.append((step - 0.5, 1.0))
    return spans


def errors(digest: Digest) -> str:
    """Draw the error over time beside the run's own estimate and the tolerance; SVG as a data URI."""
    with matplotlib.rc_context(_STYLE):
        figure = _figure(5.0, 2.7)
        axes = figure.add_subplot()
        t = [row.t for row in digest.errors]
        marker = "o" if len(t) < 40 else ""
        axes.plot(t, [100 * row.error for row in digest.errors], color=BLUE, marker=marker, ms=4, label="true error")
        if any(math.isfinite(row.estimate) for row in digest.errors):
            axes.plot(
                t,
                [100 * row.estimate for row in digest.errors],
                color=ORANGE,
                linestyle="--",
                marker="s" if marker else "",
                ms=4,
                label="own estimate (no guarantee)",
            )
        tolerance = next((rival.tolerance for rival in digest.rivals if math.isfinite(rival.tolerance)), math.nan)
        if math.isfinite(tolerance):
            axes.axhline(100 * tolerance, color=INK, linewidth=1.0, label="tolerance")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("relative error, %")
        axes.set_xlabel("time")
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.0, columnspacing=1.0)
        return _uri(figure, "svg")


def cost(digest: Digest) -> str:
    """Draw the cumulative cost of each part over the transactions, and the best rival's cost; SVG as a data URI."""
    with matplotlib.rc_context(_STYLE):
        figure = _figure(5.0, 2.7)
        axes = figure.add_subplot()
        steps = np.array([row.step + 1 for row in digest.steps], dtype=float)
        parts: Sequence[tuple[str, str, list[float]]] = (
            ("solve", BLUE, [row.solve_seconds for row in digest.steps]),
            ("judge", ORANGE, [row.judge_seconds for row in digest.steps]),
            ("propose", GREEN, [row.propose_seconds for row in digest.steps]),
        )
        start = np.concatenate([[steps[0] - 1.0], steps])
        stacked = [np.concatenate([[0.0], np.cumsum(values)]) for _, _, values in parts]
        axes.stackplot(
            start,
            stacked,
            colors=[colour for _, colour, _ in parts],
            labels=[name for name, _, _ in parts],
            linewidth=0,
            alpha=0.85,
        )
        axes.set_xlabel("transaction")
        axes.set_ylabel("seconds so far")
        axes.set_xlim(start[0], start[-1])
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=8))
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.0, handlelength=1.0)
        return _uri(figure, "svg")


def rivals(digest: Digest) -> str:
    """Draw the cost of the run and of its rivals as bars on one scale; SVG as a data URI."""
    with matplotlib.rc_context(_STYLE):
        shown = [rival for rival in digest.rivals if math.isfinite(rival.speedup)][:5]
        names = ["this run", *(rival.name for rival in shown)]
        seconds = [shown[0].run_seconds, *(rival.seconds for rival in shown)]
        figure = _figure(5.0, 0.55 + 0.42 * len(names))
        axes = figure.add_subplot()
        axes.barh(names, seconds, color=[BLUE] + [RULE] * len(shown), height=0.62)
        for position, value in enumerate(seconds):
            factor = f"   {value / seconds[0]:.1f} x" if position and seconds[0] > 0 else ""
            axes.annotate(
                f"{value:.3g} s{factor}",
                (value, position),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
        axes.invert_yaxis()
        axes.grid(False)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlim(0, 1.7 * max(seconds))
        return _uri(figure, "svg")
