"""Replies in a JSON Lines file: asked once, judged as often as one likes, and gone on with after a kill."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from lox.lab.fingerprint import content_hash
from lox.lab.replies import answer

ANSWER = ("reply", "log_prob", "reply_tokens")
BEGIN = b'{"model": '  # of each line
Network = Callable[[], tuple]  # loads (model, tokenizer)
Counted = Callable[[int], None]  # is told how many questions more are done


class ReplyFile:
    """A file with a line for each reply: "model" (its label), "key", "id", the question and its answer.

    ``key`` names all that determines a model's replies besides the question. Without a path replies are
    kept in memory only.
    """

    def __init__(self, path: Path | None):
        """Raises ValueError for a file of something else, OSError where it cannot be written to."""
        self.path = path
        self._known: dict[tuple[str, str], dict] = {}
        if path is None:
            return
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "its folder does not exist", str(path))
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # another process may be in the middle of a line
            for row in _whole_lines(path, file):
                self._known[row["key"], row["id"]] = row

    def known(self, key: str, question: dict) -> dict | None:
        """What the model of that key answered: reply, or log_prob and reply_tokens; None if it was not asked."""
        row = self._known.get((key, _id(question)))
        return row and {name: row[name] for name in ANSWER if name in row}

    def add(self, model: str, key: str, answered: list[dict]) -> None:
        """Append what is not there yet, and have it on the disk when this returns."""
        rows = [{"model": model, "key": key, "id": _id(row)} | row for row in answered]
        new = [row for row in rows if (key, row["id"]) not in self._known]
        if self.path and new:
            with self.path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write("".join(json.dumps(row) + "\n" for row in new).encode())
                file.flush()
                os.fsync(file.fileno())
        self._known |= {(key, row["id"]): row for row in new}


def ask(
    model: str, key: str, load: Network, questions: list[dict], file: ReplyFile, *, batch: int, done: Counted
) -> list[dict]:
    """``questions`` with their answers: those in ``file``, the rest by the model, which is loaded if there is one.

    Batches hold questions of similar length. They are the same whatever was answered before, so that a run
    that goes on after a kill leaves the file of one that was not disturbed.
    """
    unique = list({_id(question): question for question in questions}.values())
    loaded: tuple | None = None
    try:
        for some in _batches(unique, batch):
            if any(file.known(key, question) is None for question in some):
                network, tokenizer = loaded = loaded or load()
                file.add(model, key, answer(network, tokenizer, [_sent(q) for q in some], batch))
            done(len(some))
    except BaseException as error:
        kept = sum(file.known(key, question) is not None for question in unique)
        if file.path:
            error.add_note(
                f"{kept} of {len(unique)} replies of {model} are kept in {file.path}, the same call goes on"
            )
        raise
    return [question | (file.known(key, question) or {}) for question in questions]


def _batches(questions: list[dict], size: int) -> Iterator[list[dict]]:
    """Questions of one kind, replies to give or to score, in batches by length; the longest first.

    So what does not fit into the memory shows at once.
    """
    for scored in (False, True):
        some = [question for question in questions if ("reply" in question) == scored]
        some.sort(key=lambda q: -len(json.dumps(q["prompt"])) - len(q.get("reply", "")))
        yield from (some[start : start + size] for start in range(0, len(some), size))


def _sent(question: dict) -> dict:
    """A question without what its answer does not depend on, as its ``_id`` has it."""
    return {name: question[name] for name in ("prompt", "tokens", "reply") if name in question}


def _id(row: dict) -> str:
    """What names a question, also of a row that has its answer: a generated reply is no part of it."""
    given = {"tokens": row["tokens"]} if "tokens" in row else {"reply": row["reply"]}
    return content_hash([row["prompt"], given])


def _whole_lines(path: Path, file) -> Iterator[dict]:
    """The rows of a file that a kill may have left with a part of a line, which is cut off."""
    file.seek(0)
    content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(line)
            row["key"], row["id"], row["reply"]
            if "tokens" not in row:  # a reply that was given, and scored
                row["log_prob"], row["reply_tokens"]
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{path}: line {number} is no reply; name a new file for the replies") from None
        yield row
    if part := content[len(whole) :]:
        if not (part.startswith(BEGIN) or BEGIN.startswith(part)):
            raise ValueError(f"{path}: holds something else than replies; name a new file for them")
        file.truncate(len(whole))
