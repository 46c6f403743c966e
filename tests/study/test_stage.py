from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.bench import staging
from ablate.study import stage
from ablate.study.stage import Run, normal_scores, promotion

ARMS = [f"arch={letter},regularization=none" for letter in "abcdefghijkl"]


def runs(accuracies: dict[str, list[float | None]]) -> list[Run]:
    return [
        Run(arm, seed, "here", accuracy, None if accuracy is None else 3 - 3 * accuracy)
        for arm, row in accuracies.items()
        for seed, accuracy in enumerate(row)
    ]


def of_seeds(arms: list[str], number: int) -> dict[str, list[int]]:
    return {arm: list(range(number)) for arm in arms}


def ladder(arms: list[str], step: float = 0.01) -> dict[str, list[float | None]]:
    """Arms that are worse one after the other, each on two seeds."""
    return {arm: [0.6 - step * place, 0.601 - step * place] for place, arm in enumerate(arms)}


def test_first_go_the_likeliest_the_baseline_what_regularizes_them_and_two_of_the_rest() -> None:
    arms = [ARMS[9], *ARMS[:9], *ARMS[10:]]  # the baseline does badly
    regularized = [ARMS[0].replace("none", "l2"), ARMS[11].replace("none", "l2")]
    of_all = ladder(ARMS) | {arm: [0.3, 0.3] for arm in regularized}
    found = promotion(runs(of_all), [], of_seeds([*arms, *regularized], 2))
    assert not found.is_settled and all(of == [0] for of in found.seeds.values())
    likeliest = [arm for arm in ARMS[:9] if arm in found.seeds and arm not in found.audited]
    assert likeliest == ARMS[: len(likeliest)] and 2 <= len(likeliest) <= 6
    assert found.regularizers == [regularized[0]], "what regularizes an arm that stays says nothing of regularizing"
    assert len(found.audited) == 2 and not set(found.audited) & {arms[0], *likeliest, *regularized[:1]}
    going = {arms[0], *likeliest, regularized[0], *found.audited}
    assert next(iter(found.seeds)) == arms[0] and set(found.seeds) == going


def test_what_the_next_stage_shows_asks_for_seeds_of_the_best_and_for_arms_that_were_rejected() -> None:
    before, seeds = runs(ladder(ARMS)), of_seeds(ARMS, 3)
    first = promotion(before, [], seeds)
    as_foretold = runs({arm: of[:1] for arm, of in ladder(ARMS).items() if arm in first.seeds})
    second = promotion(before, as_foretold, seeds)
    assert second.seeds[ARMS[0]] == [0, 1, 2] and set(second.seeds) == set(first.seeds)
    turned: dict[str, list[float | None]] = {
        arm: [0.5 + 0.03 * place] for place, arm in enumerate(ARMS) if arm in first.seeds
    }
    other = promotion(before, runs(turned), seeds)
    assert set(other.seeds) > set(first.seeds), "the audited ones are better: more of the rejected may be"
    assert other.outlook.agreement[0] < 0.5 < second.outlook.agreement[0]


@settings(deadline=None, max_examples=10)
@given(st.data())
def test_more_results_ask_for_no_less_and_others_do_not_count(data: st.DataObject) -> None:
    arms = ARMS[: data.draw(st.integers(2, 5))]
    values = st.one_of(st.none(), st.floats(0, 1))
    before = runs({arm: [data.draw(values) for _ in range(2)] for arm in arms})
    whole = runs({arm: [data.draw(values) for _ in range(2)] for arm in arms})
    seeds = of_seeds(arms, 2)
    after = list[Run]()
    for _ in range(2 * len(arms) + 1):
        found = promotion(before, after, seeds)
        assert found == promotion(before, data.draw(st.permutations(after)), seeds)
        assert all(of == seeds[arm][: len(of)] for arm, of in found.seeds.items())
        assert len(found.seeds[arms[0]]) == max(map(len, found.seeds.values()))
        assert sum(found.outlook.best.values()) == pytest.approx(1)
        asked = [run for run in whole if run.seed in found.seeds.get(run.arm, ())]
        if found.is_settled:
            assert len(asked) == len(after)
            assert sum(found.outlook.best[arm] for arm in found.may_be_best) >= stage.KEPT - 1e-9
            assert found == promotion(before, whole, seeds), "runs that nobody has asked for do not count"
            return
        assert len(asked) > len(after)
        after = asked
    pytest.fail("it never settles")


def test_before_any_result_an_arm_is_the_best_as_often_as_its_score_says() -> None:
    scores = {"a": 0.8, "b": -0.3}
    rho = stage._RHO
    prior = stats.beta(*stage._RHO_PRIOR).pdf(rho)
    expected = (prior * stats.norm.cdf(rho * 1.1 / np.sqrt(2 * (1 - rho**2)))).sum() / prior.sum()
    found = stage._outlook(scores, {}, noise=0.001, spread=0.01)
    assert found.best["a"] == pytest.approx(expected, abs=0.03)
    assert found.agreement[0] == pytest.approx((prior * rho).sum() / prior.sum())


def test_results_decide_where_there_is_no_noise() -> None:
    scores = normal_scores(runs(ladder(ARMS)), ARMS)
    means = {arm: (0.5 + 0.01 * place, 3) for place, arm in enumerate(ARMS)}
    found = stage._outlook(scores, means, noise=1e-6, spread=0.01)
    assert found.best[ARMS[-1]] == 1 and found.agreement[0] < 0.4
    found = stage._outlook(scores, {arm: (0.9 - mean, n) for arm, (mean, n) in means.items()}, noise=1e-6, spread=0.01)
    assert found.best[ARMS[0]] == 1 and found.agreement[0] > 0.9


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_equal_values_share_a_rank(values: list[int]) -> None:
    assert stage.ranks([float(value) for value in values]) == stats.rankdata(values).tolist()


def test_loss_counts_beside_accuracy_and_a_diverged_run_is_the_worst() -> None:
    even = [Run("a", 0, "", 0.6, 1.0), Run("b", 0, "", 0.6, 0.9), Run("c", 0, "", 0.5, None), Run("d", 0, "", None)]
    scores = normal_scores(even, list("abcd"))
    assert sorted(scores, key=lambda arm: scores[arm]) == ["d", "c", "a", "b"]


def test_a_failure_is_as_low_as_low_can_be() -> None:
    low, other = (stage._seen([(0.6, 1), (0.61, 1), (value, 1)], noise=0.001, spread=0.01)[0] for value in (0.0, 0.5))
    assert low.tolist() == other.tolist() == [0.6, 0.61, pytest.approx(0.57)]


def test_of_simulated_studies_the_best_arm_is_kept_and_half_is_saved() -> None:
    found = [staging.staged(0.85, np.random.default_rng([3, number])) for number in range(40)]
    assert sum(each.is_kept for each in found) >= 34, "nine in ten, but for chance"
    assert np.mean([each.saved for each in found]) > 0.55


@pytest.mark.parametrize(
    "level", ["regularization=l2", "augmentation=time_mask", "arch.dropout=0.3", "optimizer.weight_decay=0.1"]
)
def test_what_regularizes_is_the_arm_without_it(level: str) -> None:
    usual = f"{level.partition('=')[0]}=none"
    assert stage.without_regularizers(f"arch=b,{level}", f"arch=a,{usual}") == f"arch=b,{usual}"
