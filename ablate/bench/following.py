"""Simulated studies that are gone on with, by what `ablate next` proposes and by equal seeds for all arms."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ablate.study.following import following
from ablate.study.model import Observation
from ablate.study.verdict import Judgement, judge_standing

_ARMS, _PLANNED, _MOST_SEEDS = 10, 3, 40
_SPREADS = (2.0, 4.0, 8.0)  # of the effects of half of the arms, in residual deviations; the others have none
_SEED_SPREAD = 2.0  # of seeds, likewise
_MARGIN = 1.5  # likewise
_UNIT = 0.001  # a residual deviation, of accuracy

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """A study gone on with until nothing more is proposed: its verdicts, runs, and whether one was ever false."""

    words: Mapping[str, str]
    runs: int
    is_wrong: bool


def course(table: Table, without_effect: set[str], *, all_arms: bool) -> Course:
    """Look, add what is proposed, for all arms or for those named, look again; `table` has accuracies (arm, seed)."""
    arms = [f"arm {number}" for number in range(len(table))]
    runs, stages = dict.fromkeys(arms, _PLANNED), [_PLANNED]
    wrong = False
    while True:
        judged = _judged(table, runs, stages)
        words = {each.arm: each.word for each in judged.verdicts}
        wrong = wrong or any(words[arm] in ("better", "worse") for arm in without_effect)
        found = following(judged, runs, dict.fromkeys(arms, 1.0))
        if found is None or (most := max(found.seeds.values())) > _MOST_SEEDS:
            return Course(words, sum(runs.values()), wrong)
        stages.append(most)
        runs |= dict.fromkeys(arms, most) if all_arms else {arms[0]: most, **found.seeds}


def nexts(studies: int, seed: int) -> int:
    """Print what so many studies of each kind came to; 0 if `next` saves 30 % of all runs, at error rates that hold."""
    jobs = [(spread, seed, number) for spread in _SPREADS for number in range(studies)]
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of each process, which has a core to itself
    with multiprocessing.get_context("spawn").Pool() as pool:
        found = pool.starmap(_both, jobs, chunksize=8)
    wrong = [
        _tell(f"effects of {spread:g} deviations", found[place * studies :][:studies])
        for place, spread in enumerate(_SPREADS)
    ]
    _tell("all of them", found)
    limit = 0.06 + 1.645 * math.sqrt(0.06 * 0.94 / studies)  # 5 % of the planned look, 1 % of all additions
    return 1 if _saved(found) < 0.3 or max(wrong) > limit else 0


def _both(spread: float, seed: int, number: int) -> tuple[Course, Course]:
    draw = np.random.default_rng([seed, round(100 * spread), number])
    effects = np.where(np.arange(_ARMS) % 2 == 1, spread * draw.standard_normal(_ARMS), 0.0)
    noise = draw.standard_normal((_ARMS, _MOST_SEEDS)) + _SEED_SPREAD * draw.standard_normal(_MOST_SEEDS)
    without = {f"arm {arm}" for arm in range(2, _ARMS, 2)}
    play = partial(course, effects[:, None] + noise, without)
    return play(all_arms=True), play(all_arms=False)


def _saved(found: list[tuple[Course, Course]]) -> float:
    """The share of runs that `next` does without."""
    return 1 - sum(chosen.runs for _, chosen in found) / sum(equal.runs for equal, _ in found)


def _tell(kind: str, found: list[tuple[Course, Course]]) -> float:
    """Print how both ways to go on compare; the share of studies with a false verdict, by `next`."""
    equal, chosen = ([pair[place] for pair in found] for place in (0, 1))
    arms = Counter(one.words[arm] == other.words[arm] for one, other in found for arm in one.words)
    opposed = sum(
        {one.words[arm], other.words[arm]} == {"better", "worse"} for one, other in found for arm in one.words
    )
    settled = [sum(word != "undecided" for each in way for word in each.words.values()) for way in (equal, chosen)]
    wrong = [sum(each.is_wrong for each in way) / len(way) for way in (equal, chosen)]
    print(
        f"{kind}: {len(found)} studies of {_ARMS} arms; `next` takes {100 * _saved(found):.0f} % fewer runs than equal "
        f"seeds for all\n"
        f"  the same verdict for {100 * arms[True] / arms.total():.1f} % of arms, opposed ones: {opposed}; settled "
        f"{settled[1]} arms, by equal seeds {settled[0]}\n"
        f"  studies with a false verdict at any look: {100 * wrong[1]:.1f} %, by equal seeds {100 * wrong[0]:.1f} %",
        flush=True,
    )
    return wrong[1]


def _judged(table: Table, runs: dict[str, int], stages: list[int]) -> Judgement:
    observations = [
        Observation(arm, seed, f"machine {seed}", 0.5 + _UNIT * float(table[number, seed]))
        for seed in range(max(runs.values()))
        for number, arm in enumerate(runs)
        if seed < runs[arm]
    ]
    return judge_standing(observations, "arm 0", stages, _MARGIN * _UNIT)
