"""The cells that a multirun's command line asks for: every one composed and checked before anything runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ablate.command.diagnosis import mistakes, slip
from ablate.config.check import check_settings, instantiate, refuse
from ablate.config.compose import Composer, parse, resolve
from ablate.config.compositions import Compositions
from ablate.config.override import NOTHING, canonical_override, name_of, quoted, with_list
from ablate.config.settings import Config, Study
from ablate.display import Screen
from ablate.error import UserError, refusing
from ablate.file import at_home
from ablate.multirun.factors import Given, all_mistakes, factors_of, mistakes_of_all
from ablate.recipe.data.corpus import NOT_OF_THE_FILES, drawing_seed
from ablate.record import team
from ablate.record.key import PLACES_OF_DATA, is_outside, key
from ablate.record.layout import Layout
from ablate.record.reading import CommandRecord
from ablate.study import design
from ablate.study.design import Arm, Factor

_OF_ONE_COMMAND = (
    "team.member", "team.stores", "output_dir", "rerun", "progress", "plot", "study.dry_run", "study.coverage",
)  # fmt: skip
_Known = dict[str, str | UserError]  # of data that cells have asked for, the fingerprint or what is wrong with them
_MOST_IN_VAIN = 3  # arms that do not compose for known reasons alone; to find these takes a third of a second each
_FEWER = "fewer levels, or a design that does not combine them all: ofat, path, fraction"


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


def ask(composer: Composer, arguments: Sequence[str]) -> Asked:
    """The cells of a command line, seed by seed, so that what is trained at any time compares all arms.

    Raises `UserError` for all mistakes in any of them that can be seen without torch.
    """
    refuse(said for each in arguments if (said := slip(composer, each, multirun=True)))
    try:
        given, notes = factors_of(composer, arguments)
    except UserError:
        refuse(all_mistakes(composer, arguments))
        raise
    baseline = [*given.fixed, *given.levels(given.factors, [factor.levels[0] for factor in given.factors])]
    try:
        whole = composer.whole(baseline, "multirun")
        base = check_settings(resolve(_without_hydra(whole)), baseline)
    except Exception:
        refuse(mistakes_of_all(composer, given))
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
    all_cells = _compose_all(composer, given, base, named, seeds_of)
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
        frames = sum(train.lengths)
        for cell in alike:
            try:
                check_size(cell.config, frames)
            except UserError as error:
                problems.setdefault(str(error), cell.arm)
    _refuse_of_arms(problems)


def _without_hydra(whole: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(whole, [str(name) for name in whole if name != "hydra"])


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
    composer: Composer, given: Given, base: Config, arms: Mapping[str, Arm], seeds_of: Mapping[str, Sequence[int]]
) -> list[Composed]:
    """Every cell, composed and checked as far as that needs no torch; an arm once for all its seeds.

    Raises `UserError` that names all mistakes of all arms.
    """
    varied = [factor for factor in given.factors if len(factor.levels) > 1]
    single = [factor for factor in given.factors if len(factor.levels) == 1]
    fixed = [each for each in given.fixed if name_of(each) not in ("seed", "study")]
    fixed = [each for each in fixed if not name_of(each).startswith("study.")]
    shared = [*fixed, *given.levels(single, [factor.levels[0] for factor in single])]
    compositions, known = Compositions(composer), _Known()
    cells, problems, are_levels_sound, in_vain = list[Composed](), dict[str, str](), False, 0
    for name, arm in arms.items():
        levels = given.levels(varied, arm)
        try:
            for seed in seeds_of[name]:
                config = check_settings(compositions.resolve([*shared, *levels, f"seed={seed}"]), [*shared, *levels])
                _check_of_study(config, base, cells[0].config if cells else config)
                cells.append(_cell(config, (name, seed), shared, levels, known))
        except UserError as error:
            for line in str(error).splitlines():
                problems.setdefault(line, f"{name}: {line}" if levels else line)
        except Exception:
            if not are_levels_sound:
                if of_levels := mistakes_of_all(composer, given):
                    refuse([*of_levels, *(problems[line] for line in problems if line not in of_levels)])
                are_levels_sound = True
            known_before = len(problems)
            for line in mistakes(composer, [*shared, *levels], multirun=True):
                problems.setdefault(line, line)
            if not problems:
                raise
            in_vain += len(problems) == known_before
            if in_vain == _MOST_IN_VAIN:
                break
    refuse(problems.values())
    return cells


def _check_of_study(config: Config, base: Config, first: Config) -> None:
    """Raise `UserError` where what is of the whole study is not: its places, and what its levels say of it."""
    for name, mine, of_study in (
        ("output_dir", config["output_dir"], base["output_dir"]),
        ("team.claims", config["team"]["claims"], base["team"]["claims"]),
    ):
        if mine != of_study:
            raise UserError(f"{name}: {of_study} for the study and {mine} for a run of it; give it without ${{...}}")
    if config["study"] != first["study"]:
        others = {**first["study"]}
        differing = next(name for name, value in config["study"].items() if value != others[name])
        raise UserError(
            f"study.{differing}: set by one level and not by another, but it is the same for the whole study; leave "
            "it out of the level's file"
        )


def _cell(
    config: Config, place: tuple[str, int], shared: Sequence[str], levels: Sequence[str], known: _Known
) -> Composed:
    """The cell of an arm and a seed."""
    arm, seed = place
    fingerprint = _fingerprint(config, known)
    planned = [each for each in shared if not is_outside(name_of(each))]
    return Composed(
        arm=arm,
        seed=seed,
        key=key(config, fingerprint),
        fingerprint=fingerprint,
        config=config,
        overrides=[*planned, *levels, f"seed={seed}"],
        job=[*_anywhere([*shared, *levels], config), f"seed={seed}", f"study.arm={quoted(arm)}"],
    )


def _fingerprint(config: Config, known: _Known) -> str:
    """That of the config's data. Raises `UserError` for what is wrong with them."""
    data = json.dumps([config["data"], config["output_dir"]], sort_keys=True, default=str)
    if data not in known:
        try:
            corpus, track = instantiate(config, "data"), Screen(progress=config["progress"]).track
            with refusing():
                known[data] = corpus.fingerprint(Layout(Path(config["output_dir"])).cache, track)
        except UserError as error:
            known[data] = error
    if isinstance(found := known[data], UserError):
        raise found.with_traceback(None)
    return found


def _anywhere(overrides: Sequence[str], config: Config) -> list[str]:
    """The overrides of a job, its folders absolute: who runs it may stand in another folder."""
    folders: dict[str, object] = {"output_dir": config["output_dir"]}
    folders |= {place: config["data"].get(place.removeprefix("data.")) for place in PLACES_OF_DATA}
    absolute = {
        place: f"{place}={_text(str(at_home(str(folder)).resolve()))}"
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
