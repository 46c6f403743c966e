"""The levels of a factor, as a command line or a study's file gives them."""

from __future__ import annotations

import json
import re
from typing import Any

from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException

from ablate.command.diagnosis import wrong_range
from ablate.config.compose import parse
from ablate.config.override import quoted, value_of
from ablate.error import UserError
from ablate.study import design

_NUMBER = re.compile(r"(?i)[+-]?\d[\d_]*(\.[\d_]*)?(e[+-]?[\d_]+)?")
_DIGITS = 12  # of a range's levels, which are sums: 0.1 + 0.1 + 0.1 is 0.30000000000000004


def levels_of(override: Override) -> tuple[str, ...]:
    """The levels of an override, one where it is no sweep. Raises `UserError` where they are none, or not as typed."""
    line = str(override.input_line)
    for number in _torn_numbers(value_of(line)):
        raise UserError(
            f"{line}: {number} is a number to Hydra, which leaves out its _; text stands in quotes, '{number}', and a "
            "number without _"
        )
    if not override.is_sweep_override():
        return (override.get_value_element_as_str(),)
    if isinstance(swept := override.value(), RangeSweep) and (said := wrong_range(swept)):
        raise UserError(f"{line}: {said}")
    if not override.is_discrete_sweep():
        raise UserError(f"{line}: expected a list, range, choice or glob, which give a number of levels")
    if getattr(override.value(), "shuffle", False):
        raise UserError(f"{line}: every member would have another order; leave the shuffle out")
    found = tuple(override.sweep_string_iterator())
    if not found:
        raise UserError(f"{line}: matches nothing; expected one level at least")
    if len(found) > design.MOST_LEVELS:
        raise UserError(
            f"{override.key_or_group}: expected at most {design.MOST_LEVELS:,} levels, found {len(found):,}"
        )
    if isinstance(override.value(), RangeSweep):
        return tuple(
            level if level.lstrip("-").isdigit() else str(float(f"{float(level):.{_DIGITS}g}")) for level in found
        )
    return found


def in_hydras_words(name: str, value: Any) -> str:
    """What a file gives for a factor, a list of levels or one, as it would be typed.

    A level that is text is Hydra's syntax, where that is one level. Raises `UserError` for what can't be typed.
    """
    if isinstance(value, str):
        return value
    return ",".join(_level(name, level) for level in (value if isinstance(value, list) else [value]))


def _level(name: str, level: Any) -> str:
    if isinstance(level, str):
        return level if _parsed(level) else quoted(level)
    words = _words(level)
    if json.dumps(_read(words), sort_keys=True) != json.dumps(level, sort_keys=True):
        raise UserError(
            f"study.factors.{name}: Hydra has no words for the level {level!r}; put it into an option of a group, in a "
            "file, and give the options as levels"
        )
    return words


def _words(part: Any) -> str:
    """Part of a level, text in quotes where it would be something else without them."""
    match part:
        case str():
            return part if _read(f"[{part}]") == [part] else quoted(part)
        case list():
            return f"[{','.join(map(_words, part))}]"
        case dict():
            return f"{{{','.join(f'{name}:{_words(each)}' for name, each in part.items())}}}"
        case _:
            return json.dumps(part)


def _read(words: str) -> Any:
    """The value that Hydra reads, if it reads one."""
    return override.value() if (override := _parsed(words)) else None


def _parsed(words: str) -> Override | None:
    """As Hydra reads what is one level to it."""
    try:
        override = parse(f"x={words}")
    except HydraException:
        return None
    return None if override.is_sweep_override() else override


def _torn_numbers(text: str) -> list[str]:
    """The numbers with a _ among the values, outside of quotes.

    >>> _torn_numbers("[2024_11,b_1],'2024_12',a/2024_1")
    ['2024_11']
    """
    words = re.split(r"[\[\]{}(),:=\s]+", re.sub(r"'(\\'|[^'])*'|\"(\\\"|[^\"])*\"", "", text))
    return [each for each in words if "_" in each and _NUMBER.fullmatch(each)]
