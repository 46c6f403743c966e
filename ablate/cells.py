"""The cells that a multirun's command line asks for: every one composed and checked before anything runs."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from ablate import compose
from ablate.command_line import canonical_override
from ablate.compose import Config
from ablate.display import Screen
from ablate.error import UserError
from ablate.record.key import is_outside, key
from ablate.study import design
from ablate.study.design import Arm, Factor

_NO_FACTORS = {
    "seed": "a seed is no factor but repeats every arm: study.seeds=3, or study.seeds=[0,5,7]",
    "study": "settings of the whole study: give one value",
    "team": "the same for the whole study: give your own number, team.member=2",
    "wandb": "the same for the whole study: give one value",
}


@dataclass(frozen=True)
class Composed:
    """A cell before it is known whose it is."""

    arm: str
    seed: int
    key: str
    fingerprint: str
    config: Config
    overrides: list[str]  # of the plan: alike for all members
    job: list[str]  # for the launcher


@dataclass(frozen=True)
class Asked:
    """What a command line asks for."""

    base: Config  # of what is the same in all cells, and of the settings of the study
    factors: list[Factor]
    aliases: list[str]
    cells: list[Composed]  # each key once
    notes: list[str]  # on what may surprise


def ask(arguments: Sequence[str]) -> Asked:
    """The cells of a command line, seed by seed, so that what is trained at any time compares all arms.

    Raises `UserError` for a mistake in any of them that can be seen without torch.
    """
    fixed, factors, notes = _factors(arguments)
    baseline = [*fixed, *(f"{factor.name}={factor.levels[0]}" for factor in factors)]
    base = _checked(compose.resolve(compose.compose(baseline)), fixed)
    arms, aliases = _arms(base["study"], factors)
    seeds = _seeds(base)
    composed = sorted(_compose_all(fixed, factors, arms, seeds), key=lambda cell: seeds.index(cell.seed))
    cells, equal = _distinct(composed)
    return Asked(base, factors, aliases, cells, [*notes, *equal])


def rehearse(cells: Sequence[Composed]) -> None:
    """Find what only the parts of a training find wrong with a config, for one seed of each arm: it needs torch.

    Raises `UserError`.
    """
    arms = {cell.arm: cell for cell in cells}
    if not arms:
        return
    from ablate import prepare

    for arm, cell in arms.items():
        try:
            prepare.rehearse(cell.config, compose.instantiate(cell.config, "data"))
        except UserError as error:
            raise UserError(f"{arm}: {error}") from error


_NOT_OF_THE_FILES = ("context", "fraction", "boundary", "dtype")


def check_data(cells: Sequence[Composed], screen: Screen) -> None:
    """Read all data that the cells train on into the cache, each once.

    Raises `UserError` that names what is wrong with them.
    """
    told: set[str] = set()
    distinct: dict[tuple[str, float, int], Composed] = {}
    for cell in cells:
        data = cell.config["data"]
        files = json.dumps({name: value for name, value in data.items() if name not in _NOT_OF_THE_FILES})
        seed = cell.config["seed"] if data["fraction"] < 1 else 0
        distinct.setdefault((files, data["fraction"], seed), cell)
    if not distinct:
        return
    from ablate import prepare

    for (files, _, _), cell in distinct.items():
        says = Screen(quiet=True) if files in told else screen
        prepare.load(cell.config, compose.instantiate(cell.config, "data"), says)
        told.add(files)


def _factors(arguments: Sequence[str]) -> tuple[list[str], list[Factor], list[str]]:
    """The overrides that are the same in all cells, the factors in order, and what is to be said of them."""
    in_file = _factors_of_file([argument for argument in arguments if argument.startswith("study=")])
    levels, notes = dict(in_file), []
    for argument in arguments:
        name, override = _name(argument), _parsed(argument)
        if name.startswith("study.factors"):
            raise UserError(
                f"{name}: is for a study's file; on the command line give the levels: arch=cylinder,pyramid"
            )
        if not override.is_sweep_override() and name not in in_file:
            continue
        levels[name] = _levels(override)
        if in_file and (before := in_file.get(name)) != levels[name]:
            was = f"instead of {', '.join(before)}" if before else "which the study's file does not have"
            notes.append(f"{name}: {', '.join(levels[name])}, {was}")
    for name in levels:
        _check_is_factor(name)
    fixed = [argument for argument in arguments if _name(argument) not in levels]
    return fixed, [Factor(name, given) for name, given in levels.items()], notes


def _name(override: str) -> str:
    return override.partition("=")[0].lstrip("+")


_PLACES = ("data.root", "data.alignments")  # outside of the key, but what lies there is in it


def _check_is_factor(name: str) -> None:
    if reason := _NO_FACTORS.get(name.split(".")[0].split("@")[0]):
        raise UserError(f"{name}: can't be swept; {reason}")
    if is_outside(name) and name not in _PLACES:
        raise UserError(f"{name}: can't be swept, since it can't change a result; give one value")


def _factors_of_file(study: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The factors of a ready study, each a YAML list of levels, a single one, or Hydra's syntax in a string."""
    if not study:
        return {}
    content, without = (OmegaConf.to_container(compose.compose(each)) for each in (study, []))
    assert isinstance(content, dict) and isinstance(without, dict)
    if more := [str(name) for name in content if name != "study" and content[name] != without.get(name)]:
        raise UserError(
            f"{study[0]}: its file sets {more[0]}; a factor with one level does: factors: {{{more[0]}: [...]}}"
        )
    given = content["study"]["factors"] or {}
    if not isinstance(given, dict):
        raise UserError(f"study.factors: expected groups and keys with their levels, found {given!r}")
    found: dict[str, tuple[str, ...]] = {}
    for key_or_group, value in given.items():
        name = canonical_override(str(key_or_group))
        if name in found:
            raise UserError(f"study.factors.{name}: given twice; give it once")
        if isinstance(value, dict) or value in (None, []):
            raise UserError(
                f"study.factors.{name}: expected a list of levels, such as arch.depth: [2, 4], found {value!r}"
            )
        levels = value if isinstance(value, list) else [value]
        found[name] = _levels(_parsed(f"{name}={','.join(map(_written, levels))}"))
    return found


