"""Simulated studies whose truth is known: how often the verdicts are wrong, and how often they find what is there."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ablate.study.model import Observation
from ablate.study.verdict import Judgement, judge

_SEEDS, _ARMS = (3, 5, 8), (4, 10, 30)
_LARGE = 3.4  # residual deviations: found at least four times in five by 3 seeds and 10 arms
_SEED_SPREAD = 2.0  # of seeds, in residual deviations
_MARGIN = 1.5  # in residual deviations
_UNIT = 0.001  # a residual deviation, of accuracy

_LOOKS = "no effect, a look a seed"
_WITHOUT_AN_EFFECT = ("no effect", "a machine a seed")

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """What a set of simulated studies came to, in shares of studies and of intervals."""

    wrong: float
    power: float | None
    covered: float | None
    equal: float | None
    number: int

    def line(self) -> str:
        """In per cent, with the Monte-Carlo error of the false verdicts."""
        error = math.sqrt(max(self.wrong * (1 - self.wrong), 1e-9) / self.number)
        others = {"first arm found": self.power, "intervals": self.covered, "first arm equivalent": self.equal}
        said = "".join(f"  {name} {100 * share:5.1f} %" for name, share in others.items() if share is not None)
        return f"false {100 * self.wrong:4.1f} % (+-{100 * error:.1f}){said}"


def verdicts(studies: int, seed: int) -> int:
    """Print what the verdicts do on so many simulated studies of each kind; 0 if false ones keep to their limit."""
    sizes = list(itertools.product(_ARMS, _SEEDS))
    jobs = [(name, size, studies, seed) for size in sizes for name in (*_KINDS, _LOOKS)]
    worst = 0.0
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of each process, which has a core to itself
    with multiprocessing.get_context("spawn").Pool() as pool:
        for (name, size, _, _), found in zip(jobs, pool.imap(_simulated, jobs), strict=True):
            if name == next(iter(_KINDS)):
                print(f"{size[0]} arms, {size[1]} seeds, {studies} studies each", flush=True)
            print(f"  {name:32} {found.line()}", flush=True)
            if name in (*_WITHOUT_AN_EFFECT, _LOOKS):
                worst = max(worst, found.wrong - 1.645 * math.sqrt(0.05 * 0.95 / studies))
    print(f"false verdicts without an effect: {'at most 5 %' if worst <= 0.05 else 'MORE THAN 5 %'}")
    return 0 if worst <= 0.05 else 1


def _simulated(job: tuple[str, tuple[int, int], int, int]) -> Found:
    name, size, studies, seed = job
    draw = np.random.default_rng([seed, *size, [*_KINDS, _LOOKS].index(name)])
    if name == _LOOKS:
        return Found(looks(draw, size, studies), None, None, None, studies)
    return simulate(_KINDS[name], draw, size, studies)


def simulate(
    kind: Callable[[np.random.Generator, Table], float], draw: np.random.Generator, size: tuple[int, int], studies: int
) -> Found:
    """Studies of one kind, judged when all of their seeds are in."""
    num_arms, num_seeds = size
    wrong = power = covered = equal = 0
    for _ in range(studies):
        table = draw.standard_normal((num_arms, num_seeds)) + _SEED_SPREAD * draw.standard_normal(num_seeds)
        effect = kind(draw, table)
        judged = _judged(table, [num_seeds])
        words = [each.word for each in judged.verdicts]
        wrong += any(word in ("better", "worse") for word in words[effect != 0 :])
        power += words[0] in ("better", "worse")
        equal += words[0] == "equivalent"
        for place, each in enumerate(judged.verdicts):
            truth = effect * _UNIT if place == 0 else 0.0
            covered += each.low is not None and each.high is not None and each.low <= truth <= each.high
    return Found(wrong / studies, power / studies, covered / studies / (num_arms - 1), equal / studies, studies)


def looks(draw: np.random.Generator, size: tuple[int, int], studies: int) -> float:
    """The share of studies without an effect that show one at any look: after each seed, and after two more."""
    num_arms, planned = size
    wrong = 0
    for _ in range(studies):
        table = draw.standard_normal((num_arms, planned + 2))
        wrong += any(
            each.word in ("better", "worse")
            for seeds in range(2, planned + 3)
            for each in _judged(table[:, :seeds], [*range(planned, max(planned, seeds) + 1)]).verdicts
        )
    return wrong / studies


def _judged(table: Table, stages: Sequence[int]) -> Judgement:
    observations = [
        Observation(f"arm {arm}", seed, f"machine {seed}", 0.5 + _UNIT * float(accuracy))
        for arm, row in enumerate(table)
        for seed, accuracy in enumerate(row)
    ]
    return judge(observations, "arm 0", stages, _MARGIN * _UNIT)


def _nothing(draw: np.random.Generator, table: Table) -> float:
    return 0.0


def _large(draw: np.random.Generator, table: Table) -> float:
    table[1] += _LARGE
    return _LARGE


def _at_the_margin(draw: np.random.Generator, table: Table) -> float:
    table[1] += _MARGIN
    return _MARGIN


def _machine(draw: np.random.Generator, table: Table) -> float:
    table += _SEED_SPREAD * draw.standard_normal(table.shape[1])  # whole seeds on machines of their own
    return 0.0


def _noisy(draw: np.random.Generator, table: Table) -> float:
    seeds = table.mean(0)
    table[1] = seeds + 5 * draw.standard_normal(table.shape[1])
    return 0.0


_KINDS: dict[str, Callable[[np.random.Generator, Table], float]] = {
    "no effect": _nothing,
    "first arm 3.4 deviations away": _large,
    "first arm at the margin": _at_the_margin,
    "a machine a seed": _machine,
    "first arm five times as noisy": _noisy,
}
