"""A multirun: the study's cells are composed and checked, planned, and this member's share is launched."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from ablate import compose
from ablate.command_line import canonical_override
from ablate.compose import Config
from ablate.display import Screen, Sweep, duration
from ablate.error import BusyError, IncompleteError, UserError
from ablate.record import store, tracking
from ablate.record.key import is_outside, key
from ablate.study import design, plan, power, shares
from ablate.study.design import Arm, Factor
from ablate.study.plan import Cell, Plan

_NO_FACTORS = {
    "seed": "a seed is no factor but repeats every arm: study.seeds=3, or study.seeds=[0,5,7]",
    "study": "settings of the whole study: give one value",
    "team": "the same for the whole study: give your own number, team.member=2",
    "wandb": "the same for the whole study: give one value",
}
_MOST_RECORDS = 200  # that an estimate of hours looks at


@dataclass(frozen=True)
class Drawn:
    """A cell before it is known whose it is: its config, and what it costs relative to others."""

    arm: str
    seed: int
    key: str
    fingerprint: str
    config: Config
    overrides: list[str]  # of the plan: alike for all members
    job: list[str]  # for the launcher


def sweep(arguments: Sequence[str], launcher: Launcher) -> list[JobReturn]:
    """Plan the study of a command line, and run what is mine and not finished.

    Raises `UserError` before anything runs, `IncompleteError` where a run failed or coverage shows a gap.
    """
    screen = Screen()
    fixed, factors, notes = _factors(arguments)
    base = _checked(compose.resolve(compose.compose(fixed)), fixed)
    study, team, output_dir = base["study"], base["team"], Path(base["output_dir"])
    if team["size"] and not team["member"] and not (study["dry_run"] or study["coverage"]):
        raise UserError(f"team.member: missing; give your number, from 1 to team.size={team['size']}")
    if team["size"] and (team["member"] or 1) > team["size"]:
        raise UserError(f"team.member={team['member']}: expected a number up to team.size={team['size']}")
    arms, aliases = _arms(study, factors)
    seeds = _seeds(base)
    # Seed by seed, so that what has been trained at any time compares all arms.
    drawn = sorted(_compose_all(fixed, factors, arms, seeds), key=lambda cell: seeds.index(cell.seed))
    cells, collapsed = _distinct(drawn)
    if base["plot"]:
        _plot(cells, output_dir, screen)
        return []
    made = _plan(study, team["size"] or 1, factors, aliases, cells, output_dir)
    plan.update(made.cells, store.statuses(output_dir, [cell.key for cell in made.cells]))
    ended = {cell.key for cell in made.cells if cell.status in plan.ENDED}
    _rehearse([cell for cell in cells if cell.key not in ended])

    for note in [*notes, *collapsed]:
        screen.say(note)
    if (before := store.plan_id(output_dir, made.study)) not in (None, made.plan_id):
        screen.say(f"study {made.study} was another plan before, {before}: it is kept as plan-{before}.json")
    _describe(made, team["member"], cells, output_dir, screen)
    _write(made, output_dir)
    if study["dry_run"] or study["coverage"]:
        for line in [*plan.table(made), plan.proof(made), f"all: {plan.tally(made.cells)}"]:
            screen.say(line)
        left = sum(cell.status not in plan.ENDED for cell in made.cells)
        if study["coverage"] and left:
            raise IncompleteError(f"{made.study}: {left} of {len(made.cells)} runs are not finished")
        return []
    mine = {cell.key for cell in made.of(team["member"] if team["size"] else None)}
    todo = [cell for cell in cells if cell.key in mine and (base["rerun"] or cell.key not in ended)]
    try:
        results = _launch(todo, made, launcher, fail_fast=study["fail_fast"])
    except BaseException:  # an interruption: what has ended has ended
        _write(made, output_dir)
        raise
    _conclude(made, todo, results, output_dir, screen)
    return list(results.values())


def _factors(arguments: Sequence[str]) -> tuple[list[str], list[Factor], list[str]]:
    """The overrides that are the same in all cells, the factors in order, and what is to be said of them."""
    parsed = [_parsed(argument) for argument in arguments]
    swept = {str(each.get_key_element()).lstrip("+"): each for each in parsed if each.is_sweep_override()}
    for name in swept:
        if reason := _NO_FACTORS.get(name.split(".")[0].split("@")[0]):
            raise UserError(f"{name}: can't be swept; {reason}")
        if is_outside(name) and name != "data.root":
            raise UserError(f"{name}: can't be swept, since it can't change a result; give one value")
    fixed = [argument for argument, each in zip(arguments, parsed, strict=True) if not each.is_sweep_override()]
    of_file = compose.compose([each for each in fixed if each.startswith(("study=", "study.factors"))])["study"][
        "factors"
    ]
    named = {canonical_override(str(name)): value for name, value in (of_file or {}).items()}
    levels = {name: _levels_of_file(name, value) for name, value in named.items()}
    in_file = dict(levels)
    notes = []
    for each in parsed:
        name = str(each.get_key_element())
        if each.is_sweep_override():
            found = _levels(each)
        elif name in levels:
            found = (each.get_value_element_as_str(),)
        else:
            continue
        if in_file and (before := in_file.get(name)) != found:
            was = f"instead of {', '.join(before)}" if before else "which the study's file does not have"
            notes.append(f"{name}: {', '.join(found)}, {was}")
        levels[name] = found
    fixed = [each for each in fixed if each.partition("=")[0] not in levels]
    return fixed, [Factor(name, given) for name, given in levels.items()], notes


@functools.cache
def _parsed(override: str) -> Override:
    loader = GlobalHydra.instance().config_loader()  # a glob asks it for the options
    return OverridesParser.create(config_loader=loader).parse_overrides([override])[0]


def _levels(override: Override) -> tuple[str, ...]:
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: expected a list, range, choice or glob, which give a number of levels")
    found = tuple(override.sweep_string_iterator())
    if not found:
        raise UserError(f"{override.input_line}: matches nothing; expected one level at least")
    return found


def _levels_of_file(name: str, value: Any) -> tuple[str, ...]:
    """The levels of a study's file: a YAML list of them, or Hydra's syntax in a string."""
    text = value if isinstance(value, str) else ",".join(map(_written, value if value is not None else []))
    if not text:
        raise UserError(f"study.factors.{name}: expected a list of levels, found {value!r}")
    override = _parsed(f"{name}={text}")
    return _levels(override) if override.is_sweep_override() else (override.get_value_element_as_str(),)


def _written(level: Any) -> str:
    """A level from YAML as it would stand in an override."""
    if isinstance(level, str):
        return level
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(level) if OmegaConf.is_config(level) else level
    return json.dumps(plain).replace('"', "")


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
        arms = design.without(arms, varied, study["exclude"])
    except ValueError as error:
        raise UserError(str(error)) from error
    return arms, aliases


def _compose_all(
    fixed: Sequence[str], factors: Sequence[Factor], arms: Sequence[Arm], seeds: Sequence[int]
) -> Iterator[Drawn]:
    """Every cell, composed and checked as far as that needs no torch; an arm once for all its seeds."""
    varied = [factor for factor in factors if len(factor.levels) > 1]
    constant = [f"{factor.name}={factor.levels[0]}" for factor in factors if len(factor.levels) == 1]
    compositions = compose.Compositions()
    given = [each for each in fixed if not each.startswith(("seed=", "study=", "study."))]
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
            yield Drawn(
                arm=name,
                seed=seed,
                key=key(config, fingerprint),
                fingerprint=fingerprint,
                config=config,
                overrides=[*shared, *levels, f"seed={seed}"],
                job=[*given, *constant, *levels, f"seed={seed}", f"study.arm={_quoted(name)}"],
            )


_fingerprints: dict[str, str] = {}


def _fingerprint(config: Config, corpus: Any) -> str:
    """The data's fingerprint, asked for once for all cells that share the data."""
    content = json.dumps([config["data"], config["output_dir"]], sort_keys=True, default=str)
    if content not in _fingerprints:
        _fingerprints[content] = corpus.fingerprint(Path(config["output_dir"], "cache"))
    return _fingerprints[content]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _distinct(cells: Sequence[Drawn]) -> tuple[list[Drawn], list[str]]:
    """The cells, each key once, and a line on those that were another's equal."""
    first: dict[str, Drawn] = {}
    equal = [(cell.arm, first[cell.key].arm) for cell in cells if first.setdefault(cell.key, cell) is not cell]
    notes = [f"{arm} is the same experiment as {other}, and is left out" for arm, other in dict.fromkeys(equal)]
    return list(first.values()), notes