@functools.cache
def _parsed(override: str) -> Override:
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None  # a glob asks it for the options
    return OverridesParser.create(config_loader=loader).parse_overrides([override])[0]


def _levels(override: Override) -> tuple[str, ...]:
    """The levels of an override, one where it is no sweep."""
    if not override.is_sweep_override():
        return (override.get_value_element_as_str(),)
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: expected a list, range, choice or glob, which give a number of levels")
    if getattr(override.value(), "shuffle", False):
        raise UserError(f"{override.input_line}: every member would have another order; leave the shuffle out")
    found = tuple(override.sweep_string_iterator())
    if not found:
        raise UserError(f"{override.input_line}: matches nothing; expected one level at least")
    return found


def _written(level: Any) -> str:
    """A level from YAML as it would stand in an override."""
    return level if isinstance(level, str) else json.dumps(level).replace('"', "")


def _checked(config: Config, overrides: Sequence[str]) -> Config:
    compose.check_settings(config, overrides)
    return config


def _seeds(base: Config) -> list[int]:
    asked = base["study"]["seeds"]
    if asked is None:
        return [base["seed"]]
    if isinstance(asked, int):
        return [base["seed"] + number for number in range(asked)]
    if len(set(asked)) < len(asked):
        raise UserError(f"study.seeds: expected each seed once, found {asked}")
    return list(asked)


def _arms(study: Mapping[str, Any], factors: Sequence[Factor]) -> tuple[list[Arm], list[str]]:
    varied = [factor for factor in factors if len(factor.levels) > 1]
    try:
        arms = design.arms(study["design"], varied, study["resolution"])
        aliases = design.aliases(study["design"], varied, study["resolution"]) if varied else []
        if study["exclude"] and study["design"] == "fraction":
            raise ValueError(
                "study.exclude: a fraction that lacks some of its runs has other aliases; take study.design=grid"
            )
        arms = design.without(arms, varied, [_canonical_pattern(pattern) for pattern in study["exclude"]])
    except ValueError as error:
        raise UserError(str(error)) from error
    return arms, aliases


def _canonical_pattern(pattern: str) -> str:
    """An exclusion with names and levels spelled as the arms have them.

    >>> _canonical_pattern("optim=sgd, optim.lr=1e-2")
    'optimizer=sgd,optimizer.lr=0.01'
    """
    parts = [_parsed(canonical_override(part)) for part in design.split(pattern) if "=" in part]
    return ",".join(f"{part.key_or_group}={part.get_value_element_as_str()}" for part in parts) or pattern


def _compose_all(
    fixed: Sequence[str], factors: Sequence[Factor], arms: Sequence[Arm], seeds: Sequence[int]
) -> Iterator[Composed]:
    """Every cell, composed and checked as far as that needs no torch; an arm once for all its seeds."""
    varied = [factor for factor in factors if len(factor.levels) > 1]
    constant = [f"{factor.name}={factor.levels[0]}" for factor in factors if len(factor.levels) == 1]
    given = [each for each in fixed if not each.startswith(("seed=", "study=", "study."))]
    compositions = compose.Compositions()
    for arm in arms:
        levels = [f"{factor.name}={level}" for factor, level in zip(varied, arm, strict=True)]
        composed = compositions.compose([*given, *constant, *levels])
        name = design.label(varied, arm)
        for seed in seeds:
            composed["seed"] = seed
            try:
                config = _checked(compose.resolve(composed), [*given, *constant, *levels])
                corpus = compose.instantiate(config, "data")
                fingerprint = _fingerprint(config, corpus)
            except (UserError, ValueError) as error:
                raise UserError(f"{name}: {error}" if levels else str(error)) from error
            shared = [each for each in [*given, *constant] if not is_outside(each.lstrip("+").partition("=")[0])]
            yield Composed(
                arm=name,
                seed=seed,
                key=key(config, fingerprint),
                fingerprint=fingerprint,
                config=config,
                overrides=[*shared, *levels, f"seed={seed}"],
                job=[*given, *constant, *levels, f"seed={seed}", f"study.arm={quoted(name)}"],
            )


_fingerprints: dict[str, str] = {}


def _fingerprint(config: Config, corpus: Any) -> str:
    """The data's fingerprint, asked for once for all cells that share the data."""
    content = json.dumps([config["data"], config["output_dir"]], sort_keys=True, default=str)
    if content not in _fingerprints:
        _fingerprints[content] = corpus.fingerprint(Path(config["output_dir"], "cache"), Screen().track)
    return _fingerprints[content]


def quoted(text: str) -> str:
    """The text as a value of an override."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _distinct(cells: Sequence[Composed]) -> tuple[list[Composed], list[str]]:
    """The cells, each key once, and a line on those that were another's equal."""
    first: dict[str, Composed] = {}
    equal = [(cell.arm, first[cell.key].arm) for cell in cells if first.setdefault(cell.key, cell) is not cell]
    notes = [f"{arm} is the same experiment as {other}, and is left out" for arm, other in dict.fromkeys(equal)]
    return list(first.values()), notes
