"""The effective rank of alignment, by a judge or by log-odds."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.effective_rank import EffectiveRank
from lox.tables.cells import markdown, share


def ranks(found: dict[str, EffectiveRank]) -> Markdown:
    """Effective rank, both readings, for each named curve."""
    return markdown(
        pd.DataFrame(
            {
                "Model": name,
                "ASR aligned": share(f.asr_aligned),
                "ρ": f"{f.rho:g}",
                "effective rank (smallest r)": "none" if f.rank is None else f.rank,
                "settled (from r on)": "none" if f.settled is None else f.settled,
            }
            for name, f in found.items()
        )
    )
