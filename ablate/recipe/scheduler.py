"""Learning-rate schedules: each maps a 0-based step to a multiplier of the base rate.

Beside the step a schedule is given the metrics of the epochs before it, oldest first; only `plateau` looks at them.
All begin with a linear warm-up to 1, and then run over the steps that are left.
"""

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Literal

from annotated_types import Ge, Le, Len

from ablate.quantity import Count, Fraction, InnerFraction, NonNegative, NonNegativeInteger, PositiveFraction

Epochs = Sequence[Mapping[str, float | int | None]]
Schedule = Callable[[int, Epochs], float]


def constant(num_steps: int, *, warmup: Fraction) -> Schedule:
    """1 throughout.

    >>> [constant(4, warmup=0.5)(step, []) for step in range(4)]
    [0.5, 1.0, 1.0, 1.0]
    """
    return _warmed_up(num_steps, warmup, lambda left: lambda step: 1.0)


def time_decay(num_steps: int, *, warmup: Fraction, decay: NonNegative) -> Schedule:
    """1 / (1 + decay t), t from 0 to 1 over the steps after the warm-up.

    >>> [time_decay(3, warmup=0, decay=3)(step, []) for step in range(3)]
    [1.0, 0.4, 0.25]
    """
    return _warmed_up(num_steps, warmup, lambda left: lambda step: 1 / (1 + decay * step / (left - 1)), needs=2)


def step(num_steps: int, *, warmup: Fraction, every: InnerFraction, factor: InnerFraction) -> Schedule:
    """Times `factor` each time that the part `every` of the steps after the warm-up is done.

    >>> [step(4, warmup=0, every=0.5, factor=0.1)(at, []) for at in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """

    def decay(left: int) -> Callable[[int], float]:
        if not 1 <= every * left <= left - 1:
            raise ValueError(f"scheduler.every={every}: expected a step or more, and an end, within {left} steps")
        # A hair is added, since 0.3 / 0.1 is less than 3 in floating point.
        return lambda step: factor ** math.floor(step / left / every + 1e-9)

    return _warmed_up(num_steps, warmup, decay, needs=2)


def multistep(
    num_steps: int, *, warmup: Fraction, milestones: Annotated[list[InnerFraction], Len(1)], factor: InnerFraction
) -> Schedule:
    """Times `factor` at each of the milestones, fractions of the steps after the warm-up.

    >>> [multistep(4, warmup=0, milestones=[0.25, 0.75], factor=0.5)(at, []) for at in range(4)]
    [1.0, 0.5, 0.5, 0.25]
    """
    if milestones != sorted(set(milestones)):
        raise ValueError(f"scheduler.milestones: expected fractions of the run that rise, got {milestones}")

    def decay(left: int) -> Callable[[int], float]:
        starts = [math.ceil(milestone * left - 1e-9) for milestone in milestones]
        if starts[-1] >= left:
            raise ValueError(f"scheduler.milestones: {milestones[-1]} lies behind the last of {left} steps")
        return lambda step: factor ** bisect.bisect_right(starts, step)

    return _warmed_up(num_steps, warmup, decay, needs=2)


def exponential(num_steps: int, *, warmup: Fraction, floor: PositiveFraction) -> Schedule:
    """Times the same number each step, which leads to `floor` at the last.

    >>> [round(exponential(3, warmup=0, floor=0.01)(step, []), 6) for step in range(3)]
    [1.0, 0.1, 0.01]
    """
    return _warmed_up(num_steps, warmup, lambda left: lambda step: floor ** (step / (left - 1)), needs=2)


def linear(num_steps: int, *, warmup: Fraction, floor: Fraction) -> Schedule:
    """Straight down to `floor` at the last step.

    >>> [linear(3, warmup=0, floor=0.5)(step, []) for step in range(3)]
    [1.0, 0.75, 0.5]
    """
    return _warmed_up(num_steps, warmup, lambda left: lambda step: 1 - (1 - floor) * step / (left - 1), needs=2)


def cosine(num_steps: int, *, warmup: Fraction, floor: Fraction) -> Schedule:
    """Half a cosine down to `floor` at the last step (arXiv:1608.03983).

    >>> rate = cosine(6, warmup=1 / 3, floor=0.1)
    >>> [round(rate(step, []), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.775, 0.325, 0.1]
    """
    return _warmed_up(num_steps, warmup, lambda left: lambda step: _half_cosine(1, floor, step / (left - 1)), needs=2)


