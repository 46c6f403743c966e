"""A search: Optuna chooses each trial's levels by what earlier ones have shown, and each trial is an ordinary run.

Half of it is what Optuna leaves to its users: a space that is checked before anything is trained, a journal that takes
no other search's trials, trials that are gone on with after an interruption or a kill, a plan for the report.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna.trial import FrozenTrial, Trial, TrialState

from ablate.config.check import check_settings, instantiate
from ablate.config.compose import Composer, resolve
from ablate.config.settings import Config
from ablate.display import Screen
from ablate.error import BusyError, UserError, refusing
from ablate.multirun import journal
from ablate.multirun.space import Space
from ablate.record import reading, store
from ablate.record.layout import Layout
from ablate.record.lease import LEASE_SECONDS, Owner
from ablate.record.store import RunFolder
from ablate.study import design
from ablate.study.design import Factor
from ablate.study.plan import Cell, Plan
from ablate.training.job import job_of
from ablate.training.run import attend, identify
from ablate.training.session import Session

_BUSY_SECONDS = 3
_TRIED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


def search(composer: Composer, asked: Space, trials: int, shared: Path | None) -> None:
    """Try so many trials more, each recorded as any run, and the study's plan after each.

    Members who give the same `shared` journal, a file on a disk that all of them see, search together.
    """
    base = check_settings(resolve(composer.compose(asked.overrides())), asked.overrides())
    name, places = base["study"]["name"], Layout(Path(base["output_dir"]))
    if not name:
        raise UserError("study.name: missing; a search goes on under its name, and its report is found by it")
    if (before := reading.plan(places, name)) and before["design"] != "search":
        raise UserError(f"study.name={name}: is a study, which a search would take the name of; give another")
    session, screen = Session(), Screen(progress=base["progress"])
    if shared and not shared.parent.is_dir():
        raise UserError(f"--journal {shared}: no such folder; mount its disk, or make it, once for all members")
    places.search(name).parent.mkdir(parents=True, exist_ok=True)
    found = journal.opened(shared or places.search(name), name, base["objective"])
    keys = {trial.user_attrs.get("key") for trial in found.trials}
    if before and any(cell["key"] not in keys for cell in before["cells"]):
        raise UserError(
            f"study.name={name}: is a search in another journal, which knows the runs of its plan; give that "
            "(--journal FILE; none, if none was given), or another name"
        )
    _check_same(found, _what_it_is(composer, asked, base, screen))
    if not found.trials:
        _enqueue(found, places, asked.first(), instead_of="nothing")
    _take_up(found, places)

    def objective(trial: Trial) -> float:
        chosen = asked.suggested(trial)
        if asked.num_trials and _is_repeated(trial):
            raise _RepeatedError
        arm = design.label([Factor(each, ()) for each in chosen], tuple(chosen.values()))
        trial.set_user_attr("arm", arm)
        given = [*asked.fixed, *(f"{each}={value}" for each, value in chosen.items())]
        task = partial(_trained, trial=trial, session=session, screen=screen)
        return composer.run(composer.whole(given), task)  # type: ignore[no-any-return]

    said = set[str]()
    while trials:
        if asked.num_trials and not (untried := _untried(found, asked)):
            screen.say(f"all {asked.num_trials} there are have been tried, or are with another process")
            break
        try:
            _try(found, objective, places)
        except _RepeatedError:
            if asked.num_trials and not found.get_trials(deepcopy=False, states=[TrialState.WAITING]):
                _enqueue(found, places, random.choice(untried))
        except BusyError as error:  # another choice, or this one when that process has ended it
            if str(error) not in said:
                screen.say(f"{error}; another trial is chosen")
            said.add(str(error))
            time.sleep(_BUSY_SECONDS)
        else:
            store.write_plan(places, name, _plan(places, found, base["seed"]).content())
            trials -= 1
    _say_best(found, base["objective"], places, screen)


class _RepeatedError(Exception):
    """What was chosen has been tried already."""


def _is_repeated(trial: Trial) -> bool:
    tried = trial.study.get_trials(deepcopy=False, states=_TRIED)
    return any(each.params == trial.params for each in tried if each.number < trial.number)


def _untried(found: optuna.Study, asked: Space) -> list[dict[str, str | int]]:
    """All that is left to try of a space of few levels."""
    tried = [each.params for each in found.get_trials(deepcopy=False, states=_TRIED)]
    return [each for each in asked.all_trials() if each not in tried]


def _try(found: optuna.Study, objective: Callable[[Trial], float], places: Layout) -> None:
    """One trial; one that is interrupted is the next one that is tried. Raises `BusyError` where its run is taken."""
    if not found.get_trials(deepcopy=False, states=[TrialState.WAITING]):
        _enqueue(found, places, {})  # Optuna's choice
    trial = found.ask()
    try:
        for name, value in _mine(places).items():
            trial.set_user_attr(name, value)
        if _is_double(trial):
            raise _RepeatedError
        value = objective(trial)
    except optuna.TrialPruned:
        found.tell(trial, state=TrialState.PRUNED)
        return
    except BaseException as error:
        if isinstance(error, OSError) or not isinstance(error, Exception):  # a full disk, an interruption
            _try_again(found, places, trial.number)
        found.tell(trial, state=TrialState.FAIL)
        raise
    found.tell(trial, value)


def _enqueue(found: optuna.Study, places: Layout, params: dict[str, Any], instead_of: int | str | None = None) -> None:
    """Have these levels tried next; each trial has an owner from its first line on, or a kill could hide it for ever.

    Several processes may enqueue what is to be tried `instead_of` the same: the first one of these is.
    """
    told = _mine(places) | ({} if instead_of is None else {"instead_of": instead_of})
    found.enqueue_trial(params, user_attrs=told)


def _mine(places: Layout) -> dict[str, Any]:
    return {"owner": asdict(Owner.this()), "output_dir": str(places.output_dir.resolve())}


def _is_double(trial: Trial) -> bool:
    """Whether another trial is tried instead of what this one was to be tried for."""
    wanted = trial.user_attrs.get("instead_of")
    others = trial.study.get_trials(deepcopy=False) if wanted is not None else []
    return any(each.number < trial.number and each.user_attrs.get("instead_of") == wanted for each in others)


def _take_up(found: optuna.Study, places: Layout) -> None:
    """Try again, and first, what was under way when its process was killed: its run goes on where it was."""
    for trial in found.get_trials(states=[TrialState.RUNNING]):
        if _is_abandoned(trial, places):
            _try_again(found, places, trial.number)
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):  # another was quicker
                found.tell(trial.number, state=TrialState.FAIL)


def _is_abandoned(trial: FrozenTrial, places: Layout) -> bool:
    """Whether a trial's process is known to be gone, or the lease of its run, which lies here, has run out."""
    told = trial.user_attrs
    if not (owner := _owner(told)):
        return False
    if owner.is_of_this_machine() or owner.is_gone():
        return owner.is_gone()
    if told.get("output_dir") != str(places.output_dir.resolve()):
        return False
    if "key" in told and (run := RunFolder(places, told["key"])).path.exists():
        return not run.is_running()
    # It reads its data, if it lives; should it begin to train after all, its lease keeps others from its run.
    return trial.datetime_start is not None and datetime.now() - trial.datetime_start > timedelta(seconds=LEASE_SECONDS)


