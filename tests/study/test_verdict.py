"""Verdicts against statsmodels' formulas as scipy has them, hand-computed tables and simulated studies."""

import math

import numpy as np
import pytest
from scipy import stats

from ablate.study.model import Observation, holm
from ablate.study.verdict import MARGIN, Judgement, Verdict, judge


def study(accuracies: dict[str, list[float | None]], machines: list[str] | None = None) -> list[Observation]:
    """An arm a row, a seed a column."""
    return [
        Observation(arm, seed, (machines or ["here"] * len(row))[seed], accuracy)
        for arm, row in accuracies.items()
        for seed, accuracy in enumerate(row)
    ]


def verdict(found: Judgement, arm: str) -> Verdict:
    return next(each for each in found.verdicts if each.arm == arm)


def test_two_arms_are_the_paired_t_test() -> None:
    a, b = [0.50, 0.53, 0.51, 0.56], [0.52, 0.56, 0.52, 0.57]
    found = judge(study({"a": [*a], "b": [*b]}), "a", [4])
    expected = stats.ttest_rel(b, a)
    low, high = expected.confidence_interval(0.95)
    (each,) = found.verdicts
    assert each.effect == pytest.approx(np.mean(b) - np.mean(a))
    assert (each.p_adjusted, each.low, each.high) == pytest.approx((expected.pvalue, low, high))
    assert found.degrees == 3


def test_more_arms_pool_their_error_as_a_two_way_analysis_of_variance() -> None:
    """Three arms on three seeds by hand: rows of means, residuals, degrees."""
    table = {"a": [0.50, 0.52, 0.51], "b": [0.53, 0.56, 0.55], "c": [0.50, 0.53, 0.52]}
    found = judge(study({arm: [*row] for arm, row in table.items()}), "a", [3])
    values = np.array(list(table.values()))
    left = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    assert found.degrees == 4 and found.deviation == pytest.approx(math.sqrt((left**2).sum() / 4))
    error = (found.deviation or 0) * math.sqrt(2 / 3)
    effects = values.mean(1)[1:] - values.mean(1)[0]
    p = [2 * stats.t.sf(abs(effect) / error, 4) for effect in effects]
    assert [each.effect for each in found.verdicts] == pytest.approx(list(effects))
    assert [each.p_adjusted for each in found.verdicts] == pytest.approx(holm(p))
    assert verdict(found, "b").word == "better"


def test_the_estimates_are_dunnetts_and_holm_is_never_bolder() -> None:
    """Of accuracies whose seeds are alike scipy's Dunnett test has our estimates, and no honest p is below its own."""
    draw = np.random.default_rng(3)
    values = draw.standard_normal((4, 6)) + np.array([0, 0.3, 0.6, 1.2])[:, None]
    values -= values.mean(0) - values.mean()  # seeds that are alike
    found = judge(study({arm: list(0.5 + 0.01 * row) for arm, row in zip("abcd", values, strict=True)}), "a", [6])
    theirs = stats.dunnett(*values[1:], control=values[0])
    one_way = math.sqrt(values.var(axis=1, ddof=1).mean() * 2 / 6)
    assert [100 * (each.effect or 0) for each in found.verdicts] == pytest.approx(list(theirs.statistic * one_way))
    shape = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    largest = max(abs(each.effect or 0) for each in found.verdicts) / ((found.deviation or 0) * math.sqrt(2 / 6))
    together = stats.multivariate_t(shape=shape, df=found.degrees, seed=0)
    exact = 1 - together.cdf([largest] * 3, lower_limit=[-largest] * 3)
    ours = min(each.p_adjusted or 1 for each in found.verdicts)
    assert 0.98 * exact <= ours <= 1.5 * exact


def test_missing_cells_are_least_squares() -> None:
    rows = study({"a": [0.50, 0.52, 0.51, 0.55], "b": [0.53, 0.55, 0.55, 0.57], "c": [0.50, 0.53, 0.50, 0.56]})
    kept = [each for number, each in enumerate(rows) if number not in (5, 10)]
    found = judge(kept, "a", [4])
    columns = [[each.arm == arm for each in kept] for arm in "abc"] + [
        [each.seed == s for each in kept] for s in (1, 2, 3)
    ]
    design = np.array(columns, float).T
    values = np.array([each.accuracy for each in kept])
    coefficients, square, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    inverse = np.linalg.inv(design.T @ design)
    contrast = np.array([-1, 1, 0, 0, 0, 0])
    error = math.sqrt(square[0] / (len(kept) - rank) * contrast @ inverse @ contrast)
    each = verdict(found, "b")
    assert each.effect == pytest.approx(contrast @ coefficients) and each.n == 3
    half = stats.t.ppf(0.975, len(kept) - rank) * error
    assert (each.low, each.high) == pytest.approx((each.effect - half, each.effect + half))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.02, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert holm([0.9, None, 0.6]) == [1.0, None, 1.0] and holm([]) == []


