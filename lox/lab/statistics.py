"""Statistics (to be replaced by the branch)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint


@dataclass(frozen=True)
class Rate:
    count: int
    n: int

    @property
    def value(self):
        return self.count / self.n

    @property
    def low(self):
        return max(0.0, float(proportion_confint(self.count, self.n, method="wilson")[0]))

    @property
    def high(self):
        return min(1.0, float(proportion_confint(self.count, self.n, method="wilson")[1]))


def rate(outcomes):
    return Rate(sum(outcomes), len(outcomes))


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float
    seeds: int
    n: int


def mean_over_seeds(outcomes, things):
    o = np.asarray(outcomes, float)
    m = float(o.mean())
    return Estimate(m, m, m, *o.shape)


def paired_difference(first, second, things):
    return mean_over_seeds(np.asarray(first, float) - np.asarray(second, float), things)


def paired_p_value(first, second, things):
    return 1.0


def holm(p):
    return multipletests(p, method="holm")[1].tolist()
