"""Shares: who trains which cell, computed alike by every member, from the study alone.

A member takes whole seeds, all arms of each: then the machine's own effect is in every arm of a seed and cancels in
the comparisons. Only where members outnumber seeds are a seed's arms dealt out.
"""

from __future__ import annotations

from collections.abc import Sequence


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


def _dealt(costs: Sequence[float], members: Sequence[int]) -> list[int]:
    """The member of each arm: the dearest arms first, each to whom has least so far."""
    load = dict.fromkeys(members, 0.0)
    owner = [0] * len(costs)
    for arm in sorted(range(len(costs)), key=lambda arm: (-costs[arm], arm)):
        owner[arm] = min(members, key=lambda member: (load[member], member))
        load[owner[arm]] += costs[arm]
    return owner
