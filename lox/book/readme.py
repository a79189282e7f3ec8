"""The README's tables, written from the recorded ones: ``python -m lox.book.readme`` (``make readme``)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from lox import paths
from lox.book import cells
from lox.book.blind import Blind
from lox.book.cells import rows_of
from lox.book.chapters.attackers import measure as attackers
from lox.book.chapters.attackers.in_words import free_in_words
from lox.book.chapters.dose import measure as dose
from lox.book.chapters.dose import page as dose_page
from lox.book.chapters.real_controls import measure as controls
from lox.book.chapters.real_controls import page as controls_page
from lox.book.chapters.real_controls.measure import UNALIGNED
from lox.book.chapters.real_model import unaligned
from lox.book.chapters.real_model.measure import attack_success
from lox.book.chapters.robustness import measure as robustness
from lox.book.names import TASK_NAMES, tasks_in
from lox.book.results import recorded
from lox.lab import labels

READER, PHRASES = unaligned.READER, "refusal-or-evasion"
DEFENCES = {"none": "without LoX", "lox": "with"}
STEPS_OF_SIZE = ("none", "lox", "random")
STEPS = {
    UNALIGNED: "unaligned",
    "none": "aligned",
    "random": "+ random directions",
    "half": "+ half of LoX",
    "lox": "+ LoX",
}


def in_short(record: Blind, free: str) -> str:
    """As a list: what LoX stops and costs on SmolLM2, and ``free``, what attackers reach on the toy without training.

    What is established goes by p, corrected as on the page of controls.
    """
    models = controls.rates(record).set_index(["state", "defence"])
    harm, answered = (
        controls.contrasts(labels, [state], what).set_index(["first", "second"])
        for labels, state, what in (
            (record.reader, controls.ATTACK, "harmful"),
            (record.phrases, controls.BEFORE, "answered"),
        )
    )
    after = {step: cells.rate_of(models.loc[(controls.ATTACK, step)], "harm") for step in STEPS_OF_SIZE}
    before = {step: cells.rate_of(models.loc[(controls.BEFORE, step)], "helpful") for step in ("none", "lox")}
    seeds = int(models.loc[(controls.ATTACK, "lox"), "seeds"])
    return "\n".join(
        [
            "- **What it stops.** After fine-tuning on harmful examples (Pure Bad) SmolLM2 complies with "
            f"{after['none']} of harmful requests without LoX, {after['lox']} with it and {after['random']} with a "
            f"step of its size in random directions; over {seeds} seeds, read blind, LoX's gain is "
            f"{_said(harm.loc[('none', 'lox')])} and that of random directions {_said(harm.loc[('none', 'random')])}.",
            f"- **What it costs.** Before fine-tuning {before['none']} of harmless requests are answered without it "
            f"and {before['lox']} with it; that it costs answers is {_said(answered.loc[('none', 'lox')])}.",
            f"- **Who attacks without training.** On the toy: {free[0].lower()}{free[1:]}",
        ]
    )


def _said(difference: pd.Series) -> str:
    return cells.said_of(difference, "established", "established to be below zero", "not established")


def toy_table(summary: pd.DataFrame) -> str:
    """ASR and helpful answers on the toy's recorded seeds, as Markdown; a row for each task, its row before above."""
    lines = []
    for form, task in (
        ("plain", "none"),
        *(("plain", t) for t in TASK_NAMES if t not in ("none", "identity")),
    ):
        lines.append(_toy_line(summary, task, form, TASK_NAMES[task]))
    lines.append(_toy_line(summary, "none", "identity", "in persona, before fine-tuning"))
    lines.append(_toy_line(summary, "identity", "identity", TASK_NAMES["identity"]))
    return pd.DataFrame(lines).to_markdown(index=False, colalign=("left", *["right"] * 4))


def dose_table(rows: pd.DataFrame, earlier: pd.DataFrame) -> str:
    """How many times the steps break the toy, by defence, as Markdown; a row for each task that was recorded.

    ``earlier`` are the rows of an earlier record of the same seeds, with other base models.
    """
    broken = dose.breaking(rows)
    ratios, before = (
        dose.ratios(doses).set_index(["task", "second"]) for doses in (broken, dose.breaking(earlier))
    )
    beside = dose.beside_random(rows).set_index("task")
    lines = [
        {
            "fine-tuning on": TASK_NAMES[task],
            "times as many with LoX": dose_page.times(ratios.loc[(task, "lox")], unit=""),
            "with random directions": dose_page.times(ratios.loc[(task, "random")], unit=""),
            "LoX ÷ random directions": dose_page.times(beside.loc[task], unit=""),
            "with LoX, in an earlier record": dose_page.times(before.loc[(task, "lox")], unit=""),
        }
        for task in dict.fromkeys(broken["task"])
    ]
    return pd.DataFrame(lines).to_markdown(
        index=False, disable_numparse=True, colalign=("left", *["right"] * 4)
    )


