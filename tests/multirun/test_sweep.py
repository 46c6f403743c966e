"""Studies by the real command: planned, split, run exactly once, watched, and their failures told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests import wandb_file
from tests.conftest import Command
from tests.recipe.data.hw1p2_folder import write
from tests.terminal import seen

GRID = ["--multirun", "arch=cylinder,pyramid", "optim=sgd,adamw", "study.seeds=2", "study.name=shapes"]


def plan_of(folder: Path, study: str = "shapes") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "outputs" / "studies" / study / "plan.json").read_text())
    return content


def results(folder: Path) -> dict[str, dict[str, Any]]:
    files = (folder / "outputs" / "runs").glob("*/result.json")
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def test_two_members_do_a_study_once(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    dry = ablate(*tiny, *GRID, "team.size=2", "study.dry_run=true")
    assert dry.returncode == 0, dry.stderr
    assert not (tmp_path / "outputs" / "runs").exists()
    plan = plan_of(tmp_path)
    assert plan["plan_id"] in dry.stdout and "grid of 4 arms x 2 seeds = 8 runs" in dry.stdout
    assert "can detect differences of 6.2 seed-to-seed deviations" in dry.stdout
    assert "shares: 4 + 4 = 8 runs, none twice and none left out" in dry.stdout
    assert plan["design"] == "grid" and plan["baseline"] == "arch=cylinder,optimizer=sgd"
    assert [(cell["seed"], cell["member"], cell["status"]) for cell in plan["cells"]] == [
        *[(0, 1, "missing")] * 4, *[(1, 2, "missing")] * 4,
    ]  # fmt: skip
    assert [cell["arm"] for cell in plan["cells"][:4]] == [
        "arch=cylinder,optimizer=sgd", "arch=cylinder,optimizer=adamw",
        "arch=pyramid,optimizer=sgd", "arch=pyramid,optimizer=adamw",
    ]  # fmt: skip

    mine = ablate(*tiny, *GRID, "team.size=2", "team.member=2")
    assert mine.returncode == 0, mine.stderr
    lines = [line for line in mine.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == 4 and lines[3].startswith("[4/4] arch=pyramid,optimizer=adamw seed 1: val accuracy 0.")
    done = results(tmp_path)
    assert {result["seed"] for result in done.values()} == {1} and len(done) == 4
    half = plan_of(tmp_path)
    assert half["plan_id"] == plan["plan_id"]
    assert [cell["status"] for cell in half["cells"]] == ["missing"] * 4 + ["finished"] * 4
    gaps = ablate(*tiny, *GRID, "team.size=2", "study.coverage=true")
    assert gaps.returncode == 1 and gaps.stderr.strip() == "ablate: shapes: 4 of 8 runs are not finished"
    assert "missing (member 1)" in gaps.stdout and "finished (member 2)" in gaps.stdout

    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "outputs" / "runs").glob("*/result.json")}
    theirs = ablate(*tiny, *GRID, "team.size=2", "team.member=1")
    assert theirs.returncode == 0 and "about" in theirs.stdout, theirs.stderr
    assert all(file.stat().st_mtime_ns == then for file, then in before.items())
    assert set(results(tmp_path)) == {cell["key"] for cell in plan["cells"]}
    whole = ablate(*tiny, *GRID, "team.size=2", "study.coverage=true")
    assert (
        whole.returncode == 0 and "all: 8 finished" in whole.stdout and "points at this study's noise" in whole.stdout
    )

    cell = plan["cells"][1]  # a cell's overrides are its run, without the study: finished already
    again = ablate(*cell["overrides"], "wandb.mode=disabled")
    assert again.returncode == 0 and f"{cell['key']} is finished already" in again.stdout


def test_a_run_of_a_study_is_the_run_alone_whatever_came_before_it(
    ablate: Command, tiny: list[str], tmp_path: Path, corpus_cache: Path
) -> None:
    """Nothing leaks from run to run: random numbers, precision, data, threads."""
    varied = ["--multirun", "precision=bf16,fp32", "regularization=dropout,none", "normalization=zscore,cmn"]
    assert ablate(*tiny, *varied, "data.fraction=0.5", "study.seeds=2").returncode == 0
    last = tmp_path / "alone"
    (last / "outputs").mkdir(parents=True)
    (last / "outputs" / "cache").symlink_to(corpus_cache)
    alone = ablate(*tiny, "data.fraction=0.5", "seed=1", cwd=last)
    assert alone.returncode == 0, alone.stderr
    (run,) = (last / "outputs" / "runs").iterdir()
    assert len(results(tmp_path)) == 16
    for name in ("best.pt", "utterances.csv"):
        assert (run / name).read_bytes() == (tmp_path / "outputs" / "runs" / run.name / name).read_bytes()


def test_a_failing_run_stops_no_other_and_is_told_at_once_and_again(
    ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    study = ["--multirun", "optim.lr=0.001,0.002,0.003", "study.name=rates"]
    assert ablate(*tiny, *study, "study.dry_run=true").returncode == 0
    key = plan_of(tmp_path, "rates")["cells"][0]["key"]
    (tmp_path / "outputs" / "runs" / key).mkdir(parents=True)
    (tmp_path / "outputs" / "runs" / key / "checkpoint.pt").write_bytes(b"broken")
    done = ablate(*tiny, *study)
    assert done.returncode == 1
    assert done.stderr.strip() == "ablate: 1 of 3 runs failed; the same command runs just these again"
    told = [line for line in done.stdout.splitlines() if line.startswith("failed: optimizer.lr=0.001 seed 0: ")]
    assert len(told) == 2 and "run.log" in told[0]
    assert all("delete it to train from the start" in line for line in told)
    assert "delete it" in (tmp_path / "outputs" / "runs" / key / "run.log").read_text()
    assert len(results(tmp_path)) == 2
    statuses = [cell["status"] for cell in plan_of(tmp_path, "rates")["cells"]]
    assert statuses == ["failed", "finished", "finished"]
    (tmp_path / "outputs" / "runs" / key / "checkpoint.pt").unlink()
    again = ablate(*tiny, *study)
    assert again.returncode == 0 and "[1/1] optimizer.lr=0.001 seed 0" in again.stdout
    assert len(results(tmp_path)) == 3


# Which models are alive when a study's runs have ended: `prepare` is watched, nothing is replaced.
_LEFT_ALIVE = """
import gc, json, sys, weakref
from ablate import run
from ablate.multirun import sweep
from ablate.training import prepare
models, alive, prepared, launch = [], [], prepare.prepare, sweep.launch
def watched(*arguments):
    training = prepared(*arguments)
    models.append(weakref.ref(training.model))
    return training
