"""Table and finding of the page on LoX in other tools."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.book.cells import finding as box
from lox.book.cells import markdown, share


def finding(tools: pd.DataFrame, misfit: str, message: str) -> Markdown:
    """What the table of ``measure.settings`` says, and what ``lox`` says of a matrix that does not fit."""
    largest, smallest = tools.loc[tools["added"].idxmax()], tools.loc[tools["added"].idxmin()]
    return box(
        f"The same two models, four settings that are called LoX: what is added to the weights is between "
        f"{_share(smallest['added'])} ({smallest['tool']}) and {_share(largest['added'])} ({largest['tool']}) of their "
        "norm.",
        f"With the same settings the weights are the same: the largest difference to a whole singular value "
        f"decomposition is {tools['apart'].max():.0e} of the largest weight.",
        f"Where `{misfit}` has another shape in the base, a rule that skips what does not fit leaves it as it was, and "
        f"`lox` stops: {message.splitlines()[-1]}.",
    )


def settings(tools: pd.DataFrame) -> Markdown:
    """k, α, the share of the update that is extrapolated, and how far the weights move, a row for each tool."""
    return markdown(
        pd.DataFrame(
            {
                "As in": tools["tool"],
                "k": tools["k"],
                "α": tools["alpha"],
                "of the update": [share(kept) for kept in tools["kept"]],
                "added to the weights": [_share(added) for added in tools["added"]],
            }
        )
    )


def _share(value: float) -> str:
    return f"{100 * value:.2g} %"
