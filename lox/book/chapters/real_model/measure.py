"""What is read anew from SmolLM2's recorded verdicts, and the toy's models beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd

from lox.lab.evaluation import IN_PERSONA, evaluate
from lox.lab.judging.verdicts import Label, Verdict, agreement
from lox.lab.labels import kinds as of_labels
from lox.lab.parallel import side_by_side
from lox.lab.rows import asr_over_seeds, corrected, row
from lox.lab.setup import Setup
from lox.lab.statistics import compared, mean_of_seeds, mean_over_seeds

DEFENCES = ("none", "lox")
EVASIVE = "refusal-or-evasion"  # the judge whose recorded "harmless" is a reply that evades
GROUP = ["task", "defence"]


def outcomes(labels: pd.DataFrame, judge: str, task: str, defence: str, label: Label = "harmful"):
    """(S, N) of bool: whether a judge gives this label to the reply of seed s to prompt n.

    ``labels`` is the recorded table: a row for each seed, task, defence and prompt, a column for each judge.
    ValueError where a seed lacks a prompt.
    """
    ours = labels[(labels["task"] == task) & (labels["defence"] == defence)]
    verdicts = ours.pivot(index="seed", columns="prompt", values=judge)
    if verdicts.empty or verdicts.isna().any(axis=None):
        raise ValueError(
            f"{task}, {defence}: a seed has no verdict of {judge} on some prompt, or there is none"
        )
    return (verdicts == label).to_numpy()


def attack_success(labels: pd.DataFrame, judge: str) -> pd.DataFrame:
    """A judge's ASR for each task and defence: mean over seeds, its 95 % interval, and ``each``, that of each seed.

    Prompts are independent: every goal of AdvBench is a thing of its own.
    """
    table = []
    for task, defence in labels[GROUP].drop_duplicates().itertuples(index=False):
        harmful = outcomes(labels, judge, task, defence)
        mean = mean_over_seeds(harmful, range(harmful.shape[1]))
        table.append(
            {"task": task, "defence": defence, "judge": judge}
            | mean.columns("asr")
            | {"n": mean.n, "each": harmful.mean(axis=1).tolist()}
        )
    return pd.DataFrame(table)


def effects(labels: pd.DataFrame, judge: str) -> pd.DataFrame:
    """ASR without LoX minus ASR with it, on the same seeds and prompts, for each task.

    Columns: task, judge, difference, low, high (95 % over seeds and prompts), p, and p_holm over the tasks.
    """
    table = []
    for task in labels["task"].unique():
        sides = [outcomes(labels, judge, task, defence) for defence in DEFENCES]
        table.append({"task": task, "judge": judge} | compared(*sides, things=range(sides[0].shape[1])))
    return corrected(pd.DataFrame(table))


def kinds(labels: pd.DataFrame, judge: str = EVASIVE) -> pd.DataFrame:
    """Shares of all replies to harmful prompts, seeds together: harmful, refusal, evasion, gibberish.

    The recorded verdicts of ``refusal-or-evasion`` call a reply that evades "harmless": it gives no other reply
    that label.
    """
    evasive = {"harmless": "evasion"} if judge == EVASIVE else {}
    return of_labels(labels.replace({judge: evasive}), GROUP, judge)


def over_seeds_alone(first: pd.Series, second: pd.Series, n: int) -> dict:
    """First minus second, rates of ``n`` prompts by seed: ``difference``, ``low``, ``high`` and ``each``.

    For recorded tables without verdicts: Student's t interval at 95 % over seeds, for just these prompts. The standard
    error is at least half the step in which the mean of as many verdicts moves. Infinite with one seed.
    """
    each = first - second
    step = 1 / (len(each) * n)
    mean = mean_of_seeds(each, least_error=step / 2)
    return {"difference": mean.value, "low": mean.low, "high": mean.high, "each": each.tolist()}


def by_seed(rows: pd.DataFrame, task: str) -> dict:
    """``over_seeds_alone`` of recorded rows after a task: without LoX minus with it."""
    ours = rows[rows["task"] == task].pivot(index="seed", columns="defence", values="asr")
    return over_seeds_alone(ours["none"], ours["lox"], int(rows["n"].iloc[0]))


def contrasts(pairs: pd.DataFrame, parts: pd.DataFrame) -> pd.DataFrame:
    """ASR of one part of fine-tuning minus that of another, read anew from the ASR of each seed.

    ``pairs`` names them in its columns task, defence, first and second ("subspace: part"); ``parts`` has columns
    task, defence, seed, subspace, part, n and asr.
    """
    name = parts["subspace"] + ": " + parts["part"]
    asr = parts.assign(name=name).set_index(["task", "defence", "name", "seed"])["asr"].sort_index()
    n = int(parts["n"].iloc[0])
    table = []
    for pair in pairs[["task", "defence", "first", "second"]].to_dict("records"):
        sides = [asr.loc[(pair["task"], pair["defence"], pair[side])] for side in ("first", "second")]
        table.append(pair | over_seeds_alone(*sides, n=n))
    return pd.DataFrame(table)


def full_against_low(grid: pd.DataFrame) -> pd.DataFrame:
    """ASR at full rank minus that at low rank, after each task at each α > 0, from the ASR of each seed.

    ``grid`` has columns task, choice ("full" or a k), alpha, seed, n and asr.
    """
    table = []
    for (task, alpha), rows in grid[grid["alpha"] > 0].groupby(["task", "alpha"], sort=False):
        seeds = rows.pivot(index="seed", columns="choice", values="asr").dropna(axis=1)
        for choice in seeds.columns.drop("full", errors="ignore") if "full" in seeds else []:
            difference = over_seeds_alone(seeds["full"], seeds[choice], int(rows["n"].iloc[0]))
            table.append({"task": task, "alpha": alpha, "k": choice} | difference)
    return pd.DataFrame(table)


def by_score(labels: pd.DataFrame, judge: str, least: Iterable[int] = (5, 4, 3)) -> pd.DataFrame:
    """``effects`` of a judge that scores, if a reply were harmful from a lower score on, with both ASRs.

    Columns: least, none, lox (mean ASR), and those of ``effects``.
    """
    tables = []
    for score in least:
        counted = labels[f"{judge} score"] >= score
        relabelled = labels.assign(**{judge: counted.map({True: "harmful", False: "harmless"})})
        asr = attack_success(relabelled, judge).pivot(index="task", columns="defence", values="asr")
        tables.append(effects(relabelled, judge).assign(least=score).join(asr, on="task"))
    return pd.concat(tables, ignore_index=True)


def agreement_by_score(
    first: Mapping[str, float], second: Mapping[str, float], least: Iterable[int] = (5, 4, 3)
) -> pd.DataFrame:
    """Cohen's κ of two readers on the replies that both scored, for each least score that counts as harmful.

    Both map a reply's id to its score, NaN where there is none. Columns: least, kappa, low, high, n, and same,
    the share of replies on which both say harmful or both do not.
    """
    both = pd.DataFrame({"first": first, "second": second}).dropna()
    table = []
    for score in least:
        sides = [[Verdict("harmful" if s >= score else "harmless") for s in both[side]] for side in both]
        same = sum(a == b for a, b in zip(*sides)) / len(both)
        table.append({"least": score} | asdict(agreement(*sides)) | {"same": same})
    return pd.DataFrame(table)


def lost_share(parts: pd.DataFrame, defence: str = "none") -> pd.DataFrame:
    """Of the rise of ASR by the whole ΔW_ft, what each part alone brings: (part − nothing) / (whole − nothing).

    A row for each task, subspace and part; means over seeds. NaN where the whole does no damage.
    """
    plain = parts[parts["defence"] == defence]
    asr = plain.groupby(["task", "subspace", "part"], sort=False)["asr"].mean()
    nothing, whole = (asr.xs(("all", part), level=("subspace", "part")) for part in ("nothing", "whole"))
    table = asr.reset_index()
    rise = table["task"].map(whole - nothing)
    table["share"] = (table["asr"] - table["task"].map(nothing)) / rise.where(rise > 0, np.nan)
    return table


def rows_here(setup: Setup, workers: int = 1) -> pd.DataFrame:
    """Rows of this run's aligned and attacked models, without and with LoX, on its reported seeds."""
    models = [
        setup.model(seed, task, defence)
        for seed in setup.seeds
        for task in (None, *setup.profile.attacks)
        for defence in DEFENCES
    ]
    return pd.DataFrame(side_by_side([partial(row, setup, model) for model in models], workers))


def attack_success_here(setup: Setup) -> pd.DataFrame:
    """``attack_success`` of this run, with the world's things; before fine-tuning also in persona.

    Task "none, in persona" is the row before identity shifting.
    """
    cases = [(task, task or "none", None) for task in (None, *setup.profile.attacks)]
    cases += [(None, "none, in persona", IN_PERSONA)]
    table = []
    for task, name, form in cases:
        for defence in DEFENCES:
            models = [evaluate(setup, setup.model(s, task, defence), form) for s in setup.seeds]
            each = [evaluated.asr.value for evaluated in models]
            table.append({"task": name, "defence": defence, "judge": setup.judge.name, "each": each})
            table[-1] |= asr_over_seeds(models)
    return pd.DataFrame(table)
