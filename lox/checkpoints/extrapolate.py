"""LoX on checkpoints on disk (equation 3): read, extrapolated and written matrix by matrix, of any size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pandas as pd

from lox.checkpoints import card
from lox.checkpoints.pair import Selection
from lox.checkpoints.plan import Plan, prepare
from lox.checkpoints.shards import finished_rows, require_space, unwritten, write_checkpoint
from lox.checkpoints.streaming import Progress
from lox.checkpoints.unfinished import replaceable, unfinished_folder, unfinished_place
from lox.extras import needs
from lox.subspace import Rank


def extrapolate_checkpoint(
    base: Path | str,
    aligned: Path | str,
    out: Path | str,
    *,
    k: Rank = 6,
    alpha: float = 1.25,
    matrices: Selection = "all",
    adapter: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """W_LoX = W_aligned + α Proj_k(ΔW_align) for every matrix, from two checkpoints into the folder ``out``.

    ``base`` and ``aligned`` are folders or Hub ids. ``out`` gets ALIGNED's files with ALIGNED's shards,
    names, types and metadata, and a model card; with ``adapter`` a PEFT LoRA adapter on ALIGNED instead.
    It appears when it is whole; an interrupted call leaves its whole shards beside it, and the same call
    goes on from there. ``progress(done, total)`` is told bytes of ALIGNED.

    Returns a row for each matrix: name, layer, kind, rows, cols; k; r_align (equation 1); added = ‖α
    Proj_k(ΔW_align)‖ / ‖W_aligned‖; error, the certified one of ``Subspace``; survives, the share of the
    update that is left after rounding to the type of ALIGNED (NaN for an adapter, which does not round);
    copied_rows, those of added tokens, which BASE does not have. Raises ValueError for what does not fit,
    FileExistsError where ``out`` is in the way, ChangedMeanwhile where BASE or ALIGNED is written to in
    between, OSError where reading or writing fails.
    """
    plan = prepare(base, aligned, k=k, alpha=alpha, matrices=matrices, device=device)
    write = partial(_adapter_module().write_adapter if adapter else write_checkpoint, progress=progress)
    with _written(plan, Path(out), plan.key(adapter), write) as (folder, report):
        text = card.text(plan, report, adapter)
        (folder / "README.md").write_text(text, encoding="utf-8", errors="backslashreplace")
    if not report["k"].any():
        warnings.warn("base and aligned have the same weights, so nothing was extrapolated", stacklevel=2)
    return report


def extrapolate_weights(base: Path, aligned: Path, out: Path, *, k: Rank, alpha: float) -> None:
    """``extrapolate_checkpoint`` without a model card, whose words are then no part of what determines ``out``.

    So the stages of an experiment are made, which are named by the code that they are made with.
    """
    plan = prepare(base, aligned, k=k, alpha=alpha)
    with _written(plan, out, plan.key(), write_checkpoint):
        pass


@contextmanager
def _written(
    plan: Plan, out: Path, key: str, write: Callable[[Plan, Path], list[dict]]
) -> Iterator[tuple[Path, pd.DataFrame]]:
    """What is to become ``out``, with all that ``write`` makes, and the report; ``out`` appears when the block ends."""
    with unfinished_folder(out, key) as folder:
        report = pd.DataFrame(write(plan, folder)).astype({"layer": "Int64"})
        plan.check_unchanged()
        yield folder, report


def check_writable(plan: Plan, out: Path, adapter: bool) -> None:
    """Raise what ``extrapolate_checkpoint`` would raise before its first byte, without writing anything."""
    folder = unfinished_place(replaceable(out), plan.key(adapter))
    if adapter:
        _adapter_module().modules_to_adapt(plan)
        require_space(folder, plan.adapter_bytes)
    else:
        require_space(folder, unwritten(plan, finished_rows(plan, folder)))


def _adapter_module():
    with needs("adapter", "an adapter"):  # peft and transformers, which are slow to import
        from lox.checkpoints import adapter
    return adapter


def summary(report: pd.DataFrame) -> str:
    """What a report comes to, in one line."""
    changed = report[report["k"] > 0]
    parts = [f"{len(changed)} of {len(report)} matrices changed"]
    if len(changed):
        parts += [
            f"R_align {changed['r_align'].mean():.3f}",
            f"norm added {changed['added'].mean():.2%}",
            f"certified error up to {report['error'].max():.1e}",
        ]
    if changed["survives"].notna().any():
        parts.append(f"{changed['survives'].mean():.2%} of the update left after rounding")
    if report["copied_rows"].any():
        parts.append(f"{report['copied_rows'].sum()} rows of added tokens copied")
    return ", ".join(parts)
