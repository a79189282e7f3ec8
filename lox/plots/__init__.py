"""The book's figures: a DataFrame in, a Figure out; a file for each chapter that has its own."""

from lox.plots.ablation import ablation_after, ablation_before
from lox.plots.alignment_update import concentration, spectra_by_kind
from lox.plots.baselines import baselines
from lox.plots.degradation import degradation
from lox.plots.effective_rank import log_odds_curves, rank_curves
from lox.plots.energy import energy_by_kind, energy_profile
from lox.plots.frame import LLAMA_WIDTH
from lox.plots.landscape import landscape_lines, safety_landscape, safety_surface
from lox.plots.persistence import persistence
from lox.plots.projection import spectrum
from lox.plots.robustness import worlds
from lox.plots.stress import stress_gain, stress_geometry, stress_variants

__all__ = [
    "LLAMA_WIDTH",
    "ablation_after",
    "ablation_before",
    "baselines",
    "concentration",
    "degradation",
    "energy_by_kind",
    "energy_profile",
    "landscape_lines",
    "log_odds_curves",
    "persistence",
    "rank_curves",
    "safety_landscape",
    "safety_surface",
    "spectra_by_kind",
    "spectrum",
    "stress_gain",
    "stress_geometry",
    "stress_variants",
    "worlds",
]
