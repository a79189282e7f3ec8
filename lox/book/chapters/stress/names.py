"""What the parts of fine-tuning are called on the page."""

from __future__ import annotations

from lox.book.names import TASK_NAMES

TASKS = TASK_NAMES | {"all": "mean over tasks"}
VARIANT_NAMES = {  # of each variant, "subspace: part"
    "all: nothing": "nothing (the start)",
    "all: whole": "all of it",
    "all: split only": "layers' matrices only",
    "all: unsplit only": "embeddings, head, norms only",
    "safety: inside": "inside the safety subspace",
    "safety: outside": "all but that inside",
    "safety: outside, split only": "matrices, but for that inside",
    "random: inside": "inside random directions",
    "random: inside, scaled": "inside random directions, scaled",
    "random: outside": "all but random directions",
    "bottom: inside": "inside the bottom directions",
    "bottom: outside": "all but bottom directions",
    "own: inside": "inside its own top directions",
    "own: outside": "all but its own top directions",
    "all: whole, of the undefended run": "all of the undefended run's",
}
WITH_LOX = {"none": "without LoX", "lox": "with LoX"}
