"""Command lines as people type them, made into what Hydra takes: one spelling, flags first, nothing given twice."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.errors import OverrideParseException

from ablate.config import compose
from ablate.config.override import (
    ALIASES,
    NOTHING,
    canonical_override,
    for_shell,
    is_too_long,
    name_of,
    quoted,
    value_of,
)
from ablate.config.settings import GROUPS, Settings
from ablate.config.spelling import guess
from ablate.error import UserError

_PROGRAM = re.compile(r"^(\S*uv\s+run\s+)?(\S*python\S*\s+-m\s+ablate(\.run)?|ablate)(\s+run)?(?=\s)")
_SHOWING = {"--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc", "--run", "-r"}
_SINGLE, _MULTIRUN = {"--run", "-r"}, {"--multirun", "-m"}
_VERSION = "--version"
_TEXTS = ("wandb.notes", "study.question")  # which have spaces in them
_QUOTES = "what has spaces in it stands in quotes"
_WITHOUT_HYPHENS = "; a wandb sweep gives keys so with ${args_no_hyphens} in its command"


@dataclass(frozen=True)
class Line:
    """A command line, read: its flags, its overrides as they were meant, and what is wrong with how it is typed."""

    flags: argparse.Namespace
    overrides: list[str]
    problems: list[str]
    asks_version: bool


def read(arguments: Sequence[str]) -> Line:
    """A command line with all that is wrong with it."""
    flags, overrides, problems = _read(arguments)
    of_hydra = [flag for flag in flags if flag != _VERSION]  # whose version would be Hydra's
    return Line(compose.flags_of_hydra().parse_args(of_hydra), overrides, problems, _VERSION in flags)


def canonical(arguments: Sequence[str]) -> list[str]:
    """Flags, then overrides in one spelling, each key once.

    >>> canonical(["arch=pyramid", "--multirun", "optim=sgd,adamw", "optimizer=sgd,adamw"])
    ['--multirun', 'arch=pyramid', 'optimizer=sgd,adamw']

    A ready study is a multirun without saying so. Raises `UserError` for all that is wrong with how it is typed:
    unknown flags, keys given twice with different values, spaces where none may be.
    """
    flags, overrides, problems = _read(arguments)
    if problems:
        raise UserError("\n".join(problems))
    return [*flags, *overrides]


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
    if canonical_override(typed) != typed:
        short = next(short for short in ALIASES if typed.lstrip("+~").startswith(short))
        candidates = [candidate.replace(ALIASES[short], short, 1) for candidate in candidates]
    else:
        candidates += [f"{short}=" for short in ALIASES if typed and f"{short}=".startswith(typed)]
    print(" ".join(candidates))


def _read(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    problems: list[str] = []
    flags, typed = _split(_whole(arguments, problems), problems)
    problems += [f"{name_of(each)}: {said}" for each in typed if (said := is_too_long(each))]
    typed = [each for each in typed if each not in NOTHING and not is_too_long(each)]
    if _SINGLE & set(flags) and _MULTIRUN & set(flags):
        problems.append("--run and --multirun: the one asks for a single run, the other for many; leave one out")
    overrides = _once([_at_home(canonical_override(each)) for each in typed], problems)
    if any(name_of(each) == "study" for each in overrides) and not _SHOWING & set(flags) and "--multirun" not in flags:
        flags = ["--multirun", *flags]
    return flags, overrides, problems


def _whole(arguments: Sequence[str], problems: list[str]) -> list[str]:
    """The arguments with what spaces have torn apart put together again, each with its right spelling told."""
    whole: list[str] = []
    rest = list(reversed(arguments))
    while rest:
        parts = [rest.pop()]
        if spaced := re.fullmatch(r"([+~]*[\w.@/]+)(\s+=\s*|\s*=\s+)(\S+)", parts[0]):
            problems.append(f"{parts[0]}: no spaces around =; write {for_shell(f'{spaced[1]}={spaced[3]}')}")
            whole.append(f"{spaced[1]}={spaced[3]}")
            continue
        while rest and not rest[-1].startswith("-") and (slip := _slip(" ".join(parts), rest[-1])):
            parts.append(rest.pop())
            kind = slip
        if len(parts) == 1:
            whole.append(parts[0])
            continue
        meant = re.sub(r"\s*=\s*", "=", " ".join(parts), count=1)
        if name_of(meant) in _TEXTS and kind == _QUOTES:
            text = value_of(meant)
            meant = f"{name_of(meant)}={quoted(text) if chr(34) in text else f'{chr(34)}{text}{chr(34)}'}"
        meant = meant if "{" in meant else re.sub(r"\s*,\s*", ",", meant)
        problems.append(f"{' '.join(parts)}: {kind}; write {for_shell(meant)}")
        whole.append(meant)
    return whole


def _slip(before: str, after: str) -> str | None:
    """Why what stands before and after a space may belong together."""
    if before.startswith("-"):
        return None
    before = re.sub(r"'[^']*'|\"[^\"]*\"", "", before)  # what stands in quotes is whole
    if sum(before.count(each) for each in "[{(") > sum(before.count(each) for each in "]})"):
        return _QUOTES
    if after.startswith("=") or (before.endswith("=") and "=" not in after):
        return "no spaces around ="
    if "=" in before and "=" not in after and (before.endswith(",") or after.startswith(",")):
        return "no space beside a comma"
    if before.partition("=")[0] in _TEXTS and before.partition("=")[2] and "=" not in after:
        return _QUOTES
    return None


def _split(arguments: Sequence[str], problems: list[str]) -> tuple[list[str], list[str]]:
    actions = compose.flags_of_hydra()._option_string_actions
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
            overrides += _unknown_flag(argument, rest, list(actions), problems)
            continue
        action = actions[flag]
        choices = list(action.choices or ())
        if "rerun" in action.dest:
            problems.append(f"{flag}: loads a pickle, which can run code; give the overrides of result.json instead")
            value = value if given or not rest else rest.pop()
            continue
        if action.nargs == 0:
            flags.append(flag)
            if given:
                problems.append(f"{argument}: {flag} takes no value; leave {given}{value} out")
            continue
        if action.nargs == "?" and not given and not (rest and rest[-1] in choices):
            flags += [flag, str(action.const)]  # else the next override would be taken for the flag's value
            continue
        value = value if given else rest.pop() if rest else ""
        if not value or value.startswith("-") or (choices and value not in choices):
            expected = f"one of {', '.join(choices)}" if choices else "a value"
            problems.append(f"{flag}: expected {expected} behind it, found {value or 'nothing'}")
            continue
        flags += [flag, canonical_override(value) if flag in ("-p", "--package") else value]
    return flags, overrides


def _unknown_flag(argument: str, rest: list[str], known: Sequence[str], problems: list[str]) -> list[str]:
    """The override that an unknown flag was meant to be, if it was one; what to write is told."""
    flag, given, value = argument.partition("=")
    name = flag.lstrip("-").replace("-", "_")
    keys = [*GROUPS, *ALIASES, *Settings.__annotations__]
    has_value = bool(rest) and "=" not in rest[-1] and (not rest[-1].startswith("-") or _is_number(rest[-1]))
    if given or has_value or name.partition(".")[0] in keys:
        as_agent = _WITHOUT_HYPHENS if given else ""
        if not given:
            value = rest.pop() if has_value else "true" if Settings.__annotations__.get(name) is bool else "VALUE"
        typed = argument if given else f"{flag} {value}" if has_value else flag
        problems.append(f"{typed}: keys have no hyphens before them; write {for_shell(f'{name}={value}')}{as_agent}")
        return [f"{name}={value}"] if value not in ("", "VALUE") else []
    meant = guess(flag, [each for each in known if each.startswith("--")])
    did_you = f"did you mean {meant}? " if meant else ""
    problems.append(f"{argument}: unknown flag; {did_you}`--help` lists the keys, `--hydra-help` the flags")
    return []


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e-?\d+)?", text) is not None


def _at_home(override: str) -> str:
    """The override with a leading `~/` of its value expanded, which the shell does in assignments only."""
    key, _, value = override.partition("=")
    return f"{key}={Path(value).expanduser()}" if value.startswith("~/") else override


def _once(overrides: Sequence[str], problems: list[str]) -> list[str]:
    first: dict[str, str] = {}
    for override in overrides:
        name = name_of(override)
        if name not in first:
            first[name] = override
        elif _value(first[name]) != _value(override):
            before, now = value_of(first[name]), value_of(override)
            problems.append(f"{name}: given twice, as {before!r} and as {now!r}; give it once")
    return list(first.values())


def _value(override: str) -> object:
    """What an override sets, so that 1e-3 equals 0.001, but no true 1; where it can't be parsed, its text."""
    try:
        parsed = compose.parse(override)
    except OverrideParseException:
        return override
    is_text = parsed.is_sweep_override() or isinstance(parsed.value(), bool)
    return value_of(override) if is_text else parsed.value()
