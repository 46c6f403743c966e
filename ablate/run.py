"""`python -m ablate.run`: compose, check, and train what is not finished; several runs with `--multirun`."""

from __future__ import annotations

import functools
import gc
import io
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ablate import command_line, compose
from ablate.compose import GROUPS
from ablate.display import Screen, line, mute, summary
from ablate.error import BusyError, UserError
from ablate.interruption import Interruption, as_keyboard_interrupt
from ablate.record import store, tracking
from ablate.record.key import key
from ablate.record.lease import Lease
from ablate.record.store import RunFolder
from ablate.record.tracking import Tracker
from ablate.refusal import in_words, refusal

if TYPE_CHECKING:
    from ablate.prepare import Tables, Training

_INTERRUPTED = 130
# Read by the libraries of threads when torch is loaded; `threads` decides alone, since bits depend on it.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OMP_DYNAMIC", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS", "MKL_DYNAMIC")
_WHERE_TO_LOOK = "HYDRA_FULL_ERROR=1 shows the traceback, as does error.txt of a run that had begun"


def main() -> None:
    """The console script."""
    arguments = sys.argv[1:]
    code = command(arguments)
    try:
        tracking.tell_multirun_end(code, " ".join(arguments))
    except Exception as error:  # telling is no part of what was asked
        print(f"ablate: wandb: the end of the multirun was not told ({error})", file=sys.stderr)
    sys.exit(code)


