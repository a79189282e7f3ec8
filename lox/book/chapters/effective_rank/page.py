"""Figures on the effective rank, by a judge or by log-odds."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from lox.book.cells import markdown, share
from lox.book.figures import panels_of
from lox.effective_rank import EffectiveRank


def rank_curves(curves: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR(θ_r) over r: ours, one line a seed with its Wilson band, beside the paper's four models."""
    figure, axes = panels_of(2, sharey=True)
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


def log_odds_curves(curves: pd.DataFrame) -> Figure:
    """ASR(θ_r), refusal log-odds, and the share of their shift that is lost, over r; a line a model.

    ``curves`` has columns seed, pairs, rank, asr, log_odds and lost. Colour is the amount of alignment.
    """
    figure, axes = panels_of(3)
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


def ranks(found: dict[str, EffectiveRank]) -> Markdown:
    """Effective rank, both readings, for each named curve."""
    return markdown(
        pd.DataFrame(
            {
                "Model": name,
                "ASR aligned": share(f.asr_aligned),
                "ρ": f"{f.rho:g}",
                "effective rank (smallest r)": "none" if f.rank is None else f.rank,
                "settled (from r on)": "none" if f.settled is None else f.settled,
            }
            for name, f in found.items()
        )
    )
