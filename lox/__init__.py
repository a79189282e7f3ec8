"""LoX: low-rank extrapolation of a model's safety alignment (Perin et al., COLM 2025)."""

from lox.effective_rank import EffectiveRank, effective_rank
from lox.energy import energy_profile, r_align, r_ft
from lox.extrapolation import extrapolate
from lox.subspace import Subspace, project, safety_subspace

__all__ = [
    "EffectiveRank",
    "Subspace",
    "effective_rank",
    "energy_profile",
    "extrapolate",
    "project",
    "r_align",
    "r_ft",
    "safety_subspace",
]
__version__ = "0.1.0"
