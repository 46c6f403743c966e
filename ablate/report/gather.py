"""What is recorded of a study, in one folder or in several: its plan, and each cell's run, merged by key."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.config.spelling import nearest
from ablate.error import UserError
from ablate.record import reading
from ablate.record.layout import Layout
from ablate.record.reading import CellRecord, PlanRecord, Result
from ablate.record.status import Status
from ablate.record.store import RunFolder
from ablate.study.design import split

if TYPE_CHECKING:
    from ablate.study.verdict import Flag

RATE = "optimizer.lr"
FINAL: tuple[Status, ...] = ("finished", "diverged", "failed")  # that no more is to be expected of


@dataclass(frozen=True)
class Study:
    """A study as it is recorded."""

    plan: PlanRecord
    statuses: dict[str, Status]  # by key
    results: dict[str, Result]  # by key, of those that have ended
    folders: dict[str, Path]  # by key: the run's folder
    planned_seeds: int
    places_of_data: list[str]  # overrides, of this machine
    notes: list[str] = field(default_factory=list)  # what was left out, and why

    @property
    def cells(self) -> list[CellRecord]:
        """The runs of the plan."""
        return self.plan["cells"]

    @property
    def arms(self) -> list[str]:
        """The arms' names, the baseline first."""
        return list(dict.fromkeys([self.plan["baseline"], *(cell["arm"] for cell in self.cells)]))

    @property
    def tally(self) -> Counter[Status]:
        """How many runs have which status."""
        return Counter(self.statuses.values())

    def mean(self, arm: str, of_diverged: float | None = None) -> float | None:
        """The mean accuracy of an arm's runs; of those that diverged as given, where they count at all."""
        found = [
            accuracy if (accuracy := result["metrics"]["val/accuracy"]) is not None else of_diverged
            for cell in self.cells
            if cell["arm"] == arm and (result := self.results.get(cell["key"]))
        ]
        known = [accuracy for accuracy in found if accuracy is not None]
        return sum(known) / len(known) if known else None

    def levels(self, arm: str) -> dict[str, str]:
        """An arm's level of each factor that the study varies."""
        parts = [part.partition("=") for part in split(arm) if "=" in part]
        return {name: level for name, _, level in parts}


def mean_of(study: Study, arm: str) -> float | None:
    """The mean accuracy of an arm's runs, those that diverged at 0, as the worst there is."""
    return study.mean(arm, of_diverged=0.0)


def gather(output_dirs: Sequence[Path], name: str) -> Study:
    """What the folders hold of a study. Raises `UserError` where none of them has its plan."""
    places = [Layout(folder) for folder in output_dirs]
    plans = [(place, plan) for place in places if (plan := reading.plan(place, name))]
    if not plans:
        known = sorted({study for place in places for study in reading.studies(place)})
        raise UserError(f"{name}: no such study in {', '.join(map(str, output_dirs))}; {nearest(name, known)}")
    home, plan = plans[0]
    notes = [
        f"{place.plan(name)}: another plan of this name, {other['plan_id']}, is left out; this is {plan['plan_id']}"
        for place, other in plans[1:]
        if other["plan_id"] != plan["plan_id"]
    ]
    study = Study(plan, {}, {}, {}, _planned_seeds(home, plan), _places_of_data(home, name), notes)
    for cell in plan["cells"]:
        _gather_cell(study, places, cell["key"])
    return study


def flags_of_rates(study: Study) -> dict[str, Flag]:
    """The arms whose learning rate was not varied, or is best at the border of those that were tried."""
    levels = study.plan.get("factors", {}).get(RATE, [])
    if len(levels) < 2:
        return dict.fromkeys(study.arms, "not-re-tuned")
    ordered = sorted(levels, key=number)
    found: dict[str, Flag] = {}
    for setting in {without_rate(arm) for arm in study.arms}:
        arms = {study.levels(arm).get(RATE, ""): arm for arm in study.arms if without_rate(arm) == setting}
        means = {level: mean for level, arm in arms.items() if (mean := mean_of(study, arm)) is not None}
        if means and max(means, key=lambda level: means[level]) in (ordered[0], ordered[-1]):
            found |= dict.fromkeys(arms.values(), "not-re-tuned")
    return found


def _gather_cell(study: Study, places: Sequence[Layout], key: str) -> None:
    """Merge what the folders hold of a run: it is one run unless its status or its metrics differ."""
    study.statuses[key] = "missing"
    for place in places:
        folder = RunFolder(place, key)
        try:
            result = folder.result()
            status = folder.status()
        except (UserError, OSError) as error:
            study.notes.append(f"{error}; left out")
            continue
        if result is None:
            if study.statuses[key] == "missing":
                study.statuses[key] = status
            continue
        before = study.results.get(key)
        if before and (before["status"], before["metrics"]) != (result["status"], result["metrics"]):
            study.notes.append(f"{folder.path}: another result than {study.folders[key]} has; left out")
            continue
        study.results.setdefault(key, result)
        study.folders.setdefault(key, folder.path)
        study.statuses[key] = result["status"]


def _planned_seeds(place: Layout, plan: PlanRecord) -> int:
    """The seeds that were planned before any result of all of them was seen: what came later is an addition."""
    arms = {cell["arm"] for cell in plan["cells"]}
    numbers = [len({cell["seed"] for cell in plan["cells"]})]
    for earlier in reading.earlier_plans(place, plan["study"]):
        was_seen = all(cell.get("status") in FINAL for cell in earlier["cells"])
        if was_seen and {cell["arm"] for cell in earlier["cells"]} == arms and earlier["baseline"] == plan["baseline"]:
            numbers.append(len({cell["seed"] for cell in earlier["cells"]}))
    return min(numbers)


def _places_of_data(place: Layout, name: str) -> list[str]:
    """Where the study's command found its data."""
    with contextlib.suppress(UserError):
        if command := reading.command(place, name):
            return [each for each in command["overrides"] if each.startswith(("data.root=", "data.alignments="))]
    return []


def machine_of(result: Result) -> str:
    """The name of the machine that a run was trained on."""
    machine = result.get("machine")
    return machine["name"] if machine else ""


def without_rate(arm: str) -> str:
    """An arm's name but for its learning rate."""
    return ",".join(part for part in split(arm) if not part.startswith(f"{RATE}="))


def number(level: str) -> float:
    """A level as a number, 0 where it is none."""
    with contextlib.suppress(ValueError):
        return float(level)
    return 0.0
