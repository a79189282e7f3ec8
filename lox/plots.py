"""The book's figures: a DataFrame in, a Figure out."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as plotly
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from lox.tables import DEFENCE_NAMES, MODEL_NAMES, TASK_NAMES

plt.style.use(Path(__file__).parent.parent / "book" / "lox.mplstyle")

BEFORE, AFTER, REFERENCE = "C0", "C1", "0.45"
LLAMA_WIDTH = 4096  # min(m, n) of every linear layer of LLaMA-2-7B: the paper's k as a share of it


def _panels(count: int, **options) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(1, count, figsize=(7.0 if count == 1 else 9.0, 3.8), squeeze=False, **options)
    plt.close(figure)  # else a notebook shows it twice: as an open figure and as the cell's value
    return figure, list(axes[0])


# --- projection ------------------------------------------------------------------------------------


def spectrum(spectra: pd.DataFrame) -> Figure:
    """Singular values of the updates, s_i / ‖ΔW‖ over i, a line for each kind of matrix.

    ``spectra`` has columns kind, i, share (s_i / ‖ΔW‖); a line is the mean over layers, its band their
    range. The kind "random" is drawn as a dashed reference.
    """
    figure, (axes,) = _panels(1)
    for kind, group in spectra.groupby("kind", sort=False):
        values = group.groupby("i")["share"].agg(["mean", "min", "max"])
        style = {"color": REFERENCE, "linestyle": "--"} if kind == "random" else {}
        (line,) = axes.plot(values.index, values["mean"], label=kind, **style)
        axes.fill_between(
            values.index, values["min"], values["max"], color=line.get_color(), alpha=0.12, lw=0
        )
    axes.set(xscale="log", yscale="log", xlabel="i", ylabel="$s_i \\, / \\, \\|\\Delta W_{align}\\|$")
    axes.set_ylim(bottom=max(0.7 * spectra["share"].min(), 1e-4 * spectra["share"].max()))
    axes.set_title("Singular values of the alignment update")
    axes.legend(ncols=2)
    return figure


# --- energy ----------------------------------------------------------------------------------------


def energy_profile(profiles: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """R before and after fine-tuning over k / min(m, n); right, their ratio beside the paper's Figure 2.

    ``profiles`` has columns seed, share (k / min(m, n)), r_align and r_ft, means over matrices; lines
    are means over seeds, bands their range. ``published`` has pairs, k and ratio.
    """
    figure, (left, right) = _panels(2)
    for column, label, color in (
        ("r_align", "$R_{align}$, before fine-tuning", BEFORE),
        ("r_ft", "$R_{ft}$, after", AFTER),
    ):
        _over_seeds(left, profiles, column, label=label, color=color)
    left.set(ylabel="R", title="Energy in the top k directions")
    left.legend(loc="upper left")
    ratios = profiles.assign(ratio=profiles["r_ft"] / profiles["r_align"])
    _over_seeds(right, ratios, "ratio", label="this run", color=AFTER)
    for shade, (pairs, group) in zip(("0.75", "0.6", "0.4", "0.2"), published.groupby("pairs")):
        label = f"paper, {pairs / 1000:.1f}k pairs"
        right.plot(group["k"] / LLAMA_WIDTH, group["ratio"], "o:", color=shade, lw=1, label=label)
    right.set_title("$R_{ft} \\, / \\, R_{align}$")
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="k / min(m, n)", ylim=(0, 1.05))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


def energy_by_kind(energies: pd.DataFrame) -> Figure:
    """R before and after fine-tuning for each kind of matrix and for each layer, a dot for each seed.

    ``energies`` is ``energy_table``'s with a column seed; a dot is a mean over matrices, a bar over seeds.
    """
    figure, panels = _panels(2, sharey=True, gridspec_kw={"width_ratios": (3, 2)})
    for axes, column in zip(panels, ("kind", "layer")):
        means = energies.groupby(["seed", column], sort=False)[["r_align", "r_ft"]].mean().reset_index()
        groups = list(dict.fromkeys(means[column]))
        for measure, label, color, shift in (
            ("r_align", "$R_{align}$", BEFORE, -0.17),
            ("r_ft", "$R_{ft}$", AFTER, 0.17),
        ):
            places = [groups.index(group) + shift for group in means[column]]
            bars = means.groupby(column, sort=False)[measure].mean()
            axes.bar([i + shift for i in range(len(groups))], bars, 0.3, color=color, alpha=0.45, label=label)
            axes.plot(places, means[measure], ".", color=color)
        axes.set_xticks(range(len(groups)), [str(g).removesuffix("_proj") for g in groups])
        axes.set_xlabel(column)
        axes.grid(visible=False, axis="x")
    panels[0].set_ylabel("R")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def _over_seeds(axes: Axes, profiles: pd.DataFrame, column: str, **style) -> None:
    """A column over share: the mean over seeds as a line, their range as a band."""
    values = profiles.groupby("share")[column].agg(["mean", "min", "max"])
    axes.plot(values.index, values["mean"], **style)
    axes.fill_between(values.index, values["min"], values["max"], color=style["color"], alpha=0.2, lw=0)


# --- effective rank and robustness ---------------------------------------------------------------


def robustness(rows: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR after each task without and with LoX, one dot a seed, the mean as a bar, beside the paper's.

    ``rows`` is a result table of the defences none and lox, ``published`` the paper's Table 1.
    """
    tasks = [task for task in TASK_NAMES if task != "none" and task in set(rows["task"])]
    figure, axes = _panels(2, sharey=True, width_ratios=(3, 2))
    for offset, defence, colour in ((-0.18, "none", AFTER), (0.18, "lox", BEFORE)):
        ours = rows[rows["defence"] == defence]
        theirs = published[published["defence"] == defence].set_index("task")["asr"]
        for place, task in enumerate(tasks):
            seeds = ours.loc[ours["task"] == task, "asr"]
            axes[0].bar(place + offset, seeds.mean(), 0.34, color=colour, alpha=0.35)
            axes[0].plot([place + offset] * len(seeds), seeds, "o", color=colour, markersize=4)
            axes[1].bar(place + offset, theirs[task], 0.34, color=colour, alpha=0.35)
    aligned = rows.loc[(rows["task"] == "none") & (rows["defence"] == "none"), "asr"].mean()
    axes[0].axhline(aligned, color="0.4", linestyle=":", linewidth=1)
    for axis, title in zip(axes, (f"this run ({rows['profile'].iloc[0]})", "paper, LLaMA-2-7B")):
        axis.set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=20, ha="right")
        axis.set_title(title)
    axes[0].set_ylabel("ASR")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylim(0, 1.02)
    handles = [Patch(color=colour, alpha=0.5) for colour in (AFTER, BEFORE)]
    axes[1].legend(handles, ["without LoX", "with LoX"], frameon=False)
    return figure


