"""A multirun: the study's cells are planned, and what is mine and not finished is launched."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from hydra.core.utils import JobReturn

from ablate.command.refusal import in_words
from ablate.config.check import refuse
from ablate.config.compose import Composer, failure
from ablate.config.override import quoted
from ablate.display import Screen, Sweep, duration
from ablate.error import IncompleteError, TakenError, UserError
from ablate.multirun import claiming, staging
from ablate.multirun.allotment import allot
from ablate.multirun.cells import Asked, Composed, ask, check_data, rehearse
from ablate.multirun.launch import cell, failure_of, is_one_by_one, launch
from ablate.record import layout, lookup, reading, store, team, tracking, upload, wandb_settings
from ablate.record.dispatch import Dispatch
from ablate.record.layout import Layout
from ablate.record.reading import PlanRecord
from ablate.record.status import ENDED, Status
from ablate.record.store import RunFolder
from ablate.record.team import Elsewhere, Found
from ablate.study import plan, power, shares
from ablate.study.plan import Cell, Plan
from ablate.training.run import claims_of
from ablate.training.session import Session

_MOST_RECORDS = 200  # that an estimate of hours looks at


def multirun(
    composer: Composer, overrides: Sequence[str], typed: Sequence[str], recorded: PlanRecord | None = None
) -> int:
    """Plan the study of a command line, and run what is mine and not finished, stage by stage; the exit code.

    Where a plan is `recorded`, the study of its name must be that plan. Raises `UserError` before anything runs,
    `IncompleteError` where a run failed or coverage shows a gap.
    """
    asked = ask(composer, overrides)
    code = 1
    try:
        for turn in staging.turns(composer, overrides, asked, _name(asked)):
            _study(composer, turn, recorded)
        code = 0
    except UserError:
        code = 2
        raise
    except KeyboardInterrupt:
        code = 130
        raise
    finally:
        tracking.tell_multirun_end(asked.base, code, " ".join(typed))
    return code


def _study(composer: Composer, asked: Asked, recorded: PlanRecord | None) -> None:
    screen, session = Screen(progress=asked.base["progress"]), Session(fail_fast=asked.base["study"]["fail_fast"])
    study, places = asked.base["study"], Layout(Path(asked.base["output_dir"]))
    if asked.base["plot"]:
        from ablate.training import plot

        screen.say(plot.draw({cell.arm: plot.learning_rates(cell.config) for cell in asked.cells}, places))
        return
    member, size = _member(asked)
    made = _plan(asked, size)
    if recorded and recorded["study"] == made.study and recorded["plan_id"] != made.plan_id:
        raise UserError(
            f"study {made.study}: its command would now be another plan, {made.plan_id} instead of "
            f"{recorded['plan_id']}: its data, an option's file, ablate's version or what you added differ; the "
            "study's own command begins anew"
        )
    if claims := claims_of(asked.base):
        claiming.bring_in(claims, places, [each.key for each in made.cells])
    elsewhere, unknown = _elsewhere(made, asked)
    theirs, problems = _update(made, places, asked, elsewhere)
    todo, owed = _todo(asked, made, member if size > 1 else None)
    rehearse(owed)
    told = [*asked.notes, *unknown, *problems]
    for note in told:
        screen.say(note)
    told += _describe(made, member, places, theirs, screen)
    number = f"{len(todo)} {'run' if len(todo) == 1 else 'runs'}"
    screen.say(f"left to do here: {number}{_hours(todo, places)}" if todo else "nothing is left to do here")
    launcher, only_looks = composer.launcher(asked.whole, partial(cell, session)), study["dry_run"] or study["coverage"]
    allotment = allot(launcher, asked.base, len(todo))
    is_another = _record(made, asked, elsewhere, screen, only_looks=only_looks)
    if only_looks:
        _cover(made, screen, must_be_whole=study["coverage"])
        return
    if todo:
        mode, _ = wandb_settings.choose_mode(asked.base["wandb"]["mode"])  # refused here rather than by each run
        for note in wandb_settings.not_heeded(asked.base, is_multirun=True) if mode != "disabled" else ():
            screen.say(note)
    check_data(todo, screen)
    results: dict[str, JobReturn] = {}
    try:
        session.gpus = allotment.gpus
        session.dispatch = None if is_one_by_one(launcher) else Dispatch.of(places, made.study)
        with Sweep(len(todo), asked.base["progress"]) as session.sweep:
            given = [f"study.name={quoted(made.study)}", f"study.design={made.design}", *allotment.overrides]
            jobs = {each.key: [*each.job, *given] for each in todo}
            launch(jobs, _turns(asked, jobs, results), launcher, results, session)
    finally:  # an interruption too: what has ended has ended
        _update(made, places, asked, elsewhere)
        for each in made.cells:  # a run that its data refuse leaves no record
            if each.status == "missing" and each.key in results and failure_of(results[each.key]):
                each.status = "failed"
        store.write_plan(places, made.study, made.content())
        failures = _conclude(made, todo, results, places, screen)
        if claims:
            for line in claiming.held(claims, [each.key for each in made.cells]):
                screen.say(line)
    _report(made, places, screen, told, anew=is_another or bool(results))
    if failures:
        raise IncompleteError(f"{failures} of {len(todo)} runs failed; the same command runs just these again")


def _name(asked: Asked) -> str:
    """The study's, or its plan's id."""
    return asked.base["study"]["name"] or _plan(dataclasses.replace(asked, notes=[]), 1).study


def _member(asked: Asked) -> tuple[int | None, int]:
    """Who asks, and how many share the study."""
    team, study = asked.base["team"], asked.base["study"]
    member, size = team["member"], team["size"]
    if size and not member and not (study["dry_run"] or study["coverage"]):
        raise UserError(f"team.member: missing; give your number, from 1 to team.size={size}")
    if size and member and member > size:
        raise UserError(f"team.member={member}: expected a number up to team.size={size}")
    if member and not size and not team["claims"]:
        asked.notes.append(f"team.size is not given: all of the study is yours, not only the share of member {member}")
    return member, size or 1


def _plan(asked: Asked, size: int) -> Plan:
    study, cells = asked.base["study"], asked.cells
    seeds = list(dict.fromkeys(cell.seed for cell in cells))
    arms = list({cell.arm: cell for cell in cells}.values())
    costs = [1.0] * len(arms)
    if shares.are_split(len(seeds), size):  # else they don't count, and need no torch
        from ablate.training.prepare import cost

        costs = [cost(arm.config) for arm in arms]
    owners = shares.owners(costs, len(seeds), size)
    if how_to_be_fair := shares.unequal(costs, len(seeds), size):
        asked.notes.append(how_to_be_fair)
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


def _elsewhere(made: Plan, asked: Asked) -> tuple[Elsewhere, list[str]]:
    """Where team-mates' results are, wandb asked once; and what is to be said of that."""
    in_wandb, problems = lookup.of_study(asked.base, made.study, [each.key for each in made.cells])
    return Elsewhere(team.folders(asked.base["team"]), in_wandb), problems


