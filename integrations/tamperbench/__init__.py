"""LoX as a defence of TamperBench."""

from tamperbench.whitebox.defenses.lox.lox import LoX, LoXConfig

__all__ = ["LoX", "LoXConfig"]
