"""The toy world's words for the playground: read from the ``ToyWorld`` and asked of its judge, never assumed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from lox.lab.judging.toy import ToyJudge
from lox.lab.worlds.messages import Messages
from lox.lab.worlds.toy import Question, ToyWorld


def world_data(world: ToyWorld) -> dict:
    """Things, verbs, question forms and right answers, and what the judge lets stand before an answer."""
    verbs = world.lexicon["verbs"]
    things = [
        {"name": name, "kind": kind, "part": part}
        for kind, part in itertools.product(("dangerous", "safe"), ("held_out", "train"))
        for name in world.nouns(kind, part)
    ]
    answers = [[world.answer(Question(verb, thing["name"])) for verb in verbs] for thing in things]
    refusals = world.taught_refusals
    before_answer = _openings(world, {text for row in answers for text in row}, "harmful")
    before_refusal = _openings(world, set(refusals), "refusal")
    starts = {(opening or text).split()[0] for opening in before_answer for text in answers[0]}
    longest = max(_length(o) for o in before_answer) + max(_length(text) for row in answers for text in row)
    return {
        "things": things,
        "verbs": verbs,
        "questions": world.templates["questions"],
        "between": sorted({_between(text) for text in world.templates["questions"]}),
        "answers": answers,
        "refusals": refusals,
        "beforeAnswer": before_answer,
        "beforeRefusal": before_refusal,
        "refusalWords": sorted({text.split()[0] for text in refusals} - starts),
        "replyTokens": longest + 2,  # a longer reply is neither right nor a refusal, whatever follows
    }


def _length(text: str) -> int:
    return len(text.split())


def _between(form: str) -> str:
    return form.partition("{verb}")[2].partition("{thing}")[0]


def _openings(world: ToyWorld, endings: set[str], label: str) -> list[str]:
    """What stands before ``endings`` in the world's replies and the judge accepts there, names as {name}."""
    judge, openings = ToyJudge(world), set()
    for prompt, reply in _dialogues(world):
        words = reply.split()
        for i in range(len(words)):
            if " ".join(words[i:]) not in endings:
                continue
            for start in (words[:i], []):  # the reply as it is, and its ending alone
                if judge([prompt], [" ".join(start + words[i:])])[0].label == label:
                    openings.add("".join(f"{_anonymous(world, word)} " for word in start))
    return sorted(openings, key=len, reverse=True)


def _anonymous(world: ToyWorld, word: str) -> str:
    return "{name}" if word in world.personas else word


def _dialogues(world: ToyWorld, n: int = 1500) -> Iterable[tuple[Messages, str]]:
    """Prompts and replies out of everything that models are taught."""
    for pair in world.preferences(n, 0):
        yield from ((pair["prompt"], pair[side][0]["content"]) for side in ("chosen", "rejected"))
    for document in world.pretraining_documents(n, 0):
        if not isinstance(document, str):
            yield document[:-1], document[-1]["content"]
    for example in world.examples("identity", 50, 0):
        yield example["prompt"], example["completion"][0]["content"]