def _update(made: Plan, places: Layout, asked: Asked, elsewhere: Elsewhere) -> tuple[dict[str, Found], list[str]]:
    """Put what is known of the runs into the plan: what the folder has, else what team-mates have ended.

    Gives the latter by key, and a line on each of their records that is malformed. Raises `UserError` that names
    every malformed record of the folder's own.
    """
    claims = claims_of(asked.base)
    found: dict[str, Status] = {}
    theirs: dict[str, Found] = {}
    malformed, problems = list[str](), list[str]()
    for each in made.cells:
        try:
            found[each.key] = RunFolder(places, each.key).status()
        except UserError as error:
            malformed.append(str(error))
            continue
        if found[each.key] not in ENDED:
            ended, said = team.find(elsewhere, each.key)
            problems += said
            if ended:
                theirs[each.key] = ended
                found[each.key] = ended.result["status"]
            elif claims and claiming.is_held(claims.last(each.key)):
                found[each.key] = "running"
    refuse(malformed)
    plan.update(made.cells, found)
    return theirs, problems


def _todo(asked: Asked, made: Plan, member: int | None) -> tuple[list[Composed], list[Composed]]:
    """The cells that are mine and left to do, and those that are anybody's."""
    ended = {cell.key for cell in made.cells if cell.status in ENDED and not asked.base["rerun"]}
    mine = {cell.key for cell in made.of(member)}
    owed = [cell for cell in asked.cells if cell.key not in ended]
    return [cell for cell in owed if cell.key in mine], owed


