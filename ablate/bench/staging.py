"""Simulated studies in stages whose best arm is known: how often it is kept, and what is saved."""

from __future__ import annotations

import math
import multiprocessing
import os
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from ablate.study.stage import KEPT, Run, promotion
from ablate.study.verdict import judge_standing

_ARMS, _SEEDS, _FRACTION = 24, 3, 0.1
_AGREEMENTS = (0.5, 0.65, 0.75, 0.85, 0.95)  # correlations of what the arms are on both stages
_PROMISED, _SAVED = 0.65, 0.6  # from where on the promise holds, and what it says
_SPREAD = 0.01  # of the arms on all data, of accuracy
_NOISE = (0.003, 0.002)  # of a run, on the part and on all
_SEED_SPREAD = 0.004
_CENTRE = 0.6

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Staged:
    """What became of a study."""

    is_kept: bool  # the best arm, among those that are tried on all data and all seeds
    saved: float  # of what the full grid computes
    turns: int
    agreement: float  # as estimated
    lost: float  # accuracy of the best arm beyond that of the one that is picked
    lost_by_grid: float  # of the one that the full grid picks
    is_wrong: bool  # an arm without an effect has got a verdict that says better or worse


def staged(agreement: float, draw: np.random.Generator) -> Staged:
    """Play a study: arms with normal effects, a quarter of them with none beside the baseline."""
    effects = draw.standard_normal(_ARMS)
    effects[1 : _ARMS // 4 + 1] = effects[0]
    on_part = agreement * effects + math.sqrt(1 - agreement**2) * draw.standard_normal(_ARMS)
    truth = _CENTRE + _SPREAD * effects
    before = _runs(_CENTRE - 0.1 + 1.5 * _SPREAD * on_part, _NOISE[0], draw)
    whole = _runs(truth, _NOISE[1], draw)
    arms = [f"arm={number}" for number in range(_ARMS)]
    seeds = {arm: list(range(_SEEDS)) for arm in arms}
    after, turns = list[Run](), 0
    while True:
        found = promotion(before, after, seeds)
        if found.is_settled:
            break
        after = [each for each in whole if each.seed in found.seeds.get(each.arm, ())]
        turns += 1
    complete = [arm for arm, of in found.seeds.items() if len(of) == _SEEDS]
    best = float(truth.max())
    is_best = {arm for arm, value in zip(arms, truth, strict=True) if value >= best - 1e-12}
    judged = judge_standing(after, arms[0], [_SEEDS], 0.002)
    return Staged(
        is_kept=bool(is_best & set(complete)),
        saved=1 - _FRACTION - len(after) / len(whole),
        turns=turns,
        agreement=found.outlook.agreement[0],
        lost=best - float(truth[arms.index(_picked(after, complete))]),
        lost_by_grid=best - float(truth[arms.index(_picked(whole, arms))]),
        is_wrong=any(
            each.word in ("better", "worse")
            for each in judged.verdicts
            if math.isclose(truth[arms.index(each.arm)], truth[0])
        ),
    )


def stages(studies: int, seed: int) -> int:
    """Print what became of so many studies of each agreement; 0 if the best arm is kept, and 60 % is saved."""
    kinds = [(agreement, [seed, place]) for place, agreement in enumerate(_AGREEMENTS)]
    jobs = [(agreement, [*of, number]) for agreement, of in kinds for number in range(studies)]
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of each process, which has a core to itself
    with multiprocessing.get_context("spawn").Pool() as pool:
        found = pool.starmap(_played, jobs, chunksize=8)
    print(f"{_ARMS} arms, {_SEEDS} seeds, {_FRACTION:.0%} of the data first; {studies} studies of each agreement")
    are_well = [_tell(agreement, found[place * studies :][:studies]) for place, agreement in enumerate(_AGREEMENTS)]
    return 0 if all(are_well) else 1


def _played(agreement: float, seed: list[int]) -> Staged:
    return staged(agreement, np.random.default_rng(seed))


def _tell(agreement: float, found: list[Staged]) -> bool:
    """Print what became of studies; whether it is as promised, but for chance."""
    mean = {name: fmean(getattr(each, name) for each in found) for name in Staged.__annotations__}
    print(
        f"agreement {agreement:.2f} (estimated {mean['agreement']:.2f}): best arm kept {100 * mean['is_kept']:.1f} %; "
        f"{100 * mean['saved']:.0f} % saved, in {mean['turns']:.1f} turns; the pick is {100 * mean['lost']:.3f} points "
        f"below the best, the full grid's {100 * mean['lost_by_grid']:.3f}; false verdicts in "
        f"{100 * mean['is_wrong']:.1f} % of studies",
        flush=True,
    )
    least = KEPT - 1.645 * math.sqrt(KEPT * (1 - KEPT) / len(found))
    return agreement < _PROMISED or (mean["is_kept"] > least and mean["saved"] >= _SAVED)


def _runs(truth: Table, noise: float, draw: np.random.Generator) -> list[Run]:
    of_seed = _SEED_SPREAD * draw.standard_normal(_SEEDS)
    values = truth[:, None] + of_seed + noise * draw.standard_normal((len(truth), _SEEDS))
    losses = 3 - 3 * values + noise * draw.standard_normal(values.shape)
    return [
        Run(f"arm={arm}", seed, "", float(values[arm, seed]), float(losses[arm, seed]))
        for seed in range(_SEEDS)
        for arm in range(len(truth))
    ]


def _picked(runs: list[Run], arms: list[str]) -> str:
    """The arm of the highest mean."""
    return max(arms, key=lambda arm: np.mean([each.accuracy for each in runs if each.arm == arm]))
