"""`ablate collect`: copied folders are merged by key, whole or not at all, and what still lacks is explained."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ablate.collect.__main__ import main
from ablate.record.layout import Layout
from ablate.record.store import RunFolder
from tests.report.studies import recorded

TABLE: dict[str, list[float | str | None]] = {"arch=cylinder": [0.50, 0.52, 0.51], "arch=pyramid": [0.53, 0.56, None]}
KEYS = [f"{arm:08x}{seed:08x}" for arm in range(2) for seed in range(3)]


def seal(run: Path, **change: Any) -> None:
    """Let a run's result have the digests of its files, as ours have, and whatever else."""
    result = json.loads((run / "result.json").read_text())
    files = {"metrics.jsonl": hashlib.sha256((run / "metrics.jsonl").read_bytes()).hexdigest()}
    result |= {"files": files, "results_version": 3, "data_fingerprint": "data", "versions": {"ablate": "0.1.0"}}
    (run / "result.json").write_text(json.dumps(result | change))


@pytest.fixture
def mine(tmp_path: Path) -> Layout:
    """My output_dir: the first seed of a study."""
    return _study(tmp_path / "mine", seeds=(0,))


@pytest.fixture
def theirs(tmp_path: Path) -> Layout:
    """A team-mate's: all of the study but the first seed of one arm."""
    places = _study(tmp_path / "theirs", seeds=(0, 1, 2))
    shutil.rmtree(places.run(KEYS[0]))
    return places


def _study(output_dir: Path, seeds: tuple[int, ...]) -> Layout:
    places = recorded(output_dir, TABLE)
    for key in KEYS:
        if int(key[8:], 16) not in seeds:
            shutil.rmtree(places.run(key))
        else:
            seal(places.run(key), overrides=[f"arch={key[:8]}", f"seed={int(key[8:], 16)}"])
    return places


def collect(places: Layout, *folders: Path | str) -> int:
    return main([*map(str, folders), "--output-dir", str(places.output_dir)])


def contents(folder: Path) -> dict[str, bytes | None]:
    """All that lies below a folder, but the cache."""
    return {
        str(each.relative_to(folder)): each.read_bytes() if each.is_file() else None
        for each in folder.rglob("*")
        if each.relative_to(folder).parts[0] != "cache"
    }


