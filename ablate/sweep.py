"""A multirun: the study's cells are planned, and what is mine and not finished is launched."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from ablate.cells import Asked, Composed, ask, check_data, quoted, rehearse
from ablate.compose import files_read_once
from ablate.display import Screen, Sweep, duration
from ablate.error import BusyError, IncompleteError, UserError
from ablate.record import store, tracking
from ablate.study import plan, power, shares
from ablate.study.plan import Cell, Plan

_MOST_RECORDS = 200  # that an estimate of hours looks at


@files_read_once()
def sweep(arguments: Sequence[str], launcher: Launcher) -> list[JobReturn]:
    """Plan the study of a command line, and run what is mine and not finished.

    Raises `UserError` before anything runs, `IncompleteError` where a run failed or coverage shows a gap.
    """
    screen = Screen()
    asked = ask(arguments)
    study, output_dir = asked.base["study"], Path(asked.base["output_dir"])
    if asked.base["plot"]:
        from ablate import plot

        screen.say(plot.draw({cell.arm: plot.learning_rates(cell.config) for cell in asked.cells}, output_dir))
        return []
    member, size = _member(asked)
    made = _plan(asked, size)
    _update(made, output_dir)
    ended = {cell.key for cell in made.cells if cell.status in plan.ENDED}
    rehearse([cell for cell in asked.cells if asked.base["rerun"] or cell.key not in ended])
    mine = {cell.key for cell in made.of(member if size > 1 else None)}
    todo = [cell for cell in asked.cells if cell.key in mine and (asked.base["rerun"] or cell.key not in ended)]

    for note in asked.notes:
        screen.say(note)
    _describe(made, member, output_dir, screen)
    screen.say(f"left to do here: {len(todo)} runs{_hours(todo, output_dir)}" if todo else "nothing is left to do here")
    store.write_plan(output_dir, made.study, made.content())
    if study["dry_run"] or study["coverage"]:
        _cover(made, screen, must_be_whole=study["coverage"])
        return []
    check_data(todo, screen)
    results: dict[str, JobReturn] = {}
    try:
        _launch(todo, made, launcher, results, fail_fast=study["fail_fast"])
    finally:  # an interruption too: what has ended has ended
        _update(made, output_dir)
        store.write_plan(output_dir, made.study, made.content())
        failures = _conclude(made, todo, results, output_dir, screen)
    if failures:
        raise IncompleteError(f"{failures} of {len(todo)} runs failed; the same command runs just these again")
    return list(results.values())


def _member(asked: Asked) -> tuple[int | None, int]:
    """Who asks, and how many share the study."""
    team, study = asked.base["team"], asked.base["study"]
    member, size = team["member"], team["size"]
    if size and not member and not (study["dry_run"] or study["coverage"]):
        raise UserError(f"team.member: missing; give your number, from 1 to team.size={size}")
    if size and member and member > size:
        raise UserError(f"team.member={member}: expected a number up to team.size={size}")
    if member and not size:
        asked.notes.append(f"team.size is not given: all of the study is yours, not only the share of member {member}")
    return member, size or 1


def _plan(asked: Asked, size: int) -> Plan:
    study, cells = asked.base["study"], asked.cells
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
        factors={factor.name: list(factor.levels) for factor in asked.factors},
        seeds=seeds,
        margin=study["margin"],
        aliases=asked.aliases,
        size=size,
        baseline=arms[0].arm,
        cells=[
            Cell(cell.key, cell.arm, cell.seed, owners[place[cell.arm]][seeds.index(cell.seed)], cell.overrides)
            for cell in cells
        ],
    )
    return made if made.study else dataclasses.replace(made, study=made.plan_id)


def _update(made: Plan, output_dir: Path) -> None:
    plan.update(made.cells, store.statuses(output_dir, [cell.key for cell in made.cells]))


def _describe(made: Plan, member: int | None, output_dir: Path, screen: Screen) -> None:
    """The plan, before anything runs."""
    if (before := store.plan_id(output_dir, made.study)) not in (None, made.plan_id):
        screen.say(f"study {made.study} was another plan before, {before}: it is kept as plan-{before}.json")
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


def _cover(made: Plan, screen: Screen, *, must_be_whole: bool) -> None:
    """Show whose each cell is and how far; raise `IncompleteError` if all should be finished and are not."""
    for line in [*plan.table(made), plan.proof(made), f"all: {plan.tally(made.cells)}"]:
        screen.say(line)
    left = sum(cell.status not in plan.ENDED for cell in made.cells)
    if must_be_whole and left:
        raise IncompleteError(f"{made.study}: {left} of {len(made.cells)} runs are not finished")


def _hours(cells: Sequence[Composed], output_dir: Path) -> str:
    """How long the cells take, by what this machine took for its latest runs on such data."""
    from ablate.prepare import cost

    seconds = store.seconds_per_cost(output_dir, {cell.fingerprint for cell in cells}, _MOST_RECORDS)
    if seconds is None:
        return "; how long they take is known after the first"
    of_arm = {arm: cost(config) for arm, config in {cell.arm: cell.config for cell in cells}.items()}
    return f", about {duration(seconds * sum(of_arm[cell.arm] for cell in cells))} on this machine"


def _launch(
    todo: Sequence[Composed], made: Plan, launcher: Launcher, results: dict[str, JobReturn], *, fail_fast: bool
) -> None:
    """Run the cells by Hydra's launcher, one by one where that is what it does, else all at once, into `results`."""
    one_by_one = type(launcher).__name__ == "BasicLauncher"
    batches = [[cell] for cell in todo] if one_by_one else [list(todo)] if todo else []
    with Sweep(len(todo)) as progress:
        for number, batch in enumerate(batches):
            jobs = [[*cell.job, f"study.name={quoted(made.study)}", f"study.design={made.design}"] for cell in batch]
            returned = launcher.launch(jobs, initial_job_idx=number)
            results.update({cell.key: each for cell, each in zip(batch, returned, strict=True)})
            for _ in batch:
                progress.advance()
            if fail_fast and any(_failure(each) for each in returned):
                break


