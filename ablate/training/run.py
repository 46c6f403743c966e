"""A run: what it is, whether it is done, and its training under a lease. Torch is imported only to train."""

from __future__ import annotations

import contextlib
import gc
import math
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from ablate.command.frame import set_thread_variables
from ablate.config.check import instantiate
from ablate.config.override import name_of
from ablate.config.settings import Config
from ablate.display import Screen, line, summary
from ablate.error import BusyError, TakenError, refusing
from ablate.file import at_home
from ablate.interruption import Interruption
from ablate.record import layout, store, team
from ablate.record.claim import Claim, Claims
from ablate.record.key import key
from ablate.record.layout import Layout
from ablate.record.status import ENDED, End
from ablate.record.store import RunFolder, Writer
from ablate.record.team import Elsewhere
from ablate.record.wandb_settings import choose_mode, not_heeded, sweep_run
from ablate.training.job import Job, job_of
from ablate.training.session import Session

if TYPE_CHECKING:
    from ablate.record.tracking import Shown, Tracker
    from ablate.training.prepare import Training

Differences = Callable[[Config, Mapping[str, str]], list[str]]

_STOPPING = "stopping after this epoch; once more stops at once"


@dataclass(frozen=True)
class Run:
    """What a run is: its config with the options chosen, its data, its key, and how to find what it is called."""

    config: Config
    choices: dict[str, str]
    overrides: list[str]
    corpus: Any
    fingerprint: str
    folder: RunFolder
    call: Callable[[], str]

    @cached_property
    def name(self) -> str:
        """What it is called; empty where all of it is default."""
        return self.call()

    @property
    def title(self) -> str:
        """Its name with its seed."""
        return f"{self.name} seed {self.config['seed']}"


@dataclass(frozen=True)
class Ended:
    """What has become of a run: its record, and the command that uploads what wandb's server does not have of it."""

    result: Mapping[str, Any]
    folder: Path | None  # none where its result alone is known
    how_to_sync: str | None = None


@dataclass(frozen=True)
class _Watched:
    """Who sees a training, and who may stop it."""

    tracker: Tracker
    screen: Screen
    interruption: Interruption


def identify(job: Job, screen: Screen, differences: Differences | None = None) -> Run:
    """The run of a job; called by its arm, by what is not default in it, or as it was asked for.

    Raises `UserError`.
    """
    config, choices, overrides = job
    places = Layout(Path(config["output_dir"]))
    corpus = instantiate(config, "data")
    with refusing():
        fingerprint = corpus.fingerprint(places.cache, screen.track)
    folder = RunFolder(places, key(config, fingerprint))
    if not config["study"]["arm"]:
        team.check(config)

    def name() -> str:
        if config["study"]["arm"]:
            return config["study"]["arm"]
        told = differences(config, choices) if differences else [each for each in overrides if _is_of_the_run(each)]
        return " ".join(told)

    return Run(config, choices, overrides, corpus, fingerprint, folder, name)


def attend(run: Run, screen: Screen, session: Session) -> Ended:
    """Show the run's record if it is finished, here or at a team-mate's, else train it."""
    if not (ended := done(run, screen) or done_elsewhere(run, screen)):
        return train(run, screen, session)
    if sweep_run():
        from ablate.training import window

        window.replay(run.config, _shown(run, ended.result), ended.result, ended.folder, screen.announce)
    return ended


def done(run: Run, screen: Screen) -> Ended | None:
    """The record of a run that has ended, shown; none where there is something to do."""
    result = run.folder.whole_result()
    if not result or run.config["rerun"]:
        return None
    screen.say(
        f"{run.folder.key} is {result['status']} already. rerun=true trains it again; other epochs= is another run."
    )
    screen.table(summary(result, run.folder.path, None))
    return Ended(result, run.folder.path)


