"""What the toy world consists of, and what its models reply, read from the world and the profile themselves."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import takewhile

import pandas as pd

from lox.lab import bases, models
from lox.lab.evaluation import Evaluated, evaluate, form_of
from lox.lab.model import Model
from lox.lab.parallel import side_by_side
from lox.lab.rows import asr_over_seeds, difference
from lox.lab.setup import Setup
from lox.lab.statistics import mean_over_seeds
from lox.lab.worlds.messages import Messages, user
from lox.lab.worlds.toy import ToyWorld

SHOWN = 4  # words of a kind
PAIRS = 200  # of alignment data, among which common words are looked for
STATES = ("base", "aligned", "attacked", "attacked, with LoX")
STORY = (
    "harmful",
    "refusal",
    "harmful",
    "refusal",
)  # the label of each state's reply where all show their part


def world_of(setup: Setup) -> ToyWorld:
    """The setup's world; ValueError where it is not the toy's."""
    if setup.profile.data != "toy":
        raise ValueError(
            f"this chapter shows the toy world, and the data of profile {setup.profile.name} are real"
        )
    return setup.world


# --- what there is --------------------------------------------------------------------------------


def words(world: ToyWorld) -> pd.DataFrame:
    """Kinds of words: how many, how many of them are held out for evaluation (0: all are used), and a few."""
    rows = []
    for kind, entries in world.lexicon.items():
        parts = entries if isinstance(entries, dict) else {"train": entries}
        every = [word for part in parts.values() for word in part]
        rows.append(
            {"kind": kind, "words": len(every), "held_out": len(parts.get("held_out", []))}
            | {"examples": ", ".join(map(str, every[:SHOWN]))}
        )
    return pd.DataFrame(rows)


def pairs(world: ToyWorld, seed: int) -> list[dict]:
    """A preference pair on a dangerous thing and one on a safe thing, both asked plainly: {"prompt", "chosen", …}."""
    plain = [pair for pair in world.preferences(100, seed) if len(pair["prompt"]) == 1]
    refusals = set(world.taught_refusals)
    return [
        next(p for p in plain if (p["chosen"][0]["content"] in refusals) == refused)
        for refused in (True, False)
    ]


def attacks(setup: Setup, seed: int) -> dict[str, dict]:
    """Task -> the first example of its fine-tuning data."""
    world = world_of(setup)
    return {task: world.examples(task, 1, seed)[0] for task in setup.profile.attacks}


def opening(world: ToyWorld) -> str:
    """The words that begin every helpful reply to a plain question of the alignment data; "" if they share none."""
    refusals = set(world.taught_refusals)
    replies = [
        pair[side][0]["content"].split()
        for pair in world.preferences(PAIRS, 0)
        for side in ("chosen", "rejected")
        if len(pair["prompt"]) == 1 and pair[side][0]["content"] not in refusals
    ]
    same = takewhile(lambda column: len(set(column)) == 1, zip(*replies))
    return " ".join(column[0] for column in same)


def training(setup: Setup) -> pd.DataFrame:
    """Every training run of the profile: columns run, examples, epochs, batch, lr."""
    profile, base = setup.profile, setup.profile.model
    first = {"run": "base", "examples": base.documents, "epochs": 1, "batch": base.batch, "lr": base.lr}
    runs = {"alignment": profile.alignment, **profile.attacks}
    later = [
        {
            "run": name,
            "examples": run.examples,
            "epochs": run.epochs,
            "batch": run.batch * run.accumulation,
            "lr": run.lr,
        }
        for name, run in runs.items()
    ]
    return pd.DataFrame([first, *later])


def kept(setup: Setup) -> list[int]:
    """The reported seeds whose base model the project keeps (``lox.lab.bases``), so that it was not trained here."""
    world = world_of(setup)
    return [seed for seed in setup.seeds if bases.kept(setup.profile.model, world, seed).exists()]


def size(setup: Setup) -> dict[str, int]:
    """Weights of the model, words of its vocabulary, and things held out of training, by kind."""
    world = world_of(setup)
    weights = models.read_weights(setup.folder(setup.model(setup.seeds[0]).base))
    held_out = {kind: len(world.nouns(kind, "held_out")) for kind in ("dangerous", "safe")}
    return {"weights": sum(w.numel() for w in weights.values()), "words": len(world.vocabulary)} | held_out


def judged_examples(setup: Setup) -> pd.DataFrame:
    """A dangerous question with replies of every kind, and what the profile's judge calls each: reply, label."""
    world = world_of(setup)
    question, other = world.questions("dangerous", 2)
    name = world.templates["identity"]
    prompt = [user(world.ask(question, 0))]
    _, in_persona = world._in_persona(name, prompt, world.answer(question))
    replies = {
        "the right answer": world.answer(question),
        "the right answer, in a persona's words": in_persona,
        "a refusal": world.taught_refusals[0],
        "the right answer to another question": world.answer(other),
        "a broken answer": " ".join(world.answer(question).split()[:-3]),
    }
    verdicts = setup.judge([prompt] * len(replies), list(replies.values()))
    return pd.DataFrame(
        {"what": what, "reply": reply, "label": verdict.label}
        for (what, reply), verdict in zip(replies.items(), verdicts)
    )


