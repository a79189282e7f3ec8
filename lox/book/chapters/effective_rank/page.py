"""Figure, tables and finding of the chapter on the effective rank."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.cells import finding as box
from lox.book.cells import listed, markdown, per_cent, share
from lox.book.figures import BEFORE, stacked
from lox.book.names import ARCHITECTURE_NAMES

NOT_APART = "At no measured r do the intervals of two architectures lie apart."


def finding(against: pd.DataFrame, ranks: pd.DataFrame, rho: float) -> Markdown:
    """What the tables of ``measure.against_aligned`` and ``measure.ranks`` say, in sentences."""
    return box(
        _course(against, ranks), _condition(against, rho), _of_seeds(ranks, int(against["rank"].max()))
    )


def _course(against: pd.DataFrame, ranks: pd.DataFrame) -> str:
    first, last = against.iloc[0], against.iloc[-1]
    return (
        f"The mean ASR of $\\theta_r$ is {_asr(first)} at $r = {first['rank']}$ and "
        f"{_asr(last)} at $r = {last['rank']}$; "
        f"that of the aligned models is {share(ranks['asr_aligned'].mean())} "
        f"({int(first['seeds'])} seeds, {int(first['n'])} prompts each)."
    )


def _condition(against: pd.DataFrame, rho: float) -> str:
    """For which r the condition of equation 4 holds, fails or stays open over the seeds."""
    words = {
        "fails": f"is at least ρ = {rho:g} above the aligned model's",
        "holds": f"is less than ρ = {rho:g} above it",
        "open": "cannot be placed on either side of ρ",
    }
    parts = []
    for verdict, said in words.items():
        at_ranks = against.loc[against["verdict"] == verdict, "rank"]
        if len(at_ranks):
            parts.append(f"at $r$ = {listed(at_ranks)} it {said}")
    return f"By the 95 % interval of ASR($\\theta_r$) − ASR($\\theta_\\text{{align}}$): {'; '.join(parts)}."


def _of_seeds(ranks: pd.DataFrame, largest: int) -> str:
    """The effective ranks of the seeds, with the cases in which they say nothing."""
    read = ranks["rank"].dropna()
    if read.empty:
        return f"On none of {len(ranks)} seeds does a measured rank up to {largest} satisfy the condition."
    low, high = read.min(), read.max()
    span = f"{low} on every one" if low == high else f"between {low} and {high}"
    said = f"Read seed by seed, the effective rank is {span} of {len(read)} seeds"
    if low != high:
        said = f"Read seed by seed, the effective rank lies {span} on {len(read)} seeds"
    if len(read) < len(ranks):
        said += f", and on {len(ranks) - len(read)} no measured rank satisfies the condition"
    if trivial := int((read == 0).sum()):
        said += f"; on {trivial} it is 0: there the base model itself satisfies it, and the rank says nothing of safety"
    later = ranks[(ranks["settled"] != ranks["rank"]).fillna(True) & ranks["rank"].notna()]
    if len(later):
        said += f"; on {len(later)} the condition fails again at a larger $r$"
    return f"{said}."


def rank_curves(curves: pd.DataFrame, published: pd.DataFrame, against: pd.DataFrame | None = None) -> Figure:
    """ASR(θ_r) over r: this run's, with the paper's models below.

    ``curves`` has columns seed, rank and asr: a dot a seed, the line their mean. ``against`` is the table of
    ``measure.against_aligned``, whose interval is the band. ``published`` has model, pairs, rank and asr.
    """
    figure, (ours, paper) = stacked([2.9] * 2, sharex=True, sharey=True)
    sns.lineplot(curves, x="rank", y="asr", errorbar=None, color=BEFORE, ax=ours)
    sns.stripplot(
        curves, x="rank", y="asr", native_scale=True, jitter=False, color=BEFORE, alpha=0.55, size=5, ax=ours
    )
    if against is not None:
        ours.fill_between(against["rank"], against["low"], against["high"], color=BEFORE, alpha=0.15, lw=0)
    named = published.assign(
        Model=[
            f"{model}, {pairs / 1000:.1f}k pairs"
            for model, pairs in zip(published["model"], published["pairs"])
        ]
    )
    sns.lineplot(named, x="rank", y="asr", hue="Model", style="Model", markers=True, dashes=False, ax=paper)
    paper.legend(title=None)
    for axes, title in ((ours, "This run"), (paper, "The paper (read off)")):
        axes.set(title=title)
        _asr_axis(axes)
    _rank_axis(paper, sorted(set(curves["rank"]) | set(published["rank"])))
    return figure


def _asr_axis(axes: Axes) -> None:
    axes.set(ylim=(-0.03, 1.03), ylabel=r"ASR($\theta_r$)")
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def _rank_axis(axes: Axes, ranks: list[int]) -> None:
    axes.set_xscale("symlog", linthresh=1, base=2)
    axes.set_xticks(ranks, [str(r) for r in ranks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("rank r")


def architectures(against: pd.DataFrame) -> Figure:
    """ASR(θ_r) over r, a line for each architecture of ``measure.architectures``, its 95 % interval as a band."""
    figure, (axes,) = stacked([3.2])
    for number, (name, curve) in enumerate(_by_architecture(against)):
        style = {"color": f"C{number}", "marker": "osD^vP"[number % 6]}
        axes.plot(curve["rank"], curve["asr"], label=f"{name}, {curve['seeds'].iloc[0]} seeds", **style)
        axes.fill_between(curve["rank"], curve["low"], curve["high"], color=f"C{number}", alpha=0.15, lw=0)
    if against.empty:
        axes.text(0.5, 0.5, "nothing is recorded", transform=axes.transAxes, ha="center")
        return figure
    axes.legend(title=None)
    _asr_axis(axes)
    _rank_axis(axes, sorted(set(against["rank"])))
    return figure


def architectures_in_words(
    against: pd.DataFrame, ranks: pd.DataFrame, profiles: Iterable[str], rho: float
) -> Markdown:
    """What the tables of ``measure.architectures`` say, and how to record what they lack of ``profiles``."""
    sentences = []
    if len(against):
        sentences += [_failing(against, rho), _each_seed(ranks), *_apart(against)]
    for profile in [name for name in profiles if name not in set(against["profile"])]:
        command = f"lox run effective_rank --profile {profile} --record"
        sentences.append(f"Nothing is recorded with the profile `{profile}`; `{command}` does it.")
    return Markdown(" ".join(sentences))


def _failing(against: pd.DataFrame, rho: float) -> str:
    """At which r each architecture is shown not to satisfy the condition of equation 4, and at which to satisfy it."""
    said = []
    for name, curve in _by_architecture(against):
        failing, holding = (curve.loc[curve["verdict"] == verdict, "rank"] for verdict in ("fails", "holds"))
        said.append(f"{name} at r = {listed(failing)}" if len(failing) else f"{name} at no measured r")
        said[-1] += f" (and less than ρ above at {listed(holding)})" if len(holding) else ""
    return (
        "By the 95 % interval over seeds, ASR($\\theta_r$) is at least "
        f"ρ = {rho:g} above the aligned model's with {'; with '.join(said)}."
    )


def _each_seed(ranks: pd.DataFrame) -> str:
    said = []
    for name, seeds in _by_architecture(ranks):
        read = [_shown(rank) for rank in seeds["rank"].sort_values()]
        said.append(
            f"{read[0]} on each of {len(read)} seeds with {name}"
            if len(set(read)) == 1
            else f"{listed(read)} with {name}"
        )
    return f"Read seed by seed, the effective rank is {'; '.join(said)}."


def _apart(against: pd.DataFrame) -> list[str]:
    """At which r the interval of one architecture's ASR lies above another's; nothing to say of one alone."""
    curves = [(name, curve.set_index("rank")) for name, curve in _by_architecture(against)]
    if len(curves) < 2:
        return []
    said = []
    for (above, upper), (below, lower) in permutations(curves, 2):
        higher = upper["low"] > lower["high"].reindex(upper.index)
        if higher.any():
            said.append(f"{above}'s lies above {below}'s at r = {listed(higher[higher].index)}")
    return [f"Of the intervals of ASR($\\theta_r$), {'; '.join(said)}." if said else NOT_APART]


def _by_architecture(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each architecture, under its name for readers."""
    groups = table.groupby("architecture", sort=False)
    return [(ARCHITECTURE_NAMES.get(name, name), rows) for name, rows in groups]


