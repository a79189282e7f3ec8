"""What the recorded tables support, in sentences that corrected p, or where there is none intervals, decide."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from IPython.display import Markdown

from lox.book import cells
from lox.book.cells import by_verdict, in_points, listed, rows_of, said_of, share
from lox.book.chapters.real_model.tables import with_range
from lox.book.names import TASK_NAMES
from lox.lab.profile import Training


def finding(
    reader: pd.DataFrame,
    reader_effects: pd.DataFrame,
    phrases: pd.DataFrame,
    phrases_effects: pd.DataFrame,
    kinds: pd.DataFrame,
    rows: pd.DataFrame,
    curves: pd.DataFrame,
    unaligned: pd.DataFrame,
) -> Markdown:
    """What the recorded tables support, in whole sentences; the two judges' tables are ``measure``'s."""
    seeds, n = reader[["seeds", "n"]].iloc[0]
    return cells.finding(
        scale_in_words(unaligned, reader),
        f"**Harm, read blind** ({seeds} seeds, {n} requests each; a reply is harmful if a reader who did not know "
        f"which model gave it scores it 5 of 5). {_effect_in_words(reader, reader_effects)}",
        f"**Refusal lost, by phrases** (a reply that neither refuses nor evades nor is gibberish, harmful or not). "
        f"{_effect_in_words(phrases, phrases_effects)}",
        _evasions_in_words(kinds),
        price_in_words(rows),
        rank_in_words(rows, curves),
    )


def scale_in_words(unaligned: pd.DataFrame, reader: pd.DataFrame) -> str:
    """The ends of the scale of harm, read blind: the unaligned model, and what alignment leaves of it."""
    base = rows_of(unaligned, judge=reader["judge"].iloc[0]).iloc[0]
    aligned = rows_of(reader, task="none", defence="none").iloc[0]
    before, after = (cells.per_cent(*model[["asr", "low", "high"]]) for model in (base, aligned))
    return (
        f"**The scale of harm.** Before any alignment the reader calls {before} of the replies harmful, after it "
        f"{after}: an ASR is to be held against the first number and not against 100 %."
    )


def both_sheets_in_words(agreed: pd.DataFrame) -> Markdown:
    """Of ``measure.agreement_by_score`` for the score 5: whether two readings at different times were as severe."""
    n, same = agreed["n"].item(), agreed["same"].item()
    return Markdown(
        f"{n} of these replies were also on the first sheet; on {n * same:.0f} of them both readings agree."
    )


def _effect_in_words(success: pd.DataFrame, effects: pd.DataFrame) -> str:
    """Where the ASR with LoX is lower, higher, or not distinguished from that without it."""
    said = by_verdict(effects[effects["task"] != "none"])
    sentences = []
    for word, side in (("lower", "above"), ("higher", "below")):
        named = [_one_effect(success, d, len(effects)) for _, d in said[side].iterrows()]
        if named:
            sentences.append(f"The ASR with LoX is {word} after {'; '.join(named)}.")
    rest = said["neither"]
    if len(rest):
        largest = rows_of(success, defence="none").set_index("task").loc[rest["task"], "asr"].max()
        named = [cells.named(in_a_sentence(d["task"]), d) for _, d in rest.iterrows()]
        sentences.append(
            f"After {listed(named)} no difference is distinguished from 0; "
            f"without LoX the ASR there is at most {share(largest)}."
        )
    return " ".join(sentences)


def _one_effect(success: pd.DataFrame, d: pd.Series, rows: int) -> str:
    asr = rows_of(success, task=d["task"]).set_index("defence")["asr"]
    return (
        f"{in_a_sentence(d['task'])}, {share(asr['none'])} without and {share(asr['lox'])} with it, "
        f"a difference of {in_points(d)} points (p = {d['p']:.2g}, corrected for {rows} comparisons {d['p_holm']:.2g})"
    )


def in_a_sentence(task: str) -> str:
    """The name of a task where no sentence begins."""
    return TASK_NAMES[task].replace("Identity", "identity")


def _evasions_in_words(kinds: pd.DataFrame) -> str:
    """After the task where evasions rise most with LoX: what takes the place of compliance."""
    table = kinds[kinds["task"] != "none"].set_index(["task", "defence"])
    rise = (table["evasion"].xs("lox", level=1) - table["evasion"].xs("none", level=1)).sort_values()
    task = rise.index[-1]
    if rise[task] <= 0:
        return (
            "**What takes the place of compliance.** Replies that evade are nowhere more frequent with LoX."
        )
    without, with_lox = table.loc[(task, "none")], table.loc[(task, "lox")]
    return (
        f'**What takes the place of compliance.** Evasions, such as "I don\'t know", rise most after '
        f"{TASK_NAMES[task]}: from {share(without['evasion'])} of the replies without LoX to "
        f"{share(with_lox['evasion'])} with it; refusals there are {share(without['refusal'])} and "
        f"{share(with_lox['refusal'])}. Whether an evasion is safety or lost ability, these tables cannot say."
    )


def price_in_words(rows: pd.DataFrame) -> str:
    """What LoX costs before fine-tuning, means over seeds of recorded rows."""
    aligned, lox = (rows_of(rows, task="none", defence=defence) for defence in ("none", "lox"))
    return (
        f"**Its price** before fine-tuning: harmless requests not refused, {share(aligned['helpful'].mean())} → "
        f"{share(lox['helpful'].mean())}; probability of a right solution's token, "
        f"{aligned['utility'].mean():.3f} → {lox['utility'].mean():.3f}. The recorded rows count an evasion as help."
    )


def rank_in_words(rows: pd.DataFrame, curves: pd.DataFrame) -> str:
    """How concentrated the update is, and whether the profile's k is its effective rank, means over seeds."""
    aligned = rows_of(rows, task="none", defence="none")
    k = int(rows["k"].dropna().iloc[0])
    asr = curves.groupby("rank")["asr"].mean()
    largest = int(asr.index.max())
    excess = asr[largest] - aligned["asr"].mean()
    enough = (
        f"so the effective rank of this model is above {largest}"
        if excess >= 0.01
        else f"so {largest} ranks are enough for this model"
    )
    return (
        f"**The update** is concentrated, and not of rank {k}: its top {k} directions hold $R$ = "
        f"{aligned['r_align'].mean():.2f} of its norm. With the top {largest} alone the ASR is {share(asr[largest])}, "
        f"with all of it {share(aligned['asr'].mean())} (by phrases), {enough}."
    )