def test_equivalence_is_two_one_sided_tests() -> None:
    noise = np.array([0.0001, -0.0001, 0.0002, -0.0002])
    found = judge(
        study({"a": [*(0.5 + noise)], "b": [*(0.5003 - noise)], "c": [*(0.5 + noise[::-1])]}), "a", [4], 0.002
    )
    assert [each.word for each in found.verdicts] == ["equivalent", "equivalent"]
    close = judge(study({"a": [*(0.5 + noise)], "b": [*(0.5003 - noise)], "c": [*(0.5 + noise[::-1])]}), "a", [4], 1e-4)
    assert "equivalent" not in {each.word for each in close.verdicts}
    assert found.margin == MARGIN


def test_a_machine_that_a_seed_shares_with_another_is_taken_out() -> None:
    """Two machines on each seed, one of them 0.05 better: the arms on it are not."""
    rows = []
    for seed in range(4):
        for number, arm in enumerate("abcd"):
            on_second = (number + seed) % 2
            rows.append(
                Observation(arm, seed, f"m{on_second}", 0.5 + 0.05 * on_second + 0.001 * ((3 * number + seed) % 5))
            )
    found = judge(rows, "a", [4])
    assert found.machine_spread == pytest.approx(0.05, abs=0.003)
    assert all(abs(each.effect or 1) < 0.004 for each in found.verdicts)


def test_an_arm_that_never_met_the_baseline_on_a_machine_and_seed_is_confounded() -> None:
    rows = [Observation("a", seed, "m1", 0.5 + 0.01 * seed) for seed in range(3)]
    rows += [Observation("b", seed, "m2", 0.6 + 0.011 * seed) for seed in range(3)]
    (each,) = judge(rows, "a", [3]).verdicts
    assert "confounded" in each.flags and each.word == "undecided" and each.effect is None


def test_divergence() -> None:
    found = judge(study({"a": [0.5, 0.51, 0.52], "b": [None, None, None], "c": [0.5, None, 0.53]}), "a", [3])
    always, once = verdict(found, "b"), verdict(found, "c")
    assert always.word == "worse" and always.effect is None and always.num_diverged == 3
    assert "diverged" in once.flags and once.num_diverged == 1 and once.n == 2


def test_one_seed_and_no_spread_are_no_traceback() -> None:
    (one,) = judge(study({"a": [0.5], "b": [0.6]}), "a", [1]).verdicts
    assert one.word == "undecided" and one.effect == pytest.approx(0.1) and one.low is None
    same = judge(study({"a": [0.5] * 3, "b": [0.5] * 3, "c": [0.7] * 3}), "a", [3])
    assert [each.word for each in same.verdicts] == ["equivalent", "better"]
    assert judge(study({"a": [0.5, 0.6]}), "a", [2]).verdicts == []
    with pytest.raises(ValueError, match="the baseline a has no run"):
        judge(study({"b": [0.5]}), "a", [1])


def test_an_arm_out_of_line_is_flagged_and_does_not_spoil_the_others() -> None:
    draw = np.random.default_rng(3)
    table = {arm: [*(0.5 + 0.001 * draw.standard_normal(8))] for arm in "abcdef"}
    table["c"] = [*(0.5 + 0.03 * draw.standard_normal(8))]
    table["f"] = [*(0.506 + 0.001 * draw.standard_normal(8))]
    found = judge(study({arm: [*row] for arm, row in table.items()}), "a", [8])
    assert [each.arm for each in found.verdicts if "noisier" in each.flags] == ["c"]
    assert (found.deviation or 1) < 0.002 and verdict(found, "f").word == "better"
    wide = verdict(found, "c")
    assert (wide.high or 0) - (wide.low or 0) > 10 * ((verdict(found, "f").high or 0) - (verdict(found, "f").low or 0))


def test_the_seeds_that_would_settle_it() -> None:
    draw = np.random.default_rng(1)
    noise = draw.standard_normal((4, 3)) * 0.004
    table = {
        arm: [*(0.5 + shift + row)]
        for (arm, shift), row in zip({"a": 0.0, "b": 0.006, "c": 0, "d": 0}.items(), noise, strict=True)
    }
    found = judge(study({arm: [*row] for arm, row in table.items()}), "a", [3])
    for each in found.verdicts:
        assert each.word == "undecided" or each.more_seeds is None
    assert any(each.more_seeds and each.more_seeds > 0 for each in found.verdicts if each.word == "undecided")


def test_simulated_studies_keep_their_promises() -> None:
    """A small one of `ablate bench verdicts`: false verdicts, power, coverage."""
    draw = np.random.default_rng(0)
    false, found, covered, number = 0, 0, 0, 0
    for repetition in range(600):
        effect = 3.4 if repetition % 2 else 0.0
        accuracies = draw.standard_normal((10, 3)) + 2 * draw.standard_normal(3)
        accuracies[1] += effect
        judged = judge(study({f"a{arm}": [*row] for arm, row in enumerate(accuracies)}), "a0", [3])
        words = [each.word for each in judged.verdicts]
        false += any(word in ("better", "worse") for word in words[effect > 0 :])
        found += effect > 0 and words[0] == "better"
        covered += sum(
            (each.low or 0) <= (effect if place == 0 else 0) <= (each.high or 0)
            for place, each in enumerate(judged.verdicts)
        )
        number += len(words)
    assert false / 600 < 0.06 and found / 300 > 0.72 and 0.93 < covered / number < 0.965
