"""The playground's places in the page, and the table of what is stored in it and what is computed."""

from __future__ import annotations

from IPython.display import HTML, Markdown

from lox.book.chapters.playground.export import script

STATIC = "../../_static/playground"  # from executed/<profile>/<page>.html
SCRIPTS = ("model", "training", "judge", "worker", "ui", "attack")
NO_TOY = "*This book was built with a profile without the toy world, so there is no model to talk to here.*"


def talk(data: dict | None) -> HTML | Markdown:
    """Where the reader talks to the model; ``data`` is what ``measure.stored_models`` returned."""
    if data is None:
        return Markdown(NO_TOY)
    return HTML(
        f'<link rel="stylesheet" href="{STATIC}/playground.css">\n'
        '<div id="playground-talk"><p>The model is loading. It needs JavaScript.</p></div>'
    )


def attack(data: dict | None) -> HTML | Markdown:
    """Where the reader attacks the model, with the stored model and the scripts of both places."""
    if data is None:
        return Markdown(NO_TOY)
    scripts = (f'<script src="{STATIC}/{name}.js"></script>' for name in SCRIPTS)
    stored = f"<script>{script(data)}</script>"
    return HTML("\n".join(['<div id="playground-attack"></div>', stored, *scripts]))


def stored_and_computed(data: dict | None) -> Markdown:
    """What the page holds, with sizes, and what it computes."""
    if data is None:
        return Markdown(NO_TOY)
    attacks = sum(_megabytes(one["steps"], one["counts"]) for one in data["attacked"])
    tasks = ", ".join(dict.fromkeys(one["title"] for one in data["attacked"])) or "none"
    things = data["heldOut"]
    lines = [
        "| | |",
        "|:--|:--|",
        f"| stored | the aligned model, in half precision ({_megabytes(data['aligned']):.1f} MB) |",
        f"| stored | the {data['update']['ranks']} leading ranks of its alignment update, in half precision "
        f"({_megabytes(data['update']['numbers']):.1f} MB) |",
        f"| stored | models after attacks ({tasks}), with four bits for each weight’s change ({attacks:.1f} MB) |",
        "| stored | the world’s words and right answers, the examples of the attacks |",
        "| computed in the page | the extrapolated weights, for the sliders’ k and α |",
        "| computed in the page | every reply, probability and verdict |",
        f"| computed in the page | ASR and helpful, on {len(things['dangerous'])} dangerous and "
        f"{len(things['safe'])} safe held-out questions |",
        "| computed in the page | every step of an attack of your own, with AdamW |",
    ]
    return Markdown("\n".join(lines))


def _megabytes(*texts: str) -> float:
    return sum(map(len, texts)) / 1e6
