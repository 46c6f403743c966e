"""What can be detected, against simulation and statistics' own table; the noise against a model worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from ablate.study import power


@pytest.mark.parametrize(
    ("seeds", "arms", "expected"), [(2, 2, 16.33), (3, 10, 3.31), (5, 10, 2.42), (8, 10, 1.86), (3, 2, 4.62)]
)
def test_detectable_differences(seeds: int, arms: int, expected: float) -> None:
    assert power.detectable(arms, seeds) == pytest.approx(expected, abs=0.01)


def test_it_is_what_the_noncentral_t_distribution_says() -> None:
    arms, seeds = 6, 4
    degrees, scale = (arms - 1) * (seeds - 1), (2 / seeds) ** 0.5
    limit = stats.t.isf(0.05 / (arms - 1) / 2, degrees)
    difference = power.detectable(arms, seeds)
    assert difference is not None
    assert stats.nct.sf(limit, degrees, difference / scale) == pytest.approx(0.8, abs=1e-6)


def test_a_simulated_difference_is_found_four_times_in_five() -> None:
    arms, seeds, draw = 4, 3, np.random.default_rng(0)
    difference = power.detectable(arms, seeds) or 0.0
    degrees, limit, found, trials = 6, stats.t.isf(0.05 / 3 / 2, 6), 0, 4000
    for _ in range(trials):
        y = draw.normal(size=(arms, seeds)) + 2 * draw.normal(size=seeds)
        y[1] += difference
        left = y - y.mean(0) - y.mean(1, keepdims=True) + y.mean()
        deviation = (left**2).sum() / degrees
        found += abs(y[1].mean() - y[0].mean()) / (deviation * 2 / seeds) ** 0.5 > limit
    assert found / trials == pytest.approx(0.8, abs=0.03)


def test_one_seed_or_one_arm_can_detect_nothing() -> None:
    assert power.detectable(10, 1) is None and power.detectable(1, 10) is None


def test_noise_is_what_arms_and_seeds_leave() -> None:
    table = {("a", 0): 0.5, ("a", 1): 0.6, ("b", 0): 0.7, ("b", 1): 0.6}
    # arm means .55, .65; seed means .6, .6: residuals -.05, .05, .05, -.05 on one degree of freedom
    assert power.noise(table) == pytest.approx((4 * 0.05**2) ** 0.5)
    assert power.noise({}) is None and power.noise({("a", 0): 0.5, ("b", 0): 0.6}) is None
    draw = np.random.default_rng(1)
    many = {
        (str(arm), seed): float(arm + seed + draw.normal(0, 0.3))
        for arm in range(30)
        for seed in range(30)
        if (arm + seed) % 7
    }
    assert power.noise(many) == pytest.approx(0.3, rel=0.05)