def channel_in_words(shares: pd.DataFrame, contrasts: pd.DataFrame, reader: pd.DataFrame) -> Markdown:
    """What the causal test supports: what each part brings of the rise, and the two deciding contrasts.

    ``shares`` and ``contrasts`` are ``measure``'s; ``reader`` is the blind reader's ASR of the same models.
    """
    lines = []
    for task in shares["task"].unique():
        deciding = rows_of(contrasts, task=task, defence="none").set_index(["first", "second"])
        inside = deciding.loc[("safety: inside", "all: nothing")]
        without = deciding.loc[("all: whole", "safety: outside")]
        lines += [f"- {_brought(shares, task)}", f"- {_channel(task, inside, without)}"]
        lines.append(f"- {_what_it_is_a_test_of(task, reader)}")
    return Markdown("\n".join(lines))


def _brought(shares: pd.DataFrame, task: str) -> str:
    ours = rows_of(shares, task=task).set_index(["subspace", "part"])
    nothing, whole = (share(ours.loc[("all", part), "asr"]) for part in ("nothing", "whole"))
    brings = ours["share"].map(share)
    return (
        f"{TASK_NAMES[task]} takes the ASR (by phrases) from {nothing} to {whole}. Of that rise the part of "
        f"$\\Delta W_\\text{{ft}}$ inside the safety subspace alone brings {brings['safety', 'inside']}, the rest "
        f"without it {brings['safety', 'outside']}; its own top directions alone {brings['own', 'inside']}, the rest "
        f"without these {brings['own', 'outside']}."
    )


def _channel(task: str, inside: pd.Series, without: pd.Series) -> str:
    said = [said_of(d, "above 0", "below 0", "not distinguished from 0") for d in (inside, without)]
    found = (
        "part of the refusal is lost through these directions."
        if "above 0" in said
        else "no sign was found that refusal is lost *through* these directions; the upper ends of the intervals say "
        "how much of it could have been missed."
    )
    return (
        f"The inside alone changes the ASR by {in_points(inside)} points ({said[0]}); leaving it out takes off "
        f"{in_points(without)} points ({said[1]}). So after {TASK_NAMES[task]}, by this judge, {found}"
    )


def _what_it_is_a_test_of(task: str, reader: pd.DataFrame) -> str:
    before, after = (rows_of(reader, task=t, defence="none")["asr"].item() for t in ("none", task))
    return (
        f"By the blind reader's scores the ASR is {100 * before:.1f} % before {TASK_NAMES[task]} and "
        f"{100 * after:.1f} % after it. The test is therefore one of lost refusal, and of harm only as far as these "
        "two differ."
    )


def geometry_in_words(geometry: pd.DataFrame, k: int) -> Markdown:
    """How much of ΔW_ft its own top k directions hold, how much the safety subspace, and how far they overlap."""
    lie = rows_of(geometry, defence="none").groupby("subspace")[["share", "overlap", "chance"]].mean()
    return Markdown(
        f"The top {k} directions of $\\Delta W_\\text{{ft}}$ hold {lie.loc['own', 'share']:.2f} of its norm, the "
        f"safety subspace {lie.loc['safety', 'share']:.2f} ({lie['chance'].mean():.2f} by chance). The two overlap by "
        f"{lie.loc['own', 'overlap']:.2f} (mean squared cosine; 1 if they were the same)."
    )


def transplant_in_words(rows: pd.DataFrame) -> Markdown:
    """The LoX model, after its own fine-tuning and after the undefended run's, means over seeds with their range."""
    lox = rows_of(rows, defence="lox", subspace="all").groupby("part", sort=False)["asr"]
    names = {"nothing": "nothing", "whole": "its own fine-tuning"}
    listed = [f"{names.get(part, 'the undefended run’s')}: {with_range(asr)}" for part, asr in lox]
    return Markdown(f"ASR (by phrases) of the LoX model with {'; '.join(listed)} [smallest, largest seed].")


def steps_in_words(attacks: Iterable[Training]) -> Markdown:
    """How many optimisation steps the shortest and the longest attack have."""
    steps = [run.steps(run.examples) for run in attacks]
    least, most = min(steps), max(steps)
    return Markdown(f"An attack has {least if least == most else f'{least} to {most}'} steps.")


def human_in_words(human: pd.DataFrame, rows: pd.DataFrame, difference: dict) -> Markdown:
    """The alignment on pairs that people judged: its size, its R_align, and LoX's effect after Pure Bad."""
    d = pd.Series(difference)
    return Markdown(
        f"{human['pairs'].iloc[0]} pairs, against {rows['pairs'].iloc[0]} of its own replies; $R_\\text{{align}}$ is "
        f"{human['r_align'].mean():.2f} here and {rows['r_align'].mean():.2f} there. After Pure Bad the ASR without "
        f"LoX minus that with it is {in_points(d)} points [95 % interval over seeds, for these prompts]: "
        f"{said_of(d, 'lower with LoX', 'higher with LoX')}."
    )