def launched(*arguments, **settings):
    launch(*arguments, **settings)
    gc.collect()
    alive.extend(model() is not None for model in models)
prepare.prepare, sweep.launch = watched, launched
code = run.command(json.load(sys.stdin))
print(json.dumps([code, alive]))
"""


def test_neither_a_run_nor_its_failure_keeps_a_model_in_memory(
    ablate: Command, tiny: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    study = [*tiny, "--multirun", "optim=sgd,adamw", "study.name=s"]
    assert ablate(*study, "study.dry_run=true").returncode == 0
    key = plan_of(tmp_path, "s")["cells"][0]["key"]
    (tmp_path / "outputs" / "runs" / key).mkdir(parents=True)
    (tmp_path / "outputs" / "runs" / key / "checkpoint.pt").write_bytes(b"broken")
    done = subprocess.run(
        [sys.executable, "-c", _LEFT_ALIVE], cwd=tmp_path, env=environment, input=json.dumps(study),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [1, [False, False]], done.stderr


def test_fail_fast_stops_at_the_first_failure(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    study = ["--multirun", "optim.lr=0.001,0.002", "study.name=rates"]
    assert ablate(*tiny, *study, "study.dry_run=true").returncode == 0
    key = plan_of(tmp_path, "rates")["cells"][0]["key"]
    (tmp_path / "outputs" / "runs" / key).mkdir(parents=True)
    (tmp_path / "outputs" / "runs" / key / "checkpoint.pt").write_bytes(b"broken")
    done = ablate(*tiny, *study, "study.fail_fast=true")
    assert done.returncode == 1 and not results(tmp_path)


# A launcher as its users install it: it is given all runs at once, and has them done.
_AT_ONCE = """
from dataclasses import dataclass
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore

