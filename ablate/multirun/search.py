"""A search: Optuna chooses each trial's levels by what earlier ones have shown, and each trial is an ordinary run.

Half of it is what Optuna leaves to its users: a space that is checked before anything is trained, trials that are gone
on with after an interruption or a kill, a plan for the report.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ablate.config.check import check_settings, refuse
from ablate.config.compose import Composer, resolve
from ablate.config.override import name_of
from ablate.display import Screen
from ablate.error import BusyError, UserError
from ablate.multirun.cells import all_mistakes, levels_of
from ablate.record import reading, store
from ablate.record.layout import Layout
from ablate.record.store import RunFolder
from ablate.study import design
from ablate.study.design import Factor
from ablate.study.plan import Cell, Plan
from ablate.training.run import attend, identify
from ablate.training.session import Session

COMPLETE, FAIL = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL
_NOT_OURS = ("study", "team.", "rerun", "plot")
_DIGITS = 4  # of a value from an interval, so that a run can be asked for again by hand


@dataclass(frozen=True)
class Space:
    """What is the same in all trials, and what each of them chooses from."""

    fixed: list[str]
    swept: dict[str, Override]

    def first(self) -> dict[str, str | float]:
        """The trial that all others are compared with: first levels, and the middle of intervals."""
        return {name: _middle(each) if _is_interval(each) else levels_of(each)[0] for name, each in self.swept.items()}

    def suggested(self, trial: optuna.Trial) -> dict[str, str]:
        """A trial's level of each factor, as it is written in an override."""
        return {name: _suggested(trial, name, each) for name, each in self.swept.items()}


def space(composer: Composer, overrides: Sequence[str]) -> Space:
    """The space of a command line. Raises `UserError` where nothing is left to choose."""
    swept = {name_of(each): composer.parsed(each) for each in overrides if composer.is_sweep(each)}
    if not swept:
        raise UserError(
            "search: nothing to choose from; give levels: arch=cylinder,pyramid 'optim.lr=tag(log, interval(1e-4,0.1))'"
        )
    if other := [each for each in overrides if name_of(each).startswith(_NOT_OURS) and name_of(each) != "study.name"]:
        raise UserError(f"{name_of(other[0])}: a search has no use for it; leave it out")
    refuse(said for each in swept.values() if (said := _wrong_interval(each)))
    refuse(all_mistakes(composer, [_with_ends(each, swept.get(name_of(each))) for each in overrides]))
    return Space([each for each in overrides if not composer.is_sweep(each)], swept)


def search(composer: Composer, asked: Space, trials: int, journal: Path | None) -> None:
    """Try so many trials more, each recorded as any run, and the study's plan after each.

    Members who give the same `journal`, a file on a disk that all of them see, search together.
    """
    fixed = [*asked.fixed, *(f"{name}={_text(value)}" for name, value in asked.first().items())]
    base = check_settings(resolve(composer.compose(fixed)), fixed)
    name, places = base["study"]["name"], Layout(Path(base["output_dir"]))
    if not name:
        raise UserError("study.name: missing; a search goes on under its name, and its report is found by it")
    if (before := reading.plan(places, name)) and before["design"] != "search":
        raise UserError(f"study.name={name}: is a study, which a search would take the name of; give another")
    found = _opened(journal, places.search(name), name, base["objective"])
    if found.trials and not found.trials[0].params.keys() <= asked.swept.keys():
        raise UserError(f"study.name={name}: is a search of {', '.join(found.trials[0].params)}; give another name")
    if not found.trials:
        found.enqueue_trial(asked.first())
    _take_up(found, places)
    session, screen = Session(), Screen(progress=base["progress"])

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("where", _where(places))
        chosen = asked.suggested(trial)
        arm = design.label([Factor(each, ()) for each in chosen], tuple(chosen.values()))
        trial.set_user_attr("arm", arm)
        given = [*asked.fixed, *(f"{each}={value}" for each, value in chosen.items())]
        task = partial(_trained, trial=trial, session=session, screen=screen)
        return composer.run(composer.whole(given), task)  # type: ignore[no-any-return]

    for _ in range(trials):
        _try(found, objective, screen)
        store.write_plan(places, name, _plan(places, found, base["seed"]).content())
    if done := [trial for trial in found.trials if trial.state == COMPLETE]:
        told = found.best_trial.user_attrs
        screen.say(f"best of {len(done)} whole trials: {told['arm']}: {base['objective']} {found.best_value:.4f}")
        if RunFolder(places, told["key"]).result():
            how = f"`ablate predict {told['key']}` predicts by it"
        else:
            how = f"it is {told['key']} of {told.get('where', 'another member')}; `ablate collect` brings it here"
        screen.say(f"{how}; a study tells whether its levels matter")


