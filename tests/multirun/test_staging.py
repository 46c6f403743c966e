"""Studies in stages, by the real command."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ablate.__main__ import main
from tests.report.studies import said

STUDY = [
    "--multirun", "arch.activation=gelu,relu,tanh,sigmoid,silu,softplus,leaky_relu,mish", "optimizer=nesterov",
    "study.seeds=2", "study.name=acts", "study.stages=[0.2,1.0]",
]  # fmt: skip


def content(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def cells(folder: Path, study: str) -> dict[str, tuple[str, int]]:
    plan = content(folder / "outputs/studies" / study / "plan.json")
    return {cell["key"]: (cell["arm"], cell["seed"]) for cell in plan["cells"]}


def test_a_part_of_the_data_says_which_arms_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny: list[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    dry = said(capsys, "run", *tiny, *STUDY, "study.dry_run=true")
    assert "stage 1 of 2, on 20 % of the data: all 8 arms" in dry
    assert "16 runs are left, here or with team-mates; what comes next is known after them" in dry
    assert len(cells(tmp_path, "acts-0.2")) == 16 and not (tmp_path / "outputs/runs").exists()
    command = (tmp_path / "outputs/studies/acts/command.json").read_text()
    said(capsys, "run", *tiny, *(each.replace("[0.2,", "[0.5,") for each in STUDY), "study.dry_run=true")
    assert (tmp_path / "outputs/studies/acts/command.json").read_text() == command, "a look changes nothing"
    waiting = said(capsys, "status", "acts")
    assert "study acts-0.2" in waiting

    first = said(capsys, "resume", "acts", "team.member=1", "team.size=2")
    assert "8 runs are left, here or with team-mates" in first
    assert {cell[1] for key, cell in cells(tmp_path, "acts-0.2").items() if _has_ended(tmp_path, key)} == {0}

    decided = said(capsys, "decide", "acts", "keep relu: fast", "--by", "ann")
    assert decided.startswith("decision 1, ") and decided.endswith("by ann: keep relu: fast\n")
    assert main(["confirm", "acts"]) == 2
    assert "acts-0.2: a stage, on a part of the data; `ablate resume acts` goes on" in capsys.readouterr().err

    whole = said(capsys, "resume", "acts", "team.member=1", "team.size=1")
    assert "by ann: keep relu: fast" in said(capsys, "decide", "acts"), "of a stage before"
    assert "stage 2 of 2, on 100 % of the data: " in whole and "next: " in whole
    went_on, grid = cells(tmp_path, "acts"), cells(tmp_path, "acts-0.2")
    assert 4 <= len({arm for arm, _ in went_on.values()}) <= 8 and len(went_on) < 16
    assert not set(went_on) & set(grid) and all(_has_ended(tmp_path, key) for key in (*went_on, *grid))
    told = said(capsys, "report", "acts")
    arms = len({arm for arm, _ in went_on.values()})
    assert re.search(
        rf"of 8 arms on 20 % of the data \(acts-0.2\) {arms} went on to 100 %: \d that may be the best", told
    )
    assert re.search(r"is among them with probability (0\.9\d|1\.00); it may still be arch\.activation=", told)
    assert "correlates by" in told and "all stages took" in told
    page = (tmp_path / "outputs/studies/acts/report.html").read_text()
    assert "<h2>Stages</h2>" in page and "as an audit" in page

    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "outputs/runs").glob("*/result.json")}
    again = said(capsys, "run", *tiny, *STUDY)
    assert "stage 1 of 2, on 20 % of the data, has ended" in again
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "outputs/runs").glob("*/result.json")}
    assert cells(tmp_path, "acts") == went_on

    grid_alone = [each for each in STUDY if not each.startswith(("study.stages", "study.name"))]
    said(capsys, "run", *tiny, *grid_alone, "study.name=full", "study.dry_run=true")
    assert set(went_on) <= set(cells(tmp_path, "full")), "runs of the full grid, by their keys"

    more = said(capsys, "resume", "acts", "study.seeds=3", "team.size=null", "study.dry_run=true")
    assert "has ended" in more
    assert {seed for _, seed in cells(tmp_path, "acts-0.2").values()} == {0, 1}, "its first stage is not begun again"
    assert "runs are left" not in said(capsys, "resume", "acts", "team.size=null", "study.dry_run=true")

    # What `ablate next` gives: more seeds, but for arms that have enough.
    stop = f"study.stop=['{next(arm for arm, _ in went_on.values() if 'gelu' not in arm)}: 1']"
    grown = said(capsys, "resume", "acts", "study.seeds=3", stop, "team.size=null")
    assert "stage 1 of 2, on 20 % of the data, has ended" in grown and cells(tmp_path, "acts-0.2") == grid
    now = cells(tmp_path, "acts")
    assert {seed for _, seed in now.values()} == {0, 1, 2}
    assert re.search(r"A look after \d more seed", said(capsys, "report", "acts")), "with a reserve of its own"
    assert "acts was another plan before" not in said(capsys, "resume", "acts-0.2", "team.size=null")
    assert cells(tmp_path, "acts") == now, "the name of a stage goes on with the study as it is"

    assert main(["resume", "acts", "study.stages=[0.5,1.0]"]) == 2
    assert "study.stages: acts was planned with its own" in capsys.readouterr().err

    fewer = [each.replace("gelu,relu,tanh", "gelu,tanh").replace("=acts", "=few") for each in STUDY]
    said(capsys, "run", *tiny, *fewer)
    more_arms = said(capsys, "run", *tiny, *(each.replace("=acts", "=few") for each in STUDY))
    assert {arm for arm, _ in cells(tmp_path, "few-0.2").values()} == {arm for arm, _ in grid.values()}
    assert "stage 1 of 2, on 20 % of the data: all 8 arms" in more_arms, "an arm that is new has its first stage"

    other = [each.replace("gelu,relu", "relu,gelu") for each in grid_alone]
    replanned = said(capsys, "run", *tiny, *other, "data.fraction=0.2", "study.name=acts-0.2")
    assert "nothing is left to do here" in replanned
    first_stage = (tmp_path / "outputs/studies/acts-0.2/report.html").read_text()
    assert "Against the baseline, activation=relu" in first_stage, "another plan has another page, without any training"


def _has_ended(folder: Path, key: str) -> bool:
    return (folder / "outputs/runs" / key / "result.json").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["study.stages=[1.0,0.1]"], "study.stages=[1.0, 0.1]: expected growing parts of the data"),
        (["study.stages=[0.1]"], "study.stages: "),
        (["study.stages=[0.1,0.10000001,1.0]"], "two of these parts would have one name"),
        (["study.stages=[0.0,1.0]"], "study.stages"),
        (["study.stages=[0.1,1.0]", "data.fraction=0.5"], "each stage sets data.fraction, which is given too"),
        (["study.stages=[0.1,1.0]", "data.fraction=0.5,1.0"], "each stage sets data.fraction, which is given too"),
        (["study.stages=[0.1,1.0]", "study.design=path"], "path means nothing without all its arms"),
        (["study.stages=[0.1,1.0]", "study.seeds=1"], "expected two seeds at least"),
    ],
)
def test_stages_that_can_not_be_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    named = {each.partition("=")[0] for each in given}
    study = [each for each in STUDY if each.partition("=")[0] not in {*named, "study.stages"}]
    assert main(["run", "data=espeak_tiny", *study, *given]) == 2
    told = capsys.readouterr().err
    assert said in told and len(told.splitlines()) == 1, told
    assert not (tmp_path / "outputs" / "studies").exists()
