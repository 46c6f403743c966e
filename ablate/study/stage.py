"""Stages: all arms on a part of the data, then on more of it those that may still be the best.

The stated model. An arm's rank on the earlier stage, by accuracy and by loss, becomes a normal score s; its mean
accuracy on the later one is f = mu + spread (rho s + sqrt(1 - rho^2) e), with e of a standard normal, and a run adds
noise. What is not known has a prior, and is learned from the runs of the later stage as they come: mu (flat), rho
(Beta, most of it between 0.4 and 0.95, where studies of subsets have found it: arXiv:2009.12926 about 0.8,
arXiv:2101.08134 0.6), and the spread (log-normal around that of the earlier stage). Draws from the posterior tell how
likely each arm is the best; the smallest set of arms that holds the best one with probability 0.9 goes on.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ablate.study.design import split
from ablate.study.model import Model, Observation

KEPT = 0.9
"""How likely the best arm is among those that go on."""

_KEPT_AT_FIRST = 0.7  # before the later stage has shown anything: what it shows asks for more where that is needed
_AUDITED = 2  # rejected arms that go along, which the agreement would be judged too well without
# Whose effect a part of the data says nothing of.
_REGULARIZERS = ("regularization", "augmentation", "arch.dropout", "optimizer.weight_decay")
_RHO = np.linspace(0.05, 0.99, 40)
_RHO_PRIOR = (4.0, 1.5)
_SPREAD = np.geomspace(0.2, 5.0, 17)  # of the later stage, in that of the earlier one
_SPREAD_PRIOR = 0.7  # deviation of its logarithm
_DRAWS = 4000
_FAILED = 3.0  # spreads below the median, from where on it does not matter how far below
_TINY = 1e-9

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Run(Observation):
    """A run of a stage that has ended, with its loss."""

    loss: float | None = None


@dataclass(frozen=True)
class Outlook:
    """What the runs tell of the later stage."""

    best: dict[str, float]  # how likely each arm is the best one there
    agreement: tuple[float, float, float]  # rho: its mean, and where 95 % of its posterior lie


@dataclass(frozen=True)
class Promotion:
    """The runs of a stage that the earlier one asks for, and what they have shown so far."""

    seeds: dict[str, list[int]]  # of each arm that goes on, the baseline first
    may_be_best: list[str]  # the likeliest first
    regularizers: list[str]  # that go on whatever they did, with what they regularize
    audited: list[str]  # that were drawn from those rejected
    outlook: Outlook
    is_settled: bool  # no more of this stage's runs is asked for


def stage_name(study: str, fraction: float, *, is_last: bool) -> str:
    """The name of the study that a stage is; the last one is the study itself.

    >>> stage_name("shapes", 0.1, is_last=False)
    'shapes-0.1'
    """
    return study if is_last else f"{study}-{fraction:g}"


def promotion(before: Sequence[Run], after: Sequence[Run], seeds: Mapping[str, Sequence[int]]) -> Promotion:
    """What a stage is to run, after all runs of the earlier stage and, as they come, of its own.

    `seeds` are those that each arm may have, the baseline first. First one seed of every arm that may be the best, of
    regularizers and of two that are drawn from the rest, as an audit; then, by what these show, one seed of arms that
    have none yet, else all seeds of those that may still be the best. It looks at its own runs only where all that it
    has asked for have ended, so that whoever has the same records asks for the same runs.
    """
    before, after = (sorted(of, key=lambda run: (run.arm, run.seed)) for of in (before, after))
    baseline, *others = seeds
    scores = normal_scores(before, list(seeds))
    noise, spread = _spreads(before, list(seeds))
    outlook = _outlook(scores, {}, noise, spread)
    likeliest = _likeliest(outlook, _KEPT_AT_FIRST)
    regularizers = _regularizers(seeds, {baseline, *likeliest})
    audited = _drawn([arm for arm in others if arm not in (*likeliest, *regularizers)])
    first = {baseline, *likeliest, *regularizers, *audited}
    wanted = {arm: list(of)[:1] for arm, of in seeds.items() if arm in first}
    ended = {(each.arm, each.seed) for each in after}
    while all((arm, seed) in ended for arm, of in wanted.items() for seed in of):
        seen = [each for each in after if each.seed in wanted.get(each.arm, ())]
        outlook = _outlook(scores, _means(seen), noise, spread)
        likeliest = _likeliest(outlook, KEPT)
        regularizers += _regularizers(seeds, {*wanted, *likeliest})
        if unseen := [arm for arm in (*likeliest, *regularizers) if arm not in wanted]:
            more = wanted | {arm: list(seeds[arm])[:1] for arm in unseen}
        else:
            more = wanted | {arm: list(seeds[arm]) for arm in (baseline, *likeliest)}
        if more == wanted:
            return Promotion(wanted, likeliest, regularizers, audited, outlook, is_settled=True)
        wanted = {arm: more[arm] for arm in seeds if arm in more}
    return Promotion(wanted, likeliest, regularizers, audited, outlook, is_settled=False)


def without_regularizers(arm: str, baseline: str) -> str:
    """What an arm regularizes or augments: itself, but for the levels by which it does so other than the baseline.

    >>> without_regularizers("arch=pyramid,arch.dropout=0.2", "arch=cylinder,arch.dropout=0.0")
    'arch=pyramid,arch.dropout=0.0'
    """
    usual = {part.partition("=")[0]: part for part in split(baseline)}
    names = {part: part.partition("=")[0] for part in split(arm)}
    return ",".join(usual.get(name, part) if name.startswith(_REGULARIZERS) else part for part, name in names.items())


def _regularizers(arms: Mapping[str, object], going: Collection[str]) -> list[str]:
    """The arms that are not among those that go on, and regularize one of them."""
    baseline = next(iter(arms))
    regularized = {arm: without_regularizers(arm, baseline) for arm in arms if arm not in going}
    return [arm for arm, of in regularized.items() if of != arm and (of in going or of not in arms)]


def normal_scores(runs: Sequence[Run], arms: Sequence[str]) -> dict[str, float]:
    """Each arm's rank by accuracy and by loss, as a quantile of a standard normal (Blom 1958); the best is highest.

    Arms whose mean ranks are equal share one. A run without an accuracy is worse than any with one.

    >>> runs = [Run("a", 0, "", 0.7, 0.9), Run("b", 0, "", 0.6, 1.1), Run("c", 0, "", None)]
    >>> {arm: round(score, 2) for arm, score in normal_scores(runs, ["a", "b", "c"]).items()}
    {'a': 0.87, 'b': 0.0, 'c': -0.87}
    """
    accuracy = ranks([_mean([-1.0 if run.accuracy is None else run.accuracy for run in _of(runs, a)]) for a in arms])
    loss = ranks([-_mean([math.inf if run.loss is None else run.loss for run in _of(runs, arm)]) for arm in arms])
    both = ranks([one + other for one, other in zip(accuracy, loss, strict=True)])
    return {
        arm: NormalDist().inv_cdf((rank - 0.375) / (len(arms) + 0.25)) for arm, rank in zip(arms, both, strict=True)
    }


def _of(runs: Sequence[Run], arm: str) -> list[Run]:
    return [run for run in runs if run.arm == arm]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if math.inf not in values else math.inf


def ranks(values: Sequence[float]) -> list[float]:
    """From 1, the lowest, on; equal ones share the mean of theirs."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) + 1) / 2 for value in values]