def rank_curves(curves: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR(θ_r) over r: ours, one line a seed with its Wilson band, beside the paper's four models."""
    figure, axes = _panels(2, sharey=True)
    for seed, curve in curves.groupby("seed"):
        (line,) = axes[0].plot(curve["rank"], curve["asr"], "o-", markersize=4, label=f"seed {seed}")
        axes[0].fill_between(
            curve["rank"], curve["asr_low"], curve["asr_high"], alpha=0.12, color=line.get_color()
        )
    for (model, pairs), curve in published.groupby(["model", "pairs"]):
        axes[1].plot(curve["rank"], curve["asr"], "s-", markersize=4, label=f"{model}, {pairs / 1000:.1f}k")
    for axis, title in zip(axes, ("this run", "paper (read off)")):
        axis.set_xlabel("rank r")
        axis.set_title(title)
        axis.legend(frameon=False)
    axes[0].set_ylabel(r"ASR($\theta_r$)")
    ranks = sorted(set(curves["rank"]))
    axes[0].set_xscale("symlog", linthresh=1, base=2)
    axes[0].set_xticks(ranks, [str(r) for r in ranks])
    axes[0].set_ylim(-0.02, 1.02)
    return figure


# --- alignment_update ------------------------------------------------------------------------------


def spectra_by_kind(spectra: pd.DataFrame, chance: pd.DataFrame) -> Figure:
    """s_i / ‖ΔW‖ over i, a panel for each kind of matrix, a line for each layer, the mean over seeds.

    Both have columns kind, layer, i and share; ``chance``, of random matrices, is the dashed line.
    """
    kinds = list(dict.fromkeys(spectra["kind"]))
    columns = -(-(len(kinds) + 1) // 2)
    figure, grid = plt.subplots(2, columns, figsize=(9.0, 5.0), sharex=True, sharey=True)
    plt.close(figure)
    layers = sorted(spectra["layer"].unique())
    colors = plt.get_cmap()([0.9 * i / max(1, len(layers) - 1) for i in range(len(layers))])
    for axes, kind in zip(grid.flat, kinds):
        lines = spectra[spectra["kind"] == kind].groupby(["layer", "i"])["share"].mean()
        for layer, color in zip(layers, colors):
            if layer in lines:
                axes.plot(lines[layer], color=color, lw=1.4, label=f"layer {layer}")
        random = chance[chance["kind"] == kind].groupby("i")["share"].mean()
        axes.plot(random, color=REFERENCE, linestyle="--", label="random")
        axes.set(xscale="log", yscale="log", title=kind, ylim=(1e-3, 1.1))
    for axes in grid.flat[len(kinds) :]:
        axes.axis("off")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="lower right", ncols=1 + len(layers) // 8)
    figure.supxlabel("i")
    figure.supylabel("$s_i \\, / \\, \\|\\Delta W\\|$")
    return figure


def concentration(updates: pd.DataFrame, sizes: pd.DataFrame) -> Figure:
    """R in an update's own top k directions over k / min(m, n): kinds of update; amounts of alignment.

    Both have columns update (the line's name), seed, share, r; lines are means over seeds, bands their
    range. The update "random" is drawn as a dashed reference.
    """
    figure, panels = _panels(2, sharey=True)
    titles = ("Alignment, fine-tuning, chance", "The amount of alignment")
    for axes, frame, title in zip(panels, (updates, sizes), titles):
        names = [name for name in dict.fromkeys(frame["update"]) if name != "random"]
        shades = plt.get_cmap()([0.85 * (1 - i / len(names)) for i in range(len(names))])
        colors = shades if axes is panels[1] else [f"C{i}" for i in range(len(names))]
        styles = {name: {"color": color} for name, color in zip(names, colors)}
        for name, style in (styles | {"random": {"color": REFERENCE, "linestyle": "--"}}).items():
            _over_seeds(axes, frame[frame["update"] == name], "r", label=name, **style)
        axes.set(xscale="log", xlabel="k / min(m, n)", ylim=(0, 1.02), title=title)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(loc="lower right")
    panels[0].set_ylabel("R in its own top k directions")
    return figure


# --- degradation -----------------------------------------------------------------------------------


def degradation(points: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Degradation over R_ft / R_align: a colour for each k, area the alignment pairs; right, the paper's.

    Both have columns pairs, k, ratio and degradation; ``points`` seed, low and high (interval of the
    degradation) too. Lines join the means over seeds, size by size.
    """
    figure, panels = _panels(2, sharey=True, sharex=True)
    for axes, frame, title in ((panels[0], points, "this run"), (panels[1], published, "paper (read off)")):
        for i, (k, group) in enumerate(frame.groupby("k")):
            means = group.groupby("pairs")[["ratio", "degradation"]].mean()
            axes.plot(means["ratio"], means["degradation"], color=f"C{i}", lw=1, alpha=0.6)
            area = 110 * group["pairs"] / frame["pairs"].max()
            style = {"color": f"C{i}", "alpha": 0.7}
            axes.scatter(group["ratio"], group["degradation"], area, label=f"k = {k}", **style)
            if "low" in group:
                axes.vlines(group["ratio"], group["low"], group["high"], lw=0.7, **style)
        axes.set(xlabel="$R_{ft} \\, / \\, R_{align}$", title=title)
        axes.axhline(0, color=REFERENCE, lw=0.8)
        axes.legend(loc="best")
    panels[0].set_ylabel("safety degradation (rise of the ASR)")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    return figure


# --- landscape -------------------------------------------------------------------------------------

X_LABEL, Y_LABEL = "x, distance along LoX's step", "y, distance along fine-tuning"


def safety_landscape(surface: pd.DataFrame, models: pd.DataFrame) -> Figure:
    """ASR, and the share of harmless questions answered, over the plane; a cell is one measured point.

    ``surface`` has columns x, y, asr, helpful on a full grid, ``models`` model, x, y.
    """
    figure, panels = _panels(2, sharey=True)
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
    figure, panels = _panels(2, sharey=True)
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


# --- baselines -------------------------------------------------------------------------------------

DEFENCE_COLORS = {"none": AFTER, "lox": BEFORE, "full-rank": "C2", "safeinst": "C3", "removal": "C4"}


def baselines(rows: pd.DataFrame) -> Figure:
    """ASR after each task under each defence, a dot a seed; right, ASR against harmless questions answered.

    On the right a mark is a task, its mean over seeds; the ring of each colour is the mean over tasks.
    """
    rows = rows[rows["task"] != "none"]
    tasks = [task for task in TASK_NAMES if task in set(rows["task"])]
    defences = list(dict.fromkeys(rows["defence"]))
    figure, axes = _panels(2, sharey=True, width_ratios=(3, 2))
    width = 0.8 / len(defences)
    for i, defence in enumerate(defences):
        ours, color = rows[rows["defence"] == defence], DEFENCE_COLORS[defence]
        means = ours.groupby("task")[["asr", "helpful"]].mean().loc[tasks]
        places = [place + (i - (len(defences) - 1) / 2) * width for place in range(len(tasks))]
        axes[0].bar(places, means["asr"], 0.9 * width, color=color, alpha=0.4, label=DEFENCE_NAMES[defence])
        for place, task in zip(places, tasks):
            seeds = ours.loc[ours["task"] == task, "asr"]
            axes[0].plot([place] * len(seeds), seeds, "o", color=color, markersize=3)
        axes[1].plot(means["helpful"], means["asr"], "o", color=color, markersize=4, alpha=0.7)
        axes[1].plot(*means[["helpful", "asr"]].mean(), "o", color=color, markersize=12, fillstyle="none")
    axes[0].set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=20, ha="right")
    axes[0].set(ylabel="ASR", ylim=(-0.03, 1.02))
    axes[1].set(xlabel="harmless questions answered", xlim=(-0.03, 1.03))
    for axis in (axes[0].yaxis, axes[1].xaxis):
        axis.set_major_formatter(PercentFormatter(1))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(defences))
    return figure


# --- stress ----------------------------------------------------------------------------------------


def stress_geometry(geometry: pd.DataFrame) -> Figure:
    """Where ΔW_ft lies in the safety subspace after each task: share, counteraction, share undone.

    ``geometry`` has columns seed, task, defence, share, chance, counteraction, undone, one row for each
    model (means over matrices). A dot is a seed, a bar their mean, the dashed line chance.
    """
    tasks = [task for task in TASK_NAMES if task in set(geometry["task"])]
    figure, axes = _panels(3)
    measures = (("share", "share of $\\|\\Delta W_{ft}\\|$"), ("counteraction",) * 2, ("undone", "undone"))
    for axis, (column, title) in zip(axes, measures):
        for offset, defence, color in ((-0.18, "none", AFTER), (0.18, "lox", BEFORE)):
            ours = geometry[geometry["defence"] == defence].groupby("task")[column]
            for place, task in enumerate(tasks):
                seeds = ours.get_group(task)
                axis.bar(place + offset, seeds.mean(), 0.34, color=color, alpha=0.35)
                axis.plot([place + offset] * len(seeds), seeds, "o", color=color, markersize=3)
        chance = geometry["chance"].mean() if column == "share" else 0
        axis.axhline(chance, color=REFERENCE, linestyle="--", linewidth=1)
        axis.set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=35, ha="right")
        axis.set_title(title)
    handles = [Patch(color=color, alpha=0.5) for color in (AFTER, BEFORE)]
    figure.legend(handles, ["without LoX", "with LoX"], loc="outside upper center", ncols=2)
    return figure


def stress_variants(rows: pd.DataFrame) -> Figure:
    """ASR and utility of every variant of fine-tuning after every task, means over seeds, as two maps.

    ``rows`` has columns task, subspace, part, asr and utility, in the order in which variants are drawn.
    """
    tasks = [task for task in TASK_NAMES if task in set(rows["task"])]
    figure, axes = _panels(2, sharey=True)
    figure.set_size_inches(9.0, 5.0)
    for axis, column, colors in zip(axes, ("asr", "utility"), ("Reds", "Greens")):
        means = rows.groupby(["subspace", "part", "task"], sort=False)[column].mean().unstack()[tasks]
        axis.imshow(means, cmap=colors, vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(means.to_numpy()):
            color = "white" if value > 0.6 else "black"
            axis.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color=color, fontsize=9)
        axis.set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=20, ha="right")
        axis.set_yticks(range(len(means)), [f"{subspace}: {part}" for subspace, part in means.index])
        axis.set_title({"asr": "ASR (%)", "utility": "utility (%)"}[column])
        axis.grid(visible=False)
    return figure


def stress_gain(points: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """What LoX takes off the ASR against what fine-tuning left without it, ours and the paper's.

    ``points`` has columns seed, task, without and with (ASR), ``published`` is the paper's Table 1. Above
    the diagonal lies nothing: no defence takes off more than there is.
    """
    theirs = published.pivot(index="task", columns="defence", values="asr").reset_index()
    theirs = theirs.rename(columns={"none": "without", "lox": "with"})
    figure, axes = _panels(2, sharey=True, sharex=True)
    for axis, frame, title in zip(axes, (points, theirs), ("this run, a dot a seed", "paper, LLaMA-2-7B")):
        axis.plot([0, 1], [0, 1], "--", color=REFERENCE, linewidth=1)
        for task in (task for task in TASK_NAMES if task in set(frame["task"])):
            ours = frame[frame["task"] == task]
            axis.plot(ours["without"], ours["without"] - ours["with"], "o", label=TASK_NAMES[task])
        axis.set(xlabel="ASR without LoX", title=title)
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("ASR without less ASR with")
    axes[0].legend()
    return figure


# --- judge_free_rank -------------------------------------------------------------------------------


def log_odds_curves(curves: pd.DataFrame) -> Figure:
    """ASR(θ_r), refusal log-odds, and the share of their shift that is lost, over r; a line a model.

    ``curves`` has columns seed, pairs, rank, asr, log_odds and lost. Colour is the amount of alignment.
    """
    figure, axes = _panels(3)
    titles = {"asr": r"ASR($\theta_r$)", "log_odds": "refusal log-odds (nats)", "lost": "share of shift lost"}
    for axis, (column, title) in zip(axes, titles.items()):
        for i, (pairs, group) in enumerate(curves.groupby("pairs")):
            for j, (_, curve) in enumerate(group.groupby("seed")):
                label = f"{pairs} pairs" if j == 0 else None
                axis.plot(curve["rank"], curve[column], "o-", color=f"C{i}", markersize=3, lw=1, label=label)
        axis.set(title=title, xlabel="rank r")
        axis.set_xscale("symlog", linthresh=1, base=2)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


# --- ablation --------------------------------------------------------------------------------------

# each choice of k, and the paper's k of the same reading
K_COLORS = {"6 of 4096": "C0", "100 of 4096": "C1", "100": "C1", "500 of 4096": "C2"}
K_COLORS |= {"500": "C2", "6": "C3", "full": "C4", "effective rank": "C5"}


def _grid(rows: int, columns: int, **options) -> tuple[Figure, list[list[Axes]]]:
    figure, axes = plt.subplots(rows, columns, figsize=(9.0, 2.9 * rows), squeeze=False, **options)
    plt.close(figure)
    return figure, [list(line) for line in axes]


def ablation_before(before: pd.DataFrame) -> Figure:
    """What extrapolation alone does to a model, over α, a line for each choice of k.

    ``before`` has columns choice, seed, alpha and the four shares drawn; a line is the mean over seeds,
    its band their range.
    """
    figure, panels = _grid(2, 2, sharex=True, sharey=True)
    shown = {
        "helpful": "harmless questions answered",
        "utility": "problems solved (utility)",
        "over_refusal": "harmless questions refused",
        "gibberish": "gibberish to harmful requests",
    }
    for axes, (column, title) in zip(sum(panels, []), shown.items()):
        for choice, rows in before.groupby("choice", sort=False):
            values = rows.groupby("alpha")[column].agg(["mean", "min", "max"])
            axes.plot(values.index, values["mean"], ".-", color=K_COLORS[choice], label=f"k: {choice}")
            axes.fill_between(
                values.index, values["min"], values["max"], color=K_COLORS[choice], alpha=0.1, lw=0
            )
        axes.set_title(title)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    panels[0][0].set_ylim(-0.03, 1.03)
    for axes in panels[1]:
        axes.set_xlabel("α")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def ablation_after(after: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR over α after each task, a line for each choice of k, above ours, below the paper's.

    ``after`` has columns choice, seed, task, alpha and asr: a line is the mean over seeds, a dot a seed.
    """
    tasks = [task for task in TASK_NAMES if task in set(after["task"])]
    figure, panels = _grid(2, len(tasks), sharex=True, sharey=True)
    for place, task in enumerate(tasks):
        for choice, rows in after[after["task"] == task].groupby("choice", sort=False):
            means = rows.groupby("alpha")["asr"].mean()
            panels[0][place].plot(means.index, means, "-", color=K_COLORS[choice], label=f"k: {choice}")
            panels[0][place].plot(rows["alpha"], rows["asr"], ".", color=K_COLORS[choice], alpha=0.6)
        for k, rows in published[published["task"] == task].groupby("k", sort=False):
            panels[1][place].plot(
                rows["alpha"], rows["asr"], "s:", color=K_COLORS[k], markersize=3, label=f"k: {k}"
            )
        panels[0][place].set_title(f"{TASK_NAMES[task]}, this run")
        panels[1][place].set(title=f"{TASK_NAMES[task]}, paper (read off)", xlabel="α")
    for line in panels:
        line[0].set(ylabel="ASR", ylim=(-0.03, 1.03))
        line[0].yaxis.set_major_formatter(PercentFormatter(1))
        line[0].legend(loc="upper right")
    return figure


# --- persistence -----------------------------------------------------------------------------------


def persistence(rows: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR and utility after each epoch without and with LoX, beside the paper's ASR; a line of panels a task.

    ``rows`` has columns seed, task, lr, defence, epoch, asr and utility: a line is the mean over seeds,
    its band their range. The smaller learning rate is drawn solid, the larger dashed.
    """
    tasks = [task for task in TASK_NAMES if task in set(rows["task"])]
    figure, panels = _grid(len(tasks), 3, sharey=True)
    for line, task in zip(panels, tasks):
        for axes, data, column, title in (
            (line[0], rows, "asr", "ASR, this run"),
            (line[1], rows, "utility", "utility, this run"),
            (line[2], published, "asr", "ASR, paper (read off)"),
        ):
            _epochs(axes, data[data["task"] == task], column)
            axes.set_title(f"{TASK_NAMES[task]}: {title}")
        for axes in line[1:]:  # the first panel has the second's lines
            axes.legend(loc="best", fontsize=7.5)
        line[0].set_ylim(-0.03, 1.03)
        line[0].yaxis.set_major_formatter(PercentFormatter(1))
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    return figure


def _epochs(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    for style, lr in zip(("-", "--"), sorted(rows["lr"].unique())):
        for defence, color in (("none", AFTER), ("lox", BEFORE)):
            chosen = rows[(rows["lr"] == lr) & (rows["defence"] == defence)]
            values = chosen.groupby("epoch")[column].agg(["mean", "min", "max"])
            label = f"{DEFENCE_NAMES[defence]}, lr {lr:g}"
            axes.plot(values.index, values["mean"], style, color=color, label=label)
            axes.fill_between(values.index, values["min"], values["max"], color=color, alpha=0.12, lw=0)
