"""What the window of a run shows, and runs that `wandb agent` asks for."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ablate.config.check import check_settings
from ablate.config.compose import Composer, resolve
from ablate.config.settings import GROUPS
from ablate.record import tracking
from ablate.record.layout import Layout
from ablate.record.store import RunFolder
from ablate.training import window
from tests import wandb_file
from tests.conftest import Command
from tests.wandb_server import Sweep, WandbServer

ROOT = Path(__file__).parents[2]
OPERATIONAL = ("output_dir", "progress", "threads", "device", "rerun", "team", "wandb", "hydra", "plot", "objective")
MEASURED = {"num_params": 10, "multiply_adds": 9, "machine": {"name": "gpu-7", "device": "cuda", "threads": 8}}


def columns(values: Mapping[str, Any], prefix: str = "") -> set[str]:
    """As wandb's table of runs has them: one for each leaf."""
    found = set[str]()
    for name, value in values.items():
        inner = isinstance(value, Mapping) and value and "_type" not in value
        found |= columns(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}"}
    return {name for name in found if not name.startswith("_")}


def test_who_looks_at_200_runs_sees_what_they_are_and_no_operational_column(tmp_path: Path) -> None:
    """Of all options of all groups, on several seeds, as the members of a team have them."""
    seen, number = set[str](), 0
    with Composer() as composer:
        options = [f"{group}={option}" for group in GROUPS for option in composer.options(group)]
        for override in options:
            given = ["data.root=/home/anna/data"] if override in ("data=hw1p2", "data=aligned") else []
            given += ["arch.widths=[8]"] if override == "arch=custom" else []
            given += [override, f"output_dir={tmp_path}", "study.name=s", "study.arm=a", "team.member=2"]
            config = check_settings(resolve(composer.compose(given)), given)
            for seed in range(3):
                config["seed"] = seed
                folder = RunFolder(Layout(tmp_path), f"{number:016x}")
                shown = window.shown(config, folder, override, {"arch": "cylinder"}, MEASURED)
                seen |= columns({**tracking.of_results(config), **shown.facts, "key": shown.key})
                number += 1
    assert number >= 180
    operational = [name for name in seen if name.split(".")[0] in OPERATIONAL or "_target_" in name]
    assert operational == [] and not any("root" in name or name.startswith("study.") for name in seen)
    wanted = {"key", "arm", "study", "member", "num_params", "multiply_adds", "machine.name", "machine.device"}
    assert wanted | {"choice/arch", "optimizer.lr", "arch.depth", "seed", "epochs"} <= seen
    assert len(seen) < 120, sorted(seen)


def test_a_run_shows_what_it_confuses_and_its_model_where_asked(
    ablate: Command, shown: list[str], tmp_path: Path, server: WandbServer
) -> None:
    done = ablate(*shown, "wandb.artifact=true", "team.member=2", env=server.environment)
    assert done.returncode == 0 and server.unknown == [], done.stderr
    ((_, run),) = server.runs.items()
    (folder,) = (tmp_path / "outputs/runs").iterdir()
    result = json.loads((folder / "result.json").read_text())
    assert run.config["choice/optimizer"] == "adamw" and run.config["num_params"] == result["num_params"]
    assert run.config["machine"] == {"name": os.uname().nodename, "device": "cpu"} and run.config["member"] == 2
    assert run.config["arm"] == "data=espeak_tiny epochs=1 data.context=2 arch.width=32"
    assert run.summary["seconds"] == result["seconds"]
    assert run.summary["val/accuracy"] == {"max": result["metrics"]["val/accuracy"]}
    assert run.summary["val/loss"] == {"min": result["metrics"]["val/loss"]}
    of_files = ("files", "dropped_utterances")
    assert json.loads(run.summary["record"]) == {name: each for name, each in result.items() if name not in of_files}
    assert columns(run.summary) <= {
        "status", "record", "seconds", "frames_per_second", "epoch", "step", "lr", "train/loss", "train/accuracy",
        "val/accuracy.max", "val/loss.min", "best/val/accuracy", "best/val/loss", "best/epoch", "phonemes",
        "confusion_table",
    }  # fmt: skip
    assert ("model", f"model-{result['key']}") in server.artifacts
    assert server.files["/storage/artifact/best.pt"] == (folder / "best.pt").read_bytes()
    (table,) = [json.loads(content) for name, content in server.files.items() if "media/table/phonemes" in name]
    correct = sum(round(row[1] * row[2]) for row in table["data"] if row[2] is not None)
    frames = sum(row[1] for row in table["data"])
    assert len(table["data"]) == 40 and abs(correct / frames - result["metrics"]["val/accuracy"]) < 1e-9


def test_offline_the_same_is_kept_without_a_model(ablate: Command, shown: list[str], tmp_path: Path) -> None:
    done = ablate(*shown, env={"WANDB_RUN_GROUP": "mates", "WANDB_NAME": "mine", "WANDB_DIR": "/elsewhere"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("WANDB_DIR=/elsewhere: not heeded; wandb's files lie in outputs/wandb") == 1
    (folder,) = (tmp_path / "outputs/wandb").glob("offline-run-*")
    run = wandb_file.read(folder)
    assert (run.run.run_group, run.run.display_name) == ("mates", "mine")
    assert {"confusion_table", "phonemes"} <= {name.split("/")[0] for name in run.history[-1]}


def test_an_agent_runs_trials_and_one_that_is_known_is_shown_again(
    ablate: Command, shown: list[str], tmp_path: Path, server: WandbServer, environment: dict[str, str]
) -> None:
    """With the real `wandb agent`, and the command of docs/sweep.yaml."""
    sweep = yaml.safe_load((ROOT / "docs/sweep.yaml").read_text())
    own = dict(each.split("=") for each in shown if not each.startswith("wandb"))
    parameters: dict[str, Any] = {**own, "optim.lr": 0.01}
    trials = [("trial1", parameters), ("trial2", parameters), ("trial3", parameters | {"arch.depht": 2})]
    server.sweeps["bohb"] = Sweep(yaml.safe_dump(sweep), trials)
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [Path(sys.executable).with_name("wandb"), "agent", "the-team/hw/bohb"],
        cwd=tmp_path, env=environment | server.environment | {"PATH": path}, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = server.runs["the-team/hw/trial1"], server.runs["the-team/hw/trial2"]
    assert first.sweep == second.sweep == "bohb" and set(server.runs) == {"the-team/hw/trial1", "the-team/hw/trial2"}
    (folder,) = (tmp_path / "outputs/runs").iterdir()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    best = json.loads((folder / "result.json").read_text())["metrics"]["val/accuracy"]
    for run in (first, second):
        assert run.state == "finished" and run.summary[sweep["metric"]["name"]] == best
        assert [{name: row[name] for name in rows[0]} for row in run.epochs] == rows
        assert run.config["optim.lr"] == run.config["optimizer"]["lr"] == 0.01
    assert f"{folder.name} is finished already" in done.stdout
    assert "arch.depht" in done.stderr and "WANDB_DIR" not in done.stdout


def test_an_agent_is_told_that_it_asks_for_one_run_at_a_time(ablate: Command, shown: list[str], tmp_path: Path) -> None:
    agents = {"WANDB_SWEEP_ID": "bohb", "WANDB_RUN_ID": "trial1"}
    for line in (["-m", "optim=sgd,adamw"], ["study=shapes"], ["hydra.mode=MULTIRUN", "optim=sgd,adamw"]):
        done = ablate(*shown, *line, env=agents)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("ablate: --multirun: `wandb agent` asks for one run at a time")
    assert not (tmp_path / "outputs/runs").exists()
