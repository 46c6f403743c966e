"""What is recorded of a study, in one folder or in several: its plan, and each cell's run, merged by key."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.config.override import name_of
from ablate.config.spelling import nearest
from ablate.error import UserError
from ablate.record import lookup, reading, team
from ablate.record.key import PLACES_OF_DATA
from ablate.record.layout import Layout
from ablate.record.reading import CellRecord, PlanRecord, Result
from ablate.record.status import Status
from ablate.record.store import RunFolder
from ablate.record.team import Elsewhere, Found, shown
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
    looks: tuple[int, ...]  # the numbers of seeds that were asked for, ascending
    places_of_data: list[str]  # overrides, of this machine
    output_dirs: list[Path]
    notes: list[str] = field(default_factory=list)  # what was left out, and why
    elsewhere: dict[str, str] = field(default_factory=dict)  # by key: the team-mate's place that its result is of
    parts: dict[str, float] = field(default_factory=dict)  # of the data: each stage's, by name, its own among them
    before: Study | None = None  # the stage before, which says what this one runs
    stage_of: str | None = None  # the study of which it is a stage, but for the last

    @property
    def cells(self) -> list[CellRecord]:
        """The runs of the plan."""
        return self.plan["cells"]

    @property
    def waiting(self) -> set[int]:
        """The seeds that still lack some run."""
        return {cell["seed"] for cell in self.cells if self.statuses[cell["key"]] not in FINAL}

    @property
    def arms(self) -> list[str]:
        """The arms' names, the baseline first."""
        return list(dict.fromkeys([self.plan["baseline"], *(cell["arm"] for cell in self.cells)]))

    @property
    def tally(self) -> Counter[Status]:
        """How many runs have which status."""
        return Counter(self.statuses.values())

    def digest(self) -> str:
        """Of all that the runs have shown: another wherever a run has joined, or differs."""
        told = sorted((key, each["status"], sorted(each["metrics"].items())) for key, each in self.results.items())
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

    @property
    def credits(self) -> list[str]:
        """Whose the results are that do not lie here."""
        return team.credits((self.results[key], place) for key, place in self.elsewhere.items())

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


def gather(output_dirs: Sequence[Path], name: str) -> Study:
    """What the folders hold of a study. Raises `UserError` where none of them has its plan.

    Of plans that contain one another the largest counts: the others are of folders where seeds were not added yet.
    """
    if lost := [str(folder) for folder in output_dirs if len(output_dirs) > 1 and not folder.is_dir()]:
        raise UserError(f"--output-dir {', '.join(lost)}: no such folder")
    places = [Layout(folder) for folder in output_dirs]
    plans, notes = list[tuple[Layout, PlanRecord]](), list[str]()
    for place in places:
        try:
            if plan := reading.plan(place, name):
                plans.append((place, plan))
        except UserError as error:
            notes.append(str(error))
    if not plans and notes:
        raise UserError("\n".join(notes))
    if not plans and (under_way := _stage_under_way(places, name)):
        return gather(output_dirs, under_way)
    if not plans:
        known = sorted({study for place in places for study in reading.studies(place)})
        raise UserError(f"{name}: no such study in {', '.join(map(str, output_dirs))}; {nearest(name, known)}")
    home, plan = max(plans, key=lambda each: len(each[1]["cells"]))
    own = {cell["key"] for cell in plan["cells"]}
    smaller = []
    for place, other in plans:
        if {cell["key"] for cell in other["cells"]} <= own:
            smaller.append(other)
        else:
            said = f"another plan of this name, {other['plan_id']}, is left out; this is {plan['plan_id']}"
            notes.append(f"{place.plan(name)}: {said}")
    smaller += [each for place in places for each in reading.earlier_plans(place, name)]
    stages: dict[str, float] = {}
    before = None
    try:
        stages = _stages_of(home, name)
        earlier = list(stages)[: list(stages).index(name)] if name in stages else []
        before = gather(output_dirs, earlier[-1]) if earlier else None
    except UserError as error:
        notes.append(str(error))
    last = list(stages)[-1] if stages else name
    study = Study(
        plan, {}, {}, {}, _seeds_asked(plan, smaller, is_a_stage=before is not None), _places_of_data(home, name),
        list(output_dirs), notes, parts=stages, before=before, stage_of=last if last != name else None,
    )  # fmt: skip
    elsewhere = Elsewhere(_stores(study, places[0]), _in_wandb(study, home))
    for cell in plan["cells"]:
        _gather_cell(study, places, cell)
        for found in team.every(elsewhere, cell["key"], notes):
            _take(study, found)
    notes += _unlike(study)
    return study


def _stage_under_way(places: Sequence[Layout], name: str) -> str | None:
    """The stage of a study that has been begun last, while the last one has not."""
    for place in places:
        for stage in reversed(_stages_of(place, name)):
            if stage != name and reading.plan(place, stage):
                return stage
    return None


def _stages_of(place: Layout, name: str) -> dict[str, float]:
    """The stages of a study, or of the one that it is a stage of, with their parts of the data."""
    command = reading.command(place, name)
    return command.get("stages", {}) if command else {}


