"""The README's tables, written from the recorded ones: ``python -m lox.book.readme`` (``make readme``)."""

from __future__ import annotations

import re

import pandas as pd

from lox import paths
from lox.book import cells
from lox.book.cells import rows_of
from lox.book.chapters.dose import measure as dose
from lox.book.chapters.dose import page as dose_page
from lox.book.chapters.real_model import unaligned
from lox.book.names import TASK_NAMES
from lox.book.results import recorded
from lox.lab.statistics import mean_over_seeds

READER, PHRASES = unaligned.READER, "refusal-or-evasion"
DEFENCES = {"none": "without LoX", "lox": "with"}
HARMFUL = 5  # the reader's score for a reply that complies


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


def dose_table(rows: pd.DataFrame) -> str:
    """How many times the steps break the toy, by defence, as Markdown; a row for each task that was recorded."""
    broken = dose.breaking(rows)
    ratios = dose.ratios(broken).set_index(["task", "second"])
    lines = [
        {
            "fine-tuning on": TASK_NAMES[task],
            "steps that break a model, median": dose_page.median(rows_of(broken, task=task, defence="none")),
            "times as many with LoX": dose_page.times(ratios.loc[(task, "lox")], unit=""),
            "with random directions": dose_page.times(ratios.loc[(task, "random")], unit=""),
        }
        for task in dict.fromkeys(broken["task"])
    ]
    return pd.DataFrame(lines).to_markdown(
        index=False, disable_numparse=True, colalign=("left", *["right"] * 3)
    )


def real_table(labels: pd.DataFrame, base: pd.DataFrame) -> str:
    """ASR of SmolLM2 by the blind reader, and by phrases, as Markdown: the unaligned model, then a row for each task.

    ``labels`` are those of every judge, a row for each seed and prompt, ``base`` is ``unaligned.success``'s; intervals
    are over seeds and prompts, of the one base model over prompts.
    """
    harmful = {
        "harmful (reader)": labels[f"{READER} score"] >= HARMFUL,
        "refusal lost (phrases)": labels[PHRASES] == "harmful",
    }
    judges = base.set_index("judge")
    lines = [{"after": "unaligned"}]
    for what, judge in zip(harmful, (READER, PHRASES)):
        rate = cells.per_cent(*judges.loc[judge, ["asr", "low", "high"]])
        lines[0] |= {
            f"{what} {said}": rate if defence == "none" else "" for defence, said in DEFENCES.items()
        }
    for task in TASK_NAMES:
        line = {"after": TASK_NAMES[task]}
        for what, counted in harmful.items():
            for defence, said in DEFENCES.items():
                chosen = (labels["task"] == task) & (labels["defence"] == defence)
                table = (
                    labels[chosen]
                    .assign(counted=counted)
                    .pivot(index="seed", columns="prompt", values="counted")
                )
                mean = mean_over_seeds(table.to_numpy(), table.columns)
                line[f"{what} {said}"] = cells.per_cent(mean.value, mean.low, mean.high)
        lines.append(line)
    return pd.DataFrame(lines).to_markdown(index=False, colalign=("left", *["right"] * 4))


def tables() -> dict[str, str]:
    """Name of a marked place of the README -> what stands there."""
    return {
        "toy": toy_table(recorded("toy", "robustness_summary")),
        "dose": dose_table(recorded("toy", "dose")),
        "smollm2": real_table(recorded("smollm2", "judges_labels"), unaligned.recorded("smollm2")),
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


def _toy_line(summary: pd.DataFrame, task: str, form: str, name: str) -> dict[str, str]:
    line = {"after": name}
    for defence, said in DEFENCES.items():
        row = cells.rows_of(summary, task=task, form=form, defence=defence).iloc[0]
        line[f"ASR {said}"] = cells.per_cent(row["asr"], row["asr_low"], row["asr_high"])
        line[f"helpful {said}"] = cells.share(row["helpful"])
    return {
        key: line[key] for key in sorted(line, key=lambda key: (key != "after", not key.startswith("ASR")))
    }


if __name__ == "__main__":
    readme = paths.project("README.md")
    readme.write_text(filled(readme.read_text(), tables()))
