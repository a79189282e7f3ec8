"""LoX: low-rank extrapolation of a model's safety alignment (Perin et al., COLM 2025)."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


class _Package(ModuleType):
    """This package, whose names are imported at their first use: ``lox --help`` does not wait for torch."""

    def __getattr__(self, name: str):
        if name in __all__:
            for module in ("subspace", "energy", "extrapolation", "effective_rank"):
                if value := vars(import_module(f"lox.{module}")).get(name):
                    setattr(self, name, value)
                    return value
        raise AttributeError(f"module 'lox' has no attribute {name!r}")

    def __setattr__(self, name: str, value) -> None:
        """Python binds imported submodules here; ``lox.effective_rank`` stays the function of that name."""
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