def flags_of_rates(study: Study) -> dict[str, Flag]:
    """The arms whose learning rate was not varied, or is best at the border of those that were tried."""
    levels = study.plan.get("factors", {}).get(RATE, [])
    if len(levels) < 2:
        return dict.fromkeys(study.arms, "not-re-tuned")
    ordered = sorted(levels, key=number)
    found: dict[str, Flag] = {}
    for setting in {without_rate(arm) for arm in study.arms}:
        arms = {study.levels(arm).get(RATE, ""): arm for arm in study.arms if without_rate(arm) == setting}
        means = {level: mean for level, arm in arms.items() if (mean := study.mean(arm, of_diverged=0.0)) is not None}
        if means and max(means, key=lambda level: means[level]) in (ordered[0], ordered[-1]):
            found |= dict.fromkeys(arms.values(), "not-re-tuned")
    return found


def _gather_cell(study: Study, places: Sequence[Layout], cell: CellRecord) -> None:
    """Merge what the folders hold of a run: it is one run unless its status or its metrics differ."""
    key = cell["key"]
    study.statuses[key] = "failed" if cell.get("status") == "failed" else "missing"
    for place in places:
        folder = RunFolder(place, key)
        try:
            result = folder.result()
            status = folder.status()
        except (UserError, OSError) as error:
            study.notes.append(f"{error}; left out")
            continue
        if result is None:
            if status != "missing" and study.statuses[key] in ("missing", "failed"):
                study.statuses[key] = status
            continue
        if result.get("seed", cell["seed"]) != cell["seed"]:
            study.notes.append(f"{folder.path}: of seed {result.get('seed')}, expected {cell['seed']}; left out")
            continue
        _take(study, Found(result, "" if place is places[0] else str(place.output_dir), folder.path))


def _take(study: Study, found: Found) -> None:
    """Take a run's result, unless another is known that differs; what lies here has no place."""
    result, key = found.result, found.result["key"]
    before = study.results.get(key)
    if before and shown(before) != shown(result):
        known = study.folders.get(key) or study.elsewhere[key]
        study.notes.append(f"{found.folder or f'{key} in {found.place}'}: another result than {known} has; left out")
        return
    if before is None and found.place:
        study.elsewhere[key] = found.place
    study.results.setdefault(key, result)
    if found.folder:
        study.folders.setdefault(key, found.folder)
    study.statuses[key] = result["status"]


def _in_wandb(study: Study, home: Layout) -> dict[str, Found]:
    """What wandb has shown to the study's command."""
    try:
        return lookup.known(home, study.plan["study"])
    except UserError as error:
        study.notes.append(str(error))
        return {}


def _stores(study: Study, home: Layout) -> list[str]:
    """Where to look for team-mates' runs: what the study's command named here, and folders given that are of runs."""
    of_runs = [str(folder) for folder in study.output_dirs[1:] if not Layout(folder).runs.is_dir()]
    try:
        named = reading.stores(home, study.plan["study"])
    except UserError as error:
        study.notes.append(str(error))
        return of_runs
    study.notes.extend(team.lost(named))
    return [*named, *of_runs]


def _unlike(study: Study) -> list[str]:
    """What the runs should have alike and don't: the bits of their data, and the version of the code's numbers."""
    found = list[str]()
    bits: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    versions: dict[int, set[str]] = defaultdict(set)
    for result in study.results.values():
        if digest := result.get("data_digest"):
            bits[result.get("data_fingerprint", "")][digest].add(machine_of(result) or "a machine without a name")
        if version := result.get("results_version"):
            versions[version].add(result["key"])
    for digests in bits.values():
        if len(digests) > 1:
            machines = "; ".join(", ".join(sorted(of)) for of in digests.values())
            found.append(
                f"the same corpus has other bits on other machines ({machines}): its features were made by other "
                "processor instructions or library versions, which may change an accuracy a little"
            )
    if len(versions) > 1:
        numbers = ", ".join(f"{number} ({len(keys)} runs)" for number, keys in sorted(versions.items()))
        found.append(f"runs of versions whose numbers differ are compared: results_version {numbers}")
    return found


def _seeds_asked(plan: PlanRecord, others: Sequence[PlanRecord], *, is_a_stage: bool) -> tuple[int, ...]:
    """The numbers of seeds that were asked for: those planned before any result was seen, and each addition.

    A smaller plan counts where a verdict could be seen: two seeds at least, and all of a member's share done. Of a
    stage it may have fewer arms, since others join.
    """
    arms = {cell["arm"] for cell in plan["cells"]}
    numbers = {len({cell["seed"] for cell in plan["cells"]})}
    for other in others:
        has_its_arms = is_a_stage or {cell["arm"] for cell in other["cells"]} == arms
        is_alike = has_its_arms and other["baseline"] == plan["baseline"]
        seeds = len({cell["seed"] for cell in other["cells"]})
        if is_alike and 2 <= seeds < max(numbers) and _was_seen(other):
            numbers.add(seeds)
    return tuple(sorted(numbers))


def _was_seen(plan: PlanRecord) -> bool:
    """Whether the folder of this plan had all results that it could have of itself: a team-mate's lie elsewhere."""
    left = {cell.get("member", 1) for cell in plan["cells"] if cell.get("status") not in FINAL}
    return bool({cell.get("member", 1) for cell in plan["cells"]} - left)


def _places_of_data(place: Layout, name: str) -> list[str]:
    """Where the study's command found its data."""
    with contextlib.suppress(UserError):
        if command := reading.command(place, name):
            return [each for each in command["overrides"] if name_of(each) in PLACES_OF_DATA]
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