def cosine_restarts(
    num_steps: int,
    *,
    warmup: Fraction,
    cycles: Annotated[Count, Le(100)],
    growth: Annotated[float, Ge(1), Le(10)],
    floor: Fraction,
) -> Schedule:
    """Cosines towards `floor`, each of which starts at 1 again and is `growth` times as long (arXiv:1608.03983).

    >>> rate = cosine_restarts(6, warmup=0, cycles=2, growth=2, floor=0)
    >>> [round(rate(step, []), 3) for step in range(6)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146]
    """

    def decay(left: int) -> Callable[[int], float]:
        whole = sum(growth**cycle for cycle in range(cycles))
        shares = accumulate(growth**cycle / whole for cycle in range(cycles))
        starts = [0, *(round(share * left) for share in shares)]
        if min(end - start for start, end in pairwise(starts)) < 2:
            raise ValueError(
                f"scheduler.cycles={cycles}: the shortest has fewer than 2 of the run's {num_steps} steps; fewer "
                "cycles, less growth, a smaller batch_size or more epochs give it more"
            )

        def rate(step: int) -> float:
            cycle = bisect.bisect_right(starts, step) - 1
            return _half_cosine(1, floor, (step - starts[cycle]) / (starts[cycle + 1] - starts[cycle]))

        return rate

    return _warmed_up(num_steps, warmup, decay)


def one_cycle(
    num_steps: int, *, warmup: Fraction, rise: PositiveFraction, start: Fraction, floor: Fraction
) -> Schedule:
    """Half a cosine up from `start` to 1 within the part `rise` of the run, another down to `floor`.

    The learning rate of arXiv:1708.07120 as torch's OneCycleLR has it; the momentum stays as it is. It is refused with
    a warm-up (ValueError), since it would rise twice.
    """
    if warmup:
        raise ValueError(f"scheduler.warmup={warmup}: one_cycle rises by itself; give scheduler.rise, and no warmup")

    def decay(left: int) -> Callable[[int], float]:
        top, last = rise * left - 1, left - 1
        if not 0 < top < last:
            raise ValueError(
                f"scheduler.rise={rise}: expected a rise and a fall of a step or more each, of the run's {num_steps} "
                "steps; another rise, a smaller batch_size or more epochs give them"
            )
        return lambda step: (
            _half_cosine(start, 1, step / top) if step <= top else _half_cosine(1, floor, (step - top) / (last - top))
        )

    return _warmed_up(num_steps, warmup, decay)


def plateau(
    num_steps: int,
    *,
    warmup: Fraction,
    metric: Literal["accuracy", "loss"],
    factor: InnerFraction,
    patience: NonNegativeInteger,
    least_improvement: NonNegative,
    cooldown: NonNegativeInteger,
    floor: Fraction,
) -> Schedule:
    """Times `factor` after more than `patience` epochs without a better validation metric, and not below `floor`.

    Better is better by `least_improvement` than the best so far; after a reduction `cooldown` epochs are not counted.
    As torch's ReduceLROnPlateau with an absolute threshold.

    >>> rate = plateau(9, warmup=0, metric="accuracy", factor=0.5, patience=1, least_improvement=0, cooldown=0, floor=0)
    >>> [rate(0, [{"val/accuracy": accuracy} for accuracy in so_far]) for so_far in ([], [0.5, 0.5], [0.5, 0.5, 0.4])]
    [1.0, 1.0, 0.5]
    """
    sign = 1 if metric == "accuracy" else -1

    def reductions(epochs: Epochs) -> int:
        best, bad, cooling, count = -math.inf, 0, 0, 0
        for epoch in epochs:
            value = sign * float(epoch[f"val/{metric}"] or 0)
            best, bad = (value, 0) if value > best + least_improvement else (best, bad + 1)
            if cooling:
                cooling, bad = cooling - 1, 0
            if bad > patience:
                count, bad, cooling = count + 1, 0, cooldown
        return count

    warm = _warmed_up(num_steps, warmup, lambda left: lambda step: 1.0, needs=2)
    return lambda step, epochs: warm(step, epochs) * max(floor, factor ** reductions(epochs))


def _half_cosine(begin: float, end: float, progress: float) -> float:
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * progress))


def _warmed_up(
    num_steps: int, warmup: float, decay: Callable[[int], Callable[[int], float]], *, needs: int = 0
) -> Schedule:
    """Linearly to 1 in `warmup` of the run, to the nearest step, then `decay` of the steps that are left."""
    warmup_steps = round(warmup * num_steps)
    left = num_steps - warmup_steps
    if left < needs:
        raise ValueError(
            f"scheduler.warmup={warmup} leaves {left} of the run's {num_steps} steps, and the schedule "
            f"needs {needs} to decay in; a shorter warmup, a smaller batch_size or more epochs give them"
        )
    after = decay(left)
    return lambda step, epochs: (step + 1) / warmup_steps if step < warmup_steps else after(step - warmup_steps)
