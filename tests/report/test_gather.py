"""What folders hold of a study: merged by key, and what is malformed named and left out."""

import json
import shutil
from pathlib import Path

import pytest

from ablate.error import UserError
from ablate.report.gather import flags_of_rates, gather
from ablate.report.judging import judgement
from tests.report.studies import recorded

TABLE = {"arch=cylinder": [0.50, 0.52, 0.51], "arch=pyramid": [0.53, 0.56, 0.54], "arch=diamond": [0.50, 0.53, 0.51]}


def test_folders_of_team_mates_are_merged_by_key(tmp_path: Path) -> None:
    mine = recorded(tmp_path / "mine", TABLE)
    shutil.copytree(tmp_path / "mine", tmp_path / "theirs")
    for cell in json.loads(mine.plan("shapes").read_text())["cells"]:
        half = tmp_path / ("mine" if cell["seed"] else "theirs") / "runs" / cell["key"]
        shutil.rmtree(half)
    both = gather([tmp_path / "mine", tmp_path / "theirs"], "shapes")
    assert both.tally == {"finished": 9} and both.notes == []
    assert gather([tmp_path / "mine"], "shapes").tally == {"finished": 3, "missing": 6}


def test_records_that_differ_are_named_and_the_first_counts(tmp_path: Path) -> None:
    recorded(tmp_path / "mine", TABLE)
    recorded(tmp_path / "theirs", TABLE | {"arch=pyramid": [0.9, 0.56, 0.54]})
    study = gather([tmp_path / "mine", tmp_path / "theirs"], "shapes")
    (note,) = study.notes
    assert "another result than" in note and "left out" in note
    assert [result["metrics"]["val/accuracy"] for result in study.results.values()][3] == 0.53


def test_a_malformed_record_is_named_and_left_out(tmp_path: Path) -> None:
    places = recorded(tmp_path, TABLE)
    (places.run("0000000000000000") / "result.json").write_text('{"key": "0000000000000000", "status": "finished"}')
    study = gather([tmp_path], "shapes")
    assert study.tally == {"finished": 8, "missing": 1}
    assert "metrics: Field required" in study.notes[0] and study.notes[0].endswith("left out")


def test_no_study_of_this_name(tmp_path: Path) -> None:
    recorded(tmp_path, TABLE)
    with pytest.raises(UserError, match=r"shaps: no such study in .*; did you mean shapes\?"):
        gather([tmp_path], "shaps")


def test_only_complete_seeds_are_judged_and_a_failed_run_ends_the_waiting(tmp_path: Path) -> None:
    recorded(tmp_path, TABLE | {"arch=diamond": [0.50, 0.53, ""]})
    found = judgement(gather([tmp_path], "shapes"))
    assert found and found.look.seeds == 2 and found.look.planned == 3 and found.look.is_early
    recorded(tmp_path, TABLE | {"arch=diamond": [0.50, 0.53, "x"]})
    shutil.rmtree(tmp_path / "runs/0000000200000002")
    recorded(tmp_path, TABLE | {"arch=diamond": [0.50, 0.53, "x"]})
    found = judgement(gather([tmp_path], "shapes"))
    assert found and found.look.seeds == 3 and not found.look.is_early
    assert [each.n for each in found.verdicts] == [3, 2]


def test_seeds_that_were_added_after_a_look_are_an_addition(tmp_path: Path) -> None:
    places = recorded(tmp_path, TABLE)
    seen = json.loads(places.plan("shapes").read_text())
    more = {arm: [*row, row[0] + 0.01] for arm, row in TABLE.items()}
    recorded(tmp_path, more)
    planned = judgement(gather([tmp_path], "shapes"))
    assert planned and planned.look.stages == (4,)
    for status, expected in (("missing", (4,)), ("finished", (3, 4))):
        for cell in seen["cells"]:
            cell["status"] = status
        places.earlier_plan("shapes", "fofof-gugug").write_text(json.dumps(seen))
        found = judgement(gather([tmp_path], "shapes"))
        assert found and found.look.stages == expected and found.look.seeds == 4


def test_nothing_to_judge(tmp_path: Path) -> None:
    recorded(tmp_path, {"arch=cylinder": ["", ""], "arch=pyramid": [0.5, 0.5]})
    assert judgement(gather([tmp_path], "shapes")) is None
    recorded(tmp_path, {"arch=cylinder": [None, None], "arch=pyramid": [None, None]}, name="gone")
    assert judgement(gather([tmp_path], "gone")) is None


def test_learning_rates_that_were_not_looked_for(tmp_path: Path) -> None:
    recorded(tmp_path, TABLE)
    assert set(flags_of_rates(gather([tmp_path], "shapes"))) == set(TABLE)
    rates = {
        f"arch={arch},optimizer.lr={rate}": [accuracy] * 2
        for arch, row in {"a": (0.5, 0.6, 0.5), "b": (0.5, 0.6, 0.7)}.items()
        for rate, accuracy in zip(("0.01", "0.1", "1"), row, strict=True)
    }
    recorded(tmp_path, rates, name="rates", factors={"arch": ["a", "b"], "optimizer.lr": ["0.1", "0.01", "1"]})
    flagged = flags_of_rates(gather([tmp_path], "rates"))
    assert set(flagged) == {arm for arm in rates if arm.startswith("arch=b")}


def test_other_bits_of_a_corpus_and_other_versions_are_noted(tmp_path: Path) -> None:
    places = recorded(tmp_path, TABLE, machines=["laptop", "cluster", "laptop"])
    for number, file in enumerate(sorted(places.runs.glob("*/result.json"))):
        result = json.loads(file.read_text())
        digest = "b" * 16 if result["machine"]["name"] == "cluster" else "a" * 16
        result |= {"data_fingerprint": "speech", "data_digest": digest, "results_version": 1 + (number == 0)}
        file.write_text(json.dumps(result))
    bits, versions = gather([tmp_path], "shapes").notes
    assert "the same corpus has other bits on other machines (laptop; cluster)" in bits
    assert versions.endswith("results_version 1 (8 runs), 2 (1 runs)")


def test_a_record_of_a_newer_format_is_left_out(tmp_path: Path) -> None:
    places = recorded(tmp_path, TABLE)
    file = places.run("0000000000000000") / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 2}))
    (note,) = gather([tmp_path], "shapes").notes
    assert "format=2: expected 1 at most; a newer ablate can read it" in note


def test_a_run_that_its_data_refused_has_failed(tmp_path: Path) -> None:
    places = recorded(tmp_path, {"arch=cylinder": [0.5, 0.5], "arch=pyramid": [0.6, ""]})
    plan = json.loads(places.plan("shapes").read_text())
    plan["cells"][3]["status"] = "failed"
    places.plan("shapes").write_text(json.dumps(plan))
    assert gather([tmp_path], "shapes").tally == {"finished": 3, "failed": 1}
