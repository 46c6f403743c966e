"""`ablate run`, or `ablate` alone: compose, check, and train what is not finished; several runs with `--multirun`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from ablate.command.diagnosis import mistakes, told_at_once
from ablate.command.frame import end, framed
from ablate.command.line import Line, complete, read
from ablate.config.check import refuse
from ablate.config.compose import OUR_SWEEPER, Composer, is_of_hydra, resolve
from ablate.config.override import name_of, value_of
from ablate.display import Screen
from ablate.error import UserError
from ablate.record.layout import Layout
from ablate.training.job import job_of

_GOES_ON = "the same command goes on from the last whole epoch"
_OF_OUR_MULTIRUN = ("study", "team")
_OF_ANY_RUN = ("study.name", "team.member")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return command(sys.argv[1:] if arguments is None else arguments)


def command(arguments: list[str]) -> int:
    """Carry out a command line; its exit code. Errors are a line on stderr; HYDRA_FULL_ERROR=1 shows tracebacks."""
    return framed(_run, arguments, after_interruption=_GOES_ON)


def _run(arguments: list[str]) -> int:
    line = read(arguments)
    if line.asks_version:
        from importlib import metadata

        print(f"ablate {metadata.version('ablate')}")
        return 0
    with Composer.of(line.flags, line.overrides) as composer:
        overrides = [each for each in line.overrides if not is_of_hydra(each)]
        if line.problems:
            refuse([*line.problems, *_other_mistakes(composer, line, overrides)])
        if _shows(line):
            _show(composer, line, overrides)
            return 0
        return _start(composer, line, overrides, arguments)


def _other_mistakes(composer: Composer, line: Line, overrides: list[str]) -> list[str]:
    if not line.flags.multirun:
        return mistakes(composer, overrides)
    from ablate.multirun.factors import all_mistakes

    return all_mistakes(composer, overrides)


def _shows(line: Line) -> bool:
    flags = line.flags
    return bool(flags.help or flags.hydra_help or flags.shell_completion or flags.cfg or flags.info)


def _show(composer: Composer, line: Line, overrides: list[str]) -> None:
    if line.flags.shell_completion and any(each.startswith("query=") for each in overrides):
        complete(partial(composer.show, line.flags, overrides))
    elif line.flags.shell_completion:
        composer.show(line.flags, overrides)
    else:
        told_at_once(composer, overrides, lambda: composer.show(line.flags, overrides))


def _start(composer: Composer, line: Line, overrides: list[str], arguments: list[str]) -> int:
    """Whatever is to be trained: one run, our multirun, or another sweeper's; the exit code."""
    _check_more_than_a_name(overrides)
    if line.flags.package or line.flags.resolve:
        raise UserError(
            f"--{'package' if line.flags.package else 'resolve'}: says what --cfg shows; give it with --cfg job"
        )
    are_sweeps = any(not is_of_hydra(each) and composer.is_sweep(each) for each in overrides)
    if line.flags.multirun or composer.asked_mode() == "MULTIRUN":
        _check_no_sweep()
    if line.flags.multirun and composer.asked_mode() not in (None, "MULTIRUN"):
        raise UserError(f"hydra.mode={composer.asked_mode()}: --multirun says otherwise; leave one of them out")
    if not (line.flags.multirun or are_sweeps or composer.asked_mode() == "MULTIRUN"):
        composed = told_at_once(composer, overrides, lambda: _composed(composer, overrides))
        if not composer.is_multirun(composed):
            composer.run(composed, partial(_one, composer))
            return 0
    of_files = [each for each in overrides if name_of(each) in ("study", "experiment") and not composer.is_sweep(each)]
    try:
        head = composer.whole(of_files, "multirun")
    except Exception:
        refuse(_other_mistakes(composer, line, overrides))
        raise
    if not (line.flags.multirun or composer.is_multirun(head)):
        refuse(mistakes(composer, overrides))
    if composer.sweeper(head) != OUR_SWEEPER:
        _sweep_by_another(composer, overrides)
        return 0
    from ablate.multirun.sweep import multirun

    return multirun(composer, overrides, arguments)


def _check_no_sweep() -> None:
    from ablate.record.wandb_settings import sweep_run

    if sweep_run():
        raise UserError("--multirun: `wandb agent` asks for one run at a time; leave --multirun out of its command")


def _composed(composer: Composer, overrides: list[str]) -> DictConfig:
    """The config of a single run, whose interpolations lead somewhere."""
    if any("${" in each for each in overrides):
        resolve(composer.compose(overrides))
    return composer.whole(overrides)


def _check_more_than_a_name(overrides: list[str]) -> None:
    """Refuse a study's name alone, which asks for what is known of it and not for a run of the defaults."""
    names = [value_of(each) for each in overrides if name_of(each) == "study.name"]
    if names and all(name_of(each) in ("study.name", "output_dir") for each in overrides):
        raise UserError(
            f"study.name={names[0]}: a name alone trains nothing; `ablate status {names[0]}` says how far the study "
            f"is, `ablate report {names[0]}` what it shows, and `ablate resume {names[0]}` goes on with it"
        )


def _one(composer: Composer, composed: DictConfig) -> None:
    """The only run of a command. What trains it is imported once its config is known to be sound."""
    job = job_of(composed)
    config = job.config
    screen = Screen(progress=config["progress"])
    of_study = sorted({name_of(each) for each in job.overrides if name_of(each).startswith("study")} - {"study.name"})
    if of_study or config["study"]["factors"]:
        raise UserError(f"{(of_study or ['study.factors'])[0]}: expected a multirun for it; add --multirun")
    if config["plot"]:
        from ablate.training import plot

        name = " ".join(composer.differences(config, job.choices)) or "all defaults"
        screen.say(plot.draw({name: plot.learning_rates(config)}, Layout(Path(config["output_dir"]))))
        return
    from ablate.training.run import attend, identify
    from ablate.training.session import Session

    attend(identify(job, screen, composer.differences), screen, Session())


def _sweep_by_another(composer: Composer, overrides: list[str]) -> None:
    """Give the whole line to another sweeper, which is told each run's objective."""
    ours = [name_of(each) for each in overrides if name_of(each).split(".")[0] in _OF_OUR_MULTIRUN]
    ours += [name_of(each) for each in overrides if name_of(each) == "plot"]
    if asked := sorted(set(ours) - set(_OF_ANY_RUN)):
        raise UserError(
            f"{', '.join(asked)}: only ablate's own multirun has it; leave it out, or hydra/sweeper=..., which chooses "
            "another"
        )
    from ablate.multirun.factors import all_mistakes
    from ablate.training.run import objective

    known = [each for each in overrides if not composer.is_sweep(each) or composer.parsed(each).is_discrete_sweep()]
    refuse(all_mistakes(composer, known))
    composer.sweep_by_another(overrides, objective)


if __name__ == "__main__":
    # By its own name, so that launchers which send the task to other processes can find it there.
    from ablate.run import main as run_main

    end(run_main())
