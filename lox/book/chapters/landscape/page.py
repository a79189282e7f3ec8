"""Figures, tables and finding of the safety landscape."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as plotly
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import counted, listed, markdown, points, said_of, share
from lox.book.figures import AFTER, BEFORE, REFERENCE, stacked
from lox.book.names import MODEL_NAMES

X_LABEL, Y_LABEL = "x, distance along LoX's step", "y, distance along fine-tuning"
PANELS = {"asr": "Harmful requests answered (ASR)", "helpful": "Harmless questions answered"}
STARTS = {"aligned": ("from the aligned model", AFTER), "lox": ("from the LoX model", BEFORE)}
FINETUNED = {"aligned": "finetuned", "lox": "finetuned_lox"}
# where the labels of the four models stand beside their marks, in points
OFFSETS = {"aligned": (-8, -14), "lox": (8, -14), "finetuned": (-8, 8), "finetuned_lox": (8, 8)}


def finding(comparisons: pd.DataFrame, edges: pd.DataFrame, limit: float, end: float) -> Markdown:
    """What the two starts differ in, and where the edge lies; tables of ``measure``."""
    by = comparisons.set_index("what")
    harmful, answered = by.loc["harmful"], by.loc["answered"]
    safer = said_of(
        harmful,
        "the LoX model has a lower ASR than the aligned model",
        "the LoX model has a higher ASR than the aligned model",
        "the ASR of the LoX and of the aligned model are not distinguished",
    )
    costs = said_of(
        answered,
        "the LoX model answers fewer harmless questions than the aligned model",
        "the LoX model answers more harmless questions than the aligned model",
        "the harmless questions that the LoX and the aligned model answer are not distinguished in number",
    )
    further = int((edges["lox"] > edges["aligned"]).sum())
    nearer = int((edges["lox"] < edges["aligned"]).sum())
    return cells.finding(
        f"One step along $d_2$ (the mean fine-tuning update across LoX's step) away, {safer}: aligned minus LoX is "
        f"{points(harmful)}, over {int(harmful['seeds'])} seeds.",
        f"The edge, the first point along $d_2$ with an ASR above {share(limit)}, is further away from the LoX "
        f"model than from the aligned one in {counted(further, len(edges), 'seeds')} and nearer in {nearer}; the "
        f"line ends at {end:g} steps.",
        f"Before any fine-tuning, {costs}: aligned minus LoX is {points(answered)}.",
    )


def safety_landscape(surface: pd.DataFrame, models: pd.DataFrame) -> Figure:
    """ASR, and the share of harmless questions answered, over the plane; a cell is one measured point.

    ``surface`` has columns x, y, asr, helpful on a full grid, ``models`` model, x, y.
    """
    figure, panels = stacked([3.7] * 2, sharex=True, sharey=True)
    for axes, (column, title) in zip(panels, PANELS.items()):
        grid = surface.pivot(index="y", columns="x", values=column)
        drawn = axes.pcolormesh(grid.columns, grid.index, grid, vmin=0, vmax=1, shading="nearest")
        axes.grid(visible=False)
        axes.set(title=title, ylabel=Y_LABEL)
        for model in models.itertuples():
            axes.plot(model.x, model.y, "o", markeredgecolor="black", markerfacecolor="white", markersize=8)
            x, y = OFFSETS[model.model]
            axes.annotate(
                MODEL_NAMES[model.model],
                (model.x, model.y),
                xytext=(x, y),
                textcoords="offset points",
                ha="right" if x < 0 else "left",
                fontsize=9,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            )
    panels[-1].set_xlabel(X_LABEL)
    figure.colorbar(
        drawn, ax=panels, format=PercentFormatter(1), orientation="horizontal", shrink=0.7, aspect=30
    )
    return figure


def safety_surface(surface: pd.DataFrame, models: pd.DataFrame) -> plotly.Figure:
    """The same to be turned: height is the ASR, colour the share of harmless questions answered.

    The names of the models are annotations, which are drawn over the surface wherever it is turned, each with
    an arrow to its model. The colour bar lies below, where a narrow screen does not cut it off.
    """
    height, colour = (surface.pivot(index="y", columns="x", values=c) for c in ("asr", "helpful"))
    ground = plotly.Surface(
        x=height.columns,
        y=height.index,
        z=height,
        surfacecolor=colour,
        cmin=0,
        cmax=1,
        colorscale="Viridis",
        colorbar={
            "title": {"text": "harmless questions answered", "side": "top"},
            "tickformat": ".0%",
            "orientation": "h",
            "len": 0.8,
            "thickness": 12,
            "x": 0.5,
            "y": 0,
            "yanchor": "top",
        },
        hovertemplate="x %{x:.2f}, y %{y:.2f}<br>ASR %{z:.0%}, harmless %{surfacecolor:.0%}<extra></extra>",
    )
    marks = plotly.Scatter3d(
        x=models["x"],
        y=models["y"],
        z=models["asr"] + 0.03,  # above the surface, which would hide half of each mark
        customdata=models["asr"],
        text=[MODEL_NAMES[name] for name in models["model"]],
        mode="markers",
        marker={"size": 5, "color": "#d55e00", "line": {"color": "black", "width": 1}},
        hovertemplate="%{text}: ASR %{customdata:.0%}<extra></extra>",
    )
    scene = {
        "xaxis": {"title": {"text": "x, along LoX's step"}},
        "yaxis": {"title": {"text": "y, along fine-tuning"}},
        "zaxis": {"title": {"text": "ASR"}, "range": [0, 1.02], "tickformat": ".0%"},
        "camera": {"eye": {"x": 1.7, "y": -1.5, "z": 1.0}},
        "annotations": [_label(model) for _, model in models.iterrows()],
    }
    layout = {"height": 560, "margin": {"l": 0, "r": 0, "t": 10, "b": 70}, "template": "simple_white"}
    return plotly.Figure([ground, marks], plotly.Layout(scene=scene, showlegend=False, **layout))


def _label(model: pd.Series) -> dict:
    """The name of a model with an arrow to its mark, in pixels above and to its outer side."""
    return {
        "x": model["x"],
        "y": model["y"],
        "z": model["asr"] + 0.03,
        "text": MODEL_NAMES[model["model"]],
        "ax": 40 if "lox" in model["model"] else -40,
        "ay": -45,
        "arrowhead": 2,
        "bgcolor": "rgba(255,255,255,0.85)",
        "font": {"size": 12},
    }


def landscape_lines(lines: pd.DataFrame, means: pd.DataFrame, limit: float) -> Figure:
    """ASR, and harmless questions answered, along y from the aligned and from the LoX model.

    ``lines`` has columns seed, x_steps (0 or 1), y_steps, asr, helpful, a thin line for each seed; ``means``, of
    ``measure.line_means``, gives the thick line and the band of its interval; ``limit`` is drawn.
    """
    figure, panels = stacked([3.0] * 2, sharex=True, sharey=True)
    for x, (start, (name, color)) in enumerate(STARTS.items()):
        mean = means[means["start"] == start]
        panels[0].fill_between(mean["y_steps"], mean["low"], mean["high"], color=color, alpha=0.15, lw=0)
        for axes, column in zip(panels, PANELS):
            for _, line in lines[lines["x_steps"] == x].groupby("seed"):
                axes.plot(line["y_steps"], line[column], color=color, lw=0.7, alpha=0.6)
            axes.plot(mean["y_steps"], mean[column], color=color, lw=2.2, label=name)
    panels[0].axhline(limit, color=REFERENCE, linestyle=":", lw=1)
    panels[0].set(ylim=(-0.02, 1.02))
    for axes, title in zip(panels, PANELS.values()):
        axes.set_title(title)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    panels[-1].set_xlabel("y in steps: 1 is the mean fine-tuning update across LoX's step")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def in_plane(models: pd.DataFrame, x_step: float, y_step: float) -> Markdown:
    """The four models of a landscape: where they lie, in the plane's steps, and what their projections do.

    Under the table, in which units it is and how far fine-tuning goes along LoX's direction.
    """
    table = pd.DataFrame(
        {
            "Model": MODEL_NAMES[m["model"]],
            "x, y": f"{m['x'] / x_step:z.2f}, {m['y'] / y_step:z.2f}",
            "off the plane": f"{m['distance'] / x_step:.2f}",
            "ASR": share(m["asr"]),
            "ASR of its projection": share(m["asr_in_plane"]),
        }
        for _, m in models.iterrows()
    )
    units = (
        "x and the distance off the plane are in steps of LoX, y in steps of the mean fine-tuning update across it, "
        f"each {y_step / x_step:.2g} times as long."
    )
    return markdown(table, note=f"{units} {_along_lox(models, x_step)}")


def _along_lox(models: pd.DataFrame, x_step: float) -> str:
    """How far fine-tuning moved either start along d₁, and which way."""
    x = models.set_index("model")["x"] / x_step
    moved = {start: x[finetuned] - x[start] for start, finetuned in FINETUNED.items()}
    way = {True: "back, against LoX's direction", False: "on, along LoX's direction"}
    said = [f"the {MODEL_NAMES[start]} model by {by:z.2f} ({way[by < 0]})" for start, by in moved.items()]
    return f"In x, fine-tuning moves {listed(said)}."


def edges(distances: pd.DataFrame, end: float) -> Markdown:
    """For each seed how far fine-tuning's direction is safe from either start, in steps.

    ``distances`` has columns seed, aligned and lox, infinite where the line's ``end`` was reached.
    """
    shown = distances.copy()
    for start in STARTS:
        shown[start] = [f"{y:g}" if y <= end else f"beyond {end:g}" for y in distances[start]]
    return markdown(shown.rename(columns={"seed": "Seed"} | {s: name for s, (name, _) in STARTS.items()}))
