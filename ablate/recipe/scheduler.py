"""Learning-rate schedules: each maps a 0-based step to a multiplier of the base rate."""

import math
from collections.abc import Callable

from ablate.quantity import Fraction

Schedule = Callable[[int], float]


def constant(num_steps: int, *, warmup: Fraction) -> Schedule:
    """Linear warm-up to 1, then 1.

    >>> [constant(4, warmup=0.5)(step) for step in range(4)]
    [0.5, 1.0, 1.0, 1.0]
    """
    warmup_steps = _warmup_steps(num_steps, warmup, least_rest=0)
    return lambda step: min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def cosine(num_steps: int, *, warmup: Fraction, floor: Fraction) -> Schedule:
    """Linear warm-up to 1, then half a cosine down to `floor` at the last step (arXiv:1608.03983).

    >>> rate = cosine(6, warmup=1 / 3, floor=0.1)
    >>> [round(rate(step), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.775, 0.325, 0.1]
    """
    warmup_steps = _warmup_steps(num_steps, warmup, least_rest=2)

    def rate(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / (num_steps - 1 - warmup_steps)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))

    return rate


def _warmup_steps(num_steps: int, warmup: float, *, least_rest: int) -> int:
    steps = round(warmup * num_steps)
    if num_steps - steps < least_rest:
        raise ValueError(
            f"scheduler.warmup={warmup} leaves {num_steps - steps} of the run's {num_steps} steps, and the schedule "
            f"needs {least_rest} to decay in; a shorter warmup, a smaller batch_size or more epochs give them"
        )
    return steps
