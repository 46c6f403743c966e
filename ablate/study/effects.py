"""What each factor does: main effects, interactions of two, steps of a path, and how much the best arm was lucky.

All by the error of the one model (`ablate.study.model`). A main effect is that of the least-squares fit of all factors'
main effects, an interaction that of the fit of all interactions of two besides, each tested by what it explains beyond
the others of its kind (type II): right also where arms are missing. In a whole grid they are differences of means.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablate.study.model import Array, Estimate, Model, holm

_TINY = 1e-6

Levels = Mapping[str, Mapping[str, str]]
"""Of each arm: its level of each factor."""


@dataclass(frozen=True)
class Contrast:
    """A level of each factor of a term, against the baseline's levels; of two factors, a difference of differences."""

    levels: tuple[str, ...]
    estimate: Estimate


@dataclass(frozen=True)
class Term:
    """A factor's main effect, or the interaction of two factors."""

    factors: tuple[str, ...]
    contrasts: list[Contrast]  # those that the arms tell
    untold: list[tuple[str, ...]]  # levels that they don't
    degrees: int
    p_adjusted: float | None = None  # of no effect at all, by Holm over the terms of its kind


def terms(model: Model, levels: Levels, baseline: str, order: int) -> list[Term]:
    """The terms of one factor (`order` 1) or of two (2)."""
    names = [name for name in levels[baseline] if len({levels[arm][name] for arm in model.arms}) > 1]
    chosen = [sets for size in range(1, order + 1) for sets in itertools.combinations(names, size)]
    coded = _Coded(model, levels, baseline, chosen)
    found, chances = [], []
    for factors in (each for each in chosen if len(each) == order):
        term, chance = _term(model, coded, factors)
        found.append(term)
        chances.append(chance)
    return [
        Term(term.factors, term.contrasts, term.untold, term.degrees, adjusted)
        for term, adjusted in zip(found, holm(chances), strict=True)
    ]


def steps(model: Model, arms: Sequence[str]) -> list[tuple[str, str, Estimate]]:
    """Each arm of a path against the one before it, as far as both have runs."""
    found = []
    for before, after in itertools.pairwise(arms):
        weights = model.weights(after, before)
        if weights is not None:
            found.append((before, after, model.estimate(weights, model.noisy)))
    return found


def shrinkage(model: Model) -> float | None:
    """The part of a difference between arms that is to be expected again: 1 less noise over what was seen.

    The arms' means, drawn to their common mean by James and Stein's rule in its positive part (Efron and Morris 1973,
    https://doi.org/10.1080/01621459.1973.10481350). None with fewer than four arms, or where the noise is not known.
    """
    count = len(model.arms)
    if count < 4 or model.variance is None:
        return None
    means, variances = [], []
    for arm in model.arms[1:]:
        weights = model.weights(arm, model.arms[0])
        if weights is None:
            return None
        means.append(float(weights @ model.values))
        variances.append(float((weights[model.groups == model.arms.index(arm)] ** 2).sum()) * model.variance)
    around = np.array([0.0, *means]) - np.mean([0.0, *means])
    seen = float(around @ around)
    return max(0.0, 1 - (count - 3) * float(np.mean(variances)) / seen) if seen > 0 else 0.0


class _Coded:
    """The design of these terms: a column for each combination of levels other than the baseline's, and the blocks."""

    def __init__(self, model: Model, levels: Levels, baseline: str, chosen: Sequence[tuple[str, ...]]) -> None:
        self.labels: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        columns: list[Array] = []
        of_run = [levels[each.arm] for each in model.observations]
        for factors in chosen:
            others = [
                list(
                    dict.fromkeys(
                        levels[arm][name] for arm in model.arms if levels[arm][name] != levels[baseline][name]
                    )
                )
                for name in factors
            ]
            for combination in itertools.product(*others):
                self.labels.append((factors, combination))
                is_it = [all(run[n] == level for n, level in zip(factors, combination, strict=True)) for run in of_run]
                columns.append(np.array(is_it, dtype=np.float64))
        self.blocks = np.column_stack([model.design[:, : len(model.arms)].sum(1), model.design[:, len(model.arms) :]])
        self.matrix: Array = np.column_stack([*columns, self.blocks]) if columns else self.blocks
        self.inverse: Array = np.linalg.pinv(self.matrix).astype(np.float64)

    def columns(self, factors: tuple[str, ...]) -> list[int]:
        """The places of a term's columns."""
        return [place for place, (of, _) in enumerate(self.labels) if of == factors]

    def weights(self, place: int) -> Array | None:
        """What makes a column's coefficient of the accuracies; none where they don't tell it."""
        row = self.inverse[place]
        wanted = np.zeros(self.matrix.shape[1])
        wanted[place] = 1.0
        return row if np.abs(row @ self.matrix - wanted).max() < _TINY else None

    def explained(self, values: Array, without: Sequence[int] = ()) -> tuple[float, int]:
        """The squares left by the fit without these columns, and the rank of it."""
        kept = np.delete(self.matrix, list(without), axis=1)
        fitted = kept @ np.linalg.lstsq(kept, values, rcond=None)[0]
        left = values - fitted
        return float(left @ left), int(np.linalg.matrix_rank(kept))


def _term(model: Model, coded: _Coded, factors: tuple[str, ...]) -> tuple[Term, float | None]:
    """A term, and the chance of what it explains if it is nothing."""
    contrasts, untold = [], []
    places = coded.columns(factors)
    for place in places:
        levels = coded.labels[place][1]
        weights = coded.weights(place)
        if weights is None:
            untold.append(levels)
        else:
            contrasts.append(Contrast(levels, model.estimate(weights, model.noisy)))
    whole, rank = coded.explained(model.values)
    less, rank_without = coded.explained(model.values, places)
    degrees = rank - rank_without
    if model.variance is None or degrees < 1:
        return Term(factors, contrasts, untold, degrees), None
    from scipy import special

    ratio = (less - whole) / degrees / max(model.variance, _TINY**3)
    return Term(factors, contrasts, untold, degrees), float(special.fdtrc(degrees, model.pooled_degrees, ratio))
