"""Which of AdvBench's goals are for evaluation, which for alignment, which for Pure Bad."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

USES = ("evaluation", "alignment", "pure_bad")
FIRST = {"evaluation": slice(0, 100), "alignment": slice(100, 300), "pure_bad": slice(300, None)}
SHARES = {"evaluation": 0.4, "alignment": 0.35, "pure_bad": 0.25}
# Goals are of one cluster if a chain of them is this alike, by the cosine of their TF-IDF vectors. At 0.5 a
# quarter of all goals hangs together in one chain, and no use would have goals of many kinds.
ALIKE = 0.6


def in_order(goals: Sequence[str]) -> dict[str, list[str]]:
    """Use -> goals, by their place in the set."""
    return {use: list(goals[places]) for use, places in FIRST.items()}


def by_cluster(goals: Sequence[str]) -> dict[str, list[str]]:
    """Use -> goals in random order, so that no goal has a near-twin in another use.

    The largest clusters are placed first, each where most room is left of ``SHARES``.
    """
    clusters = _clusters(goals)
    rng = random.Random("goals")
    rng.shuffle(clusters)
    placed: dict[str, list[str]] = {use: [] for use in USES}
    for cluster in sorted(clusters, key=len, reverse=True):
        roomiest = max(USES, key=lambda use: SHARES[use] * len(goals) - len(placed[use]))
        placed[roomiest] += cluster
    for own in placed.values():
        rng.shuffle(own)
    return placed


def twins(goals: Sequence[str]) -> dict[str, str]:
    """Each goal -> the first goal of its cluster: what is asked in other words is the same thing."""
    return {goal: cluster[0] for cluster in _clusters(goals) for goal in cluster}


def _clusters(goals: Sequence[str]) -> list[list[str]]:
    """The goals, single-linked at a cosine of ``ALIKE``."""
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer().fit_transform(goals).toarray()
    linked = AgglomerativeClustering(
        n_clusters=None, distance_threshold=1 - ALIKE, metric="cosine", linkage="single"
    ).fit_predict(vectors)
    clusters = defaultdict(list)
    for goal, label in zip(goals, linked, strict=True):
        clusters[label].append(goal)
    return list(clusters.values())
