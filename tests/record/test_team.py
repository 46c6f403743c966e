"""Team-mates' results count: nothing is trained twice, whoever trained it, and it is said who did."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ablate import resume, status
from ablate.record import team
from ablate.record.team import Elsewhere
from ablate.report import __main__ as report
from ablate.run import command

STUDY = ["-m", "optim=sgd,adamw", "study.seeds=2", "study.name=s", "team.size=2"]


TINY = ["data=espeak_tiny", "data.context=2", "arch.width=32", "epochs=1", "wandb.mode=disabled"]


@pytest.fixture(scope="module")
def share(corpus_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of member 1's share."""
    output_dir = tmp_path_factory.mktemp("anna")
    (output_dir / "cache").symlink_to(corpus_cache)
    assert command([*TINY, *STUDY, "team.member=1", f"output_dir={output_dir}"]) == 0
    return output_dir / "runs"


@pytest.fixture
def stores(share: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """An output_dir with member 1's share, and a folder of a copy of these runs; nothing is in `outputs`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(share, tmp_path / "anna/runs")
    shutil.copytree(share, tmp_path / "bert's, copied")
    return [tmp_path / "anna", tmp_path / "bert's, copied"]


def results(folder: Path = Path("outputs/runs")) -> set[str]:
    return {file.parent.name for file in folder.glob("*/result.json")}


def test_what_a_team_mate_has_finished_is_not_trained_and_named(
    stores: list[Path], tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    anna, bert = stores
    before = results(anna / "runs")
    broken, half = sorted(before)
    (bert / broken / "result.json").write_text("{")
    (anna / "runs" / half / "result.json").write_text((bert / half / "result.json").read_text()[:200])
    line = [*tiny, *STUDY, "team.member=2", 'team.stores=[anna,"bert\'s, copied"]']
    capsys.readouterr()
    assert command(line) == 0
    said = capsys.readouterr().out
    host = os.uname().nodename
    assert said.count(f"there already: 1 run of member 1 on {host}, in {anna}") == 1
    assert said.count(f"there already: 1 run of member 1 on {host}, in {bert}") == 1
    assert said.count(str(anna / "runs" / half)) == 1, "what is malformed is named once"
    assert "left to do here: 2 runs" in said and "4 finished" in said
    assert len(results()) == 2 and not results() & before
    plan = json.loads(Path("outputs/studies/s/plan.json").read_text())
    assert {cell["status"] for cell in plan["cells"]} == {"finished"}
    kept = json.loads(Path("outputs/studies/s/command.json").read_text())
    assert not any("stores" in each for each in kept["overrides"])
    assert not any("stores" in each for key in results() for each in _result(key)["overrides"])

    for main, shown in ((report.main, "page: "), (status.main, "2 of 2")):
        assert main(["s"]) == 0
        said = capsys.readouterr().out
        assert f"in {bert}" in said and "4 finished" in said and shown in said
    assert f"in {bert}" in Path("outputs/studies/s/report.html").read_text().replace("&#39;", "'")
    assert resume.main(["s", "team.member=1"]) == 0
    assert "nothing is left to do here" in capsys.readouterr().out and len(results()) == 2
    assert command([*line, "study.coverage=true"]) == 0


def _result(key: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(Path("outputs/runs", key, "result.json").read_text())
    return found


def test_a_single_run_of_a_team_mate_is_shown(
    stores: list[Path], tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*tiny, "optim=sgd", "team.stores=[anna/runs]"]
    capsys.readouterr()
    assert command(line) == 0
    said = capsys.readouterr().out
    assert f"is finished already: member 1 on {os.uname().nodename}, in {stores[0] / 'runs'}" in said
    assert "on validation, epoch 1 of 1" in said and not results()
    assert command([*line, "rerun=true"]) == 0 and len(results()) == 1
    for run in (stores[0] / "runs").iterdir():
        (run / "result.json").write_text("{")
    capsys.readouterr()
    assert command([*tiny, "optim=adamw", "team.stores=[anna/runs]"]) == 0 and len(results()) == 2
    assert capsys.readouterr().out.count("not JSON") == 1, "what is malformed is named, once, and stops nothing"


def test_a_folder_that_is_not_there_stops_all_before_anything_trains(
    stores: list[Path], tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for line in (["optim=nadam"], STUDY[:-1]):
        assert command([*tiny, *line, "team.stores=[anna,carl]"]) == 2
        said = (
            f"team.stores: {Path('carl').resolve()}: no such folder; unpack or mount it, or leave it out of team.stores"
        )
        assert capsys.readouterr().err == f"ablate: {said}\n"
    assert command([*tiny, *STUDY, "team.stores=anna,carl"]) == 2
    assert "team.stores: can't be swept; a list of folders stands in brackets" in capsys.readouterr().err
    assert command([*tiny, "team.stores=anna"]) == 2 and "team.stores: expected a" in capsys.readouterr().err
    assert not results()


def test_a_drive_that_is_away_costs_a_report_nothing_but_its_runs(
    stores: list[Path], tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([*tiny, *STUDY, "team.member=2", "team.stores=[anna]", "study.dry_run=true"]) == 0
    shutil.move(stores[0], stores[0].with_name("away"))
    capsys.readouterr()
    assert status.main(["s"]) == 0
    assert f"{stores[0]}: no such folder; what a team-mate has ended there is not counted" in capsys.readouterr().out
    assert resume.main(["s", "team.member=1"]) == 2
    assert "mount it, or leave it out of team.stores" in capsys.readouterr().err


def test_a_store_is_only_read_and_found_however_it_was_copied(stores: list[Path], tmp_path: Path) -> None:
    anna, bert = stores
    key, other = sorted(results(bert))
    nested = tmp_path / "nested"
    shutil.copytree(bert, nested / "runs/runs")
    (anna / "runs" / other / "result.json").unlink()
    os.mkfifo(anna / "runs" / other / "result.json")
    before = sorted(tmp_path.rglob("*"))
    for folder in (anna, anna / "runs", nested, nested / "runs", nested / "runs/runs"):
        found, problems = team.find(Elsewhere([str(folder)]), key)
        assert found and found.place == str(folder) and not problems
    found, problems = team.find(Elsewhere([str(anna), str(bert)]), other)
    assert found and found.place == str(bert) and "expected a file" in problems[0] and problems[0].endswith("left out")
    assert team.find(Elsewhere([str(tmp_path)]), key) == (None, [])
    assert sorted(tmp_path.rglob("*")) == before


def test_team_mates_who_disagree_are_named_before_anything_is_trained(
    stores: list[Path], tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(stores[0], "changed")
    changed = sorted(Path("changed/runs").glob("*/result.json"))[0]
    record = json.loads(changed.read_text())
    changed.write_text(json.dumps(record | {"metrics": record["metrics"] | {"val/accuracy": 0.99}}))
    capsys.readouterr()
    assert command([*tiny, *STUDY, "team.stores=[anna,changed]", "study.dry_run=true"]) == 0
    said = f"{changed.parent.name}: {Path('changed').resolve()} has another result than {stores[0]} has, which counts"
    assert said.replace(" has, which", ", which") in capsys.readouterr().out
