"""What a study shows beyond its verdicts, from its records alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from ablate.report.findings import Findings, findings, hours, most_changed, origins
from ablate.report.gather import Study, gather
from ablate.report.judging import judgement
from tests.report.studies import recorded

GRID: dict[str, list[float | str | None]] = {
    "arch=cylinder,optimizer=adamw": [0.600, 0.603, 0.601],
    "arch=cylinder,optimizer=sgd": [0.571, 0.572, 0.570],
    "arch=pyramid,optimizer=adamw": [0.611, 0.613, 0.612],
    "arch=pyramid,optimizer=sgd": [0.620, 0.622, 0.623],
}


def found(study: Study) -> Findings:
    judged = judgement(study)
    assert judged
    return findings(study, judged)


def test_factors_that_are_crossed_have_effects_and_interactions(tmp_path: Path) -> None:
    recorded(tmp_path, GRID)
    all_of_it = found(gather([tmp_path], "shapes"))
    main = {term.factors: term.contrasts[0].estimate.effect for term in all_of_it.main}
    assert main["arch",] == pytest.approx(0.03066666666) and main["optimizer",] == pytest.approx(-0.01033333333)
    (both,) = all_of_it.both
    assert both.factors == ("arch", "optimizer") and both.contrasts[0].estimate.effect == pytest.approx(0.04)
    assert not all_of_it.steps


@pytest.mark.parametrize("design", ["ofat", "zip", "path"])
def test_other_designs_have_none_and_a_path_has_steps(design: str, tmp_path: Path) -> None:
    table = dict(list(GRID.items())[:3])
    recorded(tmp_path, table, design=design)
    all_of_it = found(gather([tmp_path], "shapes"))
    assert not all_of_it.main and not all_of_it.both
    assert [(before, after) for before, after, _ in all_of_it.steps] == (
        [tuple(list(table)[:2]), tuple(list(table)[1:3])] if design == "path" else []
    )


def test_the_best_arm_is_to_be_confirmed_on_seeds_that_nobody_has_seen(tmp_path: Path) -> None:
    places = recorded(tmp_path, GRID)
    command = {"config_name": "config", "folders": [], "overrides": []}
    command["overrides"] = ["data.root=/my data", "data.leave_out=l.txt", "wandb.mode=offline", "arch=cylinder,pyramid"]
    places.command("shapes").write_text(json.dumps(command))
    all_of_it = found(gather([tmp_path], "shapes"))
    assert all_of_it.best and all_of_it.best.arm == "arch=pyramid,optimizer=sgd"
    assert all_of_it.kept and 0.9 < all_of_it.kept < 1
    assert all_of_it.confirmation == (
        "ablate -m 'data.root=/my data' data.leave_out=l.txt arch=cylinder,pyramid optimizer=adamw,sgd "
        "study.design=zip 'study.seeds=[3,4,5]' study.name=shapes-confirm"
    )


def test_where_the_baseline_is_best_nothing_is_picked(tmp_path: Path) -> None:
    recorded(tmp_path, dict(list(GRID.items())[:2]))
    all_of_it = found(gather([tmp_path], "shapes"))
    assert all_of_it.best is None and all_of_it.confirmation is None


def test_dev_sets_and_confusions_are_those_of_the_files(tmp_path: Path) -> None:
    recorded(tmp_path, GRID, with_counts=True)
    study = gather([tmp_path], "shapes")
    all_of_it = found(study)
    assert set(all_of_it.dev_set) == set(list(GRID)[1:])
    assert all(each.unit == "speakers" and each.number == 8 for each in all_of_it.dev_set.values())
    confused = all_of_it.confused
    assert confused and confused.arm == "arch=pyramid,optimizer=sgd"
    by_hand = sum(np.load(study.folders[cell["key"]] / "confusion.npy") for cell in study.cells[:3])
    assert np.allclose(confused.of_baseline, by_hand / by_hand.sum(1, keepdims=True))
    changed = most_changed(confused, [str(number) for number in range(40)])
    assert len(changed) == 8 and all(row != column for row, column, _, _ in changed)
    assert abs(changed[0][3] - changed[0][2]) >= abs(changed[-1][3] - changed[-1][2])


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", "of shape", "objects"])
def test_malformed_counts_are_named_and_left_out(content: bytes | str, tmp_path: Path) -> None:
    recorded(tmp_path, GRID, with_counts=True)
    study = gather([tmp_path], "shapes")
    folder = study.folders[study.cells[0]["key"]]
    (folder / "utterances.csv").write_text("name,correct,frames\na,x,4\n")
    if isinstance(content, bytes):
        (folder / "confusion.npy").write_bytes(content)
    else:
        wrong = np.zeros((40, 3), int) if content == "of shape" else np.array([[{}]], dtype=object)
        np.save(folder / "confusion.npy", wrong, allow_pickle=True)
    all_of_it = found(study)
    assert all_of_it.confused and all_of_it.dev_set, "the other runs' still count"
    assert any("confusion.npy" in note for note in study.notes) and any("utterances.csv" in n for n in study.notes)


def test_hours_and_origins(tmp_path: Path) -> None:
    recorded(tmp_path, GRID, machines=["here", "there", "here"])
    study = gather([tmp_path], "shapes")
    by_arm, by_member = hours(study)
    assert by_arm == pytest.approx(dict.fromkeys(GRID, 4.5 / 3600)) and by_member == pytest.approx({"1": 18 / 3600})
    assert dict(origins(study))["machine"] == "here (cpu) (8 runs), there (cpu) (4 runs)"