def command(arguments: Sequence[str]) -> int:
    """Carry out a command line; its exit code. Errors are a line on stderr; HYDRA_FULL_ERROR=1 shows tracebacks."""
    asked_for_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, where it would print and exit with 1
    signal.signal(signal.SIGTERM, as_keyboard_interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what a terminal can't show is no reason to lose a run
    overrides: list[str] = []
    try:
        overrides = command_line.canonical(arguments)
        sys.argv = [sys.argv[0], *_for_hydra(overrides)]
        decorated = hydra.main(config_path=str(compose.conf_dir()), config_name="config", version_base="1.3")(task)
        if {"-sc", "--shell-completion"} & set(overrides) and any(each.startswith("query=") for each in overrides):
            command_line.complete(decorated)
        else:
            decorated()
        return 0
    except BrokenPipeError:  # the reader of our output has enough
        mute()
        return 0
    except KeyboardInterrupt:
        print("ablate: interrupted; the same command goes on from the last whole epoch", file=sys.stderr)
        return _INTERRUPTED
    except (_OfSingleRun, Exception) as raised:
        error = raised.error if isinstance(raised, _OfSingleRun) else raised
        if asked_for_traceback:
            traceback.print_exception(error)
        code, text = refusal(error, overrides) or (1, f"{type(error).__name__}: {error}; {_WHERE_TO_LOOK}")
        print(f"ablate: {text}", file=sys.stderr)
        return code


def _for_hydra(arguments: list[str]) -> list[str]:
    """The command line as Hydra is to see it: of a multirun only what does not depend on its factors.

    Hydra composes it once without them, and would refuse `optimizer.momentum=0.8` beside `optimizer=momentum,nesterov`.
    """
    if arguments[:1] not in (["--multirun"], ["-m"]) or any(each.startswith("-") for each in arguments[1:]):
        return arguments
    from hydra_plugins.ablate_sweeper import StudySweeper

    of_hydra = [each for each in arguments[1:] if each.lstrip("+~").startswith("hydra")]
    StudySweeper.arguments = [each for each in arguments[1:] if each not in of_hydra]
    of_study = [each for each in StudySweeper.arguments if each.startswith(("output_dir=", "wandb.", "study.name="))]
    return ["--multirun", *of_hydra, *of_study]


class _OfSingleRun(BaseException):
    """Carries a run's error past Hydra, which would add a line of its own to it."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def task(composed: DictConfig) -> str | None:
    """What Hydra calls for a run: the only one, or one of a multirun, which shows little but what has become of it.

    Gives the command that uploads what wandb's server does not have of it, if there is such.
    """
    if "torch" not in sys.modules:
        for name in _THREAD_VARIABLES:
            os.environ.pop(name, None)
    is_single = HydraConfig.get().mode == RunMode.RUN
    screen = Screen(quiet=not is_single)
    try:
        if is_single:
            _check_single(composed)
        return run(composed, screen)
    except Exception as error:
        if is_single:
            raise _OfSingleRun(error) from error
        screen.announce(_failure(composed, error))
        # Tracebacks hold the run's tensors, its own and that of what caused it, and the multirun goes on.
        error.__context__ = None
        raise error.with_traceback(None) from None
    finally:
        if not is_single:
            _free_memory()


def run(composed: DictConfig, screen: Screen) -> str | None:
    """One run: its record shown if it is finished, else trained and recorded. Torch is imported only to train.

    Gives the command that uploads what wandb's server does not have.
    """
    config = compose.resolve(composed)
    choices = dict(HydraConfig.get().runtime.choices)
    if several := [group for group in GROUPS if group in config and not isinstance(choices.get(group), str)]:
        raise UserError(f"{several[0]}: expected one option; --multirun {several[0]}=A,B runs several")
    choices = {group: choices[group] for group in GROUPS if group in config}
    overrides = [override.lstrip("+") for override in HydraConfig.get().overrides.task]
    compose.check_settings(config, overrides)
    if config["plot"]:
        _plot(config, choices)
        return None
    corpus = compose.instantiate(config, "data")
    try:
        fingerprint = corpus.fingerprint(Path(config["output_dir"], "cache"), screen.track)
    except ValueError as error:
        raise UserError(str(error)) from error
    folder = RunFolder(config["output_dir"], key(config, fingerprint))

    if own := compose.user_conf_dir():
        screen.say(f"options of {own} are used before ablate's own")
    if (result := folder.result()) and not config["rerun"]:
        _show(result, folder, screen)
        return None
    mode, reason = tracking.choose_mode(config["wandb"]["mode"])
    store.check_writable(config["output_dir"])
    folder.check_free()  # before data are loaded for nothing
    from ablate.prepare import cost, prepare

    training = prepare(config, corpus, fingerprint, screen, _tables())
    with folder.lease() as lease:
        if (result := folder.result()) and not config["rerun"]:  # another process has ended it meanwhile
            _show(result, folder, screen)
            return None
        if result:
            screen.say(f"the earlier record of {folder.key} is kept in {folder.set_aside()}")
        with folder.open(OmegaConf.to_yaml(OmegaConf.create(config))) as log, screen.logging_to(log):
            differences = compose.differences(config, choices)
            screen.say(f"run {folder.key}: {' '.join(differences) or 'all defaults'}, seed {config['seed']}")
            study, member = config["study"], config["team"]["member"]
            tracker = tracking.start(
                config,
                key=folder.key,
                name=" ".join([study["arm"] or " ".join(differences), f"seed={config['seed']}"]).strip(),
                mode=mode,
                tags=[
                    *(f"{group}={option}" for group, option in choices.items()),
                    *([f"design={study['design']}"] if study["arm"] else []),
                    *([f"member={member}"] if member else []),
                ],
                repetition=folder.repetitions(),
                warn=screen.announce,
            )
            screen.say(f"wandb: {tracker.mode} ({reason}) {tracker.url}".rstrip())
            identity = {
                "seed": config["seed"],
                "epochs": config["epochs"],
                "overrides": [override for override in overrides if not _is_of_multirun(override)],
                "choices": choices,
                "member": member,
                "data_fingerprint": fingerprint,
                "cost": cost(config),
            }
            try:
                return _train(training, folder, lease, tracker, screen, identity)
            except Exception as error:
                screen.write(f"failed: {type(error).__name__}: {error}")
                error.add_note(f"its log: {folder.path / 'run.log'}")
                raise


@functools.cache
def _tables() -> Tables:
    """Of this process: what one run of a multirun has loaded, the next one has."""
    from ablate.prepare import Tables

    return Tables()


def _is_of_multirun(override: str) -> bool:
    return override.startswith("study.") and not override.startswith("study.name=")


def _check_single(composed: DictConfig) -> None:
    """Refuse what only a multirun can do."""
    given = {override.partition("=")[0].lstrip("+") for override in HydraConfig.get().overrides.task}
    if asked := sorted(given & {"study", *(f"study.{name}" for name in composed["study"] if name != "name")}):
        raise UserError(f"{asked[0]}: expected a multirun for it; add --multirun")


def _failure(composed: DictConfig, error: Exception) -> str:
    if isinstance(error, BusyError):
        return str(error)
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", []))
    return f"failed: {_name(composed)}: {in_words(error)}{notes}"


def _name(config: Mapping[Any, Any]) -> str:
    return f"{config['study']['arm']} seed {config['seed']}"


def _free_memory() -> None:
    """Give back what a run had on a GPU, for the next one."""
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def _plot(config: compose.Config, choices: dict[str, str]) -> None:
    from ablate import plot

    name = " ".join(compose.differences(config, choices)) or "all defaults"
    Screen().say(plot.draw({name: plot.learning_rates(config)}, config["output_dir"]))


def _show(result: dict[str, Any], folder: RunFolder, screen: Screen) -> None:
    screen.say(f"{folder.key} is {result['status']} already. rerun=true trains it again; other epochs= is another run.")
    screen.table(summary(result, folder.path, None))


def _train(
    training: Training, folder: RunFolder, lease: Lease, tracker: Tracker, screen: Screen, identity: dict[str, Any]
) -> str | None:
    """Train and write the record's end: result.json, or error.txt of a crash. The window is closed in any case.

    Gives the command that uploads what wandb's server does not have.
    """
    from ablate import machine
    from ablate.recipe import arch
    from ablate.train import train

    screen.say(arch.describe(training.model, training.config["arch"].get("num_params")))

    announce = partial(screen.announce, "stopping after this epoch; once more stops at once")
    status: str = "crashed"
    metrics: dict[str, Any] = {}
    try:
        with Interruption(announce) as interruption:
            outcome = train(training, folder, lease, tracker, screen, interruption)
        status, metrics = outcome.status, outcome.metrics
        if status == "interrupted":
            raise KeyboardInterrupt
        record = {"key": folder.key} | asdict(outcome) | identity | store.provenance()
        record |= {"machine": machine.describe(training.device)}
        lease.check()
        folder.finish(record)
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except BusyError:
        status = "taken over"
        raise
    except Exception:
        folder.write_error(traceback.format_exc())
        raise
    finally:
        how_to_sync = tracker.finish(status, metrics)
        if how_to_sync and status not in ("finished", "diverged"):
            screen.say(f"wandb: `{how_to_sync}` uploads what there is")
    if status == "diverged":
        screen.say("the run diverged: its loss became NaN or infinite; a smaller learning rate is the usual cure")
    if how_to_sync and tracker.mode == "online":
        screen.announce(f"wandb: the server does not have all of this run; `{how_to_sync}` uploads it")
    screen.table(summary(record, folder.path, how_to_sync))
    if screen.quiet:
        screen.announce(line(_name(training.config), record))
    if interruption.asked:  # in the last epoch: this run has ended, and no other is wanted
        raise KeyboardInterrupt
    return how_to_sync


if __name__ == "__main__":
    # By its own name, so that launchers which send the task to other processes can find it there.
    from ablate.run import main as run_main

    run_main()
