"""What team-mates have finished in wandb's project is not trained again; a server that fails costs a line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.wandb_server import API_KEY, WandbServer

STUDY = ["-m", "optim=sgd,adamw", "study.name=s"]
HOST = os.uname().nodename


def keys(folder: Path) -> dict[str, str]:
    plan = json.loads((folder / "outputs/studies/s/plan.json").read_text())
    return {cell["arm"]: cell["key"] for cell in plan["cells"]}


def results(folder: Path) -> set[str]:
    return {file.parent.name for file in folder.glob("outputs/runs/*/result.json")}


def whole(key: str) -> dict[str, Any]:
    """A record that lacks nothing."""
    return {
        "key": key, "status": "finished", "seed": 0, "epochs": 1, "num_params": 10, "multiply_adds": 9, "seconds": 1.5,
        "metrics": {"val/accuracy": 0.5, "val/loss": 2.0, "train/accuracy": 0.4, "train/loss": 2.5, "best_epoch": 1},
        "frames_per_second": 100.0, "machine": {"name": "gpu-7", "device": "cuda", "threads": 2}, "member": 3,
        "overrides": ["optimizer=sgd"], "choices": {"optimizer": "sgd"}, "versions": {}, "git_commit": None,
        "data_fingerprint": "f", "results_version": 3, "format": 1,
    }  # fmt: skip


def plant(server: WandbServer, name: str, key: str, record: object, state: str = "finished") -> None:
    run = server.run("the-team", "hw", name)
    run.config, run.state = {"key": key}, state
    if record is not None:
        run.summary = {"record": record if isinstance(record, str) else json.dumps(record)}


def test_what_a_team_mate_has_shown_online_is_not_trained_and_named(
    ablate: Command, shown: list[str], tmp_path: Path, server: WandbServer
) -> None:
    anna = ablate(*shown, "optim=sgd", "team.member=1", "output_dir=anna", env=server.environment)
    assert anna.returncode == 0 and list(server.runs), anna.stderr
    server.requests.clear()
    bert = ablate(*shown, *STUDY, "team.member=2", env=server.environment)
    assert bert.returncode == 0, bert.stderr
    assert f"there already: 1 run of member 1 on {HOST}, in wandb, the-team/hw" in bert.stdout
    assert "left to do here: 1 run;" in bert.stdout and "2 finished" in bert.stdout
    assert results(tmp_path) == {keys(tmp_path)["optimizer=adamw"]} and server.requests["Runs"] == 1
    theirs = keys(tmp_path)["optimizer=sgd"]
    (found,) = json.loads((tmp_path / "outputs/studies/s/found.json").read_text())
    kept = json.loads((tmp_path / "anna/runs" / theirs / "result.json").read_text())
    of_files = ("files", "dropped_utterances")
    assert found["result"] == {name: value for name, value in kept.items() if name not in of_files}
    for module in ("ablate.status", "ablate.report"):  # which know no server
        told = ablate("s", module=module)
        assert told.returncode == 0 and "2 finished" in told.stdout, told.stderr
        assert f"1 run of member 1 on {HOST}, in wandb, the-team/hw" in told.stdout
    assert "in wandb, the-team/hw" in (tmp_path / "outputs/studies/s/report.html").read_text()
    alone = ablate(*shown, "optim=sgd", env=server.environment)
    assert f"{theirs} is finished already: member 1 on {HOST}, in wandb, the-team/hw" in alone.stdout
    assert len(results(tmp_path)) == 1
    again = ablate(*shown, "optim=sgd", "rerun=true", env=server.environment)
    assert again.returncode == 0 and theirs in results(tmp_path)
    outputs = [each.stdout + each.stderr for each in (anna, bert, alone, again)]
    files = [file for file in tmp_path.rglob("*") if file.is_file() and API_KEY.encode() in file.read_bytes()]
    assert not any(API_KEY in each for each in outputs) and not files


def test_only_whole_records_count(ablate: Command, shown: list[str], tmp_path: Path, server: WandbServer) -> None:
    study = [*shown, "-m", "optim=sgd,adamw,adam,nadam,radam,rmsprop", "study.name=s", "study.dry_run=true"]
    assert ablate(*study).returncode == 0 and not server.requests
    sgd, adamw, adam, nadam, radam, rmsprop = keys(tmp_path).values()
    plant(server, "no-json", sgd, "{")
    plant(server, "half", adamw, {name: value for name, value in whole(adamw).items() if name != "machine"})
    plant(server, "other", adam, whole(sgd))
    plant(server, "version", nadam, whole(nadam) | {"results_version": 999})
    plant(server, "running", radam, None, "running")
    plant(server, "early", rmsprop, whole(rmsprop) | {"status": "diverged"}, "failed")
    plant(server, "late", rmsprop, whole(rmsprop))
    plant(server, "another", "0" * 16, whole("0" * 16))
    done = ablate(*study, env=server.environment)
    assert done.returncode == 0, done.stderr
    for name, why in [
        ("no-json", "not JSON"), ("half", "machine: missing; left out"), ("other", f"not a record of {adam}, but of"),
        ("version", "results_version=999"),
    ]:  # fmt: skip
        assert done.stdout.count(f"wandb run the-team/hw/{name}: ") == 1 and why in done.stdout
    assert "there already: 1 run of member 3 on gpu-7, in wandb, the-team/hw" in done.stdout
    assert "1 diverged, 5 missing" in done.stdout, "the oldest counts"
    (asked,) = server.filters
    assert sorted(asked["$and"][1]["$or"][0]["config.key"]["$in"]) == sorted(keys(tmp_path).values())
    told = ablate("s", module="ablate.status")
    assert "1 diverged" in told.stdout and "member 3 on gpu-7" in told.stdout
    off = ablate(*study, "wandb.lookup=false", env=server.environment)
    assert "6 missing" in off.stdout and len(server.filters) == 1
    assert not (tmp_path / "outputs/studies/s/found.json").exists()


@pytest.mark.parametrize("fault", ["slow", "503", "403", "gone"])
def test_a_server_that_fails_costs_one_line(
    fault: str, ablate: Command, shown: list[str], tmp_path: Path, server: WandbServer
) -> None:
    if fault == "gone":
        server.stop()
    server.delay = 60.0 if fault == "slow" else 0.0
    server.fail = int(fault) if fault.isdecimal() else 0
    done = ablate(*shown, *STUDY, "study.dry_run=true", env=server.environment)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count("wandb: can't be asked for team-mates' finished runs (") == 1, done.stdout
    assert "2 missing" in done.stdout


def test_a_malformed_file_of_what_was_found_is_named(ablate: Command, shown: list[str], tmp_path: Path) -> None:
    assert ablate(*shown, *STUDY, "study.dry_run=true").returncode == 0
    file = tmp_path / "outputs/studies/s/found.json"
    file.write_text(json.dumps([{"place": "wandb", "result": {"key": "a", "status": "finished", "metrics": {}}}]))
    told = ablate("s", module="ablate.status")
    assert told.returncode == 0 and "found.json: 0.result.metrics.val/accuracy: " in told.stdout
    refused = ablate(*shown, *STUDY, "study.dry_run=true")
    assert refused.returncode == 2 and "delete it, and the study's command asks anew" in refused.stderr