def _spreads(runs: Sequence[Run], arms: Sequence[str]) -> tuple[float, float]:
    """The deviation of a run's accuracy from its arm's, and that of the arms, by quartiles: failures don't count."""
    known = [run for run in runs if run.accuracy is not None]
    present = [arm for arm in arms if _of(known, arm)]
    noise = (Model(known, present).deviation if present else None) or _TINY
    means = [_mean([run.accuracy or 0.0 for run in _of(known, arm)]) for arm in present]
    low, high = np.percentile(means, [25, 75]) if means else (0.0, 0.0)
    quartile = NormalDist().inv_cdf(0.75)
    return noise, max(float(high - low) / (2 * quartile), noise)


def _means(runs: Sequence[Run]) -> dict[str, tuple[float, int]]:
    """Each arm's accuracy as if all arms had run on the same seeds, and its number of runs; a diverged run has 0."""
    known = [Run(run.arm, run.seed, run.machine, run.accuracy or 0.0) for run in runs]
    arms = list(dict.fromkeys(run.arm for run in known))
    model = Model(known, arms)
    effects = model.inverse @ model.values
    return {arm: (float(effects[place]), len(_of(known, arm))) for place, arm in enumerate(arms)}


def _outlook(
    scores: Mapping[str, float], means: Mapping[str, tuple[float, int]], noise: float, spread: float
) -> Outlook:
    """How likely each arm is the best, by draws from the posterior, and what it says of rho."""
    arms = list(scores)
    s = np.array(list(scores.values()))
    seen = np.array([arm in means for arm in arms])
    y, error = _seen([means[arm] for arm in arms if arm in means], noise, spread)
    rho, scale, mu, deviation, mass = _posterior(s[seen], y, error, spread)
    draw = np.random.default_rng(0)
    picked = draw.choice(len(mass), _DRAWS, p=mass)
    mean = mu[picked] + deviation[picked] * draw.standard_normal(_DRAWS)
    f = mean[:, None] + (scale * rho)[picked][:, None] * s
    variance = np.broadcast_to((scale**2 * (1 - rho**2))[picked][:, None], f.shape).copy()
    trust = variance[:, seen] / (variance[:, seen] + error**2)  # in what an arm shows, against what its score foretells
    f[:, seen] += trust * (y - f[:, seen])
    variance[:, seen] = trust * error**2
    f += np.sqrt(variance) * draw.standard_normal(f.shape)
    best = np.bincount(f.argmax(1), minlength=len(arms)) / _DRAWS
    of_rho = mass.reshape(len(_RHO), -1).sum(1)
    low, high = (float(_RHO[np.searchsorted(of_rho.cumsum(), limit)]) for limit in (0.025, 0.975))
    return Outlook(dict(zip(arms, best.tolist(), strict=True)), (float(of_rho @ _RHO), low, high))


