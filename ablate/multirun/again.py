"""A study's command again, by the study's name: what its record asks for, and nothing that a record may not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ablate.command.line import read
from ablate.config.check import refuse
from ablate.config.compose import Composer, is_of_hydra
from ablate.config.override import name_of, quoted, value_of, with_list
from ablate.config.spelling import nearest
from ablate.error import UserError
from ablate.record import reading
from ablate.record.key import is_outside
from ablate.record.layout import Layout
from ablate.record.reading import CommandRecord, PlanRecord

_OF_A_STUDY = ("study", "team")  # the runs, and whose they are


def recorded(places: Layout, name: str) -> tuple[PlanRecord, CommandRecord]:
    """The plan of a study, or of its first stage, and what its command asked for.

    Raises `UserError` where one of them is not there.
    """
    command = reading.command(places, name)
    stages = command.get("stages", {}) if command else {}
    first = next(iter(stages), name)
    plan = reading.plan(places, first)  # later stages grow as they go
    if plan is None and first != name:
        raise UserError(
            f"{places.plan(first)}: not there, which is the plan of the study's first stage; give the study's own "
            "command, which writes it"
        )
    if plan is None:
        raise UserError(f"{name}: no such study in {places.output_dir}; {nearest(name, reading.studies(places))}")
    refuse_search(plan)
    if command is None:
        raise UserError(f"{places.command(name)}: not there; give the study's own command, which writes it")
    return plan, command


def refuse_search(plan: PlanRecord) -> None:
    """Raise `UserError` for the plan of a search, which no command of a study's makes anew."""
    if plan["design"] == "search":
        raise UserError(f"{plan['study']}: is a search; the `ablate search` that has made it goes on with it")


def whole(places: Layout, name: str) -> str:
    """The study of which a study of this name is a stage: itself, where it is none."""
    command = reading.command(places, name)
    *_, last = command.get("stages", [name]) if command else [name]
    return last if reading.command(places, last) else name


def given(places: Layout, overrides: Sequence[str]) -> list[str]:
    """What is typed beside a study's name, checked, with where its records lie. Raises `UserError`."""
    line = read(list(overrides))
    refuse(line.problems)
    return [f"output_dir={quoted(str(places.output_dir))}", *line.overrides]


def composer(places: Layout, name: str, command: CommandRecord, given: Sequence[str]) -> Composer:
    """What composes the runs of a recorded command, with what is given of Hydra's now.

    Raises `UserError` for a folder of options that would run code.
    """
    if packages := [each for each in command["folders"] if "://" in each and not each.startswith("file://")]:
        raise UserError(
            f"{places.command(name)}: {packages[0]}: a package would run code, and none is taken from a record; "
            "give the study's own command"
        )
    of_hydra = [each for each in given if is_of_hydra(each)]
    return Composer(command["config_name"], command["folders"], of_hydra, trusts_primary=False)


def beside(command: CommandRecord, overrides: Sequence[str]) -> list[str]:
    """What a command asked for that is of no run's key and not of the study: wandb, a device, where data lie.

    What other `overrides` have is left out.
    """
    names = {name_of(each) for each in overrides}
    return [
        each
        for each in command["overrides"]
        if is_outside(name_of(each)) and name_of(each) not in names and name_of(each).split(".")[0] not in _OF_A_STUDY
    ]


def allowed(overrides: Iterable[str], given: Sequence[str]) -> list[str]:
    """What a record asks for and the user does not: nothing that could read this machine or make it run something.

    Raises `UserError` for what is left to the user to give.
    """
    names = {name_of(each) for each in given}
    kept = [each for each in overrides if name_of(each) not in names and not is_of_hydra(each)]
    refuse(
        f"{name_of(each)}: was given as {value_of(each)}, which is not read from a record; give {name_of(each)}=..."
        for each in kept
        if "${" in each
    )
    return kept


def stores(places: Layout, name: str, given: Sequence[str]) -> list[str]:
    """The folders of team-mates that the study's command named here, unless others are given."""
    known = reading.stores(places, name)
    if not known or any(name_of(each) == "team.stores" for each in given):
        return []
    return [with_list("team.stores", known)]
