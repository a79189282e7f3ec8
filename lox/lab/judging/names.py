"""Judges by the name that a profile or a notebook's parameter gives them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from lox import paths
from lox.lab import models, stages
from lox.lab.fingerprint import content_hash
from lox.lab.judging.rubric import LocalJudge, VerdictFile
from lox.lab.judging.sheet import SheetJudge, scores
from lox.lab.judging.toy import ToyJudge
from lox.lab.judging.verdicts import Judge, RefusalOrEvasion, RefusalPhrases
from lox.lab.worlds import World

NEED_NOTHING = ("toy", "refusal-or-evasion", "refusal-phrases", "phrases-alone")
NAMES = (*NEED_NOTHING, "local:MODEL", "endpoint:MODEL", "sheet:FILE")
URL_VARIABLE = "OPENAI_BASE_URL"


def judge_named(name: str, world: World) -> Judge:
    """The judge of that name, one of ``NAMES``; MODEL is a folder or a Hub id, or what an endpoint calls it,
    FILE a filled-in sheet (``lox.lab.judging.sheet``), by its path from the book's root or its full path; a command's
    user names one ``from_here``.

    Raises ValueError for any other name, for the toy's judge on real data, and for an endpoint whose
    address is not in the environment.
    """
    plain = {
        "toy": lambda: _toy_judge(world),
        "refusal-or-evasion": RefusalOrEvasion,
        "refusal-phrases": RefusalPhrases,
        "phrases-alone": lambda: RefusalPhrases(gibberish_apart=False),
    }
    kind, _, model = name.partition(":")
    if name in plain:
        return plain[name]()
    if kind == "local" and model:
        return LocalJudge(model, verdict_file(name, models.files_as_found(Path(model))))
    if kind == "endpoint" and model:
        from lox.lab.judging.endpoint import LLMJudge  # OpenAI's client is slow to import

        url = _endpoint(name)
        return LLMJudge(url, model, verdict_file(name, url))
    if kind == "sheet" and model:
        sheet = SheetJudge(paths.ROOT / model)
        scores(sheet.file)  # what is wrong with it is said before any reply is generated
        return sheet
    raise ValueError(f"unknown judge {name!r}: the judges are {', '.join(NAMES)}")


def from_here(name: str) -> str:
    """A judge's name with the path of its sheet, if it has one, taken from the working folder."""
    kind, _, file = name.partition(":")
    return f"sheet:{Path(file).absolute()}" if kind == "sheet" and file else name


def verdict_file(judge: str, version: object = None) -> VerdictFile:
    """Where a judge's verdicts are kept, beside the stages; of another ``version`` of it, in another file."""
    readable = re.sub(r"\W+", "-", Path(judge).name)
    return VerdictFile(stages.root() / "verdicts" / f"{readable}-{content_hash([judge, version])}.jsonl")


def _toy_judge(world: World) -> ToyJudge:
    if world.name != "toy":
        raise ValueError("the judge toy knows only the toy world: for real data take another")
    return ToyJudge(world)


def _endpoint(name: str) -> str:
    """The endpoint's address, from the environment; one that holds a key as well is refused unseen."""
    url = os.environ.get(URL_VARIABLE, "").strip()
    if not url:
        raise ValueError(f"judge {name}: set {URL_VARIABLE}, to something like http://localhost:8000/v1")
    try:
        address = urlsplit(url)
        _ = address.port
    except ValueError as error:
        raise ValueError(f"judge {name}: {URL_VARIABLE} is {url!r}: {error}") from None
    if "@" in address.netloc or "?" in url:
        raise ValueError(f"judge {name}: {URL_VARIABLE} takes an address; a key goes in OPENAI_API_KEY")
    if not re.match("https?://.", url):
        raise ValueError(
            f"judge {name}: {URL_VARIABLE} is {url!r}, which does not begin with http:// or https://"
        )
    return url.rstrip("/")
