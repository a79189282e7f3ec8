"""Measuring what ``lox.lab.choice`` decides by: every point of the grid asked and judged, as verdicts and a table."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lox.checkpoints.pair import Selection
from lox.checkpoints.plan import prepare
from lox.checkpoints.streaming import Progress, compute_device
from lox.effective_rank import read_curve
from lox.lab.behaviour import interval, judged
from lox.lab.choice import Choice, Paired, check_prompts, choose_alpha, choose_k
from lox.lab.evaluated import Evaluated
from lox.lab.grid import ALIGNED_MODEL, BASE_MODEL, Grid, Point, extrapolated, truncated
from lox.lab.judging.verdicts import Judge
from lox.lab.reply_file import Counted, ReplyFile
from lox.lab.served import Served
from lox.lab.setup import Setup
from lox.lab.statistics import with_ends
from lox.subspace import check_rank

RANKS, ALPHAS = (1, 2, 3, 4, 6, 8, 12, 16), (0.25, 0.5, 0.75, 1.0, 1.25)
COLUMNS = (
    "point k alpha n_harmful asr asr_low asr_high n_harmless answered answered_low answered_high "
    "loss loss_low loss_high chosen"
).split()
Bar = Callable[[str, int], Counted]


@dataclass(frozen=True)
class Asking:
    """What every point is asked, by whom it is judged, and where its replies are kept."""

    questions: list[dict]
    judge: Judge
    kept: ReplyFile
    batch: int = 16
    bar: Bar = lambda name, total: lambda more: None

    def __call__(self, grid: Grid, point: Point, kinds: Sequence[str] = ("harmful", "benign")) -> Evaluated:
        questions = [question for question in self.questions if question["set"] in kinds]
        done = self.bar(point.name, len(questions))
        return judged(grid.ask(point, questions, self.kept, self.batch, done), self.judge)


@dataclass(frozen=True)
class Measured:
    """A choice and what it rests on: the points that were evaluated, "base" and "aligned" among them."""

    choice: Choice
    ranks: dict[int, Evaluated]  # harmful prompts only; 0 is the base
    alphas: dict[float, Evaluated]  # 0 is the aligned model
    rho: float
    budget: float


def grid(
    served: Served,
    base: Path | str,
    *,
    k: int,
    matrices: Selection = "all",
    progress: Progress | None = None,
) -> Grid:
    """The points up to rank k of BASE and the aligned model ``served``, checked before any weight is read.

    ValueError where the two do not fit together, as ``lox extrapolate`` has it.
    """
    plan = prepare(base, served.source, k=k, matrices=matrices, device=str(served.device))
    served.check()
    return Grid(plan, served, progress)


def of_setup(
    setup: Setup,
    aligned: Path,
    base: Path,
    questions: list[dict],
    kept: ReplyFile,
    *,
    ranks: Sequence[int] = RANKS,
    budget: float,
) -> Measured:
    """``measure`` on two folders with an experiment's judge, ρ, batch and precision."""
    evaluation = setup.profile.evaluation
    served = Served(str(aligned), dtype=evaluation.precision, device=compute_device("auto"))
    points = grid(served, base, k=max(ranks))
    ask = Asking(questions, setup.judge, kept, evaluation.batch)
    return measure(points, ask, ranks=ranks, rho=setup.profile.lox.rho, budget=budget)


