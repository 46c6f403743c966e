"""How sure a difference is of other speakers: another dev set, where the verdicts ask for another seed.

A paired bootstrap over speakers (Bisani and Ney 2004, https://doi.org/10.1109/ICASSP.2004.1326009): speakers are drawn
with replacement, and both arms are judged on the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Unit = Literal["speakers", "utterances"]

_DRAWS = 4000
_SEED = 0  # the same page from the same records


@dataclass(frozen=True)
class Counts:
    """Of an arm: each utterance's correct frames, the mean of its runs; all frames; who speaks, "" if unknown."""

    correct: Mapping[str, float]
    frames: Mapping[str, int]
    speaker: Mapping[str, str]


@dataclass(frozen=True)
class Resampled:
    """A difference of accuracy between two arms with its interval of 95 % over drawn speakers."""

    effect: float
    low: float
    high: float
    number: int
    unit: Unit  # utterances where speakers are unknown


def resampled(arm: Counts, baseline: Counts) -> Resampled | None:
    """How the difference spreads over dev sets of such speakers; none with fewer than two of them in both arms."""
    names = [name for name in arm.frames if arm.frames[name] == baseline.frames.get(name)]
    are_known = all(arm.speaker.get(name) for name in names)
    groups = [arm.speaker[name] if are_known else name for name in names]
    order = sorted(set(groups))
    if len(order) < 2:
        return None
    place = {group: number for number, group in enumerate(order)}
    of = np.array([place[group] for group in groups])

    won = np.bincount(of, [arm.correct[name] - baseline.correct[name] for name in names])
    frames = np.bincount(of, [arm.frames[name] for name in names])
    draws = np.random.default_rng(_SEED).multinomial(len(order), [1 / len(order)] * len(order), _DRAWS)
    low, high = np.quantile(draws @ won / (draws @ frames), (0.025, 0.975))
    unit: Unit = "speakers" if are_known else "utterances"
    return Resampled(float(won.sum() / frames.sum()), float(low), float(high), len(order), unit)
