"""Shares: who trains which cell, computed alike by every member, from the study alone.

A member takes whole seeds, all arms of each: then the machine's own effect is in every arm of a seed and cancels in
the comparisons. Only where members outnumber seeds are a seed's arms dealt out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

_ALIKE = 1.1  # two shares whose costs are so near count as equal


def owners(costs: Sequence[float], num_seeds: int, size: int) -> list[list[int]]:
    """The member, from 1 to `size`, of each cell: a row an arm, a column a seed. `costs` are the arms' relative costs.

    Nothing but these numbers counts: not what is finished, and not how fast a machine is.

    >>> owners([1, 1], num_seeds=3, size=2)
    [[1, 2, 1], [1, 2, 1]]
    >>> owners([3, 1, 2], num_seeds=1, size=2)
    [[1], [2], [2]]
    """
    if size <= num_seeds:
        return [[1 + seed % size for seed in range(num_seeds)] for _ in costs]
    columns = [_dealt(costs, list(range(1 + seed, size + 1, num_seeds))) for seed in range(num_seeds)]
    return [list(row) for row in zip(*columns, strict=True)]


def are_split(num_seeds: int, size: int) -> bool:
    """Whether members share a seed, so that arms are compared across machines."""
    return size > num_seeds


def unequal(costs: Sequence[float], num_seeds: int, size: int) -> str | None:
    """How far members' shares differ and what would make them equal; none where they are, as far as arms can be dealt.

    >>> print(unequal([1, 1], num_seeds=3, size=4))
    shares are unequal, from 17 % to 33 % of the work: 4 seeds would make them equal, or 3 members
    >>> unequal([1, 1], num_seeds=4, size=2)
    """
    load = dict.fromkeys(range(1, size + 1), 0.0)
    for cost, row in zip(costs, owners(costs, num_seeds, size), strict=True):
        for member in row:
            load[member] += cost
    least, most = min(load.values()), max(load.values())
    if most <= _ALIKE * least:
        return None
    seeds = size * -(-num_seeds // size)
    fewer = [number for number in range(2, size) if num_seeds % number == 0]
    members = max(fewer, default=num_seeds)
    found = [f"{seeds} seeds"] if seeds != num_seeds else []
    found += [f"{members} members"] if members not in (1, size) else []
    share = [f"{100 * each / sum(load.values()):.0f} %" for each in (least, most)]
    return f"shares are unequal, from {share[0]} to {share[1]} of the work: {' would make them equal, or '.join(found)}"


Whose = Literal["nobody's", "mine", "theirs"]


def claimable(cells: Mapping[str, int], whose: Mapping[str, Whose], start: int) -> list[str]:
    """The cells, given by key with their seeds, that nobody has yet, in the order in which I should take them.

    First those of seeds that are mine alone so far, then of seeds that nobody has begun, the `start`-th of all seeds
    first, so that members who begin together take different ones; at last I help with the seeds of others.

    >>> claimable({"a": 0, "b": 0, "c": 1, "d": 1}, {"a": "theirs", "b": "nobody's", "c": "nobody's", "d": "mine"}, 0)
    ['c', 'b']
    """
    seeds = list(dict.fromkeys(cells.values()))
    owners = {seed: {whose[key] for key in cells if cells[key] == seed} - {"nobody's"} for seed in seeds}
    ranks = [{"mine"}, set[Whose](), {"mine", "theirs"}, {"theirs"}]

    def turn(seed: int) -> tuple[int, int]:
        return ranks.index(owners[seed]), (seeds.index(seed) - start) % len(seeds)

    return sorted((key for key in cells if whose[key] == "nobody's"), key=lambda key: turn(cells[key]))


def _dealt(costs: Sequence[float], members: Sequence[int]) -> list[int]:
    """The member of each arm: the dearest arms first, each to whom has least so far."""
    load = dict.fromkeys(members, 0.0)
    owner = [0] * len(costs)
    for arm in sorted(range(len(costs)), key=lambda arm: (-costs[arm], arm)):
        owner[arm] = min(members, key=lambda member: (load[member], member))
        load[owner[arm]] += costs[arm]
    return owner