def _rehearse(cells: Sequence[Drawn]) -> None:
    """Find what only the parts of a training find wrong with a config, for one seed of each arm."""
    arms = {cell.arm: cell for cell in cells}
    if not arms:
        return
    from ablate.prepare import rehearse

    for arm, cell in arms.items():
        try:
            rehearse(cell.config, compose.instantiate(cell.config, "data"))
        except UserError as error:
            raise UserError(f"{arm}: {error}") from error


def _plan(
    study: Mapping[str, Any],
    size: int,
    factors: Sequence[Factor],
    aliases: list[str],
    cells: Sequence[Drawn],
    output_dir: Path,
) -> Plan:
    seeds = list(dict.fromkeys(cell.seed for cell in cells))
    arms = list({cell.arm: cell for cell in cells}.values())
    costs = [1.0] * len(arms)
    if shares.are_split(len(seeds), size):  # else they don't count, and need no torch
        from ablate.prepare import cost

        costs = [cost(arm.config) for arm in arms]
    owners = shares.owners(costs, len(seeds), size)
    place = {arm.arm: number for number, arm in enumerate(arms)}
    made = Plan(
        study=study["name"] or "",
        question=study["question"],
        design=study["design"],
        factors={factor.name: list(factor.levels) for factor in factors},
        seeds=seeds,
        margin=study["margin"],
        aliases=aliases,
        size=size,
        baseline=arms[0].arm,
        cells=[
            Cell(cell.key, cell.arm, cell.seed, owners[place[cell.arm]][seeds.index(cell.seed)], cell.overrides)
            for cell in cells
        ],
    )
    return made if made.study else dataclasses.replace(made, study=made.plan_id)