class AtOnceLauncher(BasicLauncher):
    def launch(self, job_overrides, initial_job_idx):
        print("given at once:", len(job_overrides))
        return super().launch(job_overrides, initial_job_idx)

@dataclass
class Conf:
    _target_: str = "hydra_plugins.at_once.AtOnceLauncher"

ConfigStore.instance().store(group="hydra/launcher", name="at_once", node=Conf)
"""


def test_a_launcher_that_starts_all_at_once(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "plugins/hydra_plugins/at_once").mkdir(parents=True)
    (tmp_path / "plugins/hydra_plugins/at_once/__init__.py").write_text(_AT_ONCE)
    study = [*tiny, "-m", "optim=sgd,adamw", "study.name=s", "hydra/launcher=at_once"]
    path = {"PYTHONPATH": str(tmp_path / "plugins")}
    assert ablate(*study, "study.dry_run=true", env=path).returncode == 0
    key = plan_of(tmp_path, "s")["cells"][0]["key"]
    (tmp_path / "outputs" / "runs" / key).mkdir(parents=True)
    (tmp_path / "outputs" / "runs" / key / "checkpoint.pt").write_bytes(b"broken")
    stopped = ablate(*study, "study.fail_fast=true", env=path)
    assert stopped.returncode == 1 and not results(tmp_path)
    assert "1 failed, 1 missing" in stopped.stdout and "1 of 2 runs failed" in stopped.stderr
    (tmp_path / "outputs" / "runs" / key / "checkpoint.pt").unlink()
    done = ablate(*study, env=path)
    assert done.returncode == 0 and "given at once: 2" in done.stdout, done.stderr
    assert len(results(tmp_path)) == 2


def test_what_only_a_multirun_has_is_refused_in_a_single_run(ablate: Command) -> None:
    done = ablate("data=espeak_tiny", "study.seeds=3")
    assert done.returncode == 2 and "study.seeds: expected a multirun for it; add --multirun" in done.stderr


def test_a_study_of_ones_own_in_a_file(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "conf" / "study").mkdir(parents=True)
    study = {
        "name": "mine",
        "question": "Which rate?",
        "factors": {"optim": ["sgd", "adamw"], "optim.lr": "0.01,0.1", "arch.depth": [1]},
        "design": "ofat",
        "seeds": [3, 5],
        "margin": 0.01,
    }
    (tmp_path / "conf" / "study" / "mine.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    done = ablate(*tiny, "study=mine", "study.dry_run=true", "optim.lr=0.01,0.1,1")
    assert done.returncode == 0, done.stderr
    plan = plan_of(tmp_path, "mine")
    assert plan["question"] == "Which rate?" and plan["margin"] == 0.01 and plan["seeds"] == [3, 5]
    assert list(dict.fromkeys(cell["arm"] for cell in plan["cells"])) == [
        "optimizer=sgd,optimizer.lr=0.01", "optimizer=adamw,optimizer.lr=0.01",
        "optimizer=sgd,optimizer.lr=0.1", "optimizer=sgd,optimizer.lr=1",
    ]  # fmt: skip
    assert "arch.depth=1" in plan["cells"][0]["overrides"]
    assert "optimizer.lr: 0.01, 0.1, 1, instead of 0.01, 0.1" in done.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"factors": {"seed": [0, 1]}}, "seed: can't be swept; a seed is no factor"),
        ({"factors": {"threads": [1, 2]}}, "threads: can't be swept, since it can't change a result"),
        ({"factors": ["arch"]}, "study.factors: expected groups and keys with their levels"),
        ({"factors": {"arch": {"depth": [2]}}}, "study.factors.arch: expected a list of levels"),
        ({"factors": {"optim": ["sgd"], "optimizer": ["adam"]}}, "study.factors.optimizer: given twice"),
        ({"factor": {"arch": ["cylinder"]}}, "factor"),
    ],
)
def test_a_mistake_in_a_studys_file_is_refused(
    content: dict[str, Any], said: str, ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    (tmp_path / "conf" / "study").mkdir(parents=True)
    (tmp_path / "conf" / "study" / "mine.yaml").write_text(yaml.safe_dump(content))
    done = ablate(*tiny, "study=mine")
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_studys_file_that_sets_more_than_the_study_is_refused(
    ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    (tmp_path / "conf" / "study").mkdir(parents=True)
    text = "# @package _global_\nbatch_size: 77\nstudy: {name: mine, factors: {arch: [cylinder, pyramid]}}\n"
    (tmp_path / "conf" / "study" / "mine.yaml").write_text(text)
    done = ablate(*tiny, "study=mine")
    assert done.returncode == 2 and "study=mine: its file sets batch_size" in done.stderr, done.stderr


def test_keys_that_only_the_levels_have_and_exclusions_as_they_are_typed(
    ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    study = ["-m", "optim=momentum,nesterov", "optim.momentum=0.8", "optim.lr=1e-2,1e-1", "study.name=s"]
    exclude = "study.exclude=['optim=nesterov,optim.lr=1e-1']"
    done = ablate(*tiny, *study, exclude, "study.dry_run=true")
    assert done.returncode == 0, done.stderr
    assert [cell["arm"] for cell in plan_of(tmp_path, "s")["cells"]] == [
        "optimizer=momentum,optimizer.lr=0.01", "optimizer=momentum,optimizer.lr=0.1",
        "optimizer=nesterov,optimizer.lr=0.01",
    ]  # fmt: skip


def test_foreign_and_broken_records_cost_no_study_anything(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    for name, content in (("a" * 16, "{"), ("b" * 16, "[]"), ("c" * 16, json.dumps({"key": "c" * 16}))):
        (tmp_path / "outputs" / "runs" / name).mkdir(parents=True)
        (tmp_path / "outputs" / "runs" / name / "result.json").write_text(content)
    done = ablate(*tiny, "-m", "optim=sgd,adamw", "study.dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "left to do here: 2 runs; how long they take is known after the first" in done.stdout


def test_equal_cells_are_run_once(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    done = ablate(*tiny, "-m", "data.fraction=1,1.0,0.5", "study.name=equal", "study.dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "data.fraction=1.0 is the same experiment as data.fraction=1, and is left out" in done.stdout
    assert len(plan_of(tmp_path, "equal")["cells"]) == 2


def test_another_plan_of_the_same_name_is_kept(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    study = ["-m", "optim=sgd,adamw", "study.name=s", "study.dry_run=true"]
    assert ablate(*tiny, *study).returncode == 0
    first = plan_of(tmp_path, "s")["plan_id"]
    done = ablate(*tiny, *study, "study.seeds=2")
    assert f"study s was another plan before, {first}" in done.stdout
    kept = json.loads((tmp_path / "outputs" / "studies" / "s" / f"plan-{first}.json").read_text())
    assert kept["plan_id"] == first != plan_of(tmp_path, "s")["plan_id"]


def test_a_fraction_says_what_it_can_not_tell_apart(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    factors = ["arch=cylinder,pyramid", "optim=sgd,adamw", "scheduler=cosine,constant"]
    done = ablate(
        *tiny, "-m", *factors, "study.design=fraction", "study.resolution=3", "study.name=f", "study.dry_run=true"
    )
    assert done.returncode == 0, done.stderr
    assert len(plan_of(tmp_path, "f")["cells"]) == 4
    assert "arch = optimizer x scheduler" in plan_of(tmp_path, "f")["aliases"]
    assert "can't tell apart: " in done.stdout and "arch = optimizer x scheduler" in done.stdout


def test_a_run_that_another_process_has_is_left_to_it(
    ablate: Command, tiny: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    long = [each for each in tiny if not each.startswith("epochs")] + ["epochs=500", "-m", "study.name=s"]
    owner = subprocess.Popen(
        [sys.executable, "-m", "ablate.run", *long], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("outputs/runs/*/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    second = ablate(*long)
    owner.send_signal(signal.SIGINT)
    assert owner.wait(60) == 130
    assert second.returncode == 0, second.stderr
    assert f"process {owner.pid} on {os.uname().nodename} is training this run already" in second.stdout
    assert "1 running" in second.stdout and not results(tmp_path)


def test_offline_runs_of_a_study_are_grouped_named_tagged_and_listed_for_one_command(
    ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    offline = [each for each in tiny if not each.startswith("wandb")]
    done = ablate(*offline, "-m", "optim=sgd,adamw", "study.seeds=2", "study.name=s", "team.size=2", "team.member=1")
    assert done.returncode == 0, done.stderr
    runs = [wandb_file.read(folder).run for folder in (tmp_path / "outputs/wandb").glob("offline-run-*")]
    assert sorted(run.display_name for run in runs) == ["optimizer=adamw seed=0", "optimizer=sgd seed=0"]
    assert {run.run_group for run in runs} == {"s"}
    assert all({"member=1", "design=grid"} <= set(run.tags) for run in runs)
    assert "wandb: `ablate sync s` uploads 2 runs of the study" in done.stdout


def test_on_a_terminal_there_is_a_bar_over_the_study(
    tiny: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    study = [*tiny, "--multirun", "optim=sgd,adamw", "study.name=s"]
    code, output = seen(study, tmp_path, environment | {"TERM": "xterm-256color"})
    assert code == 0
    text = output.decode(errors="replace")
    assert "study" in text and "0/2" in text and "1/2" in text and "epoch 1" in text
    assert "[2/2] optimizer=adamw seed 0: val accuracy" in text


def test_a_finished_study_asked_again_needs_no_torch(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    study = ["--multirun", "optim=sgd,adamw", "study.name=s"]
    assert ablate(*tiny, *study).returncode == 0
    code = (
        "import sys; from ablate.run import command\n"
        f"assert command({[*tiny, *study]!r}) == 0\n"
        "print([name for name in ('torch', 'wandb') if name in sys.modules])"
    )
    again = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "nothing is left to do here" in again.stdout and again.stdout.endswith("[]\n")


def test_a_fraction_without_sound_data_is_refused_before_any_run(ablate: Command, tmp_path: Path) -> None:
    root = write(tmp_path / "root", lengths={f"{speaker}-a": 40 for speaker in range(8)}, num_mfcc=13)
    for file in sorted((root / "train-clean-100/mfcc").iterdir())[1:]:
        file.write_bytes(b"")
    shared = ["data=hw1p2", "data.root=root", "data.on_bad_utterance=drop", "epochs=1", "batch_size=16"]
    done = ablate("-m", *shared, "data.fraction=1,0.01", "study.seeds=4", "wandb.mode=disabled")
    assert done.returncode == 2 and "data.fraction=0.01: all that it takes is bad (1 of 8 utt" in done.stderr
    assert not (tmp_path / "outputs" / "runs").exists()


def test_batches_larger_than_the_data_are_refused_before_any_run(
    ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    done = ablate("-m", *tiny, "batch_size=64,999999", "optimizer=sgd,adamw", "study.seeds=2")
    expected = "ablate: batch_size=999999,optimizer=sgd: batch_size=999999: the training split has only 16628 frames"
    assert done.returncode == 2 and done.stderr.startswith(expected) and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "outputs" / "runs").exists()


def test_data_that_change_during_a_study_mix_with_no_run(tmp_path: Path, environment: dict[str, str]) -> None:
    root = write(tmp_path / "root", lengths={"1-a": 200, "2-b": 200}, num_mfcc=13)
    overrides = ["-m", "data=hw1p2", "data.root=root", "batch_size=32", "wandb.mode=disabled", "arch.width=16"]
    command = [sys.executable, "-m", "ablate.run", *overrides, "epochs=2", "study.seeds=4", "study.name=s"]
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment | {"PYTHONUNBUFFERED": "1"}, "text": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        assert process.stdout
        while not (line := process.stdout.readline()).startswith("[1/4"):
            assert line
        for split in ("train-clean-100", "dev-clean"):
            for file in (root / split / "mfcc").iterdir():
                np.save(file, np.load(file) + 1)
        told, failure = process.communicate(timeout=120)
    strayed = [line for line in told.splitlines() if "its data have changed since the study began" in line]
    assert strayed and process.returncode == 1, told
    assert failure == f"ablate: {len(strayed)} of 4 runs failed; the same command runs just these again\n"
    records = results(tmp_path)
    for output_dir in ("outputs", "afresh"):
        again = subprocess.run([*command, f"output_dir={output_dir}"], capture_output=True, check=False, **options)
        assert again.returncode == 0 and "4 finished" in again.stdout, again.stderr
    records = results(tmp_path)
    for file in (tmp_path / "afresh" / "runs").glob("*/result.json"):
        assert records[file.parent.name]["metrics"] == json.loads(file.read_text())["metrics"]