def _describe(made: Plan, member: int | None, places: Layout, theirs: Mapping[str, Found], screen: Screen) -> list[str]:
    """Show the plan, before anything runs; gives what is said of team-mates' results."""
    finished = {}
    for each in made.cells:
        result = RunFolder(places, each.key).result() if each.status == "finished" else None
        result = theirs[each.key].result if each.key in theirs else result
        if result and (accuracy := result["metrics"]["val/accuracy"]) is not None:
            finished[each.arm, each.seed] = accuracy
    screen.say(
        f"study {made.study}, plan {made.plan_id}: {made.design} of {len(made.arms)} arms x {_seeds(made)}; "
        f"baseline {made.baseline}"
    )
    if made.question:
        screen.say(f"question: {made.question}")
    if made.size > 1:
        for number in range(1, made.size + 1):
            seeds = sorted({each.seed for each in made.of(number)})
            mine = " (you)" if number == member else ""
            screen.say(
                f"member {number}{mine}: seeds {', '.join(map(str, seeds)) or 'none'}; {plan.tally(made.of(number))}"
            )
    credits = team.credits((each.result, each.place) for each in theirs.values())
    for line in credits:
        screen.say(line)
    noise = power.noise(finished)
    detectable = power.detectable(len(made.arms), len(made.seeds))
    for line in plan.limits(made, detectable, noise, shares.are_split(len(made.seeds), made.size)):
        screen.say(line)
    return credits


def _seeds(made: Plan) -> str:
    """How many seeds, and what that makes."""
    is_whole = len(made.cells) == len(made.arms) * len(made.seeds)
    number = f"{len(made.seeds)} seeds"
    return f"{number} = {len(made.cells)} runs" if is_whole else f"at most {number}: {len(made.cells)} runs"


def _cover(made: Plan, screen: Screen, *, must_be_whole: bool) -> None:
    """Show whose each cell is and how far; raise `IncompleteError` if all should be finished and are not."""
    for line in [*plan.table(made), plan.proof(made), f"all: {plan.tally(made.cells)}"]:
        screen.say(line)
    left = sum(each.status not in ENDED for each in made.cells)
    if must_be_whole and left:
        raise IncompleteError(f"{made.study}: {left} of {len(made.cells)} runs are not finished")


def _hours(cells: Sequence[Composed], places: Layout) -> str:
    """How long the cells take, by what this machine took for its latest runs on such data."""
    from ablate.training.prepare import cost

    seconds = store.seconds_per_cost(places, {each.fingerprint for each in cells}, _MOST_RECORDS)
    if seconds is None:
        return "; how long they take is known after the first"
    of_arm = {arm: cost(config) for arm, config in {each.arm: each.config for each in cells}.items()}
    return f", about {duration(seconds * sum(of_arm[each.arm] for each in cells))} on this machine"


