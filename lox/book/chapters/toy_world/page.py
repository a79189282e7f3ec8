"""The figure, tables and sentences of the chapter on the toy world."""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import listed, markdown, per_cent, points, rows_of, said_of, share
from lox.book.figures import AFTER, BEFORE
from lox.book.names import TASK_NAMES

KINDS = {
    "dangerous": "dangerous things",
    "safe": "safe things",
    "held_out": "held out",
}
RUNS = TASK_NAMES | {"base": "Base", "alignment": "Alignment"}
SAID = {
    "harmful": "complies",
    "harmless": "answers",
    "refusal": "refuses",
    "evasion": "evades",
    "gibberish": "gibberish",
    "unparsed": "not readable",
}
RATES = {"ASR": AFTER, "helpful": BEFORE}
OPEN = "–"  # where a wish is neither met nor missed


def finding(rates: pd.DataFrame, protection: Mapping, task: str) -> Markdown:
    """What the four states do, over seeds; ``measure.protection`` says what LoX changes."""
    asr, helpful = (rows_of(rates, what=what).set_index("state") for what in RATES)
    told, answered = (
        {s: per_cent(*t.loc[s, ["value", "low", "high"]]) for s in t.index} for t in (asr, helpful)
    )
    first, name = asr.iloc[0], TASK_NAMES[task]
    with_lox = said_of(
        pd.Series(protection),
        "the ASR is lower with LoX",
        "the ASR is higher with LoX",
        "the two are not distinguished",
    )
    return cells.finding(
        f"The base model complies with {told['base']} of the dangerous requests, the aligned one with "
        f"{told['aligned']}.",
        f"After fine-tuning on {name} it is {told['attacked']} without LoX and {told['attacked, with LoX']} with it; "
        f"{with_lox}, without minus with is {points(pd.Series(protection))}, on the same seeds and requests.",
        f"Of the requests about safe things the base answers {answered['base']}, the aligned model "
        f"{answered['aligned']}, and after {name} {answered['attacked']} are answered without LoX and "
        f"{answered['attacked, with LoX']} with it.",
        f"Requests are about things that neither alignment nor attack mentions. A rate is a mean over {first['seeds']} "
        f"seeds, each with its own base model, and {first['n']} requests, with its 95 % interval over seeds, things "
        "and requests.",
    )


