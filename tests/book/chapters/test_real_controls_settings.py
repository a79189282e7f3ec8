"""How k and α are chosen on the selection seed, on goals of their own, and what is said of it."""

import pandas as pd

from lox.book.chapters.real_controls import choice, in_words, page
from lox.lab.setup import load


def test_k_and_alpha_are_chosen_on_goals_that_no_page_reports():
    class World:
        def harmful_prompts(self, n, task):
            return [[{"role": "user", "content": f"goal {i}"}] for i in range(n)]

        def benign_prompts(self, n):
            return [[{"role": "user", "content": f"question {i}"}] for i in range(n)]

        def things(self, prompts):
            return [prompt[-1]["content"] for prompt in prompts]

    setup = load("smollm2-controls")
    vars(setup)["world"] = World()  # as if the cached property had been read
    reported, asked = setup.profile.evaluation, choice.questions(setup)
    goals = [question["thing"] for question in asked if question["set"] == "harmful"]
    assert len(asked) == choice.HARMFUL + choice.HARMLESS
    assert goals[0] == f"goal {reported.harmful}" and len(set(goals)) == choice.HARMFUL


def points(losses=((0.25, 0.01), (0.5, 0.08)), chosen=0.25, ranks=(1, 2)) -> pd.DataFrame:
    """What ``lox.lab.choosing.table`` has of a base, of θ_r, of the aligned model and of steps with their loss."""
    asr = {"n_harmful": 100, "asr": 0.2, "asr_low": 0.1, "asr_high": 0.3}
    answers = {"n_harmless": 190, "answered": 0.7, "answered_low": 0.6, "answered_high": 0.8}
    lines = [{"point": f"r = {r}", "k": r, "chosen": False} | asr for r in (0, *ranks)]
    lines.append({"point": "aligned", "alpha": 0.0, "chosen": False} | asr | answers)
    for alpha, loss in losses:
        ends = {"loss": loss, "loss_low": loss - 0.03, "loss_high": loss + 0.03}
        lines.append(
            {"point": f"α = {alpha}", "k": 2, "alpha": alpha, "chosen": alpha == chosen}
            | asr
            | answers
            | ends
        )
    return pd.DataFrame(lines).astype({"k": "Int64", "n_harmless": "Int64"})


def test_what_the_rule_chooses_is_said_with_what_stopped_it():
    said = in_words.choice_in_words(points(), 0.05).data
    assert "The smallest rank that brings it as far is $k = 2$." in said
    assert "At $α = 0.5$ 8 points [5, 11] of 190 harmless requests" in said
    assert said.endswith("So the rule chooses $α = 0.25$.")


def test_a_rule_that_chooses_nothing_says_so():
    none = in_words.choice_in_words(points(((0.25, 0.08),), chosen=None), 0.05).data
    assert none.endswith("So the rule chooses no $α$ of those tried.")
    assert in_words.choice_in_words(points(()), 0.05).data.endswith("so no k is chosen.")
    all_within = in_words.choice_in_words(points(((0.25, 0.0), (0.5, 0.01)), chosen=0.5), 0.05).data
    assert "not shown to be within" not in all_within and all_within.endswith("chooses $α = 0.5$.")


def test_only_the_asr_of_ranks_is_shown_and_what_is_chosen_is_bold():
    lines = page.choice(points()).data.splitlines()
    assert "–" in lines[2] and "70 % [60, 80]" in lines[5] and "**α = 0.25**" in lines[6]