def _failure(returned: JobReturn) -> Exception | None:
    """How a run failed; a run that another process has did not."""
    if returned.status is not JobStatus.FAILED or isinstance(returned._return_value, BusyError):
        return None
    return cast(Exception, returned._return_value)


def _unsynced(made: Plan, results: Mapping[str, JobReturn], output_dir: Path) -> list[Path]:
    """The folders of what wandb's server does not have of the study, as far as is known here."""
    told = [each.return_value for each in results.values() if each.status is JobStatus.COMPLETED and each.return_value]
    folders = [Path(shlex.split(str(command))[-1]) for command in told]
    return list(dict.fromkeys([*tracking.offline_runs(output_dir, [cell.key for cell in made.cells]), *folders]))


def _conclude(
    made: Plan, todo: Sequence[Composed], results: Mapping[str, JobReturn], output_dir: Path, screen: Screen
) -> int:
    """Tell what has become of the study, and what to do next; the number of failures."""
    from ablate.refusal import in_words

    screen.say(f"study {made.study}, plan {made.plan_id}: {plan.tally(made.cells)}")
    if unsynced := _unsynced(made, results, output_dir):
        listed = store.write_list(output_dir, made.study, "unsynced.txt", unsynced)
        how_to_sync = f"tr '\\n' '\\0' < {shlex.quote(str(listed))} | xargs -0 wandb sync"
        screen.say(f"wandb: `{how_to_sync}` uploads {len(unsynced)} runs of the study")
    failed = [(cell, error) for cell in todo if cell.key in results and (error := _failure(results[cell.key]))]
    for cell, error in failed:
        text = in_words(error, cell.job).splitlines()[0]
        screen.say(f"failed: {cell.arm} seed {cell.seed}: {text} ({output_dir / 'runs' / cell.key})")
    completed = {key for key, each in results.items() if each.status is JobStatus.COMPLETED}
    strayed = [cell for cell in made.cells if cell.key in completed and cell.status not in plan.ENDED]
    for stray in strayed:
        screen.say(f"failed: {stray.arm} seed {stray.seed}: its data have changed since the study began")
    return len(failed) + len(strayed)