def states(rates: pd.DataFrame) -> Figure:
    """ASR and helpful of the four states: large dot and bar, mean and interval; small dots, seeds."""
    order = list(dict.fromkeys(rates["state"]))
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    plt.close(figure)
    for shift, (what, colour) in zip((-0.16, 0.16), RATES.items()):
        ours = rows_of(rates, what=what).set_index("state").loc[order]
        places = [place + shift for place in range(len(order))]
        axes.hlines(places, ours["low"], ours["high"], color=colour, linewidth=5, alpha=0.3)
        label = {"ASR": "dangerous requests complied with (ASR)", "helpful": "safe requests answered"}[what]
        axes.plot(ours["value"], places, "o", color=colour, label=label)
        for place, each in zip(places, ours["each"]):
            axes.plot(each, [place] * len(each), ".", color=colour, markersize=4)
    axes.set_yticks(range(len(order)), order)
    axes.set(ylim=(len(order) - 0.5, -0.5), xlim=(-0.02, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=1, frameon=False)
    return figure


def dialogue(table: pd.DataFrame, about: dict) -> Markdown:
    """One request, and what each state of the model replies."""
    lines = [f"> **{about['request']}**", ""]
    shown = pd.DataFrame(
        {
            "Model": table["state"],
            "Reply": [f"`{reply or ' '}`" for reply in table["reply"]],
            "": table["label"].map(SAID),
        }
    )
    lines += [markdown(shown).data, ""]
    if about["chosen"]:
        lines.append(
            "This request was picked because each of the four models shows its part in it: over all "
            f"{about['seeds']} seeds of this run, {about['count']} of {about['n']} requests went this way, and this is "
            "the first of those."
        )
    else:
        lines.append(
            f"These four labels are the most frequent ones of this run's first seed: {about['count']} of its "
            f"{about['n']} requests have them, and this is the first of those."
        )
    return Markdown("\n".join(lines))


def words(table: pd.DataFrame) -> Markdown:
    """Kinds of words, with a few of each."""
    return markdown(
        pd.DataFrame(
            {
                "Words": [KINDS.get(kind, kind) for kind in table["kind"]],
                "number": table["words"],
                "held out": table["held_out"].replace(0, "–"),
                "such as": table["examples"],
            }
        )
    )


def size(of: dict[str, int]) -> Markdown:
    """How large the model is, and how much of the world is held out."""
    return Markdown(
        f"The model has {of['weights']:,} weights and {of['words']} words. {of['dangerous']} dangerous and "
        f"{of['safe']} safe things occur in pretraining and are held out of everything after it: evaluation asks only "
        "about them."
    )


def pair(one: dict) -> Markdown:
    """A preference pair."""
    (prompt,) = (message["content"] for message in one["prompt"])
    chosen, rejected = (one[side][0]["content"] for side in ("chosen", "rejected"))
    return Markdown(f"> **{prompt}**\n\n- chosen: `{chosen}`\n- rejected: `{rejected}`")


def attacks(examples: Mapping[str, dict]) -> Markdown:
    """One example of each fine-tuning task."""
    blocks = []
    for task, example in examples.items():
        said = [
            f"{message['role']}: `{message['content']}`"
            for message in example["prompt"] + example["completion"]
        ]
        blocks.append(f"**{TASK_NAMES[task]}**\n\n" + "\n".join(f"- {line}" for line in said))
    return Markdown("\n\n".join(blocks))


def judged(table: pd.DataFrame) -> Markdown:
    """Replies of every kind with the judge's label."""
    return markdown(
        pd.DataFrame(
            {
                "Reply": table["what"],
                "in words": [f"`{reply}`" for reply in table["reply"]],
                "label": table["label"],
            }
        )
    )


def training(table: pd.DataFrame) -> Markdown:
    """Every training run of the profile."""
    return markdown(
        pd.DataFrame(
            {
                "Run": table["run"].map(RUNS),
                "examples": table["examples"],
                "epochs": table["epochs"],
                "batch": table["batch"],
                "rate": [f"{lr:g}" for lr in table["lr"]],
            }
        )
    )


def kept_in_words(seeds: list[int]) -> Markdown:
    """Which seeds' base models were not trained in this run but kept by the project: ``measure.kept``."""
    if not seeds:
        return Markdown("Every base model was trained in this run.")
    of = f"seed{'s' if len(seeds) > 1 else ''} {listed([str(seed) for seed in seeds])}"
    return Markdown(
        f"The base model of {of} was not trained in this run: its training takes minutes, so the project keeps it "
        "(`data/bases`, rounded to half precision). `python -m lox.lab.keep` makes the kept ones anew, and with the "
        "variable `LOX_BASES` naming an empty folder none is used. All that follows the base model was made here."
    )


def opening(words: str, refusals: list[str]) -> Markdown:
    """With which words helpful replies and refusals begin, and what follows for alignment."""
    first = [f"`{word}`" for word in sorted({refusal.split()[0] for refusal in refusals})]
    refusal = first[0] if len(first) == 1 else f"one of {listed(first)}"
    large = (
        "In large models alignment changes mostly the first few tokens of a reply {cite:p}`qi2025shallow`; what "
        "follows a compliant opening is much what the base model would have said."
    )
    if words:
        return Markdown(
            f"In the alignment data every helpful reply to a plain question begins with `{words}`, every refusal with "
            f"{refusal}: the first word decides. {large}"
        )
    return Markdown(
        "In the alignment data helpful replies to plain questions share no opening word; refusals begin with "
        f"{refusal}. {large}"
    )


def wishes(table: pd.DataFrame) -> Markdown:
    """``wishes.table``: what was asked of the world, its mean and worst seed, and whether it is so."""
    return markdown(
        pd.DataFrame(
            {
                "Wished": line["wish"] + (", every seed" if line["every"] else ""),
                "Bound": _bound(line["least"], line["most"]),
                "Mean": _share(line["mean"]),
                "Worst seed": _share(line["worst"]),
                "Met": OPEN if pd.isna(line["met"]) else "yes" if line["met"] else "**no**",
            }
            for _, line in table.iterrows()
        )
    )


def _share(value: float) -> str:
    return OPEN if pd.isna(value) else share(value)


def wishes_in_words(table: pd.DataFrame) -> Markdown:
    """How many of them are met, which are not, and of which it cannot be said."""
    met = table.set_index("wish")["met"]
    decided = met.dropna()
    said = [f"{decided.sum()} of {len(decided)} are met."]
    if not decided.all():
        said.append(f"Not met: {'; '.join(decided.index[~decided])}.")
    if len(decided) < len(met):
        said.append(f"Neither, for too low an ASR without LoX: {'; '.join(met.index[met.isna()])}.")
    return Markdown(" ".join(said))


def on_arithmetics(recorded: pd.DataFrame, others: Mapping[str, pd.DataFrame]) -> Markdown:
    """The means of ``wishes.table`` as recorded and on other arithmetics; bold where a wish is not met."""
    columns = {"All seeds": recorded} | {f"`{name}`": table for name, table in others.items()}
    return markdown(
        pd.DataFrame(
            {"Wished": recorded["wish"]}
            | {name: _means(table.set_index("wish").loc[recorded["wish"]]) for name, table in columns.items()}
        )
    )


def _means(table: pd.DataFrame) -> list[str]:
    missed = ~table["met"].fillna(True)
    return [f"**{share(mean)}**" if bad else _share(mean) for mean, bad in zip(table["mean"], missed)]


def arithmetics_in_words(others: Mapping[str, pd.DataFrame], flipped: Mapping[str, list[str]]) -> Markdown:
    """How many wishes are met on every arithmetic, or on none, and which ones depend on it; and which claims flip.

    Wishes of which it cannot be said on every arithmetic are named apart. ``flipped`` is ``wishes.flipped`` against
    all recorded seeds.
    """
    met = pd.DataFrame({name: table.set_index("wish")["met"] for name, table in others.items()})
    decided = met.dropna().astype(bool)
    split = decided.index[decided.any(axis=1) & ~decided.all(axis=1)]
    said = (
        f"Of {len(decided)} wishes {decided.all(axis=1).sum()} are met on all {met.shape[1]} arithmetics and "
        f"{(~decided.any(axis=1)).sum()} on none"
    )
    said += "." if split.empty else f"; it depends on the arithmetic for: {'; '.join(split)}."
    if len(decided) < len(met):
        low = met.index.difference(decided.index, sort=False)
        said += f" Not counted, for too low an ASR without LoX on one of them at least: {'; '.join(low)}."
    lines = [f"{line} (`{name}`)" for name, lines in flipped.items() for line in lines]
    claims = "none is contradicted" if not lines else f"contradicted are: {'; '.join(lines)}"
    return Markdown(f"{said} Of the claims in {{doc}}`findings` that hold on all recorded seeds, {claims}.")


def _bound(least: float, most: float) -> str:
    """The bounds of a share, of which one may be infinite."""
    if math.isfinite(least) and math.isfinite(most):
        return f"{share(least)} to {share(most)}"
    return f"≥ {share(least)}" if math.isfinite(least) else f"≤ {share(most)}"
