"""`ablate confirm NAME`: train the arm that looks best, and the baseline, on seeds that nobody has picked it by."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablate.command.frame import end, framed
from ablate.config.compose import is_of_hydra
from ablate.error import UserError
from ablate.record.layout import Layout
from ablate.report.gather import Study, gather


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return framed(_confirm, given, after_interruption="the same command goes on from the last whole epoch")


def _confirm(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate confirm", description=__doc__)
    parser.add_argument("name", help="the study; what confirms it is a study of its own, NAME-confirm")
    parser.add_argument("overrides", nargs="*", help="what is of this machine: device=cpu team.member=2 team.size=3")
    parser.add_argument("--arm", help="confirm this one instead of the best")
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where its records lie (%(default)s)")
    asked = parser.parse_intermixed_args(arguments)
    from ablate.multirun import again
    from ablate.multirun.sweep import multirun

    places = Layout(asked.output_dir)
    given = again.given(places, asked.overrides)
    study = gather([places.output_dir], asked.name)
    if study.stage_of:
        raise UserError(
            f"{study.plan['study']}: a stage, on a part of the data; `ablate resume {study.stage_of}` goes on to all "
            "of them, whose best arm can be confirmed"
        )
    again.refuse_search(study.plan)
    wanted = _wanted(study, asked.arm)
    _, command = again.recorded(places, asked.name)
    own = [each for each in given if not is_of_hydra(each)]
    overrides = [*again.allowed([*again.beside(command, wanted), *wanted], own), *own]
    with again.composer(places, asked.name, command, given) as composer:
        return multirun(composer, overrides, ["confirm", *arguments])


def _wanted(study: Study, arm: str | None) -> list[str]:
    """The overrides of the study that confirms an arm. Raises `UserError` where there is nothing to confirm."""
    from ablate.report.confirmation import best, confirmation
    from ablate.report.judging import judgement
    from ablate.report.words import why_no_verdict

    judged = judgement(study)
    name = study.plan["study"]
    if judged is None:
        raise UserError(f"{name}: {why_no_verdict(study)}; `ablate resume {name}` goes on with it")
    if arm is not None and (arm not in study.arms or arm == study.plan["baseline"]):
        raise UserError(f"--arm {arm}: expected an arm of {name} but its baseline: {', '.join(study.arms[1:])}")
    picked = arm or best(judged)
    if picked is None:
        raise UserError(f"{name}: no arm looks better than the baseline, so that there is nothing to confirm")
    found = confirmation(study, picked)
    if found is None:
        raise UserError(f"{name}: {picked} and the baseline are told apart by no values; type their study yourself")
    return found


if __name__ == "__main__":
    end(main())
