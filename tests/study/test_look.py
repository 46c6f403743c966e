"""What each look may spend, and that all looks together keep to 5 %."""

import numpy as np
import pytest
from scipy import special

from ablate.study.look import look


def test_levels_by_hand() -> None:
    assert look(4, 1, [3]).level == 0
    assert look(4, 2, [3]).level == pytest.approx(0.05 * 8 / 27)
    assert look(4, 3, [5]).level == pytest.approx(0.05 * (27 - 8) / 125)
    assert look(2, 3, [3]).level == 0.034 and look(5, 3, [3]).level == 0.038 and look(30, 8, [8]).level == 0.048
    assert [look(4, seeds, [3, 4, 5, 9]).level for seeds in (4, 5, 6, 9)] == [0.005, 0.0025, 0, 0.00125]
    assert look(4, 9, [3, 9]).level == look(4, 3, [3]).next_level == 0.005, "an addition is one look, however large"


def test_sentences_say_which_look_it_is() -> None:
    assert look(4, 1, [3]).sentence().startswith("No verdict on accuracies yet")
    assert look(4, 4, [3, 5]).sentence().startswith("A look after 4 seeds, with 5 asked for: verdicts stand")
    assert look(4, 4, [3, 4]).sentence().startswith("A look after 1 more seed than the 3 that were planned")
    assert (
        look(4, 2, [3]).sentence().startswith("An early look, after 2 of 3 planned seeds: ")
        and look(4, 2, [3]).is_early
    )
    assert look(4, 3, [3]).sentence().startswith("The planned look, after all 3 seeds")
    assert look(4, 5, [3, 5]).sentence().startswith("A look after 2 more seeds than the 3 that were planned")


@pytest.mark.parametrize(("num_arms", "planned"), [(2, 3), (4, 5), (10, 3)])
def test_all_looks_together_spend_five_per_cent(num_arms: int, planned: int) -> None:
    """Studies without any effect, looked at after each seed and after two that were added."""
    draw = np.random.default_rng(0)
    accuracies = draw.standard_normal((8000, num_arms, planned + 2))
    is_false = np.zeros(len(accuracies), bool)
    for seeds in range(2, planned + 3):
        seen = accuracies[:, :, :seeds]
        left = seen - seen.mean(2, keepdims=True) - seen.mean(1, keepdims=True) + seen.mean((1, 2), keepdims=True)
        degrees = (num_arms - 1) * (seeds - 1)
        error = np.sqrt((left**2).sum((1, 2)) / degrees * 2 / seeds)
        effects = seen.mean(2)[:, 1:] - seen.mean(2)[:, :1]
        smallest = 2 * special.stdtr(degrees, -np.abs(effects).max(1) / error)
        is_false |= smallest * (num_arms - 1) <= look(num_arms, seeds, [*range(planned, max(planned, seeds) + 1)]).level
    assert is_false.mean() < 0.055
