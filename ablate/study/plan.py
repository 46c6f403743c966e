"""A plan: the cells of a study, one order for all members, each with its key and its owner."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ablate.record.status import Status
from ablate.study.design import Design, split

_CONSONANTS, _VOWELS = "bdfghjklmnprstvz", "aiou"


@dataclass
class Cell:
    """A run of a study."""

    key: str
    arm: str
    seed: int
    member: int
    overrides: list[str]
    status: Status = "missing"


@dataclass(frozen=True)
class Plan:
    """A study as it will be run. All but the cells' `status` is the same for every member."""

    study: str
    question: str | None
    design: Design | Literal["search"]
    factors: dict[str, list[str]]
    seeds: list[int]
    margin: float | None
    aliases: list[str]
    size: int
    baseline: str
    cells: list[Cell]
    plan_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plan_id", _identity(self))

    @property
    def arms(self) -> list[str]:
        """The arms' names, the baseline first."""
        return list(dict.fromkeys(cell.arm for cell in self.cells))

    def of(self, member: int | None) -> list[Cell]:
        """A member's cells; all of them where there is none."""
        return [cell for cell in self.cells if member is None or cell.member == member]

    def content(self) -> dict[str, Any]:
        """What plan.json holds."""
        return {"plan_id": self.plan_id, **asdict(self)}


def proof(plan: Plan) -> str:
    """That the members' shares are the plan: none of its cells is in two of them, none in none.

    Raises `AssertionError` if it is not so.
    """
    shares = [{cell.key for cell in plan.of(member)} for member in range(1, plan.size + 1)]
    together = Counter(key for share in shares for key in share)
    assert set(together) == {cell.key for cell in plan.cells} and set(together.values()) <= {1}
    sizes = " + ".join(str(len(share)) for share in shares)
    return f"shares: {sizes} = {len(plan.cells)} runs, none twice and none left out"


def table(plan: Plan) -> list[str]:
    """A row an arm, named by what it has other than the baseline; a column a seed: whose cell it is, and its status."""
    by_place = {(cell.arm, cell.seed): cell for cell in plan.cells}
    header = ["arm", *(f"seed {seed}" for seed in plan.seeds)]
    rows = [
        [_difference(arm, plan.baseline), *(_place(plan, by_place.get((arm, seed))) for seed in plan.seeds)]
        for arm in plan.arms
    ]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]


def tally(cells: Sequence[Cell]) -> str:
    """How many cells have which status.

    >>> tally([Cell("k", "a", 0, 1, []), Cell("l", "a", 1, 1, [], "finished")])
    '1 finished, 1 missing'
    """
    count = Counter(cell.status for cell in cells)
    names: tuple[Status, ...] = ("finished", "diverged", "running", "failed", "missing")
    return ", ".join(f"{count[name]} {name}" for name in names if count[name]) or "no runs"


def limits(plan: Plan, detectable: float | None, noise: float | None, split_seeds: bool) -> list[str]:
    """What the plan can detect and what it can't tell; `detectable` in units of `noise`, a deviation of accuracy."""
    lines = []
    if len(plan.arms) < 2:
        lines.append(
            "there is one arm, hence nothing to compare: give a factor two levels, such as arch=cylinder,pyramid"
        )
    elif detectable is None:
        lines.append("can't tell any difference from luck: one seed gives no idea of chance; study.seeds=3 does")
    else:
        in_points = "" if noise is None else f", {100 * noise * detectable:.2f} points at this study's noise so far"
        lines.append(f"can detect differences of {detectable:.1f} seed-to-seed deviations{in_points}, 4 times in 5")
        if noise is not None and plan.margin is not None and noise * detectable > plan.margin:
            lines.append(f"can hardly show that arms are equal within study.margin={plan.margin:g}: more seeds can")
    lines += untold(plan.design, len(plan.factors), plan.aliases)
    if split_seeds:
        lines.append(
            "members share seeds, so that some arms meet only across machines (confounded): as many seeds cure it"
        )
    return lines


def untold(design: str, num_factors: int, aliases: Sequence[str]) -> list[str]:
    """What a design of so many factors can't tell, however many seeds it has."""
    by_design = {
        "ofat": "can't tell whether factors interact: each is changed alone",
        "path": "can't tell a factor's effect from its place in the path",
        "zip": "can't tell the factors from each other: they change together",
    }
    found = [by_design[design]] if design in by_design and num_factors > 1 else []
    return [*found, "can't tell apart: " + "; ".join(aliases)] if aliases else found


def _difference(arm: str, baseline: str) -> str:
    of_baseline = set(split(baseline))
    return ",".join(part for part in split(arm) if part not in of_baseline) or arm


def _place(plan: Plan, cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return f"{cell.status} (member {cell.member})" if plan.size > 1 else cell.status


def _identity(plan: Plan) -> str:
    """Two words that can be said on the telephone: 32 bits of a hash, as proquints (arXiv:0901.4016)."""
    content = [
        plan.baseline,
        plan.design,
        plan.size,
        [[cell.key, cell.arm, cell.seed, cell.member] for cell in plan.cells],
    ]
    bits = int.from_bytes(hashlib.sha256(json.dumps(content).encode()).digest()[:4])
    return "-".join(_word(bits >> shift & 0xFFFF) for shift in (16, 0))


def _word(bits: int) -> str:
    letters = [
        (_CONSONANTS, 12, 15), (_VOWELS, 10, 3), (_CONSONANTS, 6, 15), (_VOWELS, 4, 3), (_CONSONANTS, 0, 15),
    ]  # fmt: skip
    return "".join(alphabet[bits >> shift & mask] for alphabet, shift, mask in letters)


def update(cells: Sequence[Cell], found: Mapping[str, Status]) -> None:
    """Put what is known of the keys into the cells."""
    for cell in cells:
        cell.status = found.get(cell.key, "missing")