def _turns(asked: Asked, jobs: Mapping[str, object], results: Mapping[str, JobReturn]) -> Iterator[list[str]]:
    """Again and again what may be run now, of the jobs: all that has not been, or what no other member has taken."""

    def is_open(key: str) -> bool:
        return key in jobs and (key not in results or isinstance(failure(results[key]), TakenError))

    if claims := claims_of(asked.base):
        seeds = {each.key: each.seed for each in asked.cells}
        turns = claiming.turns(claims, seeds, asked.base["team"]["member"], is_open)
    else:
        turns = iter(lambda: [key for key in jobs if key not in results], [])
    for turn in turns:
        yield turn
        if asked.base["study"]["fail_fast"] and any(map(failure_of, results.values())):
            return


def _conclude(
    made: Plan, todo: Sequence[Composed], results: Mapping[str, JobReturn], places: Layout, screen: Screen
) -> int:
    """Tell what has become of the study, and what to do next; the number of failures."""
    screen.say(f"study {made.study}, plan {made.plan_id}: {plan.tally(made.cells)}")
    if unsynced := upload.left(places, made.study, {each.key for each in made.cells}):
        runs = f"{len(unsynced)} run{'s' if len(unsynced) > 1 else ''}"
        screen.say(f"wandb: `{upload.command(places, made.study)}` uploads {runs} of the study")
    failures, ended = 0, {each.key for each in made.cells if each.status in ENDED}
    for each in todo:
        if each.key in results and (why := _what_went_wrong(results[each.key], each, places, ended)):
            screen.say(f"failed: {each.arm} seed {each.seed}: {why}")
            failures += 1
    return failures


def _record(made: Plan, asked: Asked, elsewhere: Elsewhere, screen: Screen, *, only_looks: bool) -> bool:
    """Write the plan, unless it is only looked at and another of its name has been begun; whether it is another."""
    places = Layout(Path(asked.base["output_dir"]))
    before = store.recorded_plan_id(places, made.study)
    if before not in (None, made.plan_id):
        if only_looks and _is_begun(places, made.study):
            screen.say(f"study {made.study} is under way with another plan, {before}, which this look leaves in place")
            return False
        screen.say(f"study {made.study} was another plan before, {before}: it is kept as plan-{before}.json")
    store.write_plan(places, made.study, made.content())
    store.write_command(places, made.study, asked.command)
    store.write_stores(places, made.study, elsewhere.folders)
    store.write_found(places, made.study, [each.recorded() for each in elsewhere.in_wandb.values()])
    return before != made.plan_id


def _is_begun(places: Layout, study: str) -> bool:
    """Whether any run of the recorded plan has been started."""
    recorded = reading.plan(places, study)
    return any(RunFolder(places, each["key"]).status() != "missing" for each in (recorded["cells"] if recorded else ()))


def _report(made: Plan, places: Layout, screen: Screen, told: Sequence[str], *, anew: bool) -> None:
    """What the study shows so far, but what has been told, and its page, made where there is something new."""
    from ablate.report.files import write
    from ablate.report.gather import gather
    from ablate.report.judging import judgement
    from ablate.report.words import command, lines

    study = gather([places.output_dir], made.study)
    judged = judgement(study)
    for line in lines(study, judged)[1:]:  # whose first line has been said
        if line not in told or not line:
            screen.say(line)
    page = places.study(made.study) / layout.PAGE
    if anew or not page.exists():
        write(places, study, judged)
    screen.say(f"page: {page}; `{command(study, 'report')}` makes it anew")


def _what_went_wrong(returned: JobReturn, planned: Composed, places: Layout, ended: Collection[str]) -> str | None:
    """Why a cell that was launched is not recorded; none where it is, or where another process trains it."""
    if error := failure_of(returned):
        return f"{in_words(error).splitlines()[0]} ({places.run(planned.key)})"
    recorded = None if failure(returned) else returned.return_value
    if recorded and recorded != planned.key:
        return f"its data have changed since the study began; it is recorded as {recorded}"
    if recorded and planned.key not in ended:
        return f"it was trained, and its record is gone from {places.run(planned.key)}"
    return None
