"""The paper's claims, each with what the recorded runs say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from lox.book.blind import Blind
from lox.book.cells import said_of
from lox.book.chapters.dose import measure as dose
from lox.book.chapters.real_controls.measure import CELL, STATES
from lox.book.claims import CLAIMS, Claim
from lox.lab.labels import rates_of_seeds
from lox.lab.rows import corrected
from lox.lab.statistics import mean_of_seeds, p_of_seeds

NOT_RECORDED = "not recorded"


def smollm2_rows(robustness: pd.DataFrame) -> pd.DataFrame:
    """SmolLM2's recorded rows with the column ``form``, which they lack.

    Before fine-tuning they were asked plainly only: what compares with a row before in persona stays untested.
    """
    return robustness.assign(form=robustness["task"].eq("identity").map({True: "identity", False: "plain"}))


def rows_of_reader(labels: pd.DataFrame, reader: str, like: pd.DataFrame) -> pd.DataFrame:
    """Rows as ``like``, with the ASR that a reader's labels give and without what it has not read."""
    asr = (labels[reader] == "harmful").groupby([labels[c] for c in ("seed", "task", "defence")]).mean()
    kept = like[["seed", "task", "defence", "form"]]
    return kept.merge(asr.rename("asr").reset_index(), on=["seed", "task", "defence"], validate="1:1")


def rows_of_controls(record: Blind) -> pd.DataFrame:
    """Rows of the models before and after each attack: the ASR by the reader, helpful answers and utility."""
    models = record.reader[record.reader["state"].isin(list(STATES))]
    asr = rates_of_seeds(models, "harmful", CELL).rename(columns={"harmful": "asr"})
    task, form = ([STATES[state][place] for state in asr["state"]] for place in (0, 1))
    told = record.rows[["seed", *CELL, "helpful", "utility"]]
    return asr.assign(task=[name or "none" for name in task], form=form).merge(told, validate="1:1")


def tested(worlds: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Every claim on every world's rows: columns claim, page, kind, world, mean, low, high, seeds, p, p_holm and word.

    ``p_holm`` is corrected for the claims of one kind in one world, and decides the word. A claim whose numbers a
    world does not have is "not recorded" there.
    """
    table = pd.DataFrame(
        {"claim": claim.sentence, "page": claim.page, "kind": claim.kind, "world": world}
        | _numbers(claim, rows)
        for claim in CLAIMS
        for world, rows in worlds.items()
    )
    family = (table["world"] + ": " + table["kind"]).where(table["seeds"] > 0)
    table = corrected(table, family)
    said = [said_of(row, "holds", "not here", "open") for _, row in table.iterrows()]
    return table.assign(word=pd.Series(said).where(table["seeds"] > 0, NOT_RECORDED))


def overall(words: pd.Series) -> str:
    """A claim's verdict over all worlds that tested it.

    "holds" where it holds in all of them, "mixed" where it holds in one and is contradicted in another, "partly" where
    it holds in some and is open in others, "not here" where it is contradicted and holds in none, "open" where nothing
    distinguishes it from 0, "not tested" where no world tested it.
    """
    words = set(words) - {NOT_RECORDED}
    if not words:
        return "not tested"
    if words == {"holds"}:
        return "holds"
    if {"holds", "not here"} <= words:
        return "mixed"
    if "holds" in words:
        return "partly"
    return "not here" if "not here" in words else "open"


def beyond(doses: pd.DataFrame, rivals: pd.DataFrame) -> pd.DataFrame:
    """What the paper did not ask, of recorded ASR at doses and of ``rivals.measure.against``.

    Columns: page; of, the row's task or defence; second, what is compared with none; value, low, high; even,
    the value at which nothing is gained (1 for a ratio of doses, 0 for a difference of ASR); p_holm; seeds; and word,
    as a claim's, by p_holm.
    """
    doses = dose.ratios(dose.breaking(doses))
    tables = [
        doses.assign(page="dose", of=doses["task"], value=doses["ratio"], even=1.0),
        rivals[rivals["first"] == "none"].assign(
            page="rivals", of=rivals["second"], value=rivals["difference"], even=0.0
        ),
    ]
    columns = ["page", "of", "second", "value", "low", "high", "even", "p_holm", "seeds"]
    rows = pd.concat([table[columns].astype({"p_holm": float}) for table in tables], ignore_index=True)
    words = [said_of(row, "holds", "not here", "open", even=row["even"]) for _, row in rows.iterrows()]
    return rows.assign(word=words)


def _numbers(claim: Claim, rows: pd.DataFrame) -> dict:
    try:
        values = claim.of_seeds(rows).dropna()
    except KeyError:  # a column, or a row before in the same form, that was not recorded
        values = pd.Series(dtype=float)
    if values.empty:
        return {"mean": math.nan, "low": math.nan, "high": math.nan, "seeds": 0, "p": math.nan}
    mean = mean_of_seeds(values)
    return {
        "mean": mean.value,
        "low": mean.low,
        "high": mean.high,
        "seeds": mean.seeds,
        "p": p_of_seeds(values),
    }
