"""`ablate resume`: the very plan goes on, by its name, from anywhere."""

import json
from pathlib import Path

import pytest

from ablate.__main__ import main as front_door
from ablate.resume import main
from ablate.run import command

STUDY = ["-m", "arch=cylinder,pyramid", "study.seeds=2", "team.size=2", "study.name=s"]


@pytest.fixture
def begun(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output_dir of a study of which member 1 has done its share."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/optimizer").mkdir(parents=True)
    option = "_target_: ablate.recipe.optimizer.sgd\nlr: 0.1\nweight_decay: 0\ndecay_all: false\n"
    (tmp_path / "conf/optimizer/mine.yaml").write_text(option)
    own = ["--config-dir", "conf", "optim=mine", "team.member=1"]
    assert command([*tiny, *STUDY, *own]) == 0
    return tmp_path / "outputs"


def plan(output_dir: Path) -> dict[str, object]:
    found = json.loads((output_dir / "studies/s/plan.json").read_text())
    assert isinstance(found, dict)
    return found


def results(output_dir: Path) -> set[str]:
    return {file.parent.name for file in output_dir.glob("runs/*/result.json")}


def test_another_member_goes_on_with_the_very_plan_from_another_folder(
    begun: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan(begun)["plan_id"]
    assert len(results(begun)) == 2
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main(["s", "--output-dir", str(begun), "team.member=2"]) == 0
    assert plan(begun)["plan_id"] == before and len(results(begun)) == 4
    assert main(["s", "team.member=1", "--output-dir", str(begun), "study.seeds=3"]) == 0
    assert len(results(begun)) == 6, "seeds are added on demand"


def test_a_member_is_asked_for(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["s"]) == 2
    assert "team.member: missing; give your number, from 1 to team.size=2" in capsys.readouterr().err


@pytest.mark.parametrize("added", [["epochs=2"], ["arch=cylinder,diamond"], []])
def test_another_plan_is_refused(added: list[str], begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not added:  # an option's file has changed
        file = begun.parent / "conf/optimizer/mine.yaml"
        file.write_text(file.read_text().replace("0.1", "0.2"))
    before = plan(begun)
    assert main(["s", "team.member=2", *added]) == 2
    assert "study s: its command would now be another plan" in capsys.readouterr().err
    assert plan(begun) == before and len(results(begun)) == 2


def test_a_record_makes_this_machine_run_and_tell_nothing(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = begun / "studies/s/command.json"
    record = json.loads(file.read_text())
    evil = ["+hydra.callbacks.x={_target_: os.system}", "hydra/launcher=nowhere"]
    file.write_text(json.dumps(record | {"overrides": [*evil, *record["overrides"], "wandb.notes=${oc.env:HOME}"]}))
    assert main(["s", "team.member=2"]) == 2
    said = "wandb.notes: was given as ${oc.env:HOME}, which is not read from a record; give wandb.notes=..."
    assert capsys.readouterr().err == f"ablate: {said}\n"
    assert main(["s", "team.member=2", "wandb.notes=mine"]) == 0
    assert len(results(begun)) == 4


def test_what_is_not_there_is_said(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["t"]) == 2
    assert "t: no such study in outputs; did you mean s?" in capsys.readouterr().err
    (begun / "studies/s/command.json").write_text("{}")
    assert main(["s"]) == 2
    assert "command.json: config_name: Field required" in capsys.readouterr().err
    (begun / "studies/s/command.json").unlink()
    assert main(["s"]) == 2
    assert "command.json: not there; give the study's own command, which writes it" in capsys.readouterr().err


def test_an_arm_stops_where_it_has_seeds_enough(begun: Path) -> None:
    assert main(["s", "team.member=2", "--output-dir", str(begun)]) == 0
    more = ["study.seeds=3", 'study.stop=["arch=pyramid: 2"]', "team.size=1", "team.member=1"]
    assert main(["s", "--output-dir", str(begun), *more]) == 0
    cells = plan(begun)["cells"]
    assert isinstance(cells, list)
    assert sorted((each["arm"], each["seed"]) for each in cells) == [
        ("arch=cylinder", 0), ("arch=cylinder", 1), ("arch=cylinder", 2), ("arch=pyramid", 0), ("arch=pyramid", 1),
    ]  # fmt: skip
    assert len(results(begun)) == 5


def test_the_winner_is_confirmed_on_fresh_seeds_and_the_report_tells(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["s", "team.member=2", "--output-dir", str(begun)]) == 0
    file = begun / "studies/s/command.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"overrides": [*record["overrides"], "threads=1", "team.size=2"]}))
    before = results(begun)
    assert front_door(["confirm", "s", "--output-dir", str(begun), "--arm", "arch=pyramid"]) == 0
    fresh = [json.loads((begun / "runs" / key / "result.json").read_text()) for key in results(begun) - before]
    assert [each["machine"]["threads"] for each in fresh] == 6 * [1], "what is of no key is as the study had it"
    assert not (begun / "wandb").exists()
    confirming = json.loads((begun / "studies/s-confirm/plan.json").read_text())
    assert {each["seed"] for each in confirming["cells"]} == {2, 3, 4}
    assert [each["arm"] for each in confirming["cells"][:2]] == ["arch=cylinder", "arch=pyramid"]
    capsys.readouterr()
    assert front_door(["report", "s", "--output-dir", str(begun)]) == 0
    assert "on fresh seeds (3 of s-confirm): arch=pyramid " in capsys.readouterr().out
    assert front_door(["confirm", "s", "--output-dir", str(begun), "--arm", "arch=cylinder"]) == 2
    assert "expected an arm of s but its baseline: arch=pyramid" in capsys.readouterr().err