def _try_again(found: optuna.Study, places: Layout, number: int) -> None:
    """What was chosen of a trial, in part by who asked for it, is the next to be tried, once."""
    trials = found.get_trials(deepcopy=False)
    params = {**trials[number].system_attrs.get("fixed_params", {}), **trials[number].params}
    if params and not any(each.user_attrs.get("instead_of") == number for each in trials):
        _enqueue(found, places, params, instead_of=number)


def _say_best(found: optuna.Study, wanted: str, places: Layout, screen: Screen) -> None:
    if not (done := [trial for trial in found.trials if trial.state == TrialState.COMPLETE]):
        return
    told = found.best_trial.user_attrs
    screen.say(f"best of {len(done)} whole trials: {told['arm']}: {wanted} {found.best_value:.4f}")
    result = RunFolder(places, told["key"]).result()
    if result and result["status"] == "diverged":
        how = "it diverged, as all others did; smaller learning rates may not"
    elif result:
        how = f"`ablate predict {told['key']}` predicts by it"
    else:
        whose = f"{told['owner']['host']}:{told['output_dir']}" if "owner" in told else "another member"
        how = f"it is {told['key']} of {whose}; `ablate collect` brings it here"
    screen.say(f"{how}; a study tells whether its levels matter")


def _what_it_is(composer: Composer, asked: Space, base: Config, screen: Screen) -> dict[str, str]:
    """What may not change while a search goes on."""
    with refusing():
        fingerprint = instantiate(base, "data").fingerprint(Layout(Path(base["output_dir"])).cache, screen.track)
    of_command = {"objective": base["objective"], "config": composer.config_name}
    return {**of_command, **asked.described(), "fingerprint of data": fingerprint}


