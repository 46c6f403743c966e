"""A study in stages: all arms on a part of the data, then on more of it those that may still be the best."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from ablate.config.compose import Composer
from ablate.config.override import name_of, quoted, with_list
from ablate.display import Screen
from ablate.error import UserError
from ablate.multirun.cells import Asked, ask
from ablate.record import reading, store
from ablate.record.layout import Layout
from ablate.record.reading import CommandRecord
from ablate.record.status import ENDED
from ablate.record.store import RunFolder
from ablate.report.gather import Study, gather
from ablate.report.staging import promoted
from ablate.study.stage import stage_name

_FRACTION = "data.fraction"
_DESIGNS = ("grid", "ofat", "zip")  # arms of the others tell something together only
_OF_A_STAGE = ("study.name", "study.stages", _FRACTION)


def turns(composer: Composer, overrides: Sequence[str], asked: Asked, name: str) -> Iterator[Asked]:
    """What is to be run of the study `name`, one turn after the other: all of it at once, unless it has stages.

    Each turn is a study that is planned, run and reported as any other. What follows it is known when all of its runs
    have ended, those of team-mates too; where some have not, that is said, and there is no further turn. A stage that
    has ended is left out, but for the last one. Raises `UserError` for stages that can't be.
    """
    parts = asked.base["study"]["stages"]
    if not parts or asked.base["plot"]:
        yield asked
        return
    _check(asked, overrides, parts)
    screen, places = Screen(progress=asked.base["progress"]), Layout(Path(asked.base["output_dir"]))
    stages = {stage_name(name, part, is_last=part == parts[-1]): part for part in parts}
    command: CommandRecord = {**asked.command, "stages": stages}
    only_looks = asked.base["study"]["dry_run"] or asked.base["study"]["coverage"]
    if reading.plan(places, name) is None and not (only_looks and reading.command(places, name)):
        store.write_command(places, name, command)
    before: Study | None = None
    for number, (stage, part) in enumerate(stages.items(), 1):
        head = f"stage {number} of {len(stages)}, on {100 * part:g} % of the data"
        given = [each for each in overrides if name_of(each) not in _OF_A_STAGE]
        given += [f"study.name={quoted(stage)}", "study.stages=null", f"{_FRACTION}={part}"]
        if number < len(stages):  # which all seeds of all arms have seen, whatever the last one leaves out
            given = [*(each for each in given if name_of(each) != "study.stop"), with_list("study.stop", [])]
        whole = dataclasses.replace(ask(composer, given), command=command)
        known = _known(places, stage)
        turn = _turn(whole, before, known)
        is_planned = known is not None and {cell.key for cell in turn.cells} <= {cell["key"] for cell in known.cells}
        if number < len(stages) and is_planned and not _left(turn, known, places):
            screen.say(f"{head}, has ended: `ablate report {stage}`")
        else:
            while True:
                screen.say(f"{head}: {_how_many(turn, whole)}")
                yield turn
                known = _known(places, stage)
                if left := _left(turn, known, places):
                    which = "what comes next" if number < len(stages) or before else "the rest"
                    screen.say(f"{head}: {left} runs are left, here or with team-mates; {which} is known after them")
                    return
                following = _turn(whole, before, known)
                if len(following.cells) == len(turn.cells):
                    break
                turn = following
        before = known


def _check(asked: Asked, overrides: Sequence[str], parts: Sequence[float]) -> None:
    """Raise `UserError` for what has no stages."""
    what = f"study.stages={list(parts)}"
    if any(later <= earlier for earlier, later in itertools.pairwise(parts)):
        raise UserError(f"{what}: expected growing parts of the data, such as [0.1,1.0]")
    if len({f"{part:g}" for part in parts}) < len(parts):
        raise UserError(f"{what}: two of these parts would have one name; give parts that are further apart")
    if _FRACTION in [*map(name_of, overrides), *(factor.name for factor in asked.factors)]:
        raise UserError(f"{what}: each stage sets {_FRACTION}, which is given too; leave one of them out")
    if (design := asked.base["study"]["design"]) not in _DESIGNS:
        raise UserError(
            f"{what}: expected study.design={', '.join(_DESIGNS)}; {design} means nothing without all its arms"
        )
    if len({cell.seed for cell in asked.cells}) < 2:
        raise UserError(f"{what}: expected two seeds at least, which tell an arm from luck; give study.seeds=3")


def _known(places: Layout, stage: str) -> Study | None:
    """What is recorded of a stage."""
    return gather([places.output_dir], stage) if reading.plan(places, stage) else None


def _turn(whole: Asked, before: Study | None, known: Study | None) -> Asked:
    """What a stage is to run now, of all that it might."""
    if before is None:
        return _as_ended(whole, known)
    seeds: dict[str, list[int]] = {}
    for cell in whole.cells:
        seeds.setdefault(cell.arm, []).append(cell.seed)
    mine = {cell.key for cell in whole.cells}
    arms = {arm: of for arm, of in seeds.items() if arm in before.arms}
    ours = known if known and mine & {cell["key"] for cell in known.cells} else None
    wanted = promoted(ours, before, arms).seeds
    return dataclasses.replace(whole, cells=[cell for cell in whole.cells if cell.seed in wanted.get(cell.arm, ())])


def _as_ended(whole: Asked, known: Study | None) -> Asked:
    """The first stage: it is not begun again for seeds that the study is given after it, but for arms that are new."""
    if known is None or known.waiting or not {cell.key for cell in whole.cells} & {cell["key"] for cell in known.cells}:
        return whole
    seeds = {cell["seed"] for cell in known.cells}
    return dataclasses.replace(whole, cells=[cell for cell in whole.cells if cell.seed in seeds])


def _left(turn: Asked, known: Study | None, places: Layout) -> int:
    """How many runs of a turn have not ended, as far as is known here and from team-mates."""
    statuses = known.statuses if known else {}
    return sum((statuses.get(cell.key) or RunFolder(places, cell.key).status()) not in ENDED for cell in turn.cells)


def _how_many(turn: Asked, whole: Asked) -> str:
    arms, all_arms = (len({cell.arm for cell in asked.cells}) for asked in (turn, whole))
    return f"all {all_arms} arms" if arms == all_arms else f"{arms} of {all_arms} arms, {len(turn.cells)} runs"
