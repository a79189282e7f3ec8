"""Figures of the safety landscape."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as plotly
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.cells import markdown, per_cent, share
from lox.book.figures import AFTER, BEFORE, REFERENCE, panels_of
from lox.book.names import MODEL_NAMES
from lox.lab.evaluation import Rate

X_LABEL, Y_LABEL = "x, distance along LoX's step", "y, distance along fine-tuning"


def safety_landscape(surface: pd.DataFrame, models: pd.DataFrame) -> Figure:
    """ASR, and the share of harmless questions answered, over the plane; a cell is one measured point.

    ``surface`` has columns x, y, asr, helpful on a full grid, ``models`` model, x, y.
    """
    figure, panels = panels_of(2, sharey=True)
    titles = ("harmful requests answered (ASR)", "harmless questions answered")
    for axes, column, title in zip(panels, ("asr", "helpful"), titles):
        grid = surface.pivot(index="y", columns="x", values=column)
        cells = axes.pcolormesh(grid.columns, grid.index, grid, vmin=0, vmax=1, shading="nearest")
        axes.grid(visible=False)
        axes.set(title=title, xlabel=X_LABEL)
        for i, model in enumerate(models.itertuples()):
            style = {"markeredgecolor": "black", "markerfacecolor": "white", "markersize": 9}
            axes.plot(model.x, model.y, "os^D"[i], label=MODEL_NAMES[model.model], **style)
    panels[0].set_ylabel(Y_LABEL)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.colorbar(cells, ax=panels, format=PercentFormatter(1))
    return figure


def safety_surface(surface: pd.DataFrame, models: pd.DataFrame) -> plotly.Figure:
    """The same to be turned: height is the ASR, colour the share of harmless questions answered."""
    height, colour = (surface.pivot(index="y", columns="x", values=c) for c in ("asr", "helpful"))
    ground = plotly.Surface(
        x=height.columns,
        y=height.index,
        z=height,
        surfacecolor=colour,
        cmin=0,
        cmax=1,
        colorscale="Viridis",
        colorbar={"title": "harmless<br>answered", "tickformat": ".0%", "len": 0.6},
        hovertemplate="x %{x:.2f}, y %{y:.2f}<br>ASR %{z:.0%}, harmless %{surfacecolor:.0%}<extra></extra>",
    )
    marks = plotly.Scatter3d(
        x=models["x"],
        y=models["y"],
        z=models["asr"] + 0.03,  # above the surface, which would hide half of each mark
        customdata=models["asr"],
        text=[MODEL_NAMES[name] for name in models["model"]],
        mode="markers+text",
        textposition="middle right",
        marker={"size": 5, "color": "#d55e00", "line": {"color": "black", "width": 1}},
        hovertemplate="%{text}: ASR %{customdata:.0%}<extra></extra>",
    )
    axes = {
        "xaxis": {"title": {"text": "x, along LoX's step"}},
        "yaxis": {"title": {"text": "y, along fine-tuning"}},
        "zaxis": {"title": {"text": "ASR"}, "range": [0, 1.02], "tickformat": ".0%"},
        "camera": {"eye": {"x": 1.7, "y": -1.5, "z": 1.0}},
    }
    layout = {"height": 520, "margin": {"l": 0, "r": 0, "t": 10, "b": 0}, "template": "simple_white"}
    return plotly.Figure([ground, marks], plotly.Layout(scene=axes, showlegend=False, **layout))


def landscape_lines(lines: pd.DataFrame, limit: float) -> Figure:
    """ASR, and harmless questions answered, along y from the aligned (x = 0) and from the LoX model (x = 1).

    ``lines`` has columns seed, x_steps, y_steps, asr, asr_low, asr_high, helpful; a line is a seed, its
    band the Wilson interval; ``limit`` is drawn.
    """
    figure, panels = panels_of(2, sharey=True)
    for (x, seed), line in lines.groupby(["x_steps", "seed"]):
        color, name = (AFTER, "from the aligned model") if x == 0 else (BEFORE, "from the LoX model")
        label = name if seed == lines["seed"].min() else None
        panels[0].plot(line["y_steps"], line["asr"], color=color, lw=1.3, label=label)
        panels[0].fill_between(
            line["y_steps"], line["asr_low"], line["asr_high"], color=color, alpha=0.1, lw=0
        )
        panels[1].plot(line["y_steps"], line["helpful"], color=color, lw=1.3)
    panels[0].axhline(limit, color=REFERENCE, linestyle=":", lw=1)
    panels[0].set(title="harmful requests answered (ASR)", ylim=(-0.02, 1.02))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    panels[0].legend(loc="upper left")
    panels[1].set_title("harmless questions answered")
    for axes in panels:
        axes.set_xlabel("y in steps: 1 is the mean fine-tuning")
    return figure


def in_plane(models: pd.DataFrame) -> Markdown:
    """The four models of a landscape: where they are, and what they do against the plane's point below."""
    return markdown(
        pd.DataFrame(
            {
                "Model": MODEL_NAMES[m["model"]],
                "x": f"{m['x']:.2f}",
                "y": f"{m['y']:.2f}",
                "distance from the plane": f"{m['distance']:.2f}",
                "ASR": per_cent(Rate(round(m["asr"] * m["n"]), m["n"])),
                "ASR in the plane below": share(m["asr_in_plane"]),
                "harmless answered": share(m["helpful"]),
            }
            for _, m in models.iterrows()
        )
    )


def edges(found: pd.DataFrame, end: float) -> Markdown:
    """For each seed how far fine-tuning's direction is safe from either start, in steps; then in how many.

    ``found`` has columns seed, aligned and lox, infinite where the line's ``end`` was reached.
    """
    shown = found.copy()
    for start in ("aligned", "lox"):
        shown[start] = [f"{y:g}" if y <= end else f"beyond {end:g}" for y in found[start]]
    shown.columns = ["Seed", "from the aligned model", "from the LoX model"]
    further = int((found["lox"] > found["aligned"]).sum())
    text = f"The edge is further away from the LoX model in {further} of {len(found)} seeds."
    return Markdown(f"{shown.to_markdown(index=False)}\n\n{text}")
