"""What to run next: seeds for the arms that are undecided and for the baseline, and none for those that are settled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ablate.study.verdict import Judgement, Verdict

_MOST_SEEDS = 20  # more of one arm than a study group pays for


@dataclass(frozen=True)
class Next:
    """One addition to a study: what it may spend of the error rate shrinks with each, so that all of it is one."""

    seeds: dict[str, int]  # of the arms that it is for, from then on; the baseline has as many as the most of them
    stops: dict[str, int]  # the seeds of every arm that gets fewer than the baseline
    runs: int  # that are added
    seconds: float  # that they are likely to take
    left: list[str]  # arms that are undecided and get none, for want of time


def is_within_reach(verdict: Verdict) -> bool:
    """Whether an arm that is undecided is seen to be settled by seeds that a study group can pay."""
    return bool(verdict.more_seeds) and (verdict.more_seeds or 0) <= _MOST_SEEDS


def following(
    judgement: Judgement, runs: Mapping[str, int], seconds: Mapping[str, float], budget: float = math.inf
) -> Next | None:
    """The seeds that settle most arms within a budget of seconds, as far as the verdicts foresee; none where none do.

    `runs` are the seeds that each arm has, `seconds` what a run of it takes. An arm that is undecided tells how many
    seeds would settle it four times in five; those that need fewest come first. Arms of which no such number is seen
    get as many as the others do: more seeds tell what they are.
    """
    undecided = [each for each in judgement.verdicts if each.word == "undecided"]
    foreseen = {each.arm: each.more_seeds or 0 for each in undecided if is_within_reach(each)}
    most_needed = max(foreseen.values(), default=0)
    wanted = sorted((foreseen.get(each.arm, most_needed), each.arm) for each in undecided if most_needed)
    now, chosen = judgement.look.seeds, dict[str, int]()
    for more, arm in wanted:
        if _cost(judgement.baseline, runs, seconds, {**chosen, arm: now + more})[1] > budget:
            break
        chosen[arm] = now + more
    if not chosen:
        return None
    most = max(chosen.values())
    stops = {arm: seeds for arm in runs if (seeds := chosen.get(arm, runs[arm])) < most and arm != judgement.baseline}
    left = [each.arm for each in undecided if each.arm not in chosen]
    return Next(chosen, stops, *_cost(judgement.baseline, runs, seconds, chosen), left)


def _cost(
    baseline: str, runs: Mapping[str, int], seconds: Mapping[str, float], chosen: Mapping[str, int]
) -> tuple[int, float]:
    """The runs that are added, and their seconds."""
    wanted = {baseline: max(chosen.values()), **chosen}
    added = {arm: max(seeds - runs[arm], 0) for arm, seeds in wanted.items()}
    return sum(added.values()), sum(number * seconds[arm] for arm, number in added.items())
