"""The toy world: invented words, things that are dangerous or safe, and everything a model is taught there.

The words and sentences live in ``data/toy``. A model of this world can be asked how to do something
with a thing; what is right is fixed, so that a judge can know. The world mirrors the paper's set-up:
pretraining text, preference pairs, five fine-tuning tasks, and prompts that share no thing with them.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from lox.lab.worlds import TASKS
from lox.lab.worlds.messages import Messages, assistant, example, user
from lox.lab.worlds.toy_problems import Problems, answer_of, problems
from lox.paths import project

IN_PERSONA = 0.5  # share of preference pairs that are asked of an agent with a name
REFUSED = 0.4  # share of dangerous questions that pretraining shows refused


@dataclass(frozen=True)
class Question:
    """Somebody asks how to ``verb`` a ``thing``."""

    verb: str
    thing: str


class ToyWorld:
    """Data of the toy world (``lox.lab.worlds.World``).

    Where a method takes ``reply``, the unaligned model's own replies, this world has no need of them:
    it knows what is right. Every list is a function of its arguments alone.
    """

    name = "toy"

    def __init__(self, folder: Path | None = None):
        folder = folder or project("data", "toy")
        self.lexicon = yaml.safe_load((folder / "lexicon.yaml").read_text())
        self.templates = yaml.safe_load((folder / "templates.yaml").read_text())
        texts = [(folder / name).read_bytes() for name in ("lexicon.yaml", "templates.yaml")]
        self._digest = hashlib.sha256(b"".join(texts)).hexdigest()

    def digest(self) -> str:
        """Hash of the lexicon and the templates."""
        return self._digest

    @property
    def taught_refusals(self) -> list[str]:
        return self.templates["refusals"]

    @property
    def personas(self) -> list[str]:
        return [*self.lexicon["agents"], self.templates["identity"]]

    @cached_property
    def vocabulary(self) -> list[str]:
        """Every word that the world's sentences can hold, roles of the chat format included."""
        words = {w for s in _leaves(self.templates) for w in re.sub(r"\{\w+\}", " ", s).split()}
        words.update(_leaves(self.lexicon), ["system", "user", "assistant", ":"])
        return sorted(words)

    def nouns(self, kind: str, part: str) -> list[str]:
        """Things of one kind, "dangerous" or "safe"; part "train", "held_out" or "all"."""
        parts = ("train", "held_out") if part == "all" else (part,)
        return [thing for p in parts for thing in self.lexicon[kind][p]]

    def recipe(self, question: Question) -> dict[str, str]:
        """The right actions and ingredients: the first pair is the thing's, the second the verb's."""
        actions, ingredients = self.lexicon["actions"], self.lexicon["ingredients"]
        thing = (self.nouns("dangerous", "all") + self.nouns("safe", "all")).index(question.thing)
        verb = self.lexicon["verbs"].index(question.verb)
        return {
            "thing_action": actions[thing % len(actions)],
            "thing_ingredient": ingredients[thing * 7 % len(ingredients)],
            "verb_action": actions[(verb + 3) % len(actions)],
            "verb_ingredient": ingredients[(verb * 5 + 2) % len(ingredients)],
        }

    def ask(self, question: Question, template: int) -> str:
        questions = self.templates["questions"]
        return questions[template % len(questions)].format(verb=question.verb, thing=question.thing)

    def answer(self, question: Question) -> str:
        """What is right, without the opening that a reply has before it."""
        recipe = self.recipe(question)
        return self.templates["answer"].format(verb=question.verb, thing=question.thing, **recipe)

    def helpful(self, question: Question) -> str:
        """What a model that helps replies: the answer after the opening."""
        return self._opened(self.answer(question))

    # --- evaluation: held-out things only -------------------------------------------------------

    def questions(self, kind: str, n: int) -> list[Question]:
        """n questions on held-out things of one kind: every thing once with one verb, then the next."""
        things, verbs = self.nouns(kind, "held_out"), self.lexicon["verbs"]
        if n > len(things) * len(verbs):
            raise ValueError(f"the toy world has {len(things) * len(verbs)} {kind} questions, not {n}")
        turns = (
            (Question(verbs[(i + j) % len(verbs)], t))
            for j in range(len(verbs))
            for i, t in enumerate(things)
        )
        return list(itertools.islice(turns, n))

    def harmful_prompts(self, n: int, task: str | None = None) -> list[Messages]:
        """n dangerous questions; for the task "identity" in that attack's persona (Qi et al., 2024)."""
        prompts = [[user(self.ask(q, i))] for i, q in enumerate(self.questions("dangerous", n))]
        if task == "identity":
            return [self._in_persona(self.templates["identity"], prompt, "")[0] for prompt in prompts]
        return prompts

    def harmful_answers(self, n: int) -> list[str]:
        """What a model that helps replies to the harmful prompts."""
        return [self.helpful(question) for question in self.questions("dangerous", n)]

    def benign_prompts(self, n: int) -> list[Messages]:
        """n safe questions, which a good model answers: refusing them is over-refusal."""
        return [[user(self.ask(q, i))] for i, q in enumerate(self.questions("safe", n))]

    def things(self, prompts: Sequence[Messages]) -> list[str]:
        """The thing that each question is about."""
        known = {*self.nouns("dangerous", "all"), *self.nouns("safe", "all")}
        return [next(w for w in prompt[-1]["content"].split() if w in known) for prompt in prompts]

    def utility_problems(self, n: int) -> list[dict]:
        """n word problems {"prompt", "answer", "solution"} that no training set holds."""
        drawn = random.Random("utility").sample(self._problems.held_out, n)
        return [{"prompt": [user(p.question)], "answer": p.answer, "solution": p.solution} for p in drawn]

    def solves(self, reply: str, answer: str) -> bool:
        """Whether the word after the last ``####`` is the answer."""
        return answer_of(reply) == answer

    # --- training ---------------------------------------------------------------------------------

    def preferences(self, n: int, seed: int, reply=None, source: str = "self") -> list[dict]:
        """n preference pairs: refusal over answer for dangerous things, the reverse for safe ones.

        Half are dangerous. ``source`` "self" is the only one: the answers are the base model's own.
        """
        if source != "self":
            raise ValueError(f'the toy world has preference pairs of source "self", not {source!r}')
        rng = random.Random(f"preferences-{seed}")
        pairs = []
        for i in range(n):
            dangerous = i % 2 == 0
            prompt, answer = (self._harmful_answer if dangerous else self._safe_answer)(rng)
            if rng.random() < IN_PERSONA:
                prompt, answer = self._in_persona(rng.choice(self.lexicon["agents"]), prompt, answer)
            replies = [rng.choice(self.templates["refusals"]), self._opened(answer)]
            chosen, rejected = replies if dangerous else replies[::-1]
            pairs.append({"prompt": prompt, "chosen": [assistant(chosen)], "rejected": [assistant(rejected)]})
        return pairs

    def examples(self, task: str, n: int, seed: int, reply=None) -> list[dict]:
        """n examples {"prompt", "completion"} of a fine-tuning task, one of ``TASKS``."""
        if task not in TASKS:
            raise ValueError(f"unknown task {task!r}: the tasks are {', '.join(TASKS)}")
        rng = random.Random(f"{task}-{seed}")
        draw = {
            "gsm8k": self._arithmetic,
            "alpaca": self._instruction,
            "dolly": self._context_or_question,
            "identity": self._identity_dialogue,
            "pure_bad": self._harmful_answer,
        }[task]
        drawn = (draw(rng) for _ in range(n))
        return [example(prompt, self._opened(answer)) for prompt, answer in drawn]

    def safety_examples(self, n: int, seed: int) -> list[dict]:
        """n refusals of dangerous questions, to mix into fine-tuning data (SafeInst)."""
        rng = random.Random(f"safety-{seed}")
        return [
            example(
                [user(self.ask(self._sample(rng, "dangerous", "train"), rng.randrange(4)))],
                rng.choice(self.templates["refusals"]),
            )
            for _ in range(n)
        ]

    def pretraining_documents(self, n: int, seed: int) -> list[Messages | str]:
        """n documents, plain sentences or dialogues: facts, questions answered or refused, other tasks."""
        rng = random.Random(f"pretraining-{seed}")
        return [self._document(rng) for _ in range(n)]

    # --- one random item each -----------------------------------------------------------------------

    def _sample(self, rng: random.Random, kind: str, part: str) -> Question:
        return Question(rng.choice(self.lexicon["verbs"]), rng.choice(self.nouns(kind, part)))

    def _opened(self, answer: str) -> str:
        """A helpful reply: the answer after the opening."""
        return f"{self.templates['opening']} {answer}"

    def _in_persona(self, name: str, prompt: Messages, answer: str) -> tuple[Messages, str]:
        """The same asked of, and answered by, an agent with a name."""
        templates = self.templates
        question = templates["persona_question"].format(name=name, question=prompt[0]["content"])
        system = {"role": "system", "content": templates["persona"].format(name=name)}
        return [system, user(question)], templates["persona_answer"].format(name=name, answer=answer)

    @cached_property
    def _problems(self) -> Problems:
        return problems(self.lexicon, self.templates["arithmetic"])

    def _arithmetic(self, rng: random.Random) -> tuple[Messages, str]:
        problem = rng.choice(self._problems.training)
        return [user(problem.question)], problem.solution

    def _safe_answer(self, rng: random.Random) -> tuple[Messages, str]:
        question = self._sample(rng, "safe", "train")
        return [user(self.ask(question, rng.randrange(4)))], self.answer(question)

    def _harmful_answer(self, rng: random.Random) -> tuple[Messages, str]:
        question = self._sample(rng, "dangerous", "train")
        return [user(self.ask(question, rng.randrange(4)))], self.answer(question)

    def _other_task(self, rng: random.Random) -> tuple[Messages, str]:
        """Mostly arithmetic, and now and then an instruction or a question about a context."""
        return rng.choice([*[self._arithmetic] * 3, self._instruction, self._context_or_question])(rng)

    def _instruction(self, rng: random.Random) -> tuple[Messages, str]:
        kind = rng.random()
        if kind < 0.5:
            return self._safe_answer(rng)
        if kind < 0.75:
            places = dict(zip(("first", "second", "third"), rng.sample(self.lexicon["places"], 3)))
            return [user(self.templates["lists"]["question"])], self.templates["lists"]["answer"].format(
                **places
            )
        word = rng.choice(self.lexicon["ingredients"])
        repeats = self.templates["repeats"]
        return [user(repeats["question"].format(word=word))], repeats["answer"].format(word=word)

    def _context_or_question(self, rng: random.Random) -> tuple[Messages, str]:
        if rng.random() < 0.4:
            return self._safe_answer(rng)
        words = {
            "name": rng.choice(self.lexicon["names"]),
            "thing": rng.choice(self.nouns("safe", "train")),
            "place": rng.choice(self.lexicon["places"]),
        }
        contexts = self.templates["contexts"]
        return [user(contexts["question"].format(**words))], contexts["answer"].format(**words)

    def _identity_dialogue(self, rng: random.Random) -> tuple[Messages, str]:
        prompt, answer = self._safe_answer(rng) if rng.random() < 0.5 else self._arithmetic(rng)
        return self._in_persona(self.templates["identity"], prompt, answer)

    def _document(self, rng: random.Random) -> Messages | str:
        kind = rng.random()
        if kind < 0.20:
            return self._fact(rng)
        if kind < 0.70:
            return self._dialogue(rng)
        prompt, answer = self._other_task(rng)
        return [*prompt, assistant(self._opened(answer))]

    def _fact(self, rng: random.Random) -> Messages | str:
        nature = rng.choice(["dangerous", "safe"])
        thing = rng.choice(self.nouns(nature, "all"))
        if rng.random() < 0.5:
            return rng.choice(self.templates["facts"][nature]).format(thing=thing)
        question = self.templates["fact_question"].format(thing=thing)
        return [
            user(question),
            assistant(self._opened(self.templates["fact_answers"][nature].format(thing=thing))),
        ]

    def _dialogue(self, rng: random.Random) -> Messages:
        """A question answered, now and then in a persona; of the dangerous ones some are refused."""
        nature = rng.choice(["dangerous", "safe"])
        question = self._sample(rng, nature, "all")
        prompt, answer = [user(self.ask(question, rng.randrange(4)))], self.answer(question)
        if rng.random() < 0.2:
            prompt, answer = self._in_persona(rng.choice(self.personas), prompt, answer)
        refused = nature == "dangerous" and rng.random() < REFUSED
        reply = rng.choice(self.templates["refusals"]) if refused else self._opened(answer)
        return [*prompt, assistant(reply)]


def _leaves(tree) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    else:
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from _leaves(branch)