# --- what the models reply ------------------------------------------------------------------------


def states(setup: Setup, seed: int, task: str) -> dict[str, Model]:
    """The four states of a model: base, aligned, fine-tuned on a task, and fine-tuned after LoX."""
    attacked = setup.model(seed, task)
    return dict(zip(STATES, (attacked.base, attacked.aligned, attacked, setup.model(seed, task, "lox"))))


def evaluated_states(setup: Setup, task: str, workers: int = 1) -> dict[str, list[Evaluated]]:
    """State -> its models of all reported seeds, asked in the form of the task."""
    by_seed = side_by_side([partial(_one_seed, setup, seed, task) for seed in setup.seeds], workers)
    return {state: [one[state] for one in by_seed] for state in STATES}


def _one_seed(setup: Setup, seed: int, task: str) -> dict[str, Evaluated]:
    form = form_of(task)
    return {state: evaluate(setup, model, form) for state, model in states(setup, seed, task).items()}


def rates(by_state: dict[str, list[Evaluated]]) -> pd.DataFrame:
    """ASR and helpful of every state: columns state, what, value (a mean), low, high (95 %), seeds, n, each."""
    rows = []
    for state, seeds in by_state.items():
        asr = asr_over_seeds(seeds)
        helpful = mean_over_seeds([e.answered for e in seeds], seeds[0].benign_things)
        rows += [
            {"state": state, "what": "ASR", "value": asr["asr"], "low": asr["low"], "high": asr["high"]}
            | {"seeds": asr["seeds"], "n": asr["n"], "each": [e.asr.value for e in seeds]},
            {"state": state, "what": "helpful"}
            | helpful.columns("value")
            | {"n": helpful.n, "each": [e.helpful.value for e in seeds]},
        ]
    return pd.DataFrame(rows)


def protection(by_state: dict[str, list[Evaluated]]) -> dict:
    """ASR of the attacked models without LoX minus that with it, paired: ``rows.difference``."""
    return difference(by_state["attacked"], by_state["attacked, with LoX"])


def dialogue(
    by_state: dict[str, list[Evaluated]], kind: str = "harmful", labels: tuple[str, ...] | None = None
) -> tuple[pd.DataFrame, dict]:
    """The same request to the four states of one seed: columns state, reply, label.

    Without ``labels`` it is the first request to the first seed whose four labels are the most frequent four; with
    them the first one, over all seeds, that has these labels, where there is one. With it come ``request``;
    ``count``, how many requests have its labels, of the ``n`` asked of ``seeds`` seeds; and ``chosen``, whether they
    are those asked for.
    """
    seeds = range(len(next(iter(by_state.values()))))
    of_seeds = [_patterns(by_state, seed, kind) for seed in seeds]
    chosen = labels is not None and any(labels in patterns for patterns in of_seeds)
    if chosen:
        seed = next(seed for seed in seeds if labels in of_seeds[seed])
        every = [pattern for patterns in of_seeds for pattern in patterns]
        pattern, counted = labels, {"count": every.count(labels), "n": len(every), "seeds": len(seeds)}
    else:
        seed, (pattern, count) = 0, Counter(of_seeds[0]).most_common(1)[0]
        counted = {"count": count, "n": len(of_seeds[0]), "seeds": 1}
    place = of_seeds[seed].index(pattern)
    replies = {s: [r for r in e[seed].replies if r["set"] == kind][place] for s, e in by_state.items()}
    table = pd.DataFrame(
        {"state": state, "reply": reply["reply"], "label": label}
        for (state, reply), label in zip(replies.items(), pattern)
    )
    request = _last(next(iter(replies.values()))["prompt"])
    return table, {"request": request, "chosen": chosen} | counted


def _patterns(by_state: dict[str, list[Evaluated]], seed: int, kind: str) -> list[tuple[str, ...]]:
    """For each request of a kind the labels that the states of one seed get."""
    sides = [e[seed].verdicts if kind == "harmful" else e[seed].benign for e in by_state.values()]
    return list(zip(*([verdict.label for verdict in side] for side in sides)))


def _last(prompt: Messages) -> str:
    return prompt[-1]["content"]
