"""Command lines as people type them, made into what Hydra takes: one spelling, flags first, nothing given twice."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from ablate.error import UserError

ALIASES = {"optim": "optimizer"}

_ALIASED = re.compile(rf"^(\+\+|\+|~)?({'|'.join(ALIASES)})(?=[@.=]|$)")
_PROGRAM = re.compile(r"^(\S*uv\s+run\s+)?(\S*python\S*\s+-m\s+ablate\.run|ablate)(?=\s)")


def canonical(arguments: Sequence[str]) -> list[str]:
    """Flags, then overrides in one spelling, each key once.

    >>> canonical(["arch=pyramid", "--multirun", "optim=sgd,adamw", "optimizer=sgd,adamw"])
    ['--multirun', 'arch=pyramid', 'optimizer=sgd,adamw']

    A ready study is a multirun without saying so. Raises `UserError` for an unknown flag and for a key given twice with
    different values.
    """
    flags, overrides = _split(arguments)
    if not flags and any(override.startswith("study=") for override in overrides):
        flags = ["--multirun"]
    return [*flags, *_once([_at_home(canonical_override(override)) for override in overrides])]


def canonical_override(override: str) -> str:
    """An override, or the beginning of one, with its group's own name.

    >>> canonical_override("++optim.lr=1")
    '++optimizer.lr=1'
    """
    return _ALIASED.sub(lambda match: (match[1] or "") + ALIASES[match[2]], override)


def complete(answer: Callable[[], None]) -> None:
    """Let Hydra's completion, which `answer` prints, understand and give back the aliases of the word typed.

    Hydra reads the line from COMP_LINE; it knows no `python -m`, so that goes by the name of the console script.
    """
    line = _PROGRAM.sub("ablate", os.environ.get("COMP_LINE", ""))
    typed = line.rpartition(" ")[2]
    os.environ["COMP_LINE"] = " ".join(map(canonical_override, line.split(" ")))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        answer()
    candidates = printed.getvalue().split()
    if alias := _ALIASED.match(typed):
        candidates = [candidate.replace(ALIASES[alias[2]], alias[2], 1) for candidate in candidates]
    else:
        candidates += [f"{short}=" for short in ALIASES if typed and f"{short}=".startswith(typed)]
    print(" ".join(candidates))


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    actions = get_args_parser()._option_string_actions
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(reversed(arguments))
    while rest:
        argument = rest.pop()
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        flag, given, value = argument.partition("=")
        if flag not in actions:
            raise UserError(f"{argument}: unknown flag; `--help` lists the keys, `--hydra-help` the flags")
        action = actions[flag]
        choices = list(action.choices or ())
        flags.append(flag)
        if action.nargs == 0:
            continue
        if action.nargs == "?" and not given and not (rest and rest[-1] in choices):
            flags.append(str(action.const))  # else the next override would be taken for the flag's value
            continue
        value = value if given else rest.pop() if rest else ""
        if not value or value.startswith("-") or (choices and value not in choices):
            expected = f"one of {', '.join(choices)}" if choices else "a value"
            raise UserError(f"{flag}: expected {expected} behind it, found {value or 'nothing'}")
        flags.append(canonical_override(value) if flag in ("-p", "--package") else value)
    return flags, overrides


def _at_home(override: str) -> str:
    """The override with a leading `~/` of its value expanded, which the shell does in assignments only."""
    key, _, value = override.partition("=")
    return f"{key}={Path(value).expanduser()}" if value.startswith("~/") else override


def _once(overrides: Sequence[str]) -> list[str]:
    first: dict[str, str] = {}
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.lstrip("+")
        if key not in first:
            first[key] = override
        elif _value(first[key]) != _value(override):
            before = first[key].partition("=")[2]
            raise UserError(f"{key}: given twice, as {before!r} and as {value!r}; give it once")
    return list(first.values())


def _value(override: str) -> object:
    """What an override sets, so that 1e-3 equals 0.001; where it can't be parsed, its text."""
    try:
        parsed = OverridesParser.create().parse_override(override)
    except OverrideParseException:
        return override
    return override.partition("=")[2] if parsed.is_sweep_override() else parsed.value()
