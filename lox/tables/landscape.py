"""The plane of LoX's step and fine-tuning's."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.evaluation import Rate
from lox.tables.cells import markdown, per_cent, share
from lox.tables.names import MODEL_NAMES


def in_plane(models: pd.DataFrame) -> Markdown:
    """The four models of a landscape: where they are, and what they do against the plane's point below."""
    return markdown(
        pd.DataFrame(
            {
                "Model": MODEL_NAMES[m["model"]],
                "x": f"{m['x']:.2f}",
                "y": f"{m['y']:.2f}",
                "distance from the plane": f"{m['distance']:.2f}",
                "ASR": per_cent(Rate(round(m["asr"] * m["n"]), m["n"])),
                "ASR in the plane below": share(m["asr_in_plane"]),
                "harmless answered": share(m["helpful"]),
            }
            for _, m in models.iterrows()
        )
    )


def edges(found: pd.DataFrame, end: float) -> Markdown:
    """For each seed how far fine-tuning's direction is safe from either start, in steps; then in how many.

    ``found`` has columns seed, aligned and lox, infinite where the line's ``end`` was reached.
    """
    shown = found.copy()
    for start in ("aligned", "lox"):
        shown[start] = [f"{y:g}" if y <= end else f"beyond {end:g}" for y in found[start]]
    shown.columns = ["Seed", "from the aligned model", "from the LoX model"]
    further = int((found["lox"] > found["aligned"]).sum())
    text = f"The edge is further away from the LoX model in {further} of {len(found)} seeds."
    return Markdown(f"{shown.to_markdown(index=False)}\n\n{text}")