def done_elsewhere(run: Run, screen: Screen) -> Ended | None:
    """The record of a run that a team-mate has ended, shown; none where there is none, or `rerun` asks for another."""
    if run.config["rerun"]:
        return None
    if claims := claims_of(run.config):
        claims.publish(run.folder.key)
    key = run.folder.key
    theirs, problems = team.find(Elsewhere(team.folders(run.config["team"])), key)
    if theirs is None and run.config["study"]["arm"] is None:  # a multirun has asked for all of its runs
        from ablate.record import lookup

        in_wandb, unknown = lookup.ask(run.config, [key])
        theirs = in_wandb.get(key)
        problems += unknown
    for problem in problems:
        screen.say(problem)
    if theirs is None:
        return None
    screen.announce(f"{key} is {theirs.result['status']} already: {theirs}. rerun=true trains it here.")
    screen.table(summary(theirs.result, theirs.folder or theirs.place, None))
    return Ended(theirs.result, theirs.folder)


def train(run: Run, screen: Screen, session: Session) -> Ended:
    """Train the run and record it, unless another process has ended it before this one may.

    Raises `UserError`, and `BusyError` where another process trains it.
    """
    from ablate.record import tracking
    from ablate.training import window

    mode, reason = choose_mode(run.config["wandb"]["mode"])
    store.check_writable(Layout(Path(run.config["output_dir"])))
    run.folder.check_free()  # before data are loaded for nothing
    _read_ahead(run)
    training = _prepared(run, screen, session)
    with _claimed(run) as claim, run.folder.lease(claim) as writer:
        if found := done(run, screen):
            return found
        if run.folder.result():  # of rerun=true
            screen.say(f"the earlier record of {run.folder.key} is kept in {writer.set_aside()}")
        config = OmegaConf.to_yaml(OmegaConf.create(dict(run.config)))
        with writer.open(config) as log, screen.logging_to(log):
            screen.say(f"run {run.folder.key}: {run.name or 'all defaults'}, seed {run.config['seed']}")
            for note in not_heeded(run.config) if mode != "disabled" else ():
                screen.say(note)
            shown = _shown(run, window.measured(training))
            tracker = tracking.start(run.config, shown, mode, session.server, screen.announce)
            screen.say(f"wandb: {tracker.mode} ({reason}) {tracker.url}".rstrip())
            interruption = Interruption(partial(screen.announce, _STOPPING), session.is_called_off, session.signals)
            watched = _Watched(tracker, screen, interruption)
            try:
                ended = _recorded(run, training, writer, watched)
            except Exception as error:
                screen.write(f"failed: {type(error).__name__}: {error}")
                error.add_note(f"its log: {run.folder.path / layout.LOG}")
                raise
            _say_how_it_ended(run, ended, tracker, screen, session)
    if interruption.by_signal:  # in the last epoch: this run has ended, and no other is wanted
        raise KeyboardInterrupt
    return ended


def _read_ahead(run: Run) -> None:
    """Begin to read the run's data from the disk while this process imports torch, which takes a core a second."""
    from ablate.recipe.data.file_corpus import FileCorpus

    if "torch" not in sys.modules and isinstance(run.corpus, FileCorpus):
        cache = Layout(Path(run.config["output_dir"])).cache
        threading.Thread(target=run.corpus.read_ahead, args=(run.config["seed"], cache), daemon=True).start()


@contextlib.contextmanager
def _claimed(run: Run) -> Iterator[Claim | None]:
    """The right to train the run, where members take runs as they go. Raises `BusyError` where another has it."""
    if (claims := claims_of(run.config)) is None:
        yield None
        return
    key = run.folder.key
    claims.free_if_abandoned(key)
    if (claim := claims.take(key)) is None:
        raise TakenError(f"{key}: taken already, by {claims.last(key)}")
    with claim.held():
        yield claim
    claims.publish(key, run.folder.path)


def claims_of(config: Config) -> Claims | None:
    """The claims of the members, where they take runs as they go."""
    folder = config["team"]["claims"]
    return Claims(at_home(folder), config["team"]["member"]) if folder else None


