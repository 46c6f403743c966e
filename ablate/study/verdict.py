"""Verdicts: what each arm is, compared to the baseline, by one model for all of a study.

accuracy ~ arm + seed (+ machine, where a seed ran on two), by least squares, the error pooled over arms; contrasts with
the baseline, Holm over all of them; equivalence by two one-sided tests. An arm whose spread is out of line has its own
(Welch, with Satterthwaite's degrees of freedom), and does not spoil that of the others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ablate.study.look import Look, look

Word = Literal["better", "worse", "equivalent", "undecided"]
Flag = Literal["confounded", "not-re-tuned", "diverged", "noisier"]
Array = npt.NDArray[np.float64]

MARGIN = 0.002
"""The difference of accuracy below which arms count as equal, where a study declares none: two tenths of a point."""

_COVERAGE = 0.95
_POWER = 0.8
_MOST_SEEDS = 100
_OUT_OF_LINE = 0.05  # the chance at which any arm of a study without such is called noisier
_TINY = 1e-9


@dataclass(frozen=True)
class Observation:
    """A run that has ended: its accuracy, none where it diverged before it had one."""

    arm: str
    seed: int
    machine: str
    accuracy: float | None


@dataclass(frozen=True)
class Verdict:
    """An arm compared to the baseline: accuracies are fractions; the interval is that of 95 %, of this arm alone."""

    arm: str
    word: Word
    effect: float | None
    low: float | None
    high: float | None
    p_adjusted: float | None
    n: int  # runs of the arm that the comparison uses
    more_seeds: int | None = (
        None  # that would settle it four times in five; none where it is settled, or no end is seen
    )
    flags: tuple[Flag, ...] = ()
    num_diverged: int = 0


@dataclass(frozen=True)
class Judgement:
    """A study's verdicts, with what they are judged by."""

    baseline: str
    look: Look
    margin: float
    verdicts: list[Verdict]
    deviation: float | None = None  # residual, of accuracy, pooled
    degrees: int = 0
    pairing: float | None = None  # deviation of a difference of two arms unpaired, over that with seeds paired
    machine_spread: float | None = None  # largest difference between machines
    detectable: float | None = None  # difference of accuracy found four times in five
    means: dict[str, float] = field(default_factory=dict)  # of each arm's own runs


def judge(
    observations: Sequence[Observation], baseline: str, planned_seeds: int, margin: float | None = None
) -> Judgement:
    """The verdicts of a study's runs on its complete seeds.

    Arms without any accuracy are worse: all of their runs diverged. Raises `ValueError` where the baseline has no run.
    """
    arms = [baseline, *dict.fromkeys(each.arm for each in observations if each.arm != baseline)]
    margin = MARGIN if margin is None else margin
    if not any(each.arm == baseline for each in observations):
        raise ValueError(f"the baseline {baseline} has no run that has ended")
    num_seeds = len({each.seed for each in observations})
    looked = look(len(arms), num_seeds, planned_seeds)
    valid = [each for each in observations if each.accuracy is not None]
    model = _Model(valid, [arm for arm in arms if any(each.arm == arm for each in valid)])
    diverged = Counter(each.arm for each in observations if each.accuracy is None)
    contrasts = [_contrast(model, baseline, arm) for arm in arms[1:]]
    adjusted = holm([each.p for each in contrasts])
    equal = holm([each.p_equivalent(margin) for each in contrasts])
    verdicts = [
        _verdict(contrast, (p, q), looked, margin, diverged)
        for contrast, p, q in zip(contrasts, adjusted, equal, strict=True)
    ]
    return Judgement(
        baseline=baseline,
        look=looked,
        margin=margin,
        verdicts=verdicts,
        deviation=model.deviation,
        degrees=model.degrees,
        pairing=model.pairing(),
        machine_spread=model.machine_spread(),
        detectable=_detectable(model, len(arms), num_seeds, looked),
        means={arm: float(np.mean([each.accuracy for each in valid if each.arm == arm])) for arm in model.arms},
    )


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


class _Model:
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
        self.noisy = self._noisy()
        self.variance, self.pooled_degrees = self._pooled()

    @property
    def deviation(self) -> float | None:
        """The residual standard deviation, of the arms that are not noisier."""
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

    def _noisy(self) -> set[int]:
        """The arms whose spread is out of line with that of the others."""
        limit = _OUT_OF_LINE / max(len(self.arms), 1)
        found = {arm for arm, own in enumerate(self.own) if own.degrees and own.chance < limit}
        return found if len(found) <= len(self.arms) - 2 else set()

    def _pooled(self) -> tuple[float | None, int]:
        if self.degrees < 1:
            return None, 0
        if not self.noisy:
            return float(self.residuals @ self.residuals) / self.degrees, self.degrees
        rows = ~np.isin(self.groups, list(self.noisy))
        design, values = self.design[rows], self.values[rows]
        degrees = len(values) - int(np.linalg.matrix_rank(design))
        if degrees < 1:
            return float(self.residuals @ self.residuals) / self.degrees, self.degrees
        left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        return float(left @ left) / degrees, degrees

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


