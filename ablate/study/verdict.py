"""Verdicts: what each arm is, compared to the baseline, by one model for all of a study.

Contrasts with the baseline, Holm over all of them; equivalence by two one-sided tests.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from ablate.study.look import Look, look
from ablate.study.model import Estimate, Model, Observation, holm

Word = Literal["better", "worse", "equivalent", "undecided"]
Flag = Literal["confounded", "not-re-tuned", "diverged", "noisier"]

MARGIN = 0.002
"""The difference of accuracy below which arms count as equal, where a study declares none: two tenths of a point."""

_POWER = 0.8
_MOST_SEEDS = 100
_TINY = 1e-9


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
    since: int | None = None  # the number of seeds of the earlier look that settled it


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
    runs: dict[str, int] = field(default_factory=dict)  # of each arm, that have an accuracy


def judge(
    observations: Sequence[Observation], baseline: str, stages: Sequence[int], margin: float | None = None
) -> Judgement:
    """The verdicts of a study's runs on its complete seeds, at this look; `stages` are the numbers of seeds asked for.

    Arms without any accuracy are worse: all of their runs diverged. Raises `ValueError` where the baseline has no run.
    """
    arms = [baseline, *dict.fromkeys(each.arm for each in observations if each.arm != baseline)]
    margin = MARGIN if margin is None else margin
    if not any(each.arm == baseline for each in observations):
        raise ValueError(f"the baseline {baseline} has no run that has ended")
    num_seeds = len({each.seed for each in observations})
    looked = look(len(arms), num_seeds, stages)
    valid = [each for each in observations if each.accuracy is not None]
    model = Model(valid, [arm for arm in arms if any(each.arm == arm for each in valid)])
    diverged = Counter(each.arm for each in observations if each.accuracy is None)
    contrasts = [_contrast(model, baseline, arm) for arm in arms[1:]]
    adjusted = holm([each.p for each in contrasts])
    equal = holm([each.p_equivalent(margin) for each in contrasts])
    verdicts = [
        _verdict(contrast, (p, q), looked, margin, diverged)
        for contrast, p, q in zip(contrasts, adjusted, equal, strict=True)
    ]
    open_arms = sum(each.word == "undecided" for each in verdicts)
    verdicts = [
        replace(each, more_seeds=_more_seeds(contrast.estimate, looked, margin, (open_arms, contrast.n)))
        if each.word == "undecided" and contrast.estimate
        else each
        for each, contrast in zip(verdicts, contrasts, strict=True)
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
        runs={arm: sum(each.arm == arm for each in valid) for arm in model.arms},
    )


def judge_standing(
    observations: Sequence[Observation], baseline: str, stages: Sequence[int], margin: float | None = None
) -> Judgement:
    """As `judge`, with what earlier looks have settled: it stays so. Seeds count in the order of the observations."""
    judge_these = partial(judge, baseline=baseline, stages=stages, margin=margin)
    now = judge_these(observations)
    if all(each.word != "undecided" for each in now.verdicts):
        return now
    settled: dict[str, Verdict] = {}
    seeds = list(dict.fromkeys(each.seed for each in observations))
    for count in range(2, len(seeds)):
        seen = [each for each in observations if each.seed in seeds[:count]]
        if any(each.arm == baseline and each.accuracy is not None for each in seen):
            earlier = judge_these(seen).verdicts
            settled |= {each.arm: replace(each, since=count) for each in earlier if each.word != "undecided"}
    return replace(now, verdicts=[_standing(each, settled.get(each.arm)) for each in now.verdicts])


def _standing(now: Verdict, earlier: Verdict | None) -> Verdict:
    """What is settled stays settled, with what is known of it by now."""
    if now.word != "undecided" or earlier is None:
        return now
    return replace(now, word=earlier.word, since=earlier.since, more_seeds=None)


@dataclass(frozen=True)
class _Contrast:
    arm: str
    n: int
    estimate: Estimate | None = None
    flags: tuple[Flag, ...] = ()

    @property
    def p(self) -> float | None:
        """As the estimate's."""
        return self.estimate.p if self.estimate else None

    def p_equivalent(self, margin: float) -> float | None:
        """As the estimate's."""
        return self.estimate.p_equivalent(margin) if self.estimate else None


def _contrast(model: Model, baseline: str, arm: str) -> _Contrast:
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
    return _Contrast(arm, len(own), model.estimate(weights, noisy), tuple(flags))


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
    elif contrast.estimate and different is not None and different <= looked.level:
        word = "better" if contrast.estimate.effect > 0 else "worse"
    elif equal is not None and equal <= looked.level:
        word = "equivalent"
    if contrast.estimate is None:
        return Verdict(contrast.arm, word, None, None, None, different, contrast.n, None, flags, lost)
    low, high = contrast.estimate.interval()
    return Verdict(contrast.arm, word, contrast.estimate.effect, low, high, different, contrast.n, None, flags, lost)


def _more_seeds(estimate: Estimate, looked: Look, margin: float, arms: tuple[int, int]) -> int | None:
    """The seeds beyond the baseline's that would settle an arm four times in five, if its effect is what it seems.

    They are one addition, at the level that it will have, with Holm's correction for the arms that are still open:
    `arms` are the number of these, and the arm's own runs, which may be fewer than the baseline's.
    """
    if estimate.spread is None or looked.seeds < 2 or looked.is_early or estimate.spread[0] <= _TINY:
        return None
    from scipy import special

    error_now, degrees_now = estimate.spread
    open_arms, own = arms
    level = looked.next_level / open_arms
    size_now = 1 / max(own, 1) + 1 / looked.seeds
    for more in range(1, _MOST_SEEDS + 1):
        error = error_now * math.sqrt(2 / (looked.seeds + more) / size_now)
        degrees = degrees_now * (looked.seeds + more - 1) / (looked.seeds - 1)
        limit = float(special.stdtrit(degrees, 1 - level / 2))
        different = 1 - float(special.nctdtr(degrees, abs(estimate.effect) / error, limit))
        one_sided = float(special.stdtrit(degrees, 1 - level))
        room = (margin - abs(estimate.effect)) / error - one_sided
        equal = float(special.stdtr(degrees, room)) if room > 0 else 0.0
        if max(different, equal) >= _POWER:
            return more
    return None


def _detectable(model: Model, num_arms: int, num_seeds: int, looked: Look) -> float | None:
    """The difference that is found four times in five at the last planned look, at this noise."""
    from ablate.study.power import detectable

    seeds = max(num_seeds, looked.planned)
    in_deviations = detectable(num_arms, seeds)
    return None if model.deviation is None or in_deviations is None else model.deviation * in_deviations
