"""The cells that a multirun's command line asks for: every one composed and checked before anything runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from ablate.command.diagnosis import mistakes, slip, wrong_range
from ablate.config.check import check_settings, instantiate, refuse
from ablate.config.compose import Composer, parse, resolve
from ablate.config.compositions import Compositions
from ablate.config.override import NOTHING, canonical_override, for_shell, name_of, quoted, sign_of, value_of, with_list
from ablate.config.settings import Config, Study
from ablate.display import Screen
from ablate.error import UserError, refusing
from ablate.recipe.data.corpus import NOT_OF_THE_FILES, drawing_seed
from ablate.record import team
from ablate.record.key import PLACES_OF_DATA, is_outside, key
from ablate.record.layout import Layout
from ablate.record.reading import CommandRecord
from ablate.study import design
from ablate.study.design import Arm, Factor

_NO_FACTORS = {
    "seed": "a seed is no factor but repeats every arm: study.seeds=3, or 'study.seeds=[0,5,7]'",
    "study": "settings of the whole study: give one value",
    "team": "the same for the whole study: give your own number, team.member=2",
    "wandb": "the same for the whole study: give one value",
}
_LISTS = {"study.seeds": "seeds", "team.stores": "folders"}
_OF_ONE_COMMAND = (
    "team.member", "team.stores", "output_dir", "rerun", "progress", "plot", "study.dry_run", "study.coverage",
)  # fmt: skip
_FILES = ("study", "experiment")  # groups whose files may set a study
_FEWER = "fewer levels, or a design that does not combine them all: ofat, path, fraction"
_DIGITS = 12  # of a range's levels, which are sums: 0.1 + 0.1 + 0.1 is 0.30000000000000004


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
    whole: DictConfig  # of the baseline, with Hydra's own node
    factors: list[Factor]
    aliases: list[str]
    cells: list[Composed]  # each key once
    command: CommandRecord  # by which all of it can be asked again
    notes: list[str]  # on what may surprise


@dataclass(frozen=True)
class _Given:
    """The overrides that are the same in all cells, and the factors in order, each with the sign before its name."""

    fixed: list[str]
    factors: list[Factor]
    signs: dict[str, str]

    def levels(self, factors: Sequence[Factor], arm: Sequence[str]) -> list[str]:
        """The overrides of an arm of these factors."""
        return [f"{self.signs[factor.name]}{factor.name}={level}" for factor, level in zip(factors, arm, strict=True)]


def ask(composer: Composer, arguments: Sequence[str]) -> Asked:
    """The cells of a command line, seed by seed, so that what is trained at any time compares all arms.

    Raises `UserError` for all mistakes in any of them that can be seen without torch.
    """
    refuse(said for each in arguments if (said := slip(composer, each, multirun=True)))
    try:
        given, notes = _given(composer, arguments)
    except UserError:
        refuse(all_mistakes(composer, arguments))
        raise
    baseline = [*given.fixed, *given.levels(given.factors, [factor.levels[0] for factor in given.factors])]
    try:
        whole = composer.whole(baseline, "multirun")
        base = check_settings(resolve(_without_hydra(whole)), baseline)
    except Exception:
        refuse(_mistakes_of_all(composer, given))
        raise
    team.check(base)
    arms, aliases = _arms(base["study"], given.factors)
    seeds = _seeds(base)
    varied = [factor for factor in given.factors if len(factor.levels) > 1]
    with refusing():
        named = {design.label(varied, arm): arm for arm in arms}
        seeds_of = design.seeds_of(list(named), seeds, [_canonical_stop(each) for each in base["study"]["stop"]])
    if (number := sum(map(len, seeds_of.values()))) > design.MOST_RUNS:
        raise UserError(f"study: expected at most {design.MOST_RUNS:,} runs, found {number:,}; {_FEWER}")
    all_cells = _compose_all(composer, given, named, seeds_of)
    composed = sorted(all_cells, key=lambda cell: seeds.index(cell.seed))
    cells, equal = _distinct(composed)
    command = _command(composer, arguments, base)
    return Asked(base, whole, given.factors, aliases, cells, command, [*notes, *equal])


def _command(composer: Composer, arguments: Sequence[str], base: Config) -> CommandRecord:
    """What is asked for, but who asks, what only looks, and Hydra's settings, which are this machine's own."""
    kept = [each for each in arguments if name_of(each) not in _OF_ONE_COMMAND]
    places = [each for each in _anywhere(kept, base) if name_of(each) not in _OF_ONE_COMMAND]
    return {"config_name": composer.config_name, "folders": composer.folders, "overrides": places}


def rehearse(cells: Sequence[Composed]) -> None:
    """Find what only the parts of a training find wrong with a config, for one seed of each arm: it needs torch.

    Raises `UserError`.
    """
    arms = {cell.arm: cell for cell in cells}
    if not arms:
        return
    from ablate.training import prepare

    problems: dict[str, str] = {}
    for arm, cell in arms.items():
        try:
            prepare.rehearse(cell.config, instantiate(cell.config, "data"))
        except UserError as error:
            for line in str(error).splitlines():
                problems.setdefault(line, arm)
    _refuse_of_arms(problems)


def _refuse_of_arms(problems: Mapping[str, str]) -> None:
    """Raise `UserError` for problems, each with the first arm that has it."""
    refuse(line if arm == design.label([], ()) else f"{arm}: {line}" for line, arm in problems.items())


def check_data(cells: Sequence[Composed], screen: Screen) -> None:
    """Read all data that the cells train on into the cache, each once.

    Raises `UserError` that names what is wrong with them, or with a cell that they are too few for.
    """
    told: set[str] = set()
    of_data: dict[tuple[str, float, int | None], list[Composed]] = {}
    for cell in cells:
        data = cell.config["data"]
        files = json.dumps({name: value for name, value in data.items() if name not in NOT_OF_THE_FILES})
        seed = drawing_seed(data["fraction"], cell.config["seed"])
        of_data.setdefault((files, data["fraction"], seed), []).append(cell)
    if not of_data:
        return
    from ablate.training.data import check_size, load

    problems: dict[str, str] = {}
    for (files, _, _), alike in of_data.items():
        says = Screen(quiet=True) if files in told else screen
        train, _ = load(alike[0].config, instantiate(alike[0].config, "data"), says)
        told.add(files)
        for cell in alike:
            try:
                check_size(cell.config, sum(train.lengths))
            except UserError as error:
                problems.setdefault(str(error), cell.arm)
    _refuse_of_arms(problems)


def _given(composer: Composer, arguments: Sequence[str]) -> tuple[_Given, list[str]]:
    """What a command line gives, and what is to be said of its factors."""
    in_file = _factors_of_file(composer, [each for each in arguments if name_of(each) in _FILES])
    levels, notes = dict(in_file), []
    signs = dict.fromkeys(in_file, "")
    for argument in arguments:
        name, override = name_of(argument), composer.parsed(argument)
        if name.startswith("study.factors"):
            raise UserError(
                f"{name}: is for a study's file; on the command line give the levels: arch=cylinder,pyramid"
            )
        if not override.is_sweep_override() and name not in in_file:
            continue
        levels[name] = levels_of(override)
        signs[name] = sign_of(argument)
        if in_file and (before := in_file.get(name)) != levels[name]:
            was = f"instead of {', '.join(before)}" if before else "which the study's file does not have"
            notes.append(f"{name}: {', '.join(levels[name])}, {was}")
    if len(levels) > design.MOST_FACTORS:
        raise UserError(f"study.factors: expected at most {design.MOST_FACTORS} factors, found {len(levels)}")
    typed = {name_of(each): value_of(each) for each in arguments}
    refuse(problem for name in levels if (problem := _no_factor(name, typed.get(name, ""))))
    fixed = [argument for argument in arguments if name_of(argument) not in levels]
    return _Given(fixed, [Factor(name, given) for name, given in levels.items()], signs), notes


def _no_factor(name: str, typed: str) -> str | None:
    """Why a key can't be a factor."""
    if what := _LISTS.get(name):
        return f"{name}: can't be swept; a list of {what} stands in brackets: {for_shell(f'{name}=[{typed}]')}"
    if reason := _NO_FACTORS.get(name.split(".")[0].split("@")[0]):
        quoted_text = for_shell(f'{name}="{typed}"')
        text = f"; a text with a comma stands in quotes: {quoted_text}" if ", " in typed else ""
        return f"{name}: can't be swept; {reason}{text}"
    if is_outside(name) and name not in PLACES_OF_DATA:
        return f"{name}: can't be swept, since it can't change a result; give one value"
    return None


