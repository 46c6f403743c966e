"""The one model of a study: accuracy ~ arm + seed (+ machine, where a seed ran on two), by least squares.

The error is pooled over arms. An arm whose spread is out of line has its own (Welch, with Satterthwaite's degrees of
freedom), and does not spoil that of the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_COVERAGE = 0.95
_OUT_OF_LINE = 0.01  # the chance of an arm's spread, if it is like the others', at which it counts as noisier
_FAR_OUT = 0.001  # that of any arm's, at which it is kept out of the others' error
_TINY = 1e-9


@dataclass(frozen=True)
class Observation:
    """A run that has ended: its accuracy, none where it diverged before it had one."""

    arm: str
    seed: int
    machine: str
    accuracy: float | None


@dataclass(frozen=True)
class Estimate:
    """A weighted sum of accuracies; its standard error, with the degrees of freedom of that, where it can be told."""

    effect: float
    spread: tuple[float, float] | None

    @property
    def p(self) -> float | None:
        """Of no difference, two-sided."""
        if self.spread is None:
            return None
        error, degrees = self.spread
        return 2 * _upper(degrees, abs(self.effect) / max(error, _TINY))

    def p_equivalent(self, margin: float) -> float | None:
        """Of a difference of at least the margin, either way: the larger of the two one-sided tests."""
        if self.spread is None:
            return None
        error, degrees = self.spread
        return _upper(degrees, (margin - abs(self.effect)) / max(error, _TINY))

    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """Of 95 %, of this difference alone."""
        if self.spread is None:
            return None, None
        from scipy import special

        error, degrees = self.spread
        half = float(special.stdtrit(degrees, (1 + _COVERAGE) / 2)) * error
        return self.effect - half, self.effect + half


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p values adjusted for there being several (Holm 1979); none counts as one that was not to be had.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for number, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - number) * p))
        adjusted[place] = largest
    return adjusted


@dataclass(frozen=True)
class _Own:
    """An arm's own spread: its variance around the fit to the others, in which they have a share, and their ratio."""

    variance: float
    share: float  # what the variance would be if the arm were like the others, in units of theirs
    degrees: int
    chance: float  # of a ratio as large as this one where the arm is like the others


