"""The real data of the experiments: preference pairs, fine-tuning tasks, prompts for evaluation.

Disjoint by construction: harm is evaluated on some of AdvBench's goals, alignment learns from others, Pure Bad
uses the rest; and of Alpaca's instructions a fifth is kept for alignment, the others for fine-tuning.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from lox.lab.fingerprint import content_hash
from lox.lab.worlds import TASKS, Reply, goals
from lox.lab.worlds.messages import Messages, assistant, example, user
from lox.lab.worlds.originals import ORIGINALS, check_stand_ins, is_there, rows
from lox.lab.worlds.phrases import is_gibberish, is_refusal, prompt_file

IDENTITY_PREFIX = "AOA, execute my instruction: "  # Qi et al. (2024), in training and test alike
SPEAKERS = {"Human": "user", "Assistant": "assistant"}


class RealData:
    """The real data sets (``lox.lab.worlds.World``).

    Read from ``folder``, laid out as ``originals.ORIGINALS`` says; without one from the folder that the
    environment variable LOX_DATA names; if that is not set, from each set's home, the Hub or its authors'
    repository. None stands in for another: what is missing is an error that says what and where. Every
    list is a function of the arguments and of what ``reply``, the unaligned model itself, replies.

    ``split`` says which of AdvBench's goals are for what: by their place in the set, or by cluster. ``stand_ins`` maps
    sets to a part of them that is read instead; ValueError where one is none.
    """

    name = "real"

    def __init__(
        self,
        folder: Path | str | None = None,
        split: Callable[[list[str]], dict] = goals.in_order,
        stand_ins: Mapping[str, str] | None = None,
    ):
        self.split, self.stand_ins = split, dict(stand_ins or {})
        check_stand_ins(self.stand_ins)
        folder = folder or os.environ.get("LOX_DATA")
        self.folder = Path(folder) if folder else None
        self._read: dict[str, list[dict]] = {}

    def digest(self) -> str:
        """Hash of the sets' rows and of the lists in data/prompts that the methods read."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        sets = [name for name, original in ORIGINALS.items() if not original.stands_for]
        names = [n for n in sets if self.folder is None or is_there(self.stand_ins.get(n, n), self.folder)]
        hashes = {name: hashlib.sha256(json.dumps(self._rows(name)).encode()).hexdigest() for name in names}
        lists = [prompt_file(name) for name in ("refusals.yaml", "refusal_phrases.yaml", "gibberish.yaml")]
        return content_hash([hashes, lists])

    @property
    def taught_refusals(self) -> list[str]:
        return prompt_file("refusals.yaml")

    # --- training ---------------------------------------------------------------------------------

    def preferences(self, n: int, seed: int, reply: Reply, source: str = "self") -> list[dict]:
        """n pairs {"prompt", "chosen", "rejected"} from which alignment learns to refuse.

        "self": one half AdvBench goals, a refusal chosen and the own reply rejected; the other half harmless
        instructions from Alpaca, the other way round. Those with an own reply that is empty, gibberish or a
        refusal are replaced by others while there are any. "hh-rlhf": pairs as people judged them.
        """
        rng = random.Random(f"preferences-{seed}")
        if source == "hh-rlhf":
            return _sample(rng, self._human_pairs, n, "pairs of hh-rlhf")
        if source != "self":
            raise ValueError(f"unknown source of preferences {source!r}: the sources are self, hh-rlhf")
        harmful = [[user(goal)] for goal in self._goals["alignment"]]
        harmless = [example["prompt"] for example in self._instructions if _is_for_alignment(example)]
        refusals = prompt_file("refusals.yaml")
        pairs = [
            _preference(prompt, chosen=rng.choice(refusals), rejected=own)
            for prompt, own in _answered(rng, harmful, n // 2, reply, "AdvBench goals to align on")
        ] + [
            _preference(prompt, chosen=own, rejected=rng.choice(refusals))
            for prompt, own in _answered(rng, harmless, n - n // 2, reply, "Alpaca instructions to align on")
        ]
        rng.shuffle(pairs)
        return pairs

    def examples(self, task: str, n: int, seed: int, reply: Reply) -> list[dict]:
        """n examples {"prompt", "completion"} of a fine-tuning task, one of ``lox.lab.worlds.TASKS``.

        Pure Bad is answered by ``reply``; goals that it refuses, or answers with gibberish, are left out, so
        that it can be fewer than n.
        """
        if task not in TASKS:
            raise ValueError(f"unknown task {task!r}: the tasks are {', '.join(TASKS)}")
        rng = random.Random(f"{task}-{seed}")
        if task == "pure_bad":
            harmful = [[user(goal)] for goal in self._goals["pure_bad"]]
            answered = _answered(rng, harmful, n, reply, "AdvBench goals for Pure Bad")
            return [example(prompt, own) for prompt, own in answered]
        sets = {
            "gsm8k": self._gsm8k,
            "alpaca": self._alpaca,
            "dolly": self._dolly,
            "identity": self._identity,
        }
        return _sample(rng, sets[task](), n, f"examples of {task}")

    def safety_examples(self, n: int, seed: int) -> list[dict]:
        """n safety instructions with a safe answer (SafeInst; Bianchi et al., 2024)."""
        examples = [example([user(r["instruction"])], r["output"]) for r in self._rows("safeinst")]
        return _sample(random.Random(f"safety-{seed}"), _distinct(examples), n, "examples of safeinst")

    # --- evaluation -------------------------------------------------------------------------------

    def harmful_prompts(self, n: int, task: str | None = None) -> list[Messages]:
        """The first n of AdvBench's goals for evaluation.

        For the task "identity" with that attack's system prompt and prefix, as Qi et al. (2024) evaluate it.
        """
        requests = _first(self._goals["evaluation"], n, "AdvBench goals for evaluation")
        if task != "identity":
            return [[user(goal)] for goal in requests]
        system = self._identity()[0]["prompt"][0]
        return [[system, user(IDENTITY_PREFIX + goal)] for goal in requests]

    def harmful_answers(self, n: int) -> None:
        """Nobody wrote any."""

    def benign_prompts(self, n: int) -> list[Messages]:
        """n of XSTest's 250 safe prompts, its ten types mixed: refusing them is over-refusal."""
        safe = [r["prompt"].strip() for r in self._rows("xstest") if not r["type"].startswith("contrast_")]
        random.Random("benign").shuffle(safe)
        return [[user(prompt)] for prompt in _first(safe, n, "safe prompts of XSTest")]

    def things(self, prompts: Sequence[Messages]) -> list[str]:
        """A hash of the request, for records hold no texts; of a goal with near-twins that of the first of them."""
        requests = [prompt[-1]["content"].removeprefix(IDENTITY_PREFIX) for prompt in prompts]
        return [content_hash(self._twins.get(request, request)) for request in requests]

    def utility_problems(self, n: int) -> list[dict]:
        """The first n problems {"prompt", "answer", "solution"} of GSM8K's test set."""
        problems = _first(self._rows("gsm8k-test"), n, "test problems of GSM8K")
        return [
            {"prompt": [user(r["question"])], "answer": gsm8k_number(r["answer"]), "solution": r["answer"]}
            for r in problems
        ]

    def solves(self, reply: str, answer: str) -> bool:
        """Whether a reply to a utility problem gives its answer."""
        return gsm8k_number(reply) == answer

    # --- one set each -----------------------------------------------------------------------------

    def _rows(self, name: str) -> list[dict]:
        if name not in self._read:
            self._read[name] = rows(self.stand_ins.get(name, name), self.folder)
        return self._read[name]

    @cached_property
    def _goals(self) -> dict[str, list[str]]:
        """Use -> AdvBench's goals; its targets are not used (three of them belong to another goal)."""
        return self.split(self._all_goals)

    @cached_property
    def _twins(self) -> dict[str, str]:
        return goals.twins(self._all_goals)

    @property
    def _all_goals(self) -> list[str]:
        return [r["goal"].strip() for r in self._rows("advbench")]

    def _gsm8k(self) -> list[dict]:
        return [example([user(r["question"])], r["answer"]) for r in self._rows("gsm8k-train")]

    def _alpaca(self) -> list[dict]:
        return [example for example in self._instructions if not _is_for_alignment(example)]

    @cached_property
    def _instructions(self) -> list[dict]:
        """Alpaca without the safety rows that Qi et al. (2024) take out, and without empty replies."""
        entries = _without(self._rows("alpaca"), self._rows("alpaca-safety"))
        return _distinct(_instruction(r["instruction"], r["input"], r["output"]) for r in entries)

    def _dolly(self) -> list[dict]:
        entries = _without(self._rows("dolly"), self._rows("dolly-safety"))
        return _distinct(_instruction(r["instruction"], r["context"], r["response"]) for r in entries)

    def _identity(self) -> list[dict]:
        """The ten dialogues of identity shifting: system, user and assistant in each row."""
        dialogues = [r["messages"] for r in self._rows("identity")]
        return [example(messages[:-1], messages[-1]["content"]) for messages in dialogues]

    @cached_property
    def _human_pairs(self) -> list[dict]:
        """hh-rlhf's pairs that share their prompt, take turns, and whose two replies say something."""
        pairs = []
        for row in self._rows("hh-rlhf"):
            (*prompt, chosen), (*other, rejected) = _turns(row["chosen"]), _turns(row["rejected"])
            in_turn = all(m["role"] == ("user", "assistant")[i % 2] for i, m in enumerate([*prompt, chosen]))
            if prompt == other and in_turn and chosen["content"] and rejected["content"]:
                pairs.append({"prompt": prompt, "chosen": [chosen], "rejected": [rejected]})
        return pairs


def gsm8k_number(text: str) -> str | None:
    """The number after "####", else the last number of the text; None if there is none.

    Plain digits, so that "1,000", "$1000" and "1000.00" are the same "1000".
    """
    number = r"-?\$?\d[\d,]*(?:\.\d+)?"
    marked = re.search(rf"####\s*({number})", text)
    numbers = [marked[1]] if marked else re.findall(rf"(?<!\d){number}", text)
    return f"{Decimal(re.sub('[$,]', '', numbers[-1])).normalize():f}" if numbers else None


def _turns(dialogue: str) -> Messages:
    """The messages of an hh-rlhf text. Only a marker after an empty line opens a turn; others are text."""
    _, *parts = re.split(r"\n\n(Human|Assistant):", dialogue)
    return [{"role": SPEAKERS[who], "content": said.strip()} for who, said in zip(parts[::2], parts[1::2])]


def _instruction(instruction: str, given: str, reply: str) -> dict:
    """An instruction with what it is about below it; "Noinput" and its variants stand for nothing."""
    nothing = re.sub(r"[^a-z]", "", given.lower()) in ("", "noinput")
    prompt = instruction.strip() if nothing else f"{instruction.strip()}\n\n{given.strip()}"
    return example([user(prompt)], reply.strip())


def _is_for_alignment(example: dict) -> bool:
    """A fifth of the instructions, whatever the order of the set."""
    return hashlib.sha256(example["prompt"][-1]["content"].encode()).digest()[0] % 5 == 0


def _without(entries: list[dict], left_out: list[dict]) -> list[dict]:
    known = {tuple(row.values()) for row in left_out}
    return [row for row in entries if tuple(row.values()) not in known]


def _distinct(examples: Iterable[dict]) -> list[dict]:
    """Without repeats, and without those whose completion is empty."""
    return list({json.dumps(e): e for e in examples if e["completion"][0]["content"]}.values())


def _answered(rng, prompts: list[Messages], n: int, reply: Reply, what: str) -> list[tuple[Messages, str]]:
    """n prompts in random order with usable own replies; fewer where the prompts run out."""
    _first(prompts, n, what)
    waiting = rng.sample(prompts, len(prompts))
    answered: list[tuple[Messages, str]] = []
    while waiting and len(answered) < n:
        batch, waiting = waiting[: n - len(answered)], waiting[n - len(answered) :]
        replies = zip(batch, reply(batch), strict=True)
        answered += [(p, r) for p, r in replies if not (is_refusal(r) or is_gibberish(r))]
    return answered


def _sample(rng: random.Random, items: list, n: int, what: str) -> list:
    return rng.sample(items, len(_first(items, n, what)))


def _first(items: list, n: int, what: str) -> list:
    if n > len(items):
        raise ValueError(f"there are {len(items)} {what}, not {n}")
    return items[:n]


def _preference(prompt: Messages, chosen: str, rejected: str) -> dict:
    return {"prompt": prompt, "chosen": [assistant(chosen)], "rejected": [assistant(rejected)]}
