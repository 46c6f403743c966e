from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.bench.following import course
from ablate.study.following import following
from ablate.study.look import look
from ablate.study.verdict import Judgement, Verdict


def judged(**more_seeds: int | str | None) -> Judgement:
    """Three seeds are in; an arm has the further seeds that would settle it, or its verdict."""
    verdicts = [
        Verdict(arm, "worse" if more == "worse" else "undecided", 0.01, 0.0, 0.02, 0.3, 3,
                more_seeds=more if isinstance(more, int) else None)
        for arm, more in more_seeds.items()
    ]  # fmt: skip
    return Judgement("base", look(len(verdicts) + 1, 3, [3]), 0.002, verdicts)


def test_undecided_arms_get_what_settles_them_the_baseline_the_most_and_settled_ones_nothing() -> None:
    runs = dict.fromkeys(["base", "a", "b", "c"], 3)
    found = following(judged(a=2, b=5, c="worse"), runs, dict.fromkeys(runs, 10.0))
    assert found and found.seeds == {"a": 5, "b": 8} and found.stops == {"a": 5, "c": 3} and not found.left
    assert found.runs == 2 + 5 + 5 and found.seconds == 120.0


def test_an_arm_of_which_no_number_is_seen_gets_as_many_as_the_others() -> None:
    runs = dict.fromkeys(["base", "a", "b", "c"], 3)
    found = following(judged(a=4, b=None, c=90), runs, dict.fromkeys(runs, 1.0))
    assert found and found.seeds == {"a": 7, "b": 7, "c": 7} and not found.stops
    assert following(judged(a=None, b=90), runs, dict.fromkeys(runs, 1.0)) is None
    assert following(judged(a="worse"), runs, dict.fromkeys(runs, 1.0)) is None


def test_a_budget_goes_to_those_that_need_fewest() -> None:
    runs, seconds = dict.fromkeys(["base", "a", "b"], 3), {"base": 10.0, "a": 10.0, "b": 10.0}
    found = following(judged(a=2, b=5), runs, seconds, budget=45.0)
    assert found and found.seeds == {"a": 5} and found.left == ["b"] and found.seconds == 40.0
    assert following(judged(a=2, b=5), runs, seconds, budget=39.0) is None


def test_arms_that_have_fewer_seeds_than_the_baseline_catch_up_first() -> None:
    found = following(judged(a=2), {"base": 3, "a": 1}, {"base": 1.0, "a": 2.0}, math.inf)
    assert found and found.seeds == {"a": 5} and found.runs == 4 + 2 and found.seconds == 10.0


@pytest.mark.parametrize("spread", [2.0, 8.0])
def test_what_it_proposes_settles_as_much_with_fewer_runs(spread: float) -> None:
    runs, settled, opposed = [0, 0], [0, 0], 0
    for number in range(12):
        draw = np.random.default_rng(number)
        effects = np.where(np.arange(8) % 2 == 1, spread * draw.standard_normal(8), 0.0)
        table = effects[:, None] + draw.standard_normal((8, 40))
        ways = [course(table, set(), all_arms=True), course(table, set(), all_arms=False)]
        for place, way in enumerate(ways):
            runs[place] += way.runs
            settled[place] += sum(word != "undecided" for word in way.words.values())
        opposed += sum({ways[0].words[arm], ways[1].words[arm]} == {"better", "worse"} for arm in ways[0].words)
    assert runs[1] < 0.85 * runs[0] and settled[1] >= 0.9 * settled[0] and not opposed