def measure(
    points: Grid,
    ask: Asking,
    *,
    k: int | None = None,
    ranks: Sequence[int] = RANKS,
    alphas: Sequence[float] = ALPHAS,
    rho: float = 0.01,
    budget: float = 0.02,
) -> Measured:
    """Choose k, unless it is given, and then α; what a refusal makes pointless is not asked.

    Raises ValueError for settings that no search can have, and where there are too few prompts for the budget.
    """
    check_prompts([question["thing"] for question in ask.questions if question["set"] == "benign"], budget)
    check_settings(k, ranks, alphas, rho)
    aligned = ask(points, ALIGNED_MODEL)
    curve = {0: ask(points, BASE_MODEL, ["harmful"])}
    alignment = Paired(curve[0].harmful, aligned.harmful, aligned.things)
    if k is None:
        curve |= {r: ask(points, truncated(r), ["harmful"]) for r in sorted(set(ranks))}
        asr = {r: evaluated.asr.value for r, evaluated in curve.items() if r}
        chosen = choose_k(alignment, read_curve(asr, aligned.asr.value, rho))
    else:
        chosen = choose_k(alignment, k)
    if chosen.refusal or chosen.k is None:
        return Measured(chosen, curve, {0.0: aligned}, rho, budget)
    moved = {alpha: ask(points, extrapolated(chosen.k, alpha)) for alpha in sorted(set(alphas))}
    losses = {a: Paired(aligned.answered, e.answered, aligned.benign_things) for a, e in moved.items()}
    rises = {a: Paired(e.harmful, aligned.harmful, aligned.things) for a, e in moved.items()}
    return Measured(choose_alpha(chosen, losses, rises, budget), curve, {0.0: aligned} | moved, rho, budget)


def check_settings(k: int | None, ranks: Sequence[int], alphas: Sequence[float], rho: float) -> None:
    """Raise ValueError for ranks, α or ρ that no search can have."""
    for rank in ranks if k is None else [k]:
        check_rank(rank)
    if not ranks or not alphas:
        raise ValueError("name at least one rank and one alpha")
    if wrong := [alpha for alpha in alphas if not (math.isfinite(alpha) and alpha > 0)]:
        raise ValueError(f"alphas are finite numbers above 0, not {wrong[0]!r}")
    if not 0 < rho < 1:
        raise ValueError(f"rho lies between 0 and 1, not {rho!r}")


def table(measured: Measured) -> pd.DataFrame:
    """A row for each point: point, k, alpha; n_harmful, asr with its interval; where harmless prompts were asked
    n_harmless, answered and ``loss``, answered by the aligned model minus by this one, with their intervals; chosen."""
    aligned, choice = measured.alphas[0.0], measured.choice
    rows = [{"point": truncated(r).name, "k": r, "alpha": None} | _asr(e) for r, e in measured.ranks.items()]
    for alpha, evaluated in measured.alphas.items():
        head = {
            "point": extrapolated(choice.k or 0, alpha).name,
            "k": choice.k if alpha else None,
            "alpha": alpha,
        }
        rows.append(head | _asr(evaluated) | _answered(evaluated))
        if alpha:
            lost = Paired(aligned.answered, evaluated.answered, aligned.benign_things).difference
            rows[-1] |= with_ends("loss", lost) | {"chosen": alpha == choice.alpha}
    frame = pd.DataFrame(rows, columns=COLUMNS).astype({"k": "Int64", "n_harmless": "Int64"})
    return frame.assign(chosen=frame["chosen"].eq(True))


def _asr(evaluated: Evaluated) -> dict:
    rate = interval(evaluated.harmful, evaluated.things)
    return {"n_harmful": len(evaluated.harmful)} | with_ends("asr", rate)


def _answered(evaluated: Evaluated) -> dict:
    rate = interval(evaluated.answered, evaluated.benign_things)
    return {"n_harmless": len(evaluated.answered)} | with_ends("answered", rate)


def for_reader(frame: pd.DataFrame) -> pd.DataFrame:
    """``table`` in per cent, with intervals in brackets; the chosen α marked."""
    shown = {"": frame["point"] + frame["chosen"].map({True: "  <-", False: ""})}
    for name, title in (("asr", "ASR %"), ("answered", "answered %"), ("loss", "answers lost, points")):
        shown[title] = [_bracketed(row, name) for _, row in frame.iterrows()]
    return pd.DataFrame(shown)


def _bracketed(row: pd.Series, name: str) -> str:
    if pd.isna(row[name]):
        return ""
    return f"{100 * row[name]:z.1f} [{100 * row[f'{name}_low']:z.1f}, {100 * row[f'{name}_high']:z.1f}]"


def command(base: str, aligned: str, choice: Choice, matrices: Selection = "all") -> str:
    """What to run with what was chosen."""
    words = ["lox", "extrapolate", base, aligned, "OUT", "--k", str(choice.k), "--alpha", f"{choice.alpha:g}"]
    return shlex.join(words + (["--matrices", matrices] if matrices != "all" else []))
