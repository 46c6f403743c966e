"""What a design can detect, in the model of the verdicts: accuracy ~ arm + seed, error pooled over the arms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_POWER = 0.8
_ERROR_RATE = 0.05


def noise(accuracies: Mapping[tuple[str, int], float]) -> float | None:
    """The standard deviation that arms and seeds leave unexplained, from accuracies by (arm, seed).

    None where there is nothing left to tell it from: it needs two arms on two seeds.

    >>> noise({("a", 0): 0.50, ("a", 1): 0.52, ("b", 0): 0.60, ("b", 1): 0.62})
    0.0
    """
    arms = sorted({arm for arm, _ in accuracies})
    seeds = sorted({seed for _, seed in accuracies})
    rows = [
        [*(float(arm == each) for each in arms), *(float(seed == each) for each in seeds)] for arm, seed in accuracies
    ]
    values = np.array(list(accuracies.values()))
    if not rows:
        return None
    design = np.array(rows)
    degrees = len(values) - int(np.linalg.matrix_rank(design))
    if degrees < 1:
        return None
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return round(float(np.sqrt(left @ left / degrees)), 12)


def detectable(num_arms: int, num_seeds: int) -> float | None:
    """The smallest difference from the baseline that is found four times in five, in units of the noise.

    The t test of a contrast with error pooled over all arms, two-sided, at 5 % over the family of all arms but the
    baseline (Bonferroni's share, Holm's first step); none where one seed or one arm leaves no error to judge by.
    """
    from scipy import special  # its stats would take seconds to import

    degrees = (num_arms - 1) * (num_seeds - 1)
    if degrees < 1:
        return None
    limit = special.stdtrit(degrees, 1 - _ERROR_RATE / (num_arms - 1) / 2)
    return float(special.nctdtrinc(degrees, 1 - _POWER, limit) * (2 / num_seeds) ** 0.5)
