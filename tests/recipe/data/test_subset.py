"""Subsets are nested, spread over speakers and drawn by the seed alone."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ablate.recipe.data.subset import subset

NAMES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 99)), min_size=1, max_size=60, unique=True
).map(lambda pairs: [f"{speaker:03d}-{number}" for speaker, number in pairs])  # fmt: skip


@given(NAMES, st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 9))
def test_a_smaller_fraction_is_inside_a_larger_one(names: list[str], first: float, second: float, seed: int) -> None:
    small, large = (set(subset(names, fraction, seed)) for fraction in sorted((first, second)))
    assert small <= large


@given(NAMES, st.floats(0.01, 1), st.integers(0, 9))
def test_every_speaker_gives_its_share(names: list[str], fraction: float, seed: int) -> None:
    taken = subset(names, fraction, seed)
    total, part = (Counter(name.split("-")[0] for name in group) for group in (names, [names[i] for i in taken]))
    assert len(set(taken)) == len(taken) == max(1, math.ceil(fraction * len(names) - 1e-9))
    for speaker, number in total.items():
        assert abs(part[speaker] - fraction * number) <= 2


def test_the_seed_draws_it() -> None:
    names = [f"speaker{i % 4}-{i}" for i in range(40)]
    assert subset(names, 0.2, 0) == subset(names, 0.2, 0)
    assert subset(names, 0.2, 0) != subset(names, 0.2, 1)
    assert subset(names, 1, 3) == list(range(40))
