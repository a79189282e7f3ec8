"""Tables of the chapter on a real language model: recorded runs beside the toy's and the paper's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
from IPython.display import Markdown

from lox.book.cells import markdown, mean_shares, paper_rate, per_cent, pooled, rows_of, share
from lox.book.names import TASK_NAMES, attacks_in
from lox.lab.evaluation import Rate
from lox.lab.profile import Profile


def settings(profile: Profile) -> Markdown:
    """Every training run of a profile: what from, how long, how fast."""
    runs = {"alignment": profile.alignment} | {TASK_NAMES[t]: s for t, s in profile.attacks.items()}
    return markdown(
        pd.DataFrame(
            {
                "Training": name,
                "examples": run.examples,
                "epochs": run.epochs,
                "batch": run.batch * run.accumulation,
                "learning rate": f"{run.lr:g}",
                "longest, tokens": run.max_length,
            }
            for name, run in runs.items()
        )
    )


def alignments(models: Mapping[str, pd.DataFrame]) -> Markdown:
    """What models do before any fine-tuning; the rows of one are its seeds."""
    columns = {"Gibberish": "gibberish", "Over-refusal": "over_refusal", "Helpful": "helpful"}
    return markdown(
        pd.DataFrame(
            {"Model": name, "Seeds": rows["seed"].nunique(), "ASR": per_cent(pooled(rows))}
            | mean_shares(rows, columns)
            | {"Utility": f"{rows['utility'].mean():.3f}"}
            for name, rows in models.items()
        )
    )


def worlds(found: Mapping[str, pd.DataFrame]) -> Markdown:
    """ASR after each task, without LoX → with it, a column for each world."""
    return _each_world(found, lambda rows: per_cent(_asr(rows)))


def worlds_energy(found: Mapping[str, pd.DataFrame]) -> Markdown:
    """R_ft after each task, without LoX → with it, means over seeds, a column for each world."""
    return _each_world(found, lambda rows: f"{rows['r_ft'].mean():.2f}")


def _each_world(found: Mapping[str, pd.DataFrame], cell: Callable[[pd.DataFrame], str]) -> Markdown:
    return markdown(
        pd.DataFrame(
            {"Task": TASK_NAMES[task]}
            | {
                name: " → ".join(cell(rows_of(rows, task=task, defence=d)) for d in ("none", "lox"))
                for name, rows in found.items()
            }
            for task in attacks_in(next(iter(found.values())))
        )
    )


def _asr(rows: pd.DataFrame) -> Rate:
    """Pooled over rows that say their n; published ones do not, and are one run each."""
    return pooled(rows) if "n" in rows else paper_rate(rows["asr"].item())


def real_in_words(
    rows: pd.DataFrame, differences: pd.DataFrame, curves: pd.DataFrame, parts: pd.DataFrame
) -> Markdown:
    """What recorded rows, paired differences, rank curves and parts of fine-tuning support, and what not."""
    lines = [_aligning(rows, curves), _low_rank(rows, curves), _damage(rows)]
    lines += [_defence(differences), _price(rows), _channel(parts)]
    return Markdown("\n".join(f"- {line}" for line in lines))


def _aligning(rows: pd.DataFrame, curves: pd.DataFrame) -> str:
    base = rows_of(curves, rank=0).drop_duplicates("rank")
    aligned = rows_of(rows, task="none", defence="none")
    return (
        f"**Alignment** takes the ASR from {per_cent(pooled(base))} to {per_cent(pooled(aligned))} "
        f"({len(aligned)} seeds); refused: {share(aligned['over_refusal'].mean())} of the harmless requests."
    )


def _low_rank(rows: pd.DataFrame, curves: pd.DataFrame) -> str:
    curve = curves.groupby("rank")["asr"].mean()
    aligned = rows_of(rows, task="none", defence="none")["asr"].mean()
    done = (curve[0] - curve) / (curve[0] - aligned)
    shares = ", ".join(f"{share(value)} at r = {r}" for r, value in done.items() if r)
    return f"**Low rank.** Of the fall of the ASR, means over seeds, θ_r does {shares}."


def _damage(rows: pd.DataFrame) -> str:
    aligned = rows_of(rows, task="none", defence="none")["asr"].mean()
    rises = {t: rows_of(rows, task=t, defence="none")["asr"].mean() - aligned for t in attacks_in(rows)}
    listed = ", ".join(f"{100 * rise:+.0f} ({TASK_NAMES[task]})" for task, rise in rises.items())
    return f"**Fine-tuning** changes the ASR, means over seeds, by {listed} points."


def _defence(differences: pd.DataFrame) -> str:
    lower = [TASK_NAMES[d.task] for d in differences.itertuples() if d.low > 0]
    higher = [TASK_NAMES[d.task] for d in differences.itertuples() if d.high < 0]
    other = [TASK_NAMES[d.task] for d in differences.itertuples() if d.low <= 0 <= d.high]
    return (
        f"**LoX.** By intervals that exclude 0, the ASR is lower after {', '.join(lower) or 'no task'}, "
        f"higher after {', '.join(higher) or 'none'}; not told apart: {', '.join(other) or 'none'}."
    )


def _channel(parts: pd.DataFrame) -> str:
    plain = parts[parts["defence"] == "none"]
    asr = plain.groupby(["task", "subspace", "part"])["asr"].mean()
    told = [
        f"after {TASK_NAMES[task]} the ASR is {share(asr[task, 'all', 'whole'])}, with the part of ΔW_ft "
        f"inside the safety subspace alone {share(asr[task, 'safety', 'inside'])}, without it "
        f"{share(asr[task, 'safety', 'outside'])}; with ΔW_ft's own top directions alone "
        f"{share(asr[task, 'own', 'inside'])}, without them {share(asr[task, 'own', 'outside'])}"
        for task in plain["task"].unique()
    ]
    return f"**Where the damage travels**, means over seeds: {'; '.join(told)}."


def _price(rows: pd.DataFrame) -> str:
    aligned, lox = (rows_of(rows, task="none", defence=defence) for defence in ("none", "lox"))
    return (
        f"**Its price** before fine-tuning: harmless requests answered, {share(aligned['helpful'].mean())} → "
        f"{share(lox['helpful'].mean())}; likelihood of a right solution's token, "
        f"{aligned['utility'].mean():.3f} → {lox['utility'].mean():.3f}."
    )