def objective(composed: DictConfig) -> float:
    """Train a run of another sweeper's; its `objective`, the worst there is for a run that diverged at once."""
    screen = Screen(quiet=True, progress=composed["progress"])
    run = identify(job_of(composed), screen)
    wanted = run.config["objective"]
    try:
        found = attend(run, screen, Session()).result["metrics"][wanted]
    finally:
        free_memory()
    if found is None:
        found = 0.0 if wanted == "val/accuracy" else math.inf
    screen.announce(f"{run.folder.key}: {wanted} {found:.4f}")
    return float(found)


def free_memory() -> None:
    """Give back what a run had on a GPU, for the next one."""
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def _prepared(run: Run, screen: Screen, session: Session) -> Training:
    set_thread_variables()  # in a launcher's process no command has
    from ablate.training.prepare import prepare

    return prepare(run.config, run.corpus, run.fingerprint, screen, session.tables)


def _recorded(run: Run, training: Training, writer: Writer, watched: _Watched) -> Ended:
    """Train, and write the record's end: the result, or how it crashed. The window is closed in any case."""
    from ablate.recipe import arch
    from ablate.training import machine, window
    from ablate.training.loop import loop

    tracker, screen = watched.tracker, watched.screen
    screen.say(f"device: {machine.name(training.device)}")
    for warning in machine.warnings(run.config["device"], run.config["precision"], training.device):
        screen.announce(f"WARNING: {warning}")
    screen.say(arch.describe(training.model, run.config["arch"].get("num_params")))
    end: End = "crashed"
    record: dict[str, Any] = {}
    how_to_sync = None
    try:
        with watched.interruption as interruption:
            outcome = loop(training, writer, tracker, screen, interruption)
        end, record = outcome.status, {"metrics": outcome.metrics}
        if end == "interrupted":
            raise KeyboardInterrupt
        found = {"key": run.folder.key} | asdict(outcome) | _identity(run) | store.provenance()
        record = writer.finish(found | {"machine": machine.describe(training.device)})
        window.exhibit(run.folder.path, training.class_names, tracker, has_model=run.config["wandb"]["artifact"])
    except (KeyboardInterrupt, SystemExit):  # the latter of a cluster's job that is to be begun anew elsewhere
        end = "interrupted"
        raise
    except BusyError:
        end = "taken over"
        raise
    except Exception:
        writer.write_error(traceback.format_exc())
        raise
    finally:
        how_to_sync = tracker.finish(end, record)
        if how_to_sync and end not in ENDED:
            screen.say(f"wandb: `{how_to_sync}` uploads what there is")
    return Ended(record, run.folder.path, how_to_sync)


def _say_how_it_ended(run: Run, ended: Ended, tracker: Tracker, screen: Screen, session: Session) -> None:
    if ended.result["status"] == "diverged":
        screen.say("the run diverged: its loss became NaN or infinite; a smaller learning rate is the usual cure")
    if ended.how_to_sync and tracker.mode == "online":
        screen.announce(f"wandb: the server does not have all of this run; `{ended.how_to_sync}` uploads it")
    screen.table(summary(ended.result, run.folder.path, ended.how_to_sync))
    if screen.quiet:
        screen.conclude(line(run.title, ended.result))


def _shown(run: Run, measured: Mapping[str, Any]) -> Shown:
    from ablate.training import window

    return window.shown(run.config, run.folder, run.name, run.choices, measured)


def _identity(run: Run) -> dict[str, Any]:
    """What a record says of what the run is."""
    from ablate.training.prepare import cost

    return {
        "seed": run.config["seed"],
        "epochs": run.config["epochs"],
        "overrides": [override for override in run.overrides if not _is_of_this_place(override)],
        "choices": run.choices,
        "member": run.config["team"]["member"],
        "data_fingerprint": run.fingerprint,
        "cost": cost(run.config),
    }


def _is_of_this_place(override: str) -> bool:
    """Whether who repeats the run elsewhere should leave an override out."""
    name = name_of(override)
    is_of_the_study = name.startswith("study.") and name != "study.name"
    return name in ("output_dir", "progress", "team.stores") or is_of_the_study


def _is_of_the_run(override: str) -> bool:
    return not name_of(override).startswith(("study", "team.", "wandb.", "output_dir", "progress", "seed"))
