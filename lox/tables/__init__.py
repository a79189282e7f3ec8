"""Tables for reading: a tidy DataFrame in, Markdown out; a file for each chapter that has its own."""

from lox.tables.ablation import ablation_beside_paper, breaking, breaking_in_words, low_against_full
from lox.tables.baselines import defences, defences_beside_paper, defences_in_words
from lox.tables.cells import markdown, over_seeds, per_cent, pooled, rows_of
from lox.tables.effective_rank import ranks
from lox.tables.landscape import edges, in_plane
from lox.tables.names import DEFENCE_NAMES, TASK_NAMES
from lox.tables.persistence import persistence, persistence_in_words
from lox.tables.real_model import SOURCES, alignments, real_in_words, settings, worlds, worlds_energy
from lox.tables.robustness import beside_paper, costs, paired
from lox.tables.stress import contrasts, contrasts_in_words, variants

__all__ = [
    "DEFENCE_NAMES",
    "SOURCES",
    "TASK_NAMES",
    "ablation_beside_paper",
    "alignments",
    "beside_paper",
    "breaking",
    "breaking_in_words",
    "contrasts",
    "contrasts_in_words",
    "costs",
    "defences",
    "defences_beside_paper",
    "defences_in_words",
    "edges",
    "in_plane",
    "low_against_full",
    "markdown",
    "over_seeds",
    "paired",
    "per_cent",
    "persistence",
    "persistence_in_words",
    "pooled",
    "ranks",
    "real_in_words",
    "rows_of",
    "settings",
    "variants",
    "worlds",
    "worlds_energy",
]