def _plot(cells: Sequence[Drawn], output_dir: Path, screen: Screen) -> None:
    from ablate import plot

    screen.say(plot.draw({cell.arm: plot.learning_rates(cell.config) for cell in cells}, output_dir))


def _describe(made: Plan, member: int | None, cells: Sequence[Drawn], output_dir: Path, screen: Screen) -> None:
    """The plan, before anything runs."""
    finished = {
        (cell.arm, cell.seed): accuracy
        for cell in made.cells
        if cell.status == "finished" and (accuracy := store.accuracy(output_dir, cell.key)) is not None
    }
    screen.say(
        f"study {made.study}, plan {made.plan_id}: {made.design} of {len(made.arms)} arms x {len(made.seeds)} seeds = "
        f"{len(made.cells)} runs; baseline {made.baseline}"
    )
    if made.question:
        screen.say(f"question: {made.question}")
    if made.size > 1:
        for number in range(1, made.size + 1):
            seeds = sorted({cell.seed for cell in made.of(number)})
            mine = " (you)" if number == member else ""
            screen.say(
                f"member {number}{mine}: seeds {', '.join(map(str, seeds)) or 'none'}; {plan.tally(made.of(number))}"
            )
    noise = power.noise(finished)
    detectable = power.detectable(len(made.arms), len(made.seeds))
    for line in plan.limits(made, detectable, noise, shares.are_split(len(made.seeds), made.size)):
        screen.say(line)
    keys = {cell.key for cell in made.of(member if made.size > 1 else None) if cell.status not in plan.ENDED}
    left = [cell for cell in cells if cell.key in keys]
    screen.say(f"left to do here: {len(left)} runs{_hours(left, output_dir)}" if left else "nothing is left to do here")