def test_what_is_not_here_is_copied_and_what_is_here_stays(
    mine: Layout, theirs: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for left in ("checkpoint.pt", "lease.json", ".best.pt.x.tmp"):
        (theirs.run(KEYS[1]) / left).write_text("left")
    (theirs.run(KEYS[1]) / "earlier-1").mkdir()
    (theirs.run(KEYS[1]) / "earlier-1/run.log").write_text("before")
    before = contents(tmp_path)
    assert collect(mine, theirs.output_dir, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "runs: 4 would be copied, 1 known here already, 0 unfinished, 0 malformed, 0 conflicting" in said
    assert "study shapes, plan babab-dudud: 6 of 6 runs are there" in said and contents(tmp_path) == before
    assert collect(mine, theirs.output_dir) == 0
    assert "runs: 4 copied, 1 known here already" in capsys.readouterr().out
    assert {folder.name for folder in mine.runs.iterdir()} == set(KEYS)
    copied = {file.name for file in mine.run(KEYS[1]).iterdir()}
    assert copied == {"result.json", "metrics.jsonl", "earlier-1"}
    assert not mine.incoming.exists()
    for name, content in before.items():
        if name.startswith("mine/"):
            assert (tmp_path / name).is_dir() or (tmp_path / name).read_bytes() == content
    after = contents(tmp_path)
    assert collect(mine, theirs.output_dir, mine.output_dir) == 0 and contents(tmp_path) == after
    assert "runs: 0 copied, 5 known here already" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["runs", "nested", "zip", "run", "studies"])
def test_it_reads_whatever_was_copied(
    kind: str, theirs: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copied"
    if kind == "nested":
        shutil.copytree(theirs.runs, folder / "runs/runs")
        shutil.move(folder / "runs/runs" / KEYS[1], folder / "runs" / KEYS[1])
    elif kind == "zip":
        shutil.copytree(theirs.output_dir, folder / "home/anna/outputs")
        (folder / "__MACOSX" / KEYS[1]).mkdir(parents=True)
    else:
        source = {"runs": theirs.runs, "run": theirs.run(KEYS[1]), "studies": theirs.output_dir / "studies"}[kind]
        shutil.copytree(source, folder / KEYS[1] if kind == "run" else folder)
    new = Layout(tmp_path / "new")
    assert collect(new, folder / KEYS[1] if kind == "run" else folder) == 0
    said = capsys.readouterr().out
    number = {"run": 1, "studies": 0}.get(kind, 5)
    assert f"runs: {number} copied" in said and len(list(new.runs.glob("*/result.json"))) == number
    assert new.plan("shapes").exists() == (kind in ("zip", "studies"))
    assert ("a copy of runs within runs, read all the same" in said) == (kind == "nested")
    if kind == "zip":
        where = "  missing: 1, in none of these folders: arch=cylinder seed 0"
        assert "5 of 6 runs are there" in said and where in said


def test_records_that_differ_are_shown_and_left_alone(
    mine: Layout, theirs: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bert = Layout(tmp_path / "bert")
    shutil.copytree(theirs.runs, bert.runs)
    for places, key in ((theirs, KEYS[3]), (bert, KEYS[4])):
        result = json.loads((places.run(key) / "result.json").read_text())
        seal(places.run(key), metrics=result["metrics"] | {"val/accuracy": 0.9})
    before = contents(mine.run(KEYS[3]))
    assert collect(mine, theirs.output_dir, bert.output_dir) == 1
    said = capsys.readouterr().out
    for key, accuracy in ((KEYS[3], 0.53), (KEYS[4], 0.56)):
        (line,) = (each for each in said.splitlines() if each.startswith(f"{key}: conflicting records"))
        assert f"val/accuracy {accuracy}" in line and "val/accuracy 0.9" in line and str(theirs.output_dir) in line
    assert contents(mine.run(KEYS[3])) == before and not mine.run(KEYS[4]).exists()
    assert "missing: 1, whose records conflict: arch=pyramid seed 1" in said


def test_half_copies_and_malformed_records_are_named_and_left_out(
    mine: Layout, theirs: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (theirs.run(KEYS[1]) / "metrics.jsonl").unlink()
    (theirs.run(KEYS[2]) / "metrics.jsonl").write_text("{}")
    (theirs.run(KEYS[4]) / "result.json").write_text("{")
    (theirs.run(KEYS[5]) / "result.json").rename(theirs.run(KEYS[5]) / "checkpoint.pt")
    shutil.copytree(theirs.run(KEYS[3]), theirs.runs / f"{KEYS[3]} (1)")
    assert collect(mine, theirs.output_dir) == 1
    said = capsys.readouterr().out
    assert f"{theirs.run(KEYS[1])}: half of a copy, without metrics.jsonl; left out; have it copied again" in said
    assert f"{theirs.run(KEYS[2]) / 'metrics.jsonl'}: not the file that the run wrote" in said
    assert f"{theirs.run(KEYS[4]) / 'result.json'}: not JSON" in said
    assert f"{KEYS[3]} (1): expected a folder named by its run's key" in said
    assert "missing: 3, malformed: arch=cylinder seed 1, arch=cylinder seed 2, arch=pyramid seed 1" in said
    assert f"missing: 1, unfinished, a checkpoint only, in {theirs.runs}: arch=pyramid seed 2" in said
    assert {folder.name for folder in mine.runs.iterdir()} == {KEYS[0], KEYS[3]}


def test_a_hostile_folder_writes_nothing_outside_and_waits_for_nothing(
    theirs: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("private")
    (theirs.run(KEYS[1]) / "run.log").symlink_to(secret)
    os.mkfifo(theirs.run(KEYS[2]) / "pipe")
    (theirs.run(KEYS[3]) / "result.json").unlink()
    (theirs.run(KEYS[3]) / "result.json").symlink_to(secret)
    seal(theirs.run(KEYS[4]), files={"../../../evil": "0" * 64})
    shutil.move(theirs.run(KEYS[5]), tmp_path / "elsewhere")
    theirs.run(KEYS[5]).symlink_to(tmp_path / "elsewhere")
    plan = json.loads(theirs.plan("shapes").read_text())
    for number, change in enumerate(({"study": "../../evil"}, {"plan_id": "../../../evil"}, {"study": "/evil"})):
        theirs.study(f"evil{number}").mkdir()
        theirs.plan(f"evil{number}").write_text(json.dumps(plan | change))
    mine = Layout(tmp_path / "in/here")
    outside = contents(tmp_path)
    assert collect(mine, theirs.output_dir) == 1
    said = capsys.readouterr().out
    for words in (
        "run.log: no plain file; not copied",
        "pipe: no plain file; not copied",
        "result.json: expected a file",
        "without ../../../evil",
        "a link, which is not followed",
        "study: expected the name of a folder",
        "plan_id: expected two words",
    ):
        assert words in said, words
    assert {folder.name for folder in mine.runs.iterdir()} == {KEYS[1], KEYS[2]}
    assert not (mine.run(KEYS[1]) / "run.log").exists()
    assert {name: content for name, content in contents(tmp_path).items() if not name.startswith("in")} == outside


def test_a_result_takes_the_place_of_an_attempt_that_no_process_has(
    mine: Layout, theirs: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in (KEYS[1], KEYS[2]):
        mine.run(key).mkdir()
        (mine.run(key) / "checkpoint.pt").write_text("half")
    with RunFolder(mine, KEYS[2]).lease():
        assert collect(mine, theirs.output_dir) == 1
    said = capsys.readouterr().out
    assert f"{KEYS[2]}: process {os.getpid()}" in said and "is training this run already" in said
    assert RunFolder(mine, KEYS[1]).status() == "finished" and RunFolder(mine, KEYS[2]).status() == "missing"
    assert (mine.run(KEYS[1]) / "earlier-1/checkpoint.pt").read_text() == "half"
    assert not (mine.run(KEYS[1]) / "lease.json").exists()


def test_plans_are_merged_by_their_ids(mine: Layout, theirs: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    own = json.loads(mine.plan("shapes").read_text())
    smaller = own | {"plan_id": "fofof-gugug", "cells": [cell for cell in own["cells"] if cell["seed"] < 2]}
    theirs.plan("shapes").write_text(json.dumps(smaller))
    other = own | {"plan_id": "zuzuz-zuzuz", "cells": [own["cells"][0] | {"key": "f" * 16}]}
    theirs.earlier_plan("shapes", "zuzuz-zuzuz").write_text(json.dumps(other))
    theirs.study("new").mkdir()
    theirs.plan("new").write_text(json.dumps(own | {"study": "new"}))
    command = {"config_name": "config", "folders": [], "overrides": ["arch=cylinder,pyramid"]}
    theirs.command("new").write_text(json.dumps(command))
    assert collect(mine, theirs.output_dir) == 0
    said = capsys.readouterr().out
    assert f"study shapes: another plan, fofof-gugug, is in {theirs.plan('shapes')}; babab-dudud stays" in said
    assert json.loads(mine.plan("shapes").read_text()) == own
    assert [each.name for each in mine.study("shapes").glob("plan-*")] == ["plan-fofof-gugug.json"]
    assert json.loads(mine.plan("new").read_text())["cells"] == own["cells"]
    assert json.loads(mine.command("new").read_text()) == command
    theirs.plan("new").write_text(json.dumps(own | {"study": "new", "cells": other["cells"]}))
    assert collect(mine, theirs.output_dir) == 1
    assert "says that it is plan babab-dudud, and has other runs; left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data_fingerprint": "edited"}, "trained on other data, fingerprint edited where the study has data"),
        ({"results_version": 4}, "trained by another results_version, 4 where this ablate has 3"),
        ({"versions": {"ablate": "0.2.0"}}, "trained by another ablate, 0.2.0 where the study has 0.1.0"),
        ({}, "trained on other data (data), or with another option's file or default"),
    ],
)
def test_a_run_of_the_same_overrides_under_another_key_is_explained(
    change: dict[str, Any], said: str, mine: Layout, theirs: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = json.loads(mine.plan("shapes").read_text())
    (cell,) = (cell for cell in plan["cells"] if cell["key"] == KEYS[1])
    other = theirs.runs / ("e" * 16)
    theirs.run(KEYS[1]).rename(other)
    seal(other, key="e" * 16, overrides=[*cell["overrides"], "study.name=s", "data.root=/there"], **change)
    assert collect(mine, theirs.output_dir) == 0
    assert f"missing: 1, {said}, as {'e' * 16}: arch=cylinder seed 1" in capsys.readouterr().out


def test_the_command_itself(mine: Layout, theirs: Layout, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ablate.collect", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    done = run("theirs", "--output-dir", "mine")
    assert done.returncode == 0 and "6 of 6 runs are there" in done.stdout, done.stderr
    lost = run("nowhere", "theirs")
    assert lost.returncode == 2 and lost.stderr == "ablate: nowhere: no such folder; unpack an archive first\n"
    assert not (tmp_path / "outputs").exists()


def test_what_claims_have_is_no_half_of_a_copy(
    mine: Layout, theirs: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    """They keep no weights, however often they are copied."""
    (theirs.output_dir / "cells" / KEYS[1]).mkdir(parents=True)
    (theirs.run(KEYS[1]) / "metrics.jsonl").unlink()
    assert collect(mine, theirs.output_dir) == 1
    said = f"without metrics.jsonl, since claims keep no weights; team.stores=['{theirs.output_dir}'] counts it"
    told = capsys.readouterr().out
    assert said in told and f"found: {len(list((theirs.output_dir / 'runs').iterdir()))} run folders" in told
