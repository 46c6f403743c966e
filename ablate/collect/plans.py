"""Plans, merged by their ids: what is recorded here stays; what is new comes, and what is another's is told."""

from __future__ import annotations

import contextlib
import json
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_core import ValidationError

from ablate.config.settings import FolderName
from ablate.error import UserError
from ablate.file import write_atomically
from ablate.quantity.valid import valid
from ablate.record import layout, reading, store
from ablate.record.layout import Layout
from ablate.record.reading import PlanRecord

_REMEDY = "left out; have it copied again"


@dataclass
class Studies:
    """What is known of studies when all is merged."""

    known: list[PlanRecord] = field(default_factory=list)
    brought: set[str] = field(default_factory=set)  # the studies that the folders have a plan of
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def merge(places: Layout, files: Sequence[Path], *, is_dry: bool) -> Studies:
    """Take the plans of studies that have none here, the largest of each, and keep what they were before."""
    studies, found = Studies(), list[tuple[Path, PlanRecord]]()
    for file in files:
        try:
            found.append((file, _plan(file)))
        except (ValueError, UserError) as error:
            studies.problems.append(str(error))
    known = dict[str, PlanRecord]()
    for name in reading.studies(places):
        try:
            if plan := reading.plan(places, name):
                known[name] = plan
        except UserError as error:
            studies.problems.append(f"{error}; until then no other plan takes its place")
            found = [(file, plan) for file, plan in found if plan["study"] != name]
    for file, plan in sorted(found, key=lambda each: -len(each[1]["cells"])):
        name = plan["study"]
        studies.brought.add(name)
        if name not in known:
            known[name] = plan
            studies.notes.append(f"study {name}: its plan, {plan['plan_id']}, is taken from {file}")
            if not is_dry:
                _take(places, file, plan)
        _compare(places, known[name], (file, plan), studies, is_dry=is_dry)
    studies.known = list(known.values())
    return studies


def _plan(file: Path) -> PlanRecord:
    """A plan in a folder of any name. Raises `UserError` or `ValueError` for what is none, or could lead elsewhere."""
    if not stat.S_ISREG(file.lstat().st_mode):
        raise ValueError(f"{file}: expected a file, found something else; {_REMEDY}")
    plan = reading.plan_at(file, _REMEDY)
    if plan is None:
        raise ValueError(f"{file}: gone; {_REMEDY}")
    try:
        valid(FolderName, plan["study"])
    except ValidationError as error:
        raise ValueError(f"{file}: study: expected the name of a folder, found {plan['study']!r}; {_REMEDY}") from error
    if not re.fullmatch(r"[\w-]{1,100}", plan["plan_id"]):
        raise ValueError(f"{file}: plan_id: expected two words, found {plan['plan_id']!r}; {_REMEDY}")
    return plan


def _take(places: Layout, file: Path, plan: PlanRecord) -> None:
    """Record a plan, and the command that made it, so that it can be gone on with."""
    store.write_plan(places, plan["study"], plan)
    copied = file.with_name(places.command(plan["study"]).name)
    with contextlib.suppress(UserError, FileNotFoundError):  # a study without it is resumed by its own command
        if stat.S_ISREG(copied.lstat().st_mode) and (command := reading.command_at(copied)):
            store.write_command(places, plan["study"], command)


def _compare(
    places: Layout, own: PlanRecord, other: tuple[Path, PlanRecord], studies: Studies, *, is_dry: bool
) -> None:
    """Tell a plan that is another's, and keep beside the own what it, or a team-mate's, has been before."""
    file, plan = other
    if plan["plan_id"] == own["plan_id"]:
        if _cells(plan) != _cells(own):
            said = f"{file}: says that it is plan {plan['plan_id']}, and has other runs; left out"
            studies.problems.append(said)
            return
    else:
        said = f"study {own['study']}: another plan, {plan['plan_id']}, is in {file}; {own['plan_id']} stays"
        studies.notes.append(said)
    for each in (file, *layout.earlier_plans(file.parent)):
        with contextlib.suppress(UserError, ValueError, FileNotFoundError):
            earlier = _plan(each)
            # Only a part of the study as it is now tells how often the report has been looked at.
            if earlier["plan_id"] != own["plan_id"] and {*_keys(earlier)} < {*_keys(own)} and not is_dry:
                kept = places.earlier_plan(own["study"], earlier["plan_id"])
                if not kept.exists():
                    with write_atomically(kept) as copy:
                        copy.write(json.dumps(earlier, indent=1).encode())


def _keys(plan: PlanRecord) -> list[str]:
    return [cell["key"] for cell in plan["cells"]]


def _cells(plan: PlanRecord) -> object:
    return [(cell["key"], cell["arm"], cell["seed"], cell.get("member")) for cell in plan["cells"]]