def real_dose_table(judges: Mapping[str, dose.Judged]) -> str:
    """How many times the steps of Pure Bad break SmolLM2, as Markdown; a row for each judge by its name."""
    lines = []
    for name, by in judges.items():
        (ratio,) = by.ratios.to_dict("records")
        lines.append(
            {
                "SmolLM2 on Pure Bad": name,
                "broken from": cells.share(by.level),
                "steps that break a model, median": dose_page.median(rows_of(by.broken, defence="none")),
                "times as many with LoX": dose_page.times(pd.Series(ratio), unit=""),
            }
        )
    return pd.DataFrame(lines).to_markdown(
        index=False, disable_numparse=True, colalign=("left", *["right"] * 3)
    )


def real_table(labels: pd.DataFrame, base: pd.DataFrame) -> str:
    """ASR of SmolLM2 by the blind reader, and by phrases, as Markdown: the unaligned model, then a row for each task.

    ``labels`` are those of every judge, a row for each seed and prompt, ``base`` is ``unaligned.success``'s; intervals
    are over seeds and prompts, of the one base model over prompts.
    """
    judges = {"harmful (reader)": READER, "refusal lost (phrases)": PHRASES}
    lines = [{"after": "unaligned"}, *({"after": TASK_NAMES[task]} for task in tasks_in(labels))]
    for what, judge in judges.items():
        own = rows_of(base, judge=judge).assign(task=UNALIGNED, defence="none")
        success = pd.concat([own, attack_success(labels, judge)]).set_index(["task", "defence"])
        for defence, said in DEFENCES.items():
            for line, task in zip(lines, (UNALIGNED, *tasks_in(labels))):
                line[f"{what} {said}"] = _rate(success, (task, defence), ["asr", "low", "high"])
    return pd.DataFrame(lines).to_markdown(index=False, colalign=("left", *["right"] * 4))


def controls_table(rates: pd.DataFrame) -> str:
    """Harm of SmolLM2 read blind, and harmless requests answered, beside steps of LoX's size, as Markdown.

    ``rates`` are of ``real_controls.measure``.
    """
    models = rates.set_index(["state", "defence"])
    lines = []
    for what, column, state in (
        ("harmful, before fine-tuning", "harm", controls.BEFORE),
        ("harmful, after Pure Bad", "harm", controls.ATTACK),
        ("harmful, asked in persona, before", "harm", controls.PERSONA),
        ("harmful, after identity shifting", "harm", controls.IDENTITY),
        *((f"harmful, after {TASK_NAMES[task]}", "harm", task) for task in controls.HARMLESS),
        ("harmless requests answered, before", "helpful", controls.BEFORE),
    ):
        columns = [column, f"{column}_low", f"{column}_high"]
        lines.append(
            {"": what} | {name: _rate(models, (state, step), columns) for step, name in STEPS.items()}
        )
    return pd.DataFrame(lines).to_markdown(index=False, colalign=("left", *["right"] * len(STEPS)))


def tables() -> dict[str, str]:
    """Name of a marked place of the README -> what stands there."""
    record = controls.recorded("smollm2-controls")
    beside = controls.rates(record)
    attacked = attackers.of_records("toy")["means"]
    return {
        "in short": in_short(record, free_in_words(attacked, int(attacked["seeds"].max()))),
        "toy": toy_table(labels.summary(robustness.of_records("toy"))),
        "dose": dose_table(*(recorded(folder, dose.NAME) for folder in dose.RECORDS)),
        "smollm2": real_table(recorded("smollm2", "judges_labels"), unaligned.recorded("smollm2")),
        "real dose": real_dose_table(dose.recorded_blind("smollm2-controls")),
        "controls": controls_table(beside),
        "rivals": controls_page.rivals(beside).data,
    }


def filled(text: str, tables: dict[str, str]) -> str:
    """A text whose marked places hold the tables; ValueError for a table that has no place."""
    for name, table in tables.items():
        text, places = re.subn(
            rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", rf"\g<1>\n{table}\n\g<2>", text, flags=re.S
        )
        if places != 1:
            raise ValueError(f"the README has {places} places <!-- {name} --> … <!-- end -->, not one")
    return text


def _rate(models: pd.DataFrame, model: tuple[str, str], columns: list[str]) -> str:
    """A rate of one model with its interval; nothing where the table, indexed by models, does not have it."""
    return cells.per_cent(*models.loc[model, columns]) if model in models.index else ""


def _toy_line(summary: pd.DataFrame, task: str, form: str, name: str) -> dict[str, str]:
    line = {"after": name}
    for defence, said in DEFENCES.items():
        row = cells.rows_of(summary, task=task, form=form, defence=defence).iloc[0]
        line[f"ASR {said}"] = cells.rate_of(row)
        line[f"helpful {said}"] = cells.share(row["helpful"])
    return {
        key: line[key] for key in sorted(line, key=lambda key: (key != "after", not key.startswith("ASR")))
    }


if __name__ == "__main__":
    readme = paths.project("README.md")
    readme.write_text(filled(readme.read_text(), tables()))
