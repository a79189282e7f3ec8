"""LoX as a defence of TamperBench: ``lox extrapolate``, run as a process of its own.

The bench and this package pin other versions of peft and trl, so they meet at the folder of a checkpoint.
Written for the interface of criticalml-uw/TamperBench as of commit 9f9b1ee (``AlignmentDefense``) and 0dd9da2
(``DefenseSweepTrialManager``); ``book/tamperbench.md`` says how to install it.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tamperbench.whitebox.defenses.defense import AlignmentDefense, AlignmentDefenseConfig
from tamperbench.whitebox.defenses.registry import register_defense
from tamperbench.whitebox.utils.names import DefenseName


@dataclass
class LoXConfig(AlignmentDefenseConfig):
    """``input_checkpoint_path`` is the aligned model, which the bench hands over; the rest is LoX's.

    Attributes:
        base_checkpoint_path: the model before alignment, a folder or a Hub id.
        k: rank of the safety subspace, or "full".
        alpha: how far to extrapolate; 0 changes nothing.
        matrices: "all", or "linear" without embeddings and output head.
        command: the program ``lox``, with its path where it lies in another environment than the bench.
    """

    base_checkpoint_path: str
    k: int | Literal["full"] = 6
    alpha: float = 1.25
    matrices: Literal["all", "linear"] = "all"
    command: str = "lox"


@register_defense(DefenseName.LOX, LoXConfig)
class LoX(AlignmentDefense[LoXConfig]):
    """Adds α times the rank-k part of the alignment update to the aligned weights (Perin et al., 2025)."""

    def run_defense(self) -> Path:
        """The folder of the immunised checkpoint. Raises RuntimeError with what ``lox`` said where it fails."""
        config = self.defense_config
        out = config.output_checkpoint_path
        command = [
            config.command,
            "extrapolate",
            config.base_checkpoint_path,
            config.input_checkpoint_path,
            out,
        ]
        command += ["--k", config.k, f"--alpha={config.alpha}", "--matrices", config.matrices, "--quiet"]
        run = subprocess.run([str(word) for word in command], stderr=subprocess.PIPE, text=True)
        if run.returncode:
            raise RuntimeError(f"lox extrapolate ended with {run.returncode}: {run.stderr.strip()}")
        return out