def _hours(cells: Sequence[Drawn], output_dir: Path) -> str:
    """How long the cells take, by what this machine took for its latest runs on such data."""
    from ablate.prepare import cost

    seconds = store.seconds_per_cost(output_dir, {cell.fingerprint for cell in cells}, _MOST_RECORDS)
    if seconds is None:
        return "; how long they take is known after the first"
    return f", about {duration(seconds * sum(cost(cell.config) for cell in cells))} on this machine"


def _launch(todo: Sequence[Drawn], made: Plan, launcher: Launcher, *, fail_fast: bool) -> dict[str, JobReturn]:
    """Run the cells by Hydra's launcher: one by one where that is what it does, else all at once."""
    one_by_one = type(launcher).__name__ == "BasicLauncher"
    batches = [[cell] for cell in todo] if one_by_one else [list(todo)] if todo else []
    results: dict[str, JobReturn] = {}
    with Sweep(len(todo)) as progress:
        for number, batch in enumerate(batches):
            jobs = [[*cell.job, f"study.name={_quoted(made.study)}", f"study.design={made.design}"] for cell in batch]
            returned = launcher.launch(jobs, initial_job_idx=number)
            results |= {cell.key: each for cell, each in zip(batch, returned, strict=True)}
            for _ in batch:
                progress.advance()
            if fail_fast and any(_failure(each) for each in returned):
                break
    return results


def _failure(returned: JobReturn) -> Exception | None:
    """How a run failed; a run that another process has did not."""
    if returned.status is not JobStatus.FAILED or isinstance(returned._return_value, BusyError):
        return None
    return cast(Exception, returned._return_value)


def _write(made: Plan, output_dir: Path) -> Path:
    """Put the plan beside the study's other files, with what has become of its cells."""
    plan.update(made.cells, store.statuses(output_dir, [cell.key for cell in made.cells]))
    return store.write_plan(output_dir, made.study, made.content())


def _unsynced(made: Plan, results: Mapping[str, JobReturn], output_dir: Path) -> list[Path]:
    """The folders of what wandb's server does not have of the study, as far as is known here."""
    told = [each.return_value for each in results.values() if each.status is JobStatus.COMPLETED and each.return_value]
    folders = [Path(str(command).removeprefix("wandb sync ")) for command in told]
    return list(dict.fromkeys([*tracking.offline_runs(output_dir, [cell.key for cell in made.cells]), *folders]))


def _conclude(
    made: Plan, todo: Sequence[Drawn], results: Mapping[str, JobReturn], output_dir: Path, screen: Screen
) -> None:
    """What has become of the study, and what to do next."""
    from ablate.refusal import refusal

    file = _write(made, output_dir)
    screen.say(f"study {made.study}, plan {made.plan_id}: {plan.tally(made.cells)}; {file}")
    if unsynced := _unsynced(made, results, output_dir):
        listed = store.write_list(output_dir, made.study, "unsynced.txt", unsynced)
        screen.say(
            f"wandb: `tr '\\n' '\\0' < {listed} | xargs -0 wandb sync` uploads {len(unsynced)} runs of the study"
        )
    failed = [(cell, error) for cell in todo if cell.key in results and (error := _failure(results[cell.key]))]
    for cell, error in failed:
        said = refusal(error, cell.job)
        text = said[1] if said else f"{type(error).__name__}: {error}"
        screen.say(f"failed: {cell.arm} seed {cell.seed}: {text.splitlines()[0]} ({output_dir / 'runs' / cell.key})")
    if failed:
        raise IncompleteError(f"{len(failed)} of {len(todo)} runs failed; the same command runs just these again")
