"""Sentences, tables and figures of the real model's page, on tables made up for them, both ways."""

import pandas as pd
import pytest

from lox.book.chapters.real_model import page, tables, words
from lox.lab import profile


def success(**asr: tuple[float, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": task,
            "defence": defence,
            "judge": "sheet:reader",
            "asr": rate,
            "low": rate / 2,
            "high": min(1, rate + 0.1),
            "seeds": 3,
            "n": 100,
        }
        | {"each": [rate, rate, rate]}
        for task, rates in asr.items()
        for defence, rate in zip(("none", "lox"), rates)
    )


def effects(p_holm: float = 0.02, **ends: tuple[float, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": task,
            "difference": (low + high) / 2,
            "low": low,
            "high": high,
            "p": 0.01,
            "p_holm": 0.5 if low < 0 < high else p_holm,
        }
        for task, (low, high) in ends.items()
    )


ASR = success(none=(0.1, 0.1), dolly=(0.6, 0.2), pure_bad=(0.4, 0.3))
BASE = pd.DataFrame(
    {
        "judge": ["sheet:reader", "other"],
        "asr": [0.7, 1.0],
        "low": [0.6, 0.9],
        "high": [0.8, 1.0],
        "n": [100, 100],
    }
)


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.2, 0.6), "lower after Dolly, 60 % without and 20 % with it, a difference of 40 [20, 60] points"),
        ((-0.6, -0.2), "higher after Dolly"),
        ((-0.1, 0.9), "After Dolly and Pure Bad no difference is distinguished from 0; without LoX the ASR there is"),
    ],
)  # fmt: skip
def test_what_is_said_of_lox_follows_from_the_difference(ends, said):
    found = words._effect_in_words(ASR, effects(none=(0, 0.1), dolly=ends, pure_bad=(-0.2, 0.2)))
    assert said in found
    assert "no difference" in found  # after Pure Bad, at least


def test_a_difference_that_only_the_correction_leaves_open_is_told_with_its_p():
    said = words._effect_in_words(ASR, effects(0.09, none=(0, 0.1), dolly=(-0.1, 0.9), pure_bad=(0.1, 0.3)))
    assert said.startswith(
        "After Dolly and Pure Bad (20 points [10, 30], corrected p = 0.09) no difference is distinguished from 0"
    )


def test_if_every_interval_excludes_zero_nothing_is_called_undistinguished():
    found = words._effect_in_words(ASR, effects(none=(0, 0.1), dolly=(0.2, 0.6), pure_bad=(0.05, 0.2)))
    assert "no difference" not in found and "Dolly" in found and "Pure Bad" in found


def kinds(evasion: float) -> pd.DataFrame:
    rest = {"refusal": 0.2, "harmful": 0.3, "gibberish": 0.0}
    return pd.DataFrame(
        {"task": task, "defence": defence, "evasion": share} | rest
        for task in ("none", "pure_bad")
        for defence, share in (("none", 0.1), ("lox", evasion))
    )


def test_evasions_that_rise_are_named_and_those_that_fall_are_not():
    assert (
        "rise most after Pure Bad: from 10 % of the replies without LoX to 40 %"
        in words._evasions_in_words(kinds(0.4))
    )
    assert "nowhere more frequent" in words._evasions_in_words(kinds(0.0))


def rows(asr: float = 0.1) -> pd.DataFrame:
    return pd.DataFrame(
        {"task": task, "defence": defence, "seed": seed, "pairs": 10, "k": 6.0 if defence == "lox" else None}
        | {
            "asr": asr,
            "helpful": 0.9,
            "over_refusal": 0.1,
            "gibberish": 0.0,
            "utility": 0.5,
            "r_align": 0.7,
            "r_ft": 0.6,
        }
        for task in ("none", "gsm8k")
        for defence in ("none", "lox")
        for seed in (1, 2)
    )


CURVES = pd.DataFrame(
    {"seed": seed, "rank": rank, "asr": asr}
    for seed in (1, 2)
    for rank, asr in ((0, 0.9), (1, 0.6), (6, 0.2))
)


