"""Shares are disjoint, complete and the same for all; they keep seeds whole, and are balanced where they can't."""

import itertools
import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ablate.study import shares

COSTS = st.lists(st.floats(0.1, 100), min_size=1, max_size=12)


@given(COSTS, st.integers(1, 8), st.integers(1, 12))
def test_every_cell_has_one_owner_whoever_computes_it(costs: list[float], num_seeds: int, size: int) -> None:
    owners = shares.owners(costs, num_seeds, size)
    assert len(owners) == len(costs) and all(len(row) == num_seeds for row in owners)
    assert all(1 <= owner <= size for row in owners for owner in row)
    assert owners == shares.owners(list(costs), num_seeds, size)


@given(COSTS, st.integers(1, 8), st.integers(1, 12))
def test_a_seed_is_one_members_as_long_as_there_are_enough(costs: list[float], num_seeds: int, size: int) -> None:
    columns = list(zip(*shares.owners(costs, num_seeds, size), strict=True))
    if shares.are_split(num_seeds, size):
        assert all(not set(one) & set(other) for one, other in itertools.combinations(columns, 2))
    else:
        assert all(len(set(column)) == 1 for column in columns)
        seeds = Counter(column[0] for column in columns)
        assert set(seeds) == set(range(1, size + 1)) and max(seeds.values()) - min(seeds.values()) <= 1


@given(COSTS, st.integers(1, 4), st.integers(1, 12))
def test_dealt_arms_are_balanced_by_their_cost(costs: list[float], num_seeds: int, size: int) -> None:
    if not shares.are_split(num_seeds, size):
        return
    for seed, column in enumerate(zip(*shares.owners(costs, num_seeds, size), strict=True)):
        members = range(1 + seed, size + 1, num_seeds)
        load = {member: sum(c for c, owner in zip(costs, column, strict=True) if owner == member) for member in members}
        # Graham's bound for the longest-first rule: no member has more than the mean and one arm.
        assert max(load.values()) <= sum(costs) / len(members) + max(costs) + 1e-9
        assert max(load.values()) - min(load.values()) <= max(costs) + 1e-9


def test_the_dearest_is_dealt_first() -> None:
    assert shares.owners([1, 1, 1, 3], num_seeds=1, size=2) == [[2], [2], [2], [1]]
    assert shares.owners([1, 1], num_seeds=2, size=3) == [[1, 2], [3, 2]]


@given(COSTS, st.integers(1, 8), st.integers(1, 12))
def test_what_is_said_to_make_shares_equal_does(costs: list[float], num_seeds: int, size: int) -> None:
    said = shares.unequal(costs, num_seeds, size)
    if num_seeds % size == 0:
        assert said is None
    elif said:
        seeds, members = re.search(r"(\d+) seeds", said), re.search(r"(\d+) members", said)
        assert seeds and shares.unequal(costs, int(seeds[1]), size) is None
        assert members is None or shares.unequal(costs, num_seeds, int(members[1])) is None


def test_a_remedy_is_the_nearest() -> None:
    four = shares.unequal([1, 1, 1, 1], num_seeds=3, size=4)
    assert four == "shares are unequal, from 17 % to 33 % of the work: 4 seeds would make them equal, or 3 members"
    three = shares.unequal([1], num_seeds=4, size=3)
    assert three == "shares are unequal, from 25 % to 50 % of the work: 6 seeds would make them equal, or 2 members"
    two = shares.unequal([1], num_seeds=5, size=2)
    assert two == "shares are unequal, from 40 % to 60 % of the work: 6 seeds would make them equal, or 5 members"
    assert shares.unequal([1, 1, 1], num_seeds=1, size=2) is not None, "three arms can't be halved"
    assert shares.unequal([1, 1], num_seeds=2, size=4) is None, "half of a seed each"
