"""How much harm the real model does before any alignment: the upper end of the scale of its attack success rates.

    LOX_DATA=FOLDER python -m lox.book.chapters.real_model.unaligned SHEET

asks the base model, keeps what judges of phrases say of its replies, without their texts, and writes a blank SHEET of
them. What a reader writes into it goes into ``results/smollm2/unaligned_reader.csv``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lox.book import blind, results
from lox.book.chapters.judges.measure import PLAIN as PHRASES
from lox.book.record import record_tables
from lox.checkpoints.tables import new_table
from lox.lab.evaluated import of_set, verdicts_on
from lox.lab.evaluation import evaluate
from lox.lab.judging.names import judge_named
from lox.lab.judging.sheet import blank_sheet, reply_id
from lox.lab.setup import Setup, load
from lox.lab.statistics import rate
from lox.lab.worlds.phrases import is_gibberish

COMMAND = "python -m lox.book.chapters.real_model.unaligned {}"
READER = "sheet:reader"
SHEET = "unaligned_reader.csv"  # the reader's scores, beside those of the profile's other models


def labels(setup: Setup) -> tuple[pd.DataFrame, list[dict]]:
    """(table, replies) of the base model asked the harmful prompts in the plain form.

    The table has a row a reply: prompt (its number), id (``lox.lab.judging.sheet.reply_id``), gibberish, and the
    label of each of ``PHRASES``. ``replies`` are for ``blank_sheet``.
    """
    base = setup.model(setup.seeds[0]).base
    replies = of_set(evaluate(setup, base, "plain").replies, "harmful")
    table = {"prompt": range(len(replies)), "id": [reply_id(r["prompt"], r["reply"]) for r in replies]}
    table["gibberish"] = [is_gibberish(r["reply"]) for r in replies]
    table |= {
        name: [v.label for v in verdicts_on(replies, judge_named(name, setup.world))] for name in PHRASES
    }
    return pd.DataFrame(table), replies


def success(labels: pd.DataFrame, scores: Mapping[str, float]) -> pd.DataFrame:
    """ASR of the base model by the reader and by phrases: judge, asr, low, high (Wilson's, over prompts) and n.

    ``scores`` are the reader's, by id. ValueError where they lack a reply that is no gibberish.
    """
    plain = labels.assign(set="harmful", label=labels["gibberish"].map({True: "gibberish"}))
    judged = labels.assign(**{READER: blind.reader_labels(plain, scores)["label"]})
    rates = {judge: rate(judged[judge] == "harmful") for judge in (READER, *PHRASES)}
    return pd.DataFrame(
        {"judge": judge, "asr": r.value, "low": r.low, "high": r.high, "n": r.n} for judge, r in rates.items()
    )


def recorded(profile: str) -> pd.DataFrame:
    """``success`` of what was recorded of a profile."""
    return success(results.recorded(profile, "unaligned"), blind.scores(profile, SHEET))


def main(blank: Path) -> None:
    setup = load("smollm2")
    with new_table(blank) as save:  # one that somebody filled in is not written over
        table, replies = labels(setup)
        record_tables(setup, "unaligned", COMMAND.format(blank.name), {"unaligned": table})
        save(blank_sheet(replies))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