def _seen(means: Sequence[tuple[float, int]], noise: float, spread: float) -> tuple[Table, Table]:
    """What arms have shown, and the standard error of that; a failure is as low as low can be."""
    y = np.array([mean for mean, _ in means])
    error = noise / np.sqrt([number for _, number in means])
    return (np.maximum(y, np.median(y) - _FAILED * spread), error) if means else (y, error)


def _posterior(s: Table, y: Table, error: Table, spread: float) -> tuple[Table, Table, Table, Table, Table]:
    """On a grid: rho, spread, the mean and the deviation of mu given both, and how likely both are."""
    rho, scale = (each.ravel() for each in np.meshgrid(_RHO, _SPREAD * spread, indexing="ij"))
    above, below = _RHO_PRIOR
    log = (above - 1) * np.log(rho) + (below - 1) * np.log1p(-rho) - (np.log(scale / spread) / _SPREAD_PRIOR) ** 2 / 2
    mu, deviation = np.zeros_like(rho), np.zeros_like(rho)
    if len(y):
        weight = 1 / (scale[:, None] ** 2 * (1 - rho[:, None] ** 2) + error**2)
        left, total = y - (scale * rho)[:, None] * s, weight.sum(1)
        mu, deviation = (weight * left).sum(1) / total, total**-0.5
        log += (np.log(weight).sum(1) - np.log(total) - (weight * (left - mu[:, None]) ** 2).sum(1)) / 2
    mass = np.exp(log - log.max())
    return rho, scale, mu, deviation, mass / mass.sum()


def _likeliest(outlook: Outlook, sure: float) -> list[str]:
    """The smallest set of arms that holds the best one as surely as is asked, the likeliest first."""
    ordered = sorted(outlook.best, key=lambda arm: -outlook.best[arm])
    masses = np.cumsum([outlook.best[arm] for arm in ordered])
    return ordered[: 1 + int(np.searchsorted(masses, sure - _TINY))]


def _drawn(arms: Sequence[str]) -> list[str]:
    """Some of the arms, the same ones for all who ask."""
    places = np.random.default_rng(0).permutation(len(arms))[:_AUDITED]
    return [arms[place] for place in sorted(places.tolist())]
