"""How much of the error rate a look at a study may spend, so that everybody may look after every seed.

With a plain 5 % at each of 8 looks, 14 % of studies without any effect show one. Here the looks before the planned
seeds are in spend the increments of 5 % x (n / N)^3, the last planned one almost all of 5 %, and seeds that are added
when the planned ones have been seen have a reserve of 1 %, half of what is left of it at each look. `_LAST` is
calibrated by simulation so that all of it together stays under 5 % (16,000 studies a cell; `ablate bench verdicts`).
"""

from __future__ import annotations

from dataclasses import dataclass

_RATE = 0.05
_RESERVE = 0.01
_LAST = {2: 0.034, 3: 0.038, 6: 0.048}
"""The level of the last planned look, from so many arms on."""


@dataclass(frozen=True)
class Look:
    """A look at a study of so many planned seeds when so many are in, at the level that it may spend."""

    seeds: int
    planned: int
    level: float

    @property
    def is_early(self) -> bool:
        """Whether planned seeds are still to come."""
        return self.seeds < self.planned

    def sentence(self) -> str:
        """What look this is, and what that means."""
        level = f"{100 * self.level:.2g} %"
        if self.seeds < 2:
            return "No verdict yet: one seed gives no idea of chance."
        if self.is_early:
            return (
                f"An early look, after {self.seeds} of {self.planned} planned seeds: a verdict now needs to be sure at "
                f"{level}, so that looking often fools nobody; the last look spends almost all of the usual 5 %."
            )
        if self.seeds == self.planned:
            return f"The planned look, after all {self.planned} seeds: verdicts at {level} for all arms together."
        return (
            f"A look after {self.seeds - self.planned} more seeds than the {self.planned} that were planned: what is "
            f"added after having seen the result may spend {level}, a reserve of its own."
        )


def look(num_arms: int, seeds: int, planned: int) -> Look:
    """The look at a study of `num_arms` arms when `seeds` of `planned` seeds are in.

    >>> look(10, 3, 3).level, round(look(10, 2, 4).level, 5), look(10, 5, 4).level
    (0.048, 0.00625, 0.005)
    """
    if seeds < 2:
        return Look(seeds, planned, 0.0)
    if seeds < planned:
        before = ((seeds - 1) / planned) ** 3 if seeds > 2 else 0.0
        return Look(seeds, planned, _RATE * ((seeds / planned) ** 3 - before))
    if seeds == planned:
        return Look(seeds, planned, _last(num_arms))
    return Look(seeds, planned, _RESERVE / 2 ** (seeds - planned))


def _last(num_arms: int) -> float:
    return next((level for least, level in sorted(_LAST.items(), reverse=True) if num_arms >= least), _RATE)
