"""`ablate resume NAME`: go on with a study, by the command that began it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablate.command.frame import framed
from ablate.command.line import read
from ablate.config.check import refuse
from ablate.config.compose import Composer, is_of_hydra
from ablate.config.override import name_of, quoted, value_of, with_list
from ablate.config.spelling import nearest
from ablate.error import UserError
from ablate.record import reading
from ablate.record.layout import Layout

_GROWTH = ("study.seeds", "team.size")  # what may be changed of a plan, on demand


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return framed(_resume, given, after_interruption="the same command goes on from the last whole epoch")


def _resume(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate resume", description=__doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument(
        "overrides",
        nargs="*",
        help="what is yours or of this machine: team.member=2 device=cpu hydra/launcher=slurm",
    )
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where its records lie (%(default)s)")
    asked = parser.parse_intermixed_args(arguments)
    places = Layout(asked.output_dir)
    plan = reading.plan(places, asked.name)
    if plan is None:
        raise UserError(
            f"{asked.name}: no such study in {places.output_dir}; {nearest(asked.name, reading.studies(places))}"
        )
    command = reading.command(places, asked.name)
    if command is None:
        raise UserError(f"{places.command(asked.name)}: not there; give the study's own command, which writes it")
    line = read(asked.overrides)
    refuse(line.problems)
    given = [f"output_dir={quoted(str(places.output_dir))}", *line.overrides]
    own = [each for each in given if not is_of_hydra(each)]
    own += _stores(reading.stores(places, asked.name), own)
    overrides = [*_recorded(command["overrides"], {name_of(each) for each in own}), *own]
    grows = any(name_of(each) in _GROWTH for each in own)
    from ablate.multirun.sweep import multirun

    if packages := [each for each in command["folders"] if "://" in each and not each.startswith("file://")]:
        raise UserError(
            f"{places.command(asked.name)}: {packages[0]}: a package would run code, and none is taken from a record; "
            "give the study's own command"
        )
    of_hydra = [each for each in given if is_of_hydra(each)]
    with Composer(command["config_name"], command["folders"], of_hydra, trusts_primary=False) as composer:
        return multirun(composer, overrides, ["resume", *arguments], None if grows else plan["plan_id"])


def _stores(recorded: list[str], given: list[str]) -> list[str]:
    """The folders of team-mates that the study's command named, unless others are given."""
    if not recorded or any(name_of(each) == "team.stores" for each in given):
        return []
    return [with_list("team.stores", recorded)]


def _recorded(overrides: list[str], given: set[str]) -> list[str]:
    """What the record asks for and the user does not: nothing that could read this machine or make it run something.

    Raises `UserError` for what is left to the user to give.
    """
    kept = [each for each in overrides if name_of(each) not in given and not is_of_hydra(each)]
    refuse(
        f"{name_of(each)}: was given as {value_of(each)}, which is not read from a record; give {name_of(each)}=..."
        for each in kept
        if "${" in each
    )
    return kept


if __name__ == "__main__":
    sys.exit(main())
