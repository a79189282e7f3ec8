"""The rule that chooses k and α, on made-up verdicts: each step both ways, and how many prompts would decide."""

import pytest

from lox.effective_rank import read_curve
from lox.lab.choice import Choice, Paired, check_prompts, choose_alpha, choose_k

N = 400


def verdicts(count: int, n: int = N, first: int = 0) -> list[bool]:
    """``count`` true ones among n, from the place ``first`` on."""
    return [first <= i < first + count for i in range(n)]


def paired(first: list[bool], second: list[bool], times: int = 1) -> Paired:
    """The same prompts again and again, each time about something else."""
    return Paired(first * times, second * times, [str(i) for i in range(len(first) * times)])


ALIGNED_WELL = paired(verdicts(200), verdicts(8))


def lost(count: int, times: int = 1) -> Paired:
    """The aligned model answers all harmless prompts, the extrapolated one all but ``count``."""
    return paired(verdicts(N), verdicts(N - count), times)


NO_RISE = paired(verdicts(8), verdicts(8))


# --- k --------------------------------------------------------------------------------------------


def test_k_is_the_effective_rank():
    ranks = read_curve({1: 0.3, 2: 0.025, 3: 0.02}, 0.02, 0.01)
    assert choose_k(ALIGNED_WELL, ranks) == Choice(2)


def test_a_given_k_is_taken_where_alignment_shows():
    assert choose_k(ALIGNED_WELL, 5) == Choice(5)
    assert choose_k(NO_RISE, 5).refusal


def test_an_asr_that_rises_again_is_remarked():
    found = choose_k(ALIGNED_WELL, read_curve({1: 0.0, 2: 0.4, 3: 0.0}, 0.0, 0.01))
    assert found.k == 1 and "it stays so from rank 3 on" in found.remarks[0]
    found = choose_k(ALIGNED_WELL, read_curve({1: 0.0, 2: 0.4}, 0.0, 0.01))
    assert found.k == 1 and "at no rank it stays so" in found.remarks[0]


def test_no_rank_is_enough():
    found = choose_k(ALIGNED_WELL, read_curve({1: 0.4, 2: 0.3}, 0.02, 0.01))
    assert found.k is None and found.refusal.startswith("no rank of 1, 2 brings the ASR within ρ = 0.01")


def test_alignment_that_does_not_show_is_refused_with_the_number_of_prompts_that_would_show_it():
    weak = paired(verdicts(4, 100), verdicts(2, 100, first=4))
    found = choose_k(weak, 6)
    assert found.k is None and "base minus aligned is 2.0 points [" in found.refusal
    needed = weak.prompts_to_show_above_0()
    assert f"about {needed} harmful prompts, there are 100" in found.refusal
    times = -(-needed // 100)
    assert choose_k(paired(list(weak.first), list(weak.second), times), 6).k == 6
    assert choose_k(paired(list(weak.first), list(weak.second), times - 1), 6).refusal


@pytest.mark.parametrize(("base", "aligned"), [(10, 10), (10, 12)])
def test_where_alignment_lowered_nothing_more_prompts_do_not_help(base, aligned):
    found = choose_k(paired(verdicts(base), verdicts(aligned)), 6)
    assert "more prompts like these would not show it" in found.refusal


# --- α --------------------------------------------------------------------------------------------


def alpha_of(counts: dict[float, int], budget: float = 0.02, rises: dict | None = None) -> Choice:
    losses = {alpha: lost(count) for alpha, count in counts.items()}
    return choose_alpha(Choice(3), losses, rises or dict.fromkeys(counts, NO_RISE), budget)


def test_alpha_is_the_largest_that_is_within_the_budget():
    assert alpha_of({0.25: 0, 0.5: 1, 1.0: 2}) == Choice(3, 1.0)


def test_a_loss_that_is_small_but_not_shown_to_be_is_beyond():
    """7 of 400 are 1.75 points, less than the budget of 2, but the interval ends above it."""
    found = alpha_of({0.25: 0, 0.5: 7})
    assert found.alpha == 0.25
    needed = lost(7).prompts_to_show_below(0.02)
    assert (
        f"α = 0.5 answers fewer harmless prompts by {lost(7)}, where the budget is 2 points"
        in found.remarks[0]
    )
    assert f"about {needed} harmless prompts, there are 400" in found.remarks[0]


def test_a_larger_alpha_after_one_that_failed_is_not_taken():
    assert alpha_of({0.25: 0, 0.5: 40, 1.0: 0}).alpha == 0.25


def test_no_alpha_is_within_the_budget():
    found = alpha_of({0.25: 40, 0.5: 0})
    assert (found.k, found.alpha) == (3, None)
    assert found.refusal.startswith("no α is shown to be within the budget: α = 0.25 answers fewer")
    assert "more prompts like these would not show less; smaller α may" in found.refusal


def test_an_alpha_that_raises_the_asr_is_refused():
    rise = paired(verdicts(40), verdicts(8))
    found = alpha_of({0.5: 0}, rises={0.5: rise})
    assert found.alpha is None and "α = 0.5 raises the ASR by 8.0 points" in found.refusal
    assert alpha_of({0.5: 0}, rises={0.5: paired(verdicts(9), verdicts(8))}).alpha == 0.5


def test_a_gain_of_answers_is_within_every_budget():
    gained = paired(verdicts(300), verdicts(360))
    assert choose_alpha(Choice(1), {0.5: gained}, {0.5: NO_RISE}, 0.02).alpha == 0.5


def test_remarks_on_k_are_kept():
    assert alpha_of({0.5: 0}).remarks == ()
    again = Choice(3, remarks=("of k",))
    for count in (0, 40):
        assert choose_alpha(again, {0.5: lost(count)}, {0.5: NO_RISE}, 0.02).remarks[0] == "of k"


# --- how many prompts ------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "budget"), [(7, 0.02), (12, 0.04), (3, 0.01)])
def test_so_many_prompts_as_are_said_to_be_needed_decide_it(count, budget):
    needed = lost(count).prompts_to_show_below(budget)
    times = -(-needed // N)
    assert lost(count).difference.high > budget
    assert lost(count, times).difference.high <= budget
    assert times == 1 or lost(count, max(1, (times - 1) // 2)).difference.high > budget


@pytest.mark.parametrize("budget", [0.01, 0.02, 0.1])
def test_where_nothing_is_lost_the_number_is_exact(budget):
    needed = paired([True] * 5, [True] * 5).prompts_to_show_below(budget)
    assert paired([True] * needed, [True] * needed).difference.high <= budget
    assert paired([True] * (needed - 1), [True] * (needed - 1)).difference.high > budget
    check_prompts([str(i) for i in range(needed)], budget)
    with pytest.raises(ValueError, match=f"it takes {needed}, or a larger budget"):
        check_prompts([str(i) for i in range(needed - 1)], budget)


def test_prompts_about_few_things_are_too_few():
    with pytest.raises(ValueError, match="400 harmless prompts, about 40 things show no loss"):
        check_prompts([str(i % 40) for i in range(400)], 0.02)


@pytest.mark.parametrize("budget", [0.0, 1.0, -0.1, float("nan")])
def test_a_budget_is_a_share(budget):
    with pytest.raises(ValueError, match="the budget is a share"):
        check_prompts(["a"], budget)
