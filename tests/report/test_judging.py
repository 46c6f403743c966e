"""What counts as planned, what stands once it is settled, and that a team's folders tell one story in any order."""

import json
from pathlib import Path

import numpy as np
import pytest

from ablate.error import UserError
from ablate.record.layout import Layout
from ablate.report.gather import gather
from ablate.report.judging import judgement
from ablate.study.model import Observation
from ablate.study.verdict import judge
from tests.report.studies import recorded

DRAW = np.random.default_rng(0)
TABLE = {
    f"arch=a{arm}": [0.5 + 0.003 * arm + 0.001 * float(DRAW.standard_normal()) for _ in range(4)] for arm in range(4)
}


def cut(seeds: int) -> dict[str, list[float | str | None]]:
    return {arm: [*row[:seeds]] for arm, row in TABLE.items()}


def grown(folder: Path, sizes: list[int], statuses: str = "finished") -> Layout:
    """A study whose seeds were added to, as its folder has it."""
    earlier = []
    for number, size in enumerate(sizes):
        places = recorded(folder, cut(size), plan_id=f"plan-{number}")
        earlier.append(json.loads(places.plan("shapes").read_text()))
    for plan in earlier[:-1]:
        for cell in plan["cells"]:
            cell["status"] = statuses
        places.earlier_plan("shapes", plan["plan_id"]).write_text(json.dumps(plan))
    return places


@pytest.mark.parametrize(
    ("sizes", "stages"), [([3], (3,)), ([3, 4], (3, 4)), ([1, 3], (3,)), ([2, 3, 4], (2, 3, 4)), ([4, 3, 4], (3, 4))]
)
def test_what_was_asked_for(sizes: list[int], stages: tuple[int, ...], tmp_path: Path) -> None:
    grown(tmp_path, sizes)
    assert gather([tmp_path], "shapes").looks == stages, "one seed shows nothing, so that it spends nothing"


def test_a_plan_that_nobody_can_have_seen_results_of_is_none(tmp_path: Path) -> None:
    grown(tmp_path, [3, 4], statuses="missing")
    assert gather([tmp_path], "shapes").looks == (4,)


def test_a_team_mates_folder_says_as_much_in_any_order(tmp_path: Path) -> None:
    """Member 1 has added a seed; the folder of member 2, whose share is done, has the first plan still."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    first = json.loads(recorded(theirs, cut(2), size=2).plan("shapes").read_text())
    places = recorded(mine, cut(3), size=2, plan_id="larger-plan")
    for cell in first["cells"]:
        cell["member"] = cell["seed"] + 1
        cell["status"] = "finished" if cell["seed"] == 0 else "missing"  # as member 1 knows it
    places.earlier_plan("shapes", "first-plan").write_text(json.dumps(first))
    for order in ([mine, theirs], [theirs, mine]):
        study = gather(order, "shapes")
        assert study.looks == (2, 3) and study.plan["plan_id"] == "larger-plan" and not study.notes
        found = judgement(study)
        assert found and found.look.sentence().startswith("A look after 1 more seed than the 2 that were planned")


def test_what_is_settled_stays_settled(tmp_path: Path) -> None:
    """Of many studies in which more evidence has a smaller level, none takes a word back."""
    draw = np.random.default_rng(1)
    taken_back = stood = 0
    for number in range(60):
        table = draw.standard_normal((4, 4)) + np.array([0, 3.4, 0, 0])[:, None]
        accuracies = {f"arch=a{arm}": [0.5 + 0.001 * float(each) for each in row] for arm, row in enumerate(table)}
        folder = tmp_path / str(number)
        plans = []
        for seeds in (3, 4):
            places = recorded(folder, {arm: [*row[:seeds]] for arm, row in accuracies.items()}, plan_id=f"p-{seeds}")
            plans.append(json.loads(places.plan("shapes").read_text()))
        for cell in plans[0]["cells"]:
            cell["status"] = "finished"
        places.earlier_plan("shapes", "p-3").write_text(json.dumps(plans[0]))
        runs = [
            Observation(arm, seed, "here", each) for arm, row in accuracies.items() for seed, each in enumerate(row)
        ]
        before = judge([each for each in runs if each.seed < 3], "arch=a0", [3]).verdicts
        alone = judge(runs, "arch=a0", [3, 4]).verdicts
        now = judgement(gather([folder], "shapes"))
        assert now
        for earlier, one, word in zip(before, alone, now.verdicts, strict=True):
            taken_back += earlier.word != "undecided" and one.word == "undecided"
            stood += word.since is not None
            assert earlier.word == "undecided" or word.word != "undecided"
            assert word.effect == one.effect, "what is known by now is told"
    assert taken_back > 0 and stood >= taken_back


def test_the_seeds_that_would_settle_it_do_so_four_times_in_five() -> None:
    """Followed as advised, where the truth is what the study shows."""
    draw = np.random.default_rng(2)
    followed = settled = 0
    while followed < 120:
        table = draw.standard_normal((4, 3)) + np.array([0, 2.0, 0, 0])[:, None]
        found = judge(observations(table), "0", [3], 1e-6)
        (first, *_), deviation = found.verdicts, found.deviation or 0
        if first.word != "undecided" or not first.more_seeds:
            continue
        truth = np.array([0.0, *(each.effect or 0.0 for each in found.verdicts)])
        added = truth[:, None] + deviation * draw.standard_normal((4, first.more_seeds))
        both = np.concatenate([0.001 * table, added], axis=1) / 0.001
        later = judge(observations(both), "0", [3, 3 + first.more_seeds], 1e-6).verdicts[0]
        followed += 1
        settled += later.word != "undecided"
    assert settled / followed >= 0.75


def observations(table: np.ndarray) -> list[Observation]:
    return [
        Observation(str(arm), seed, "m", 0.5 + 0.001 * float(each))
        for arm, row in enumerate(table)
        for seed, each in enumerate(row)
    ]


def test_a_folder_that_is_broken_or_not_there(tmp_path: Path) -> None:
    recorded(tmp_path / "good", cut(3))
    broken = recorded(tmp_path / "broken", cut(3))
    broken.plan("shapes").write_text("{}")
    study = gather([tmp_path / "good", tmp_path / "broken"], "shapes")
    assert len(study.results) == 12 and "plan.json: study: Field required" in study.notes[0]
    with pytest.raises(UserError, match=r"plan.json: study: Field required"):
        gather([tmp_path / "broken"], "shapes")
    with pytest.raises(UserError, match=r"--output-dir .*nowhere: no such folder"):
        gather([tmp_path / "nowhere", tmp_path / "good"], "shapes")


def test_a_record_of_another_seed_is_left_out(tmp_path: Path) -> None:
    places = recorded(tmp_path, cut(3))
    study = gather([tmp_path], "shapes")
    file = places.run(study.cells[0]["key"]) / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seed": 99}))
    study = gather([tmp_path], "shapes")
    assert len(study.results) == 11 and "of seed 99, expected 0; left out" in study.notes[0]
