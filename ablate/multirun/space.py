"""What a search chooses from: the levels of a command line, checked before anything is trained."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import IntervalSweep, Override

from ablate.config.check import refuse
from ablate.config.compose import Composer
from ablate.config.override import name_of
from ablate.error import UserError
from ablate.multirun.factors import all_mistakes
from ablate.multirun.levels import levels_of
from ablate.record.key import is_outside

if TYPE_CHECKING:
    from optuna.trial import Trial

_MOST_LISTED = 1000
_NOT_OURS = ("study", "team.", "rerun", "plot")
_DIGITS = 4  # of a value from an interval, so that a run can be asked for again by hand


@dataclass(frozen=True)
class Interval:
    """The levels of a factor of numbers; whole ones of `int(interval(1,3))`, whose ends are."""

    low: float
    high: float
    is_log: bool

    @property
    def is_whole(self) -> bool:
        """Whether its levels are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def num_levels(self) -> float:
        """How many there are."""
        return self.high - self.low + 1 if self.is_whole else math.inf

    def middle(self) -> float:
        """Halfway, in magnitude where that is how it is searched."""
        middle = math.sqrt(self.low * self.high) if self.is_log else (self.low + self.high) / 2
        return round(middle) if self.is_whole else middle

    def __str__(self) -> str:
        return f"{'whole ' * self.is_whole}numbers of an interval{', log' * self.is_log}"


@dataclass(frozen=True)
class Space:
    """What is the same in all trials, and what each of them chooses from."""

    fixed: list[str]
    levels: dict[str, list[str] | Interval]

    def first(self) -> dict[str, str | float]:
        """The trial that all others are compared with: first levels, and the middle of intervals."""
        return {name: each.middle() if isinstance(each, Interval) else each[0] for name, each in self.levels.items()}

    @property
    def num_trials(self) -> int | None:
        """How many different trials there are; none where they are more than can be listed."""
        nums = [each.num_levels if isinstance(each, Interval) else len(each) for each in self.levels.values()]
        num = math.prod(nums)
        return int(num) if num <= _MOST_LISTED else None

    def all_trials(self) -> list[dict[str, str | int]]:
        """What each of so few trials chooses."""
        levels: list[Sequence[str | int]] = [
            range(int(each.low), int(each.high) + 1) if isinstance(each, Interval) else each
            for each in self.levels.values()
        ]
        return [dict(zip(self.levels, chosen, strict=True)) for chosen in itertools.product(*levels)]

    def overrides(self) -> list[str]:
        """Those of the first trial."""
        return [*self.fixed, *(f"{name}={_text(value)}" for name, value in self.first().items())]

    def described(self) -> dict[str, str]:
        """What may not change while a search goes on, since its trials could not be compared."""
        settings = sorted(each for each in self.fixed if not is_outside(name_of(each)))
        levels = {
            name: str(each) if isinstance(each, Interval) else ",".join(each) for name, each in self.levels.items()
        }
        return {"settings": " ".join(settings) or "none", **levels}

    def suggested(self, trial: Trial) -> dict[str, str]:
        """A trial's level of each factor, as it is written in an override."""
        return {name: _suggested(trial, name, each) for name, each in self.levels.items()}


def space(composer: Composer, overrides: Sequence[str]) -> Space:
    """The space of a command line. Raises `UserError` where nothing is left to choose."""
    levels = {name_of(each): _levels(composer.parsed(each)) for each in overrides if composer.is_sweep(each)}
    if not levels:
        raise UserError(
            "search: nothing to choose from; give levels: arch=cylinder,pyramid 'optim.lr=tag(log, interval(1e-4,0.1))'"
        )
    if other := [each for each in overrides if name_of(each).startswith(_NOT_OURS) and name_of(each) != "study.name"]:
        raise UserError(f"{name_of(other[0])}: a search has no use for it; leave it out")
    problems = all_mistakes(composer, [_tried(each, levels.get(name_of(each))) for each in overrides])
    refuse(_of_intervals(levels, problems))
    return Space([each for each in overrides if name_of(each) not in levels], levels)


def _levels(override: Override) -> list[str] | Interval:
    """What a swept override lets choose from. Raises `UserError` for an interval that has nothing in it."""
    swept = override.value()
    if not isinstance(swept, IntervalSweep):
        return list(levels_of(override))
    is_log = "log" in swept.tags
    if swept.start is None or swept.end is None or swept.start >= swept.end or (is_log and swept.start <= 0):
        raise UserError(f"{override.input_line}: expected a smaller number before a larger one, and with log above 0")
    return Interval(swept.start, swept.end, is_log)


def _of_intervals(levels: Mapping[str, list[str] | Interval], problems: Sequence[str]) -> list[str]:
    """The mistakes, of an interval the first one alone: the others are of numbers that nobody typed."""
    told = dict[str, str]()
    for number, each in enumerate(problems):
        name = each.partition(":")[0]
        if isinstance(interval := levels.get(name), Interval):
            if "expected a valid integer" in each:
                ends = f"{interval.low:g},{interval.high:g}"
                each = f"{name}: expected whole numbers, found others between; write int(interval({ends}))"
            told.setdefault(name, each)
        else:
            told[str(number)] = each
    return list(told.values())


def _tried(override: str, levels: list[str] | Interval | None) -> str:
    """An override with some levels of an interval, the ends among them, for the interval."""
    if not isinstance(levels, Interval):
        return override
    within = [] if levels.is_whole else [levels.low + (levels.high - levels.low) / math.pi]  # no whole number
    return f"{name_of(override)}={','.join(map(_text, [levels.low, levels.middle(), *within, levels.high]))}"


def _suggested(trial: Trial, name: str, levels: list[str] | Interval) -> str:
    if not isinstance(levels, Interval):
        return str(trial.suggest_categorical(name, levels))
    if levels.is_whole:
        return str(trial.suggest_int(name, int(levels.low), int(levels.high), log=levels.is_log))
    return _text(trial.suggest_float(name, levels.low, levels.high, log=levels.is_log))


def _text(value: str | float) -> str:
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)