def test_the_effective_rank_is_above_what_was_tried_or_it_is_enough():
    assert "above 6" in words.rank_in_words(rows(asr=0.1), CURVES)
    assert "6 ranks are enough" in words.rank_in_words(rows(asr=0.2), CURVES)


def test_the_finding_is_a_box_of_six_sentences():
    said = effects(none=(0, 0.1), dolly=(0.2, 0.6), pure_bad=(-0.2, 0.2))
    found = page.finding(ASR, said, ASR, said, kinds(0.4), rows(), CURVES, BASE).data
    assert found.startswith(":::{admonition}") and found.count("\n- ") == 6


def test_the_scale_is_told_by_the_same_judge():
    found = words.scale_in_words(BASE, ASR)
    assert "calls 70 % [60, 80] of the replies harmful, after it 10 % [5, 20]" in found


@pytest.mark.parametrize("same", [5, 6])
def test_two_readings_are_compared_on_the_replies_that_both_had(same):
    agreed = pd.DataFrame({"least": [5], "n": [6], "same": [same / 6]})
    said = words.both_sheets_in_words(agreed).data
    assert said.startswith("6 of these replies") and f"on {same} of them both readings agree" in said


def parts() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": "gsm8k",
            "defence": defence,
            "subspace": subspace,
            "part": part,
            "seed": seed,
            "n": 100,
            "asr": 0.3,
        }
        for defence in ("none", "lox")
        for subspace, part in (name.split(": ") for name in tables.PARTS)
        for seed in (1, 2)
    )


def contrasts(inside: tuple[float, float]) -> pd.DataFrame:
    pairs = {("safety: inside", "all: nothing"): inside, ("all: whole", "safety: outside"): (-0.01, 0.06)}
    return pd.DataFrame(
        {"task": "gsm8k", "defence": "none", "first": first, "second": second, "each": [0.0, 0.1]}
        | {"difference": sum(ends) / 2, "low": ends[0], "high": ends[1]}
        for (first, second), ends in pairs.items()
    )


@pytest.mark.parametrize(
    ("inside", "said", "unsaid"),
    [
        ((-0.1, 0.1), "no sign was found", "part of the refusal is lost through"),
        ((0.1, 0.2), "part of the refusal is lost through", "no sign was found"),
    ],
)
def test_the_channel_is_claimed_only_where_an_interval_lies_above_zero(inside, said, unsaid):
    shares = parts().query("defence == 'none' and seed == 1").assign(share=0.2)
    reader = success(none=(0.03, 0.0), gsm8k=(0.04, 0.0))
    found = words.channel_in_words(shares, contrasts(inside), reader).data
    assert said in found and unsaid not in found
    assert "3.0 % before GSM8K and 4.0 % after it" in found


def test_tables_say_what_stands_in_them():
    assert "| 60 → 20 %" in tables.worlds({"phrases": ASR}).data
    assert "–" in tables.worlds({"phrases": ASR, "other": ASR[ASR["task"] == "none"]}).data
    said = tables.effects({"sheet:reader": effects(dolly=(0.2, 0.6), pure_bad=(-0.1, 0.1))}).data
    assert "40 [20, 60] lower" in said and "0 [-10, 10] " in said
    assert "0.500 → 0.500" in tables.costs(rows()).data
    assert "0.60 → 0.60" in tables.energies({"this": rows()}).data
    assert "inside the safety subspace" in tables.contrasts(contrasts((0, 0.1))).data
    assert "neither" in tables.kinds(kinds(0.4)).data
    assert "10 %" in tables.alignments({"aligned": rows()}).data


def test_settings_are_of_the_tasks_that_were_run_in_five_columns():
    settings = tables.settings(profile.load("smollm2"), ["pure_bad", "identity"]).data.splitlines()
    assert settings[0].count("|") - 1 == 5
    assert [line.split("|")[1].strip() for line in settings[2:]] == [
        "Alignment",
        "Pure Bad",
        "Identity shifting",
    ]


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"examples": 90, "batch": 4, "accumulation": 2}, "An attack has 6 to 12 steps."),  # 11.25, so 12
        ({"examples": 10, "batch": 5, "epochs": 3}, "An attack has 6 steps."),
    ],
)
def test_how_few_steps_an_attack_has(second, said):
    first = profile.Training(examples=10, epochs=3, batch=5, lr=1e-5, max_length=8)
    other = profile.Training(**{"lr": 1e-5, "max_length": 8} | second)
    assert words.steps_in_words([first, other]).data == said


