"""Plans: the same for all members, with an id that tells them apart, and words on what they can't tell."""

import dataclasses
import re

import pytest

from ablate.study import plan
from ablate.study.plan import Cell, Plan


def made(**changes: object) -> Plan:
    cells = [
        Cell(f"{arm}{seed}", f"arch={arm}", seed, 1 + seed, [f"arch={arm}", f"seed={seed}"])
        for seed in (0, 1)
        for arm in ("cylinder", "pyramid")
    ]
    fields = {
        "study": "shapes", "question": None, "design": "grid", "factors": {"arch": ["cylinder", "pyramid"]},
        "seeds": [0, 1], "margin": None, "aliases": [], "size": 2, "baseline": "arch=cylinder", "cells": cells,
    }  # fmt: skip
    return Plan(**(fields | changes))  # type: ignore[arg-type]


def test_the_id_can_be_said_aloud_and_depends_on_what_is_run_alone() -> None:
    plain = made()
    assert re.fullmatch(r"[a-z]{5}-[a-z]{5}", plain.plan_id)
    assert made(study="other", question="why?").plan_id == plain.plan_id
    done = made()
    plan.update(done.cells, {"cylinder0": "finished"})
    assert dataclasses.replace(done).plan_id == plain.plan_id
    others = [made(size=1), made(design="ofat"), made(cells=plain.cells[:3]), made(cells=plain.cells[::-1])]
    assert len({plain.plan_id, *(other.plan_id for other in others)}) == 5


def test_proquints_of_the_papers_example() -> None:
    """127.0.0.1 is lusab-babad (arXiv:0901.4016)."""
    assert (plan._word(0x7F00), plan._word(0x0001)) == ("lusab", "babad")


def test_the_proof_counts_the_shares_and_fails_where_they_overlap() -> None:
    assert plan.proof(made()) == "shares: 2 + 2 = 4 runs, none twice and none left out"
    twice = made()
    twice.cells.append(Cell("cylinder0", "arch=cylinder", 0, 2, []))
    with pytest.raises(AssertionError):
        plan.proof(twice)


def test_the_table_shows_whose_each_cell_is_and_how_far() -> None:
    shown = made()
    plan.update(shown.cells, {"cylinder0": "finished", "pyramid1": "running"})
    assert plan.table(shown) == [
        "arm            seed 0               seed 1",
        "arch=cylinder  finished (member 1)  missing (member 2)",
        "arch=pyramid   missing (member 1)   running (member 2)",
    ]
    assert plan.tally(shown.cells) == "1 finished, 1 running, 2 missing"


def test_what_a_plan_can_and_can_not_tell() -> None:
    assert "one seed gives no idea of chance" in plan.limits(made(), None, None, False)[0]
    (line,) = plan.limits(made(), 3.0, None, False)
    assert line == "can detect differences of 3.0 seed-to-seed deviations, 4 times in 5"
    lines = plan.limits(made(margin=0.001, aliases=["a = b x c"]), 3.0, 0.002, True)
    assert "0.60 points at this study's noise so far" in lines[0]
    assert any("equal within study.margin=0.001" in line for line in lines)
    assert "can't tell apart: a = b x c" in lines and "confounded" in lines[-1]