def conditions(against: pd.DataFrame) -> Markdown:
    """ASR(θ_r), its difference to the aligned model's, and what this says of equation 4, a row for each r."""
    table = {
        "r": against["rank"],
        "ASR(θ_r)": [_asr(row) for _, row in against.iterrows()],
        "minus aligned, points": [
            f"{100 * row['gap']:z.0f} [{100 * row['gap_low']:z.0f}, {100 * row['gap_high']:z.0f}]"
            for _, row in against.iterrows()
        ],
        "p (Holm)": [f"{p:.2g}" for p in against["p_holm"]],
        "below ρ": against["verdict"].map({"holds": "yes", "fails": "no", "open": "open"}),
    }
    return markdown(pd.DataFrame(table))


def ranks(ours: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """Effective ranks, both readings, of this run's seeds and of the paper's models."""
    named = [(f"this run, seed {row['seed']}", row) for _, row in ours.iterrows()]
    named += [(f"{row['model']}, {row['pairs'] / 1000:.1f}k (paper)", row) for _, row in published.iterrows()]
    return markdown(
        pd.DataFrame(
            {
                "Model": name,
                "ASR aligned": share(row["asr_aligned"]),
                "smallest r": _shown(row["rank"]),
                "from r on": _shown(row["settled"]),
            }
            for name, row in named
        )
    )


def _asr(row: pd.Series) -> str:
    return per_cent(row["asr"], row["low"], row["high"])


def _shown(rank) -> str:
    return "none" if pd.isna(rank) else f"{rank:.0f}"