def _try(found: optuna.Study, objective: Callable[[optuna.Trial], float], screen: Screen) -> None:
    """One trial; one that is interrupted is the next one that is tried."""
    trial = found.ask()
    # Another process may take a trial up that has not begun to train, and so has ended it.
    tell = partial(found.tell, trial, skip_if_finished=True)
    try:
        tell(objective(trial))
    except optuna.TrialPruned:
        tell(state=optuna.trial.TrialState.PRUNED)
    except BusyError as error:
        tell(state=FAIL)
        screen.say(f"trial {trial.number}: {error}")
    except BaseException as error:
        tell(state=FAIL)
        if trial.params and not isinstance(error, Exception):
            found.enqueue_trial(trial.params)
        raise


def _take_up(found: optuna.Study, places: Layout) -> None:
    """Try again, and first, what was under way here when its process was killed: its run goes on where it was."""
    for trial in found.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        told = trial.user_attrs
        if told.get("where") == _where(places) and "key" in told and not RunFolder(places, told["key"]).is_running():
            found.tell(trial.number, state=FAIL)
            found.enqueue_trial(trial.params)


def _where(places: Layout) -> str:
    return f"{socket.gethostname()}:{places.output_dir.resolve()}"


def _opened(journal: Path | None, own: Path, name: str, objective: str) -> optuna.Study:
    """The search as it is recorded, in a journal that members share or in the study's folder."""
    if journal and not journal.parent.is_dir():
        raise UserError(f"--journal {journal}: no such folder; mount its disk, or make it, once for all members")
    own.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.disable_default_handler()  # which prints a traceback of whatever ends a trial
    try:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal or own))),
            sampler=optuna.samplers.TPESampler(constant_liar=True),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
            study_name=name,
            direction="maximize" if objective == "val/accuracy" else "minimize",
            load_if_exists=True,
        )
    except (ValueError, KeyError, OSError) as error:
        raise UserError(f"{journal or own}: not a journal of Optuna's ({error}); move it away") from error


class _Watched(Session):
    """The session of a trial, which calls it off where earlier trials were better after as many epochs."""

    def __init__(self, session: Session, trial: optuna.Trial, folder: RunFolder, metric: str) -> None:
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


def _trained(composed: DictConfig, *, trial: optuna.Trial, session: Session, screen: Screen) -> float:
    """The objective of a run, trained unless it is finished already. Raises `TrialPruned` where it is not worth it."""
    run = identify(composed, Screen(quiet=True, progress="none"))
    wanted = run.config["objective"]
    trial.set_user_attr("key", run.folder.key)
    trial.set_user_attr("overrides", [each for each in run.overrides if not each.startswith(("study.", "output_dir="))])
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


def _plan(places: Layout, found: optuna.Study, seed: int) -> Plan:
    """What has been tried, as a study's plan, so that status and report tell of it."""
    cells: dict[str, Cell] = {}
    for trial in found.get_trials(deepcopy=False):
        if "key" in (told := trial.user_attrs) and trial.state == COMPLETE:
            status = RunFolder(places, told["key"]).status()
            cells.setdefault(told["key"], Cell(told["key"], told["arm"], seed, 1, told["overrides"], status))
    arms = [cell.arm for cell in cells.values()]
    return Plan(
        found.study_name, None, "search", {}, [seed], None, [], 1, arms[0] if arms else "", list(cells.values())
    )


def _wrong_interval(override: Override) -> str | None:
    swept = override.value()
    if not isinstance(swept, IntervalSweep) or swept.start is None or swept.end is None:
        return None
    if swept.start >= swept.end or ("log" in swept.tags and swept.start <= 0):
        return f"{override.input_line}: expected a smaller number before a larger one, and with log above 0"
    return None


def _with_ends(given: str, swept: Override | None) -> str:
    """An override with the ends of an interval, and what lies between them, for its levels."""
    if swept is None or not _is_interval(swept):
        return given
    interval = swept.value()
    assert isinstance(interval, IntervalSweep) and interval.start is not None and interval.end is not None
    levels = [interval.start, _middle(swept), interval.end]
    return f"{name_of(given)}={','.join(map(_text, levels))}"


def _is_interval(override: Override) -> bool:
    return isinstance(override.value(), IntervalSweep)


def _suggested(trial: optuna.Trial, name: str, override: Override) -> str:
    swept = override.value()
    if not isinstance(swept, IntervalSweep):
        return str(trial.suggest_categorical(name, levels_of(override)))
    low, high, is_log = swept.start, swept.end, "log" in swept.tags
    assert low is not None and high is not None
    if isinstance(low, int) and isinstance(high, int):
        return str(trial.suggest_int(name, low, high, log=is_log))
    return f"{trial.suggest_float(name, low, high, log=is_log):.{_DIGITS}g}"


def _middle(override: Override) -> float:
    swept = override.value()
    assert isinstance(swept, IntervalSweep) and swept.start is not None and swept.end is not None
    low, high = swept.start, swept.end
    middle = math.sqrt(low * high) if "log" in swept.tags else (low + high) / 2
    return round(middle) if isinstance(low, int) and isinstance(high, int) else middle


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.{_DIGITS}g}"