@dataclass(frozen=True)
class _Contrast:
    arm: str
    n: int
    effect: float | None = None
    spread: tuple[float, float] | None = None  # standard error, and its degrees of freedom
    flags: tuple[Flag, ...] = ()

    @property
    def p(self) -> float | None:
        """Of no difference, two-sided."""
        if self.effect is None or self.spread is None:
            return None
        error, degrees = self.spread
        return 2 * _upper(degrees, abs(self.effect) / max(error, _TINY))

    def p_equivalent(self, margin: float) -> float | None:
        """Of a difference of at least the margin, either way: the larger of the two one-sided tests."""
        if self.effect is None or self.spread is None:
            return None
        error, degrees = self.spread
        return _upper(degrees, (margin - abs(self.effect)) / max(error, _TINY))

    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """Of 95 %, of this arm alone."""
        if self.effect is None or self.spread is None:
            return None, None
        from scipy import special

        error, degrees = self.spread
        half = float(special.stdtrit(degrees, (1 + _COVERAGE) / 2)) * error
        return self.effect - half, self.effect + half


def _contrast(model: _Model, baseline: str, arm: str) -> _Contrast:
    own = [each for each in model.observations if each.arm == arm]
    others = {(each.seed, each.machine) for each in model.observations if each.arm == baseline}
    flags: list[Flag] = []
    if own and others and not {(each.seed, each.machine) for each in own} & others:
        flags.append("confounded")
    weights = model.weights(arm, baseline)
    if weights is None:
        return _Contrast(arm, len(own), flags=tuple(flags))
    noisy = {model.arms.index(arm), model.arms.index(baseline)} & model.noisy
    if noisy:
        flags.append("noisier")
    return _Contrast(arm, len(own), float(weights @ model.values), model.spread(weights, noisy), tuple(flags))


def _verdict(
    contrast: _Contrast, p: tuple[float | None, float | None], looked: Look, margin: float, diverged: Counter[str]
) -> Verdict:
    flags: tuple[Flag, ...] = contrast.flags
    lost = diverged[contrast.arm]
    if lost:
        flags = (*flags, "diverged")
    different, equal = p
    word: Word = "undecided"
    if contrast.n == 0 and lost:
        word = "worse"
    elif contrast.effect is not None and different is not None and different <= looked.level:
        word = "better" if contrast.effect > 0 else "worse"
    elif equal is not None and equal <= looked.level:
        word = "equivalent"
    low, high = contrast.interval()
    more = _more_seeds(contrast, looked, margin) if word == "undecided" else None
    return Verdict(contrast.arm, word, contrast.effect, low, high, different, contrast.n, more, flags, lost)


def _more_seeds(contrast: _Contrast, looked: Look, margin: float) -> int | None:
    """The seeds that would settle an arm four times in five, if its effect is what it seems to be."""
    if contrast.effect is None or contrast.spread is None or looked.seeds < 2 or contrast.spread[0] <= _TINY:
        return None
    from scipy import special

    error_now, degrees_now = contrast.spread

    level = max(looked.level, 0.005)
    for more in range(1, _MOST_SEEDS + 1):
        error = error_now * math.sqrt(looked.seeds / (looked.seeds + more))
        degrees = degrees_now * (looked.seeds + more - 1) / (looked.seeds - 1)
        limit = float(special.stdtrit(degrees, 1 - level / 2))
        different = 1 - float(special.nctdtr(degrees, abs(contrast.effect) / error, limit))
        one_sided = float(special.stdtrit(degrees, 1 - level))
        room = (margin - abs(contrast.effect)) / error - one_sided
        equal = float(special.stdtr(degrees, room)) if room > 0 else 0.0
        if max(different, equal) >= _POWER:
            return more
    return None


def _detectable(model: _Model, num_arms: int, num_seeds: int, looked: Look) -> float | None:
    """The difference that is found four times in five at the last planned look, at this noise."""
    from ablate.study.power import detectable

    seeds = max(num_seeds, looked.planned)
    in_deviations = detectable(num_arms, seeds)
    return None if model.deviation is None or in_deviations is None else model.deviation * in_deviations


def _upper(degrees: float, value: float) -> float:
    """The upper tail of Student's t."""
    from scipy import special

    return float(special.stdtr(degrees, -value))