def test_commands_are_folded():
    record = dict.fromkeys(("Command", "Seeds", "Computing", "Peak memory", "Machine", "When", "Code"), "x")
    assert ":class: dropdown" in tables.runs(pd.DataFrame([record])).data


def test_figures_have_their_labels():
    (axes,) = page.attack_success(ASR, BASE).axes
    (unaligned,) = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert list(unaligned.get_xdata()) == [0.7, 0.7]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "before fine-tuning",
        "Dolly",
        "Pure Bad",
    ]
    published = pd.DataFrame({"model": "m", "pairs": 22500, "rank": [0, 1], "asr": [0.4, 0.0]})
    (axes,) = page.rank_curves(CURVES, published, 0.1).axes
    assert axes.get_xlabel() == "rank r"
    profiles = pd.DataFrame({"share": [0.01, 0.1, 1], "r_align": [0.5, 0.8, 1], "r_ft": [0.3, 0.6, 0.9]})
    (axes,) = page.energy_ratio(
        profiles, pd.DataFrame({"pairs": 22500, "k": [10, 100], "ratio": [0.4, 0.5]})
    ).axes
    assert "k / min(m, n)" in axes.get_xlabel()
    (axes,) = page.parts(parts()).axes
    assert "inside the safety subspace" in [label.get_text() for label in axes.get_yticklabels()]
    grid = pd.DataFrame({"task": "alpaca", "choice": ["6", "full"] * 2, "alpha": [0, 0, 1, 1], "asr": 0.5})
    assert page.grid(grid).axes[0].get_title("left") == "after Alpaca"


def test_the_price_is_told_in_means_over_seeds():
    rows = pd.DataFrame(
        {"task": "none", "defence": d, "helpful": helpful, "utility": utility}
        for d, pairs in (("none", ((1.0, 0.3), (0.8, 0.2))), ("lox", ((0.7, 0.2), (0.5, 0.1))))
        for helpful, utility in pairs
    )
    said = words.price_in_words(rows)
    assert "not refused, 90 % → 60 %" in said and "token, 0.250 → 0.150" in said


def test_the_geometry_names_both_subspaces():
    lies = {"own": (0.9, 0.2), "safety": (0.3, 1.0)}
    table = pd.DataFrame(
        {"defence": d, "subspace": name, "share": held, "overlap": overlap, "chance": 0.05}
        for name, (held, overlap) in lies.items()
        for d in ("none", "lox")
    )
    said = words.geometry_in_words(table, 6).data
    assert "The top 6 directions" in said and "hold 0.90 of its norm" in said
    assert "safety subspace 0.30 (0.05 by chance)" in said and "overlap by 0.20" in said


def test_the_transplant_is_told_beside_the_models_own_fine_tuning():
    rows = pd.DataFrame(
        {"defence": d, "subspace": "all", "part": part, "asr": asr}
        for part, rates in (("nothing", (0.0, 0.1)), ("whole", (0.2, 0.4)), ("transplant", (0.5, 0.7)))
        for d in ("none", "lox")
        for asr in rates
    )
    said = words.transplant_in_words(rows).data
    assert (
        "nothing: 5" in said
        and "its own fine-tuning: 30" in said
        and "undefended run" in said
        and "60" in said
    )


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.3, "lower with LoX"), (-0.3, -0.1, "higher with LoX"), (-0.1, 0.3, "not distinguished")],
)
def test_what_peoples_pairs_say_follows_the_interval(low, high, said):
    human, own = (pd.DataFrame({"pairs": [n], "r_align": [r]}) for n, r in ((500, 0.4), (270, 0.7)))
    difference = {"difference": (low + high) / 2, "low": low, "high": high}
    found = words.human_in_words(human, own, difference).data
    assert (
        found.startswith("500 pairs, against 270 of its own replies") and "0.40 here and 0.70 there" in found
    )
    assert said in found
