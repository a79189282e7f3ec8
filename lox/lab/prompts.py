"""What a checkpoint is asked: prompts of a file, or of a named set.

A file holds one prompt a line; with the ending .csv or .jsonl it is a table whose column ``prompt``, or the one
named as in ``requests.csv:goal``, holds a text, in JSON Lines also a list of chat messages. Two more columns are
read: ``thing``, what a prompt is about, where prompts about one thing are not independent of each other, and
``solution``, of problems whose right reply is scored.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from lox.lab.worlds import World, world_named
from lox.lab.worlds.messages import user

SETS: dict[str, dict[str, tuple[str, int]]] = {  # of a kind: name -> (world, how many there are)
    "harmful": {"advbench": ("real", 100), "toy": ("toy", 512)},
    "harmless": {"xstest": ("real", 250), "toy": ("toy", 512)},
    "utility": {"gsm8k": ("real", 100), "toy": ("toy", 100)},
}
IN_REPLIES = {"harmful": "harmful", "harmless": "benign", "utility": "utility"}


def questions(kind: str, source: str, *, new_tokens: int, limit: int | None = None) -> list[dict]:
    """The first ``limit`` questions of a kind, harmful, harmless or utility, of a named set or a file.

    Each is {"set", "prompt", "thing"} with "tokens", the most that a reply may have, or for utility with "reply",
    the solution to score. Raises ValueError, naming file and line, where a file is not as described above,
    FileNotFoundError where there is neither a file nor a set of that name.
    """
    entries = _of_set(kind, source, limit) if source in SETS[kind] else _of_file(kind, source, limit)
    if not entries:
        raise ValueError(f"{source}: no {kind} prompts in it")
    common = {"set": IN_REPLIES[kind]}
    return [common | q if kind == "utility" else common | q | {"tokens": new_tokens} for q in entries]


def questions_of(
    harmful: str, harmless: str, utility: str | None = None, *, new_tokens: int, limit: int | None = None
) -> list[dict]:
    """Harmful and harmless questions, and problems with their solutions where they are named."""
    sources = {"harmful": harmful, "harmless": harmless} | ({"utility": utility} if utility else {})
    return [
        question
        for kind, source in sources.items()
        for question in questions(kind, source, new_tokens=new_tokens, limit=limit)
    ]


def world_of(*sources: str) -> World:
    """The world that all these prompts are of, for a judge: the toy's, or the real one."""
    return world_named("toy" if set(sources) == {"toy"} else "real")


def _of_set(kind: str, name: str, limit: int | None) -> list[dict]:
    world_name, there = SETS[kind][name]
    world, n = world_named(world_name), min(there, limit or there)
    draw: dict[str, Callable[[World], list]] = {
        "harmful": lambda world: world.harmful_prompts(n, None),
        "harmless": lambda world: world.benign_prompts(n),
        "utility": lambda world: world.utility_problems(n),
    }
    drawn = draw[kind](world)
    if kind == "utility":
        return [
            {"prompt": p["prompt"], "reply": p["solution"], "thing": p["prompt"][-1]["content"]}
            for p in drawn
        ]
    return [{"prompt": p, "thing": thing} for p, thing in zip(drawn, world.things(drawn))]


def _of_file(kind: str, source: str, limit: int | None) -> list[dict]:
    path, column = _split(source)
    if not path.is_file():
        known = ", ".join(SETS[kind])
        raise FileNotFoundError(f"{path}: no such file, and no set of {kind} prompts either ({known})")
    wanted = [column, "solution"] if kind == "utility" else [column]
    return [_question(row, column, kind) for row in islice(_rows(path, wanted), limit)]


def _split(source: str) -> tuple[Path, str]:
    """A file and its column with prompts, from ``FILE`` or ``FILE:COLUMN``."""
    name, _, column = source.rpartition(":")
    return (Path(name), column) if name and not Path(source).exists() else (Path(source), "prompt")


def _question(row: dict, column: str, kind: str) -> dict:
    prompt = row[column]
    messages = prompt if isinstance(prompt, list) else [user(prompt)]
    question = {"prompt": messages, "thing": str(row.get("thing") or messages[-1]["content"])}
    return question | {"reply": row["solution"]} if kind == "utility" else question


def _rows(path: Path, columns: list[str]):
    """Rows of a file in their order, those without a prompt left out; ValueError for what cannot be read."""
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            for line, row in readers.get(path.suffix.lower(), _plain_rows)(file):
                if missing := [name for name in columns if name not in row]:
                    there = ", ".join(map(str, row)) or "none"
                    raise ValueError(
                        f"line {line}: no column {missing[0]!r}; the columns are {there}. "
                        f"Another column with prompts is named as in {path.name}:COLUMN"
                    )
                try:
                    whole = [_is_content(row[name], name == "solution") for name in columns]
                except ValueError as error:
                    raise ValueError(f"line {line}: {error}") from None
                if all(whole):
                    yield row
        except (ValueError, csv.Error) as error:  # of decoding too
            raise ValueError(f"{path}: {error}") from None


def _plain_rows(file):
    for number, line in enumerate(file, start=1):
        yield number, {"prompt": line.strip()}


def _csv_rows(file):
    reader = csv.DictReader(file, strict=True)
    for row in reader:
        if None in row:  # where DictReader puts what is left of a line
            raise ValueError(
                f"line {reader.line_num}: more fields than columns; a text with commas stands in quotes"
            )
        yield reader.line_num, {name: (text or "").strip() for name, text in row.items() if name}


def _json_rows(file):
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number}: no valid JSON ({error.msg})") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: a JSON object is expected")
        yield number, row


def _is_content(value, text_only: bool) -> bool:
    """Whether a field holds a text or, unless ``text_only``, chat messages.

    Empty ones are left out, others are an error.
    """
    if isinstance(value, str):
        value.encode()  # half of a surrogate pair, which JSON can write, is no text that a tokenizer takes
        return bool(value.strip())
    if text_only:
        raise ValueError(f"no text: {str(value)[:40]}")
    if isinstance(value, list) and value and all(map(_is_message, value)):
        return True
    raise ValueError(f"neither a text nor a list of messages with role and content: {str(value)[:40]}")


def _is_message(value) -> bool:
    """A role and a text."""
    is_one = isinstance(value, dict) and {"role", "content"} == value.keys()
    return is_one and all(isinstance(text, str) for text in value.values())
