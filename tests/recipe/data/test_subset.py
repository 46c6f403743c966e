"""Subsets are nested, spread over speakers and drawn by the seed alone."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ablate.recipe.data.subset import subset

SPEAKERS = st.lists(st.integers(0, 5).map(str), min_size=1, max_size=60)


@given(SPEAKERS, st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 9))
def test_a_smaller_fraction_is_inside_a_larger_one(speakers: list[str], first: float, second: float, seed: int) -> None:
    small, large = (set(subset(speakers, fraction, seed)) for fraction in sorted((first, second)))
    assert small <= large


@given(SPEAKERS, st.floats(0.01, 1), st.integers(0, 9))
def test_every_speaker_gives_its_share(speakers: list[str], fraction: float, seed: int) -> None:
    taken = subset(speakers, fraction, seed)
    total, part = Counter(speakers), Counter(speakers[i] for i in taken)
    assert len(set(taken)) == len(taken) == max(1, math.ceil(fraction * len(speakers) - 1e-9))
    for speaker, number in total.items():
        assert abs(part[speaker] - fraction * number) <= 2


def test_the_seed_draws_it() -> None:
    speakers = [f"speaker{i % 4}" for i in range(40)]
    assert subset(speakers, 0.2, 0) == subset(speakers, 0.2, 0)
    assert subset(speakers, 0.2, 0) != subset(speakers, 0.2, 1)
    assert subset(speakers, 1, 3) == list(range(40))