def _check_same(found: optuna.Study, now: dict[str, str]) -> None:
    """Raise `UserError` where a search was begun as another one."""
    before = found.user_attrs.get("begun")
    if before is None:
        found.set_user_attr("begun", now)
        return
    for name in {**before, **now}:
        if (was := before.get(name, "not searched")) != (is_now := now.get(name, "not searched")):
            raise UserError(
                f"study.name={found.study_name}: is a search begun with {name}: {was}; found {is_now}, whose trials "
                "could not be compared with its own; give what was given, or another name"
            )


class _Watched(Session):
    """The session of a trial, which calls it off where earlier trials were better after as many epochs."""

    def __init__(self, session: Session, trial: Trial, folder: RunFolder, metric: str) -> None:
        super().__init__(tables=session.tables, server=session.server)
        self._trial, self._folder, self._metric = trial, folder, metric
        self.is_pruned = False
        self._reported = 0

    def is_called_off(self) -> bool:
        """Whether the trial is not worth another epoch; asked before each."""
        for row in reading.rows(self._folder.path)[self._reported :]:
            self._reported += 1
            if (value := row.get(self._metric)) is not None:
                self._trial.report(float(value), self._reported)
        self.is_pruned = self._reported > 0 and self._trial.should_prune()
        return self.is_pruned


def _trained(composed: DictConfig, *, trial: Trial, session: Session, screen: Screen) -> float:
    """The objective of a run, trained unless it is finished already. Raises `TrialPruned` where it is not worth it."""
    run = identify(job_of(composed), Screen(quiet=True, progress="none"))
    wanted = run.config["objective"]
    trial.set_user_attr("key", run.folder.key)
    trial.set_user_attr("overrides", [each for each in run.overrides if not each.startswith(("study.", "output_dir="))])
    if not run.folder.result() and (theirs := _value_of(trial.study, run.folder.key)) is not None:
        screen.say(f"trial {trial.number}: {trial.user_attrs['arm']}: {wanted} {theirs:.4f}, as another member found")
        return theirs
    watched = _Watched(session, trial, run.folder, wanted)

    def hear(kind: str, text: str) -> None:
        if kind == "said":  # its end is told as the trial's
            screen.say(text)

    try:
        value = attend(run, Screen(quiet=True, progress="none", listener=hear), watched).result["metrics"][wanted]
    except KeyboardInterrupt:
        if not watched.is_pruned:
            raise
        screen.say(f"trial {trial.number}: {trial.user_attrs['arm']}: left, worse than the median of earlier trials")
        raise optuna.TrialPruned from None
    worst = 0.0 if wanted == "val/accuracy" else math.inf
    screen.say(f"trial {trial.number}: {trial.user_attrs['arm']}: {wanted} {worst if value is None else value:.4f}")
    return worst if value is None else float(value)


def _value_of(found: optuna.Study, key: str) -> float | None:
    """What a run's trial has come to, whoever of the journal's members trained it."""
    done = found.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return next((trial.value for trial in done if trial.user_attrs.get("key") == key), None)


def _plan(places: Layout, found: optuna.Study, seed: int) -> Plan:
    """What has been tried, as a study's plan, so that status and report tell of it."""
    cells: dict[str, Cell] = {}
    for trial in found.get_trials(deepcopy=False):
        if "key" in (told := trial.user_attrs) and trial.state == TrialState.COMPLETE:
            status = RunFolder(places, told["key"]).status()
            cells.setdefault(told["key"], Cell(told["key"], told["arm"], seed, 1, told["overrides"], status))
    arms = [cell.arm for cell in cells.values() if cell.status == "finished"] or [cell.arm for cell in cells.values()]
    baseline = arms[0] if arms else ""
    return Plan(found.study_name, None, "search", {}, [seed], None, [], 1, baseline, list(cells.values()))


def _owner(told: dict[str, Any]) -> Owner | None:
    try:
        return Owner(**told["owner"])
    except (KeyError, TypeError):  # a trial of before, or of a process killed as it began
        return None