class Model:
    """The least-squares fit; `weights` turn accuracies into estimates."""

    def __init__(self, observations: Sequence[Observation], arms: Sequence[str]) -> None:
        self.arms = list(arms)
        self.observations = list(observations)
        seeds = sorted({each.seed for each in observations})
        per_seed = {seed: {each.machine for each in observations if each.seed == seed} for seed in seeds}
        are_mixed = any(len(machines) > 1 for machines in per_seed.values())
        self.machines = sorted({each.machine for each in observations}) if are_mixed else []
        columns = [
            *([each.arm == arm for each in observations] for arm in self.arms),
            *([each.seed == seed for each in observations] for seed in seeds[1:]),
            *([each.machine == machine for each in observations] for machine in self.machines[1:]),
        ]
        self.design: Array = np.array(columns, dtype=np.float64).reshape(len(columns), len(observations)).T
        self.values: Array = np.array([each.accuracy for each in observations], dtype=np.float64)
        self.inverse: Array = np.linalg.pinv(self.design).astype(np.float64)
        self.hat: Array = self.design @ self.inverse
        self.residuals: Array = self.values - self.hat @ self.values
        self.degrees = len(self.values) - round(float(np.trace(self.hat)))
        self.groups = np.array([self.arms.index(each.arm) for each in observations], dtype=np.int64)
        self.own = self._of_arms()
        self.noisy = self._out_of_line(_OUT_OF_LINE)
        self.variance, self.pooled_degrees = self._pooled()

    @property
    def deviation(self) -> float | None:
        """The residual standard deviation, of the arms that are not far out of line."""
        return None if self.variance is None else math.sqrt(self.variance)

    def weights(self, arm: str, baseline: str) -> Array | None:
        """What makes the contrast of the accuracies; none where they don't tell it."""
        if arm not in self.arms or baseline not in self.arms:
            return None
        contrast = np.zeros(self.design.shape[1])
        contrast[self.arms.index(arm)], contrast[self.arms.index(baseline)] = 1.0, -1.0
        if np.abs(contrast @ self.inverse @ self.design - contrast).max() > 1e-6:
            return None
        return contrast @ self.inverse

    def _of_arms(self) -> list[_Own]:
        """Each arm against the fit to the others, by the formula for leaving out a block of rows."""
        from scipy import special

        square = float(self.residuals @ self.residuals)
        found = []
        for arm in range(len(self.arms)):
            rows = self.groups == arm
            free = np.eye(int(rows.sum())) - self.hat[np.ix_(rows, rows)]
            kept = np.linalg.pinv(free, rcond=1e-8, hermitian=True)
            degrees = round(float(np.trace(kept @ free)))
            others = self.degrees - degrees
            if degrees < 1 or others < 2 or len(self.arms) < 3:
                found.append(_Own(0.0, 1.0, 0, 1.0))
                continue
            left = kept @ self.residuals[rows]
            rest = max(square - float(self.residuals[rows] @ left), 0.0) / others
            variance, share = float(left @ left) / degrees, float(np.trace(kept)) / degrees
            ratio = variance / (rest * share) if rest > _TINY**2 else 1.0
            found.append(_Own(variance, share, degrees, float(special.fdtrc(degrees, others, ratio))))
        return found

    def _out_of_line(self, limit: float) -> set[int]:
        """The arms whose spread is so large by chance at most as often; none where two arms are not left for all."""
        found = {arm for arm, own in enumerate(self.own) if own.degrees and own.chance < limit}
        return found if len(found) <= len(self.arms) - 2 else set()

    def _pooled(self) -> tuple[float | None, int]:
        if self.degrees < 1:
            return None, 0
        far_out = self._out_of_line(_FAR_OUT / len(self.arms))
        if not far_out:
            return float(self.residuals @ self.residuals) / self.degrees, self.degrees
        rows = ~np.isin(self.groups, list(far_out))
        design, values = self.design[rows], self.values[rows]
        degrees = len(values) - int(np.linalg.matrix_rank(design))
        if degrees < 1:
            return float(self.residuals @ self.residuals) / self.degrees, self.degrees
        left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        return float(left @ left) / degrees, degrees

    def estimate(self, weights: Array, apart: set[int]) -> Estimate:
        """A weighted sum of the accuracies; the arms `apart` have their own variance in its error."""
        return Estimate(float(weights @ self.values), self.spread(weights, apart))

    def spread(self, weights: Array, apart: set[int]) -> tuple[float, float] | None:
        """The standard error of a weighted sum of the accuracies, and its degrees of freedom.

        The arms `apart` have their own variance, at least the pooled one.
        """
        if self.variance is None:
            return None
        squares = [float((weights[self.groups == arm] ** 2).sum()) for arm in range(len(self.arms))]
        parts: list[tuple[float, int]] = []
        for arm in sorted(apart):
            own = self.own[arm]
            variance = max(own.variance - (own.share - 1) * self.variance, self.variance)
            parts.append((squares[arm] * variance, own.degrees))
        shared = sum(square for arm, square in enumerate(squares) if arm not in apart)
        parts.append((shared * self.variance, self.pooled_degrees))
        total = sum(part for part, _ in parts)
        below = sum(part**2 / degrees for part, degrees in parts)
        return math.sqrt(total), total**2 / below if below > 0 else float(self.pooled_degrees)

    def pairing(self) -> float | None:
        """How much wider a difference of arms would spread if their seeds were not the same ones."""
        if self.variance is None or self.variance <= _TINY**2:
            return None
        within = [self.values[self.groups == arm] for arm in range(len(self.arms))]
        squares = sum(float(((values - values.mean()) ** 2).sum()) for values in within)
        degrees = sum(len(values) - 1 for values in within)
        return math.sqrt(squares / degrees / self.variance) if degrees else None

    def machine_spread(self) -> float | None:
        """The largest difference between machines, where seeds that ran on several tell it."""
        if not self.machines:
            return None
        effects = [0.0, *(self.inverse @ self.values)[-(len(self.machines) - 1) :]]
        return float(max(effects) - min(effects))


def _upper(degrees: float, value: float) -> float:
    """The upper tail of Student's t."""
    from scipy import special

    return float(special.stdtr(degrees, -value))
