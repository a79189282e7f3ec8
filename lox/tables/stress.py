"""Parts of fine-tuning against one another."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.tables.cells import in_points, markdown, p_values, per_cent, pooled, said_of
from lox.tables.names import TASK_NAMES


def variants(rows: pd.DataFrame) -> Markdown:
    """ASR of each part of fine-tuning put in alone, pooled over seeds with Wilson's interval, by task."""
    cells = {
        (subspace, part, TASK_NAMES[task]): per_cent(pooled(group))
        for (subspace, part, task), group in rows.groupby(["subspace", "part", "task"], sort=False)
    }
    return markdown(pd.Series(cells).unstack(sort=False).rename_axis(["subspace", "part"]).reset_index())


def contrasts(differences: pd.DataFrame) -> Markdown:
    """Paired differences of ``stress.compare`` in points, their interval and what it allows to say."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[d["task"]],
                "ASR of": d["first"],
                "less that of": d["second"],
                "points": in_points(d),
                "so": said_of(d, "higher", "lower"),
                "McNemar p of each seed": p_values(d),
            }
            for _, d in differences.iterrows()
        )
    )


def contrasts_in_words(differences: pd.DataFrame) -> Markdown:
    """For each contrast, after how many tasks the first ASR is higher, lower, or neither: by the interval."""
    lines = []
    for (first, second), group in differences.groupby(["first", "second"], sort=False):
        higher, lower = (group["low"] > 0).sum(), (group["high"] < 0).sum()
        lines.append(
            f"- ASR of **{first}** against **{second}**: higher after {higher} of {len(group)} tasks, "
            f"lower after {lower}, not told apart after {len(group) - higher - lower}."
        )
    return Markdown("\n".join(lines))