def _factors_of_file(composer: Composer, chosen: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The factors of a ready study, each a YAML list of levels, a single one, or Hydra's syntax in a string."""
    of_files = [each for each in chosen if not composer.is_sweep(each)]
    try:
        content, without = (OmegaConf.to_container(composer.compose(each)) for each in (of_files, []))
    except Exception:
        refuse(mistakes(composer, of_files, multirun=True))
        raise
    assert isinstance(content, dict) and isinstance(without, dict)
    study = [each for each in of_files if name_of(each) == "study"]
    alone = OmegaConf.to_container(composer.compose(study))
    assert isinstance(alone, dict)
    changed = [str(name) for name in alone if name != "study" and alone[name] != without.get(name)]
    if changed:
        raise UserError(
            f"{study[0]}: its file sets {changed[0]}; a factor with one level does: factors: {{{changed[0]}: [...]}}"
        )
    given = (content.get("study") or {}).get("factors") or {}
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
        found[name] = levels_of(composer.parsed(f"{name}={','.join(map(_written, levels))}"))
    return found


def levels_of(override: Override) -> tuple[str, ...]:
    """The levels of an override, one where it is no sweep."""
    if not override.is_sweep_override():
        return (override.get_value_element_as_str(),)
    if isinstance(swept := override.value(), RangeSweep) and (said := wrong_range(swept)):
        raise UserError(f"{override.input_line}: {said}")
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: expected a list, range, choice or glob, which give a number of levels")
    if getattr(override.value(), "shuffle", False):
        raise UserError(f"{override.input_line}: every member would have another order; leave the shuffle out")
    found = tuple(override.sweep_string_iterator())
    if not found:
        raise UserError(f"{override.input_line}: matches nothing; expected one level at least")
    if len(found) > design.MOST_LEVELS:
        raise UserError(
            f"{override.key_or_group}: expected at most {design.MOST_LEVELS:,} levels, found {len(found):,}"
        )
    if isinstance(override.value(), RangeSweep):
        return tuple(
            level if level.lstrip("-").isdigit() else str(float(f"{float(level):.{_DIGITS}g}")) for level in found
        )
    return found


def _written(level: Any) -> str:
    """A level from YAML as it would stand in an override."""
    return level if isinstance(level, str) else json.dumps(level).replace('"', "")


def _without_hydra(whole: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(whole, [str(name) for name in whole if name != "hydra"])


def all_mistakes(composer: Composer, arguments: Sequence[str]) -> list[str]:
    """All that is wrong with a multirun's command line, as far as that needs no plan."""
    found = [said for each in arguments if (said := slip(composer, each, multirun=True))]
    try:
        given, _ = _given(composer, [each for each in arguments if not slip(composer, each, multirun=True)])
        return [*found, *_mistakes_of_all(composer, given)]
    except UserError as error:
        lines = str(error).splitlines()
        told = {line.partition(": ")[0] for line in lines}
        others = [each for each in arguments if name_of(each) not in (*told, "study") and not composer.is_sweep(each)]
        return [*found, *lines, *mistakes(composer, others, multirun=True)]


def _mistakes_of_all(composer: Composer, given: _Given) -> Iterator[str]:
    """All that is wrong with what is the same in all cells, and with each level beside the first of the others."""
    first = given.levels(given.factors, [factor.levels[0] for factor in given.factors])
    yield from mistakes(composer, [*given.fixed, *first], multirun=True)
    for number, factor in enumerate(given.factors):
        for level in factor.levels[1:]:
            others = [*first[:number], *first[number + 1 :]]
            yield from mistakes(composer, [*given.fixed, *others, *given.levels([factor], [level])], multirun=True)


def _seeds(base: Config) -> list[int]:
    asked = base["study"]["seeds"]
    if asked is None:
        return [base["seed"]]
    if isinstance(asked, int):
        return [base["seed"] + number for number in range(asked)]
    if len(set(asked)) < len(asked):
        raise UserError(f"study.seeds: expected each seed once, found {asked}")
    return list(asked)


def _arms(study: Study, factors: Sequence[Factor]) -> tuple[list[Arm], list[str]]:
    varied = [factor for factor in factors if len(factor.levels) > 1]
    if study["design"] == "grid" and (number := math.prod(len(each.levels) for each in varied)) > design.MOST_RUNS:
        raise UserError(f"study.design=grid: expected at most {design.MOST_RUNS:,} arms, found {number:,}; {_FEWER}")
    with refusing():
        arms = design.arms(study["design"], varied, study["resolution"])
        aliases = design.aliases(study["design"], varied, study["resolution"]) if varied else []
        if study["exclude"] and study["design"] == "fraction":
            raise ValueError(
                "study.exclude: a fraction that lacks some of its runs has other aliases; take study.design=grid"
            )
        arms = design.without(arms, varied, [_canonical_pattern(pattern) for pattern in study["exclude"]])
    return arms, aliases


def _canonical_pattern(pattern: str) -> str:
    """An exclusion with names and levels spelled as the arms have them.

    >>> _canonical_pattern("optim=sgd, optim.lr=1e-2")
    'optimizer=sgd,optimizer.lr=0.01'
    """
    parts = [parse(canonical_override(part)) for part in design.split(pattern) if "=" in part]
    return ",".join(f"{part.key_or_group}={part.get_value_element_as_str()}" for part in parts) or pattern


def _canonical_stop(entry: str) -> str:
    arm, _, number = entry.rpartition(":")
    return f"{_canonical_pattern(arm)}:{number}" if arm else entry


def _compose_all(
    composer: Composer, given: _Given, arms: Mapping[str, Arm], seeds_of: Mapping[str, Sequence[int]]
) -> list[Composed]:
    """Every cell, composed and checked as far as that needs no torch; an arm once for all its seeds.

    Raises `UserError` that names all mistakes of all arms.
    """
    varied = [factor for factor in given.factors if len(factor.levels) > 1]
    single = [factor for factor in given.factors if len(factor.levels) == 1]
    fixed = [each for each in given.fixed if name_of(each) not in ("seed", "study")]
    fixed = [each for each in fixed if not name_of(each).startswith("study.")]
    shared = [*fixed, *given.levels(single, [factor.levels[0] for factor in single])]
    compositions, fingerprints = Compositions(composer), dict[str, str]()
    cells, problems, are_levels_sound = list[Composed](), dict[str, str](), False
    for name, arm in arms.items():
        levels = given.levels(varied, arm)
        try:
            for seed in seeds_of[name]:
                config = check_settings(compositions.resolve([*shared, *levels, f"seed={seed}"]), [*shared, *levels])
                cells.append(_cell(config, (name, seed), shared, levels, fingerprints))
        except UserError as error:
            for line in str(error).splitlines():
                problems.setdefault(line, f"{name}: {line}" if levels else line)
        except Exception:
            if not are_levels_sound:
                refuse([*problems.values(), *_mistakes_of_all(composer, given)])
                are_levels_sound = True
            for line in mistakes(composer, [*shared, *levels], multirun=True):
                problems.setdefault(line, line)
            if not problems:
                raise
    refuse(problems.values())
    return cells


def _cell(
    config: Config, place: tuple[str, int], shared: Sequence[str], levels: Sequence[str], known: dict[str, str]
) -> Composed:
    """The cell of an arm and a seed; `known` are the fingerprints of data that other cells have asked for."""
    arm, seed = place
    data = json.dumps([config["data"], config["output_dir"]], sort_keys=True, default=str)
    if data not in known:
        corpus = instantiate(config, "data")
        with refusing():
            track = Screen(progress=config["progress"]).track
            known[data] = corpus.fingerprint(Layout(Path(config["output_dir"])).cache, track)
    planned = [each for each in shared if not is_outside(name_of(each))]
    return Composed(
        arm=arm,
        seed=seed,
        key=key(config, known[data]),
        fingerprint=known[data],
        config=config,
        overrides=[*planned, *levels, f"seed={seed}"],
        job=[*_anywhere([*shared, *levels], config), f"seed={seed}", f"study.arm={quoted(arm)}"],
    )


def _anywhere(overrides: Sequence[str], config: Config) -> list[str]:
    """The overrides of a job, its folders absolute: who runs it may stand in another folder."""
    folders: dict[str, object] = {"output_dir": config["output_dir"]}
    folders |= {place: config["data"].get(place.removeprefix("data.")) for place in PLACES_OF_DATA}
    absolute = {
        place: f"{place}={_text(str(Path(str(folder)).expanduser().resolve()))}"
        for place, folder in folders.items()
        if folder is not None
    }
    if stores := team.absolute(config["team"]["stores"]):
        absolute["team.stores"] = with_list("team.stores", stores)
    if claims := config["team"]["claims"]:
        absolute["team.claims"] = f"team.claims={_text(*team.absolute([claims]))}"
    given = [each for each in overrides if name_of(each) not in absolute and each not in NOTHING]
    return [*given, *absolute.values()]


def _text(value: str) -> str:
    """Text as a value of an override, in quotes where it needs them."""
    return value if re.fullmatch(r"[/\w.-]*[/A-Za-z_][/\w.-]*", value, re.ASCII) else quoted(value)


def _distinct(cells: Sequence[Composed]) -> tuple[list[Composed], list[str]]:
    """The cells, each key once, and a line on those that were another's equal."""
    first: dict[str, Composed] = {}
    equal = [(cell.arm, first[cell.key].arm) for cell in cells if first.setdefault(cell.key, cell) is not cell]
    notes = [f"{arm} is the same experiment as {other}, and is left out" for arm, other in dict.fromkeys(equal)]
    return list(first.values()), notes
