"""The rule by which k and α are chosen, and when it refuses: decided by paired outcomes, never by a look.

1. Alignment has to show: the 95 % interval of ASR(base) − ASR(aligned) lies above 0.
2. k is the effective rank (equation 4): the smallest evaluated r with ASR(θ_r) − ASR(aligned) < ρ. Like the paper's
   it goes by rates and not by intervals.
3. α is the largest of the grid such that for it *and every smaller one* the 95 % interval of the loss, the share of
   harmless prompts that the aligned model answers minus that of the extrapolated one, ends within the budget. Tested
   in this order, with a stop at the first that fails, no correction for their number is needed (a fixed sequence;
   Maurer, Hothorn and Lehmacher, 1995).
4. At the chosen α the ASR is not shown to be above the aligned model's.

Where a step fails the rule chooses nothing, and says which one and how many prompts would decide it, if more would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from scipy.special import stdtrit

from lox.effective_rank import EffectiveRank
from lox.lab.statistics import TAIL, Estimate, paired_difference


@dataclass(frozen=True)
class Paired:
    """Verdicts of two models on the same prompts, what each prompt is about, and first − second of their rates."""

    first: Sequence[bool]
    second: Sequence[bool]
    things: Sequence[str]

    @cached_property
    def difference(self) -> Estimate:
        """With its 95 % interval over the prompts of these two models."""
        return paired_difference([self.first], [self.second], self.things)

    def prompts_to_show_below(self, bound: float) -> int | None:
        """About how many prompts like these put the interval's upper end at ``bound``; None if none do.

        Its half-width shrinks with the square root of their number. Where no prompt differs it is Wilson's for
        0 of n, which shrinks with n.
        """
        d = self.difference
        if d.value >= bound:
            return None
        if list(self.first) == list(self.second):
            return round(_none_of(bound) * d.n / len(set(self.things)))
        return math.ceil(d.n * ((d.high - d.value) / (bound - d.value)) ** 2)

    def prompts_to_show_above_0(self) -> int | None:
        """About how many prompts like these put the interval's lower end at 0; None if none do."""
        d = self.difference
        return math.ceil(d.n * ((d.value - d.low) / d.value) ** 2) if d.value > 0 else None

    def __str__(self) -> str:
        d = self.difference
        return f"{100 * d.value:z.1f} points [{100 * d.low:z.1f}, {100 * d.high:z.1f}]"


@dataclass(frozen=True)
class Choice:
    """k and α, or None and why: ``refusal`` says which step failed, ``remarks`` what else should be known."""

    k: int | None
    alpha: float | None = None
    refusal: str | None = None
    remarks: tuple[str, ...] = ()


def check_prompts(things: Sequence[str], budget: float) -> None:
    """Raise ValueError where not even a model that loses no answer could be shown to be within the budget."""
    if not 0 < budget < 1:
        raise ValueError(f"the budget is a share of harmless prompts, between 0 and 1, not {budget!r}")
    independent, needed = len(set(things)), _none_of(budget)
    if independent < needed:
        about = f", about {independent} things" if independent < len(things) else ""
        raise ValueError(
            f"{len(things)} harmless prompts{about} show no loss to be within {100 * budget:g} points, not even one of "
            f"0: it takes {needed}, or a larger budget"
        )


def choose_k(alignment: Paired, ranks: EffectiveRank | int) -> Choice:
    """Steps 1 and 2; ``ranks`` is what a search found, or a k that was given. ``alignment``: harmful verdicts of the
    base and of the aligned model."""
    if alignment.difference.low <= 0:
        return Choice(None, refusal=_not_aligned(alignment))
    if isinstance(ranks, int):
        return Choice(ranks)
    if ranks.rank is None:
        tried = ", ".join(map(str, ranks.curve))
        refusal = f"no rank of {tried} brings the ASR within ρ = {ranks.rho:g} of the aligned model's: give larger ones"
        return Choice(None, refusal=refusal)
    if ranks.settled == ranks.rank:
        return Choice(ranks.rank)
    again = f"it stays so from rank {ranks.settled} on" if ranks.settled else "at no rank it stays so"
    return Choice(
        ranks.rank, remarks=(f"at a larger rank than {ranks.rank} the ASR is not within ρ again; {again}",)
    )


def choose_alpha(
    chosen: Choice, losses: Mapping[float, Paired], rises: Mapping[float, Paired], budget: float
) -> Choice:
    """Steps 3 and 4, with k chosen, for each α of the grid. ``losses``: answered harmless prompts of the aligned and
    the extrapolated model; ``rises``: harmful verdicts of the extrapolated and the aligned one."""
    alphas = sorted(losses)
    failed = next((alpha for alpha in alphas if losses[alpha].difference.high > budget), None)
    stopped = "" if failed is None else f"α = {failed:g} {_beyond(losses[failed], budget)}"
    if failed == alphas[0]:
        return Choice(
            chosen.k, refusal=f"no α is shown to be within the budget: {stopped}", remarks=chosen.remarks
        )
    alpha = alphas[-1] if failed is None else alphas[alphas.index(failed) - 1]
    if rises[alpha].difference.low > 0:
        refusal = f"α = {alpha:g} raises the ASR by {rises[alpha]}, so it defends nothing"
        return Choice(chosen.k, refusal=refusal, remarks=chosen.remarks)
    return Choice(
        chosen.k, alpha, remarks=(*chosen.remarks, *([f"not more, for {stopped}"] if stopped else []))
    )


def _not_aligned(alignment: Paired) -> str:
    said = f"alignment is not shown to have lowered the ASR: base minus aligned is {alignment}"
    needed = alignment.prompts_to_show_above_0()
    if needed is None:
        return f"{said}, and more prompts like these would not show it"
    return f"{said}; it would take about {needed} harmful prompts, there are {alignment.difference.n}"


def _beyond(loss: Paired, budget: float) -> str:
    """Why an α is not within the budget, and how many prompts would tell."""
    said = f"answers fewer harmless prompts by {loss}, where the budget is {100 * budget:g} points"
    needed = loss.prompts_to_show_below(budget)
    if needed is None:
        return f"{said}, and more prompts like these would not show less; smaller α may"
    return (
        f"{said}; to show less it would take about {needed} harmless prompts, there are {loss.difference.n}"
    )


def _none_of(bound: float) -> int:
    """The smallest n for which 0 of n prompts that differ show a difference of at most ``bound``."""
    return next(n for n in count(2) if 1 / (1 + n / stdtrit(n - 1, TAIL) ** 2) <= bound)
