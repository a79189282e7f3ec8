"""LoX and its rivals on the same models: harm after fine-tuning beside benign prompts that then go unanswered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from lox.book import record, results
from lox.book.chapters.baselines.measure import asr_and_unanswered, by_defence, over_tasks, pooled_tasks
from lox.book.together import together
from lox.lab.evaluation import located
from lox.lab.labels import Record, difference
from lox.lab.model import AFTERWARDS, DURING, SLOWER, Model
from lox.lab.replies import Computed
from lox.lab.rivals import Weights
from lox.lab.rows import corrected
from lox.lab.setup import Setup

NAME = "rivals"
TABLES = {  # of what was recorded -> its name, and the columns that tell its rows apart
    "means": ("rivals_trade", ["defence"]),
    "against": ("rivals_paired", ["first", "second"]),
    "left": ("rivals_left", ["defence"]),
}
SETTINGS = ["k", "alpha", "lr", "judge", "n"]


def options(
    defences: Iterable[str], k: int | None, full_rank_alpha: float, strengths: Mapping[str, float]
) -> dict[str, dict]:
    """Name -> its options of ``Setup.model``; "none" is always the first."""
    names = dict.fromkeys(["none", *defences])
    by_name: dict[str, dict] = {
        name: {"k": k, "strength": strengths.get(name.rpartition("+")[2])} for name in names
    }
    if "full-rank" in by_name:
        by_name["full-rank"]["alpha"] = full_rank_alpha
    return by_name


def trade(run: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ASR against benign prompts not answered, both after fine-tuning and means over tasks.

    The first table has a row for each defence, with asr and unanswered and their _low and _high, utility and the
    number of seeds; the second one for each defence and seed.
    """
    lines, dots = [], []
    utility = run.rows[run.rows["task"] != "none"].groupby("defence")["utility"].mean()
    for defence, labels in by_defence(pooled_tasks(run.labels)).items():
        means, of_seeds = asr_and_unanswered(labels, labels)
        lines.append({"defence": defence, "utility": utility[defence], "seeds": len(of_seeds)} | means)
        dots.append(of_seeds.assign(defence=defence))
    return pd.DataFrame(lines), pd.concat(dots, ignore_index=True)


def against(labels: pd.DataFrame) -> pd.DataFrame:
    """ASR over tasks: none minus each defence, then LoX minus each rival.

    Columns first, second, difference, low, high, p, seeds, n, and p_holm, corrected for the rows of the same first.
    """
    against_none, sides = over_tasks(labels, ()), by_defence(pooled_tasks(labels))
    rivals = [name for name in sides if name not in ("none", "lox")] if "lox" in sides else []
    lines = [{"first": "lox", "second": name} | difference(sides["lox"], sides[name]) for name in rivals]
    return _corrected(pd.concat([against_none, pd.DataFrame(lines)], ignore_index=True))


def _corrected(against: pd.DataFrame) -> pd.DataFrame:
    return corrected(against, against["first"])


def recorded(rows: pd.DataFrame, strengths: Mapping[str, float]) -> dict[str, pd.DataFrame] | None:
    """The tables "means", "against" and "left" of the recorded runs of a run's profile, taken together.

    None where nothing was recorded, or where it was with other settings or strengths.
    """
    given = {"strengths": dict(strengths)}
    names = {"rows": NAME} | {what: name for what, (name, _) in TABLES.items()}
    found = record.recorded_alike(rows, names, ["task", "defence"], SETTINGS, given)
    if not found:
        return None
    tables = {what: together([run[what] for run in found], key) for what, (_, key) in TABLES.items()}
    return tables | {"against": _corrected(tables["against"])}


def recorded_against(profile: str) -> pd.DataFrame:
    """``against`` of all recorded runs of a profile, whatever their settings; ValueError where there is none."""
    name, key = TABLES["against"]
    return _corrected(together([results.recorded(f, name) for f in results.records_of(profile)], key))


def left(
    setup: Setup, tasks: Iterable[str], seeds: Iterable[int], options: Mapping[str, dict]
) -> pd.DataFrame:
    """What a defence leaves of what fine-tuning does without it, from the same start and on the same examples.

    Of those that act during fine-tuning or after it: ``share_left``, mean over tasks and seeds. Columns defence
    and left; 1 keeps it as it is, 0 has nothing of it.
    """
    lines = []
    for defence, given in options.items():
        models = [setup.model(seed, task, defence, **given) for seed in seeds for task in tasks]
        models = [model for model in models if model.part((*AFTERWARDS, *DURING, SLOWER))]
        lines += [{"defence": defence, "left": _left(setup, model)} for model in models]
    table = pd.DataFrame(lines, columns=["defence", "left"])
    return table.groupby("defence", sort=False)["left"].mean().reset_index()


def _left(setup: Setup, model: Model) -> float:
    plain = model.unrepaired if model.part(AFTERWARDS) else model.undefended
    where = located(setup, model)
    weights = where.weights() if isinstance(where, Computed) else setup.weights(model)
    return share_left(setup.weights(model.start), setup.weights(plain), weights)


def share_left(start: Weights, tuned: Weights, repaired: Weights) -> float:
    """⟨W_repaired − W_start, W_tuned − W_start⟩ / ‖W_tuned − W_start‖² over all weights of mappings name -> tensor."""
    pairs = [(repaired[n].double() - w.double(), tuned[n].double() - w.double()) for n, w in start.items()]
    return float(sum((a * b).sum() for a, b in pairs) / sum((b * b).sum() for _, b in pairs))
