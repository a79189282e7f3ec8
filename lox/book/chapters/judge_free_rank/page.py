"""Figure, tables and finding of the chapter on the rank without a judge."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.figure import Figure

from lox.book.cells import counted, markdown, rows_of, share
from lox.book.cells import finding as box
from lox.book.figures import stacked

ASR = "ASR"
SCORES = {"whole replies": "log-odds of whole replies", "opening": "log-odds of their opening"}
BOTH = "log-odds of whole replies, and of their opening,"


def finding(ranks: pd.DataFrame, agreement: pd.DataFrame, correlations: pd.DataFrame, tau: float) -> Markdown:
    """What the tables of ``measure`` of these names say, in sentences; of ``agreement`` the rows with this τ."""
    at_tau = agreement[agreement["tau"] == tau].set_index("score")
    by_model = ranks.set_index(["seed", "pairs"])
    by_asr = rows_of(by_model, way=ASR)
    compared = by_asr.index[by_asr["rank"] != 0]
    models, n = len(by_asr), len(compared)
    if n == 0:
        return box(
            f"In none of {models} models does the ASR define a rank above 0, so there is nothing that the rank by "
            "log-odds could agree with.",
            _order(correlations),
        )
    return box(
        f"In {n} of {models} models the rank that the ASR defines is not 0; these are compared.",
        _coincide(by_model.loc[compared], n),
        *_of_scores(lambda score: _agreement(at_tau.loc[score], n, tau)),
        _order(correlations),
        *_of_scores(lambda score: _certainty(by_model.loc[compared], score)),
    )


def _of_scores(sentence_on: Callable[[str], str]) -> list[str]:
    """A sentence on each score, which names it by {}; a single one where it is the same of both."""
    said = {name: sentence_on(score) for score, name in SCORES.items()}
    if len(set(said.values())) == 1:
        return [next(iter(said.values())).format(BOTH)]
    return [sentence.format(name) for name, sentence in said.items()]


def _coincide(ranks: pd.DataFrame, n: int) -> str:
    """In how many models both scores give the same rank: where they do in all, they are no two results."""
    by_way = ranks.pivot(columns="way", values="rank")[[*SCORES]]
    same = int((by_way.nunique(axis=1) == 1).sum())
    one = "; here they are one result and not two" if same == n else ""
    return f"Whole replies and their opening give the same rank by log-odds in {counted(same, n, 'models')}{one}."


def _agreement(row: pd.Series, n: int, tau: float) -> str:
    return (
        f"With τ = {tau:g} the {{}} give the same rank as the ASR in {int(row['equal'])} of {n}, "
        f"and one at most a step apart in {int(row['within_one'])}."
    )


def _order(correlations: pd.DataFrame) -> str:
    known = correlations["correlation"].dropna()
    if known.empty:
        return "The ASR or the log-odds stand still over all $r$ on every seed, so they cannot be correlated."
    return (
        "Spearman's correlation of ASR($\\theta_r$) with the log-odds, over all ranks and amounts of a seed, "
        f"lies between {known.min():z.2f} and {known.max():z.2f} (minus 1: the same order of models)."
    )


def _certainty(ranks: pd.DataFrame, score: str) -> str:
    """In how many models the interval of the rank by log-odds is narrower than that by the ASR, or wider."""
    wide = ranks.assign(width=_width(ranks)).pivot(columns="way", values="width")
    narrower, wider = int((wide[score] < wide[ASR]).sum()), int((wide[score] > wide[ASR]).sum())
    return (
        f"The interval of the rank by the {{}} is narrower than that by the ASR in {narrower} of {len(wide)}, "
        f"wider in {wider}."
    )


def _width(ranks: pd.DataFrame) -> pd.Series:
    """Steps on the list of ranks that occur, so that "none" has a place too."""
    places = {rank: i for i, rank in enumerate(sorted(set(ranks[["low", "high"]].to_numpy().ravel())))}
    return ranks["high"].map(places) - ranks["low"].map(places)


def log_odds_curves(curves: pd.DataFrame) -> Figure:
    """ASR(θ_r), refusal log-odds, and the share of their shift that is lost, over r; a line a model.

    ``curves`` has columns seed, pairs, rank, asr, log_odds and lost. Colour is the amount of alignment.
    """
    titles = {
        "asr": r"ASR($\theta_r$)",
        "log_odds": "Refusal log-odds, nats",
        "lost": "Share of the shift lost",
    }
    figure, panels = stacked([2.3] * 3, sharex=True)
    pairs = sorted(curves["pairs"].unique())
    colors = dict(zip(pairs, sns.color_palette("viridis_r", len(pairs))))
    for axes, (column, title) in zip(panels, titles.items()):
        sns.lineplot(
            curves,
            x="rank",
            y=column,
            hue="pairs",
            palette=colors,
            units="seed",
            estimator=None,
            marker="o",
            lw=1,
            markersize=4,
            legend="full" if column == "asr" else False,
            ax=axes,
        )
        axes.set(title=title, ylabel=None)
    panels[0].legend(title="pairs", loc="upper right")
    ranks = sorted(curves["rank"].unique())
    panels[-1].set_xscale("symlog", linthresh=1, base=2)
    panels[-1].set_xticks(ranks, [str(r) for r in ranks])
    panels[-1].set_xlabel("rank r")
    return figure


def ranks(table: pd.DataFrame, largest: int) -> Markdown:
    """The rank of every model by every way with its interval; ``largest`` is the largest measured r."""
    shown = table.assign(
        rank=[
            f"{_shown(row.rank, largest)} [{_shown(row.low, largest)}, {_shown(row.high, largest)}]"
            for row in table.itertuples(index=False)
        ],
        aligned=table["asr_aligned"].map(share),
    )
    wide = shown.pivot(index=["seed", "pairs", "aligned"], columns="way", values="rank").reset_index()
    wide.insert(0, "seed, pairs", [f"{seed}, {pairs}" for seed, pairs in zip(wide["seed"], wide["pairs"])])
    named = wide[["seed, pairs", "aligned", ASR, *SCORES]]
    return markdown(named.rename(columns={"aligned": "ASR aligned", ASR: "by ASR"}))


def _shown(rank: float | int, largest: int) -> str:
    return f"> {largest}" if math.isinf(rank) else f"{rank:.0f}"


def agreement(table: pd.DataFrame) -> Markdown:
    """The table of ``compare.agreement``, readable."""
    names = {"tau": "τ", "within_one": "within one step", "mean_steps": "mean steps apart"}
    shown = table.drop(columns="models").assign(
        mean_steps=["–" if pd.isna(mean) else f"{mean:+z.1f}" for mean in table["mean_steps"]]
    )
    return markdown(shown.rename(columns=names))


def correlations(table: pd.DataFrame) -> Markdown:
    """The table of ``compare.correlations``, a row for each seed."""
    shown = table.assign(correlation=["–" if pd.isna(c) else f"{c:z.2f}" for c in table["correlation"]])
    wide = shown.pivot(index="seed", columns="score", values="correlation")[[*SCORES]].reset_index()
    return markdown(wide)


def cost(table: pd.DataFrame) -> Markdown:
    """The table of ``measure.cost``, readable."""
    shown = {
        "way": table["way"].map({ASR: "generate replies (ASR)"} | SCORES),
        "seconds": table["seconds"].map("{:.2f}".format),
        "share of generating": table["share"].map("{:.2f}".format),
    }
    return markdown(pd.DataFrame(shown))


def stability(table: pd.DataFrame) -> Markdown:
    """The table of ``compare.stability``, a row for each number of things."""
    shown = table.assign(same=["–" if pd.isna(same) else share(same) for same in table["same"]])
    wide = shown.pivot(index="things", columns="way", values="same")[[ASR, *SCORES]].reset_index()
    return markdown(wide.rename(columns={ASR: "by ASR"}))
