"""How much of the error rate a look at a study may spend, so that everybody may look after every seed.

With a plain 5 % at each of 8 looks, 14 % of studies without any effect show one. Here the looks before the planned
seeds are in spend the increments of 5 % x (n / N)^3, the last planned one almost all of 5 %, and seeds that are added
when the planned ones have been seen have a reserve of 1 %: each addition half of what is left, when it is in. `_LAST`
is calibrated by simulation so that all of it together stays under 5 % (16,000 studies a cell; `ablate bench verdicts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

_RATE = 0.05
_RESERVE = 0.01
_LAST = {2: 0.034, 3: 0.038, 6: 0.048}
"""The level of the last planned look, from so many arms on."""


@dataclass(frozen=True)
class Look:
    """A look at a study when so many seeds are in, at the level that it may spend.

    `stages` are the numbers of seeds that were asked for: those planned, and what each addition made of them.
    """

    seeds: int
    stages: tuple[int, ...]
    level: float
    next_level: float  # of one more addition

    @property
    def planned(self) -> int:
        """The seeds of the stage that is under way, or has just been reached."""
        return next((stage for stage in self.stages if self.seeds <= stage), self.stages[-1])

    @property
    def is_early(self) -> bool:
        """Whether seeds that were asked for are still to come."""
        return self.seeds < self.planned

    def sentence(self) -> str:
        """What look this is, and what that means."""
        level, first = f"{100 * self.level:.2g} %", self.stages[0]
        if self.seeds < 2:
            return "No verdict on accuracies yet: one seed gives no idea of chance."
        if self.seeds < first:
            return (
                f"An early look, after {self.seeds} of {first} planned seeds: a verdict now needs to be sure at "
                f"{level}, so that looking often fools nobody; the last look spends almost all of the usual 5 %."
            )
        if self.seeds == first:
            return f"The planned look, after all {first} seeds: verdicts at {level} for all arms together."
        if self.is_early:
            return (
                f"A look after {self.seeds} seeds, with {self.planned} asked for: verdicts stand as they were, until "
                "all that were added are in."
            )
        number = self.seeds - first
        added = f"{number} more {'seed' if number == 1 else 'seeds'}"
        return (
            f"A look after {added} than the {first} that were planned: what is added after having seen the result may "
            f"spend {level}, a reserve of its own."
        )


def look(num_arms: int, seeds: int, stages: Sequence[int]) -> Look:
    """The look at a study of `num_arms` arms when so many seeds are in; `stages` are the numbers asked for, ascending.

    >>> look(10, 3, [3]).level, round(look(10, 2, [4]).level, 5), look(10, 9, [3, 9]).level, look(10, 5, [3, 9]).level
    (0.048, 0.00625, 0.005, 0.0)
    """
    planned, additions = stages[0], len(stages) - 1
    made = partial(Look, seeds, tuple(stages), next_level=_RESERVE / 2 ** (additions + 1))
    if seeds < 2:
        return made(level=0.0)
    if seeds < planned:
        before = ((seeds - 1) / planned) ** 3 if seeds > 2 else 0.0
        return made(level=_RATE * ((seeds / planned) ** 3 - before))
    if seeds == planned:
        return made(level=_last(num_arms))
    return made(level=_RESERVE / 2 ** stages.index(seeds) if seeds in stages else 0.0)


def _last(num_arms: int) -> float:
    return next((level for least, level in sorted(_LAST.items(), reverse=True) if num_arms >= least), _RATE)
