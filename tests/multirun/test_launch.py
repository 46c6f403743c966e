"""Runs launched elsewhere: told of as they end, stopped when they are not wanted, with the bits of a run alone."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import cluster
from tests.conftest import Command
from tests.terminal import seen

PROCESSES = ["hydra/launcher=processes", "hydra.launcher.n_jobs=2", "threads=1"]
RAY = pytest.param(["hydra/launcher=ray"], marks=[pytest.mark.cluster, cluster.NEEDS_RAY], id="ray")
EACH = [pytest.param(PROCESSES, id="processes"), RAY]


@pytest.fixture(autouse=True)
def two_cores() -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two cores")


def started(arguments: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "ablate.run", *arguments], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def runs(folder: Path) -> dict[str, Path]:
    return {run.name: run for run in (folder / "outputs" / "runs").iterdir()}


def break_first(ablate: Command, study: list[str], folder: Path) -> Path:
    """Plan a study, and let its first run find a checkpoint that it can't read."""
    assert ablate(*study, "study.dry_run=true").returncode == 0
    plan = json.loads((folder / "outputs" / "studies" / "s" / "plan.json").read_text())
    checkpoint: Path = folder / "outputs" / "runs" / plan["cells"][0]["key"] / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"broken")
    return checkpoint


def assert_equal_bits(one: Path, other: Path) -> None:
    assert runs(one).keys() == runs(other).keys()
    for key, run in runs(one).items():
        assert (run / "best.pt").read_bytes() == (runs(other)[key] / "best.pt").read_bytes()
        first, second = (json.loads((each[key] / "result.json").read_text()) for each in (runs(one), runs(other)))
        assert first["metrics"] == second["metrics"] and first["machine"]["threads"] == 1


def beside(folder: Path, name: str) -> Path:
    """Another folder, whose outputs have the same cache."""
    (folder / name / "outputs").mkdir(parents=True)
    (folder / name / "outputs" / "cache").symlink_to((folder / "outputs" / "cache").resolve())
    return folder / name


def test_processes_tell_of_each_run_as_it_ends_and_give_the_bits_of_a_run_alone(
    ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    study = [*tiny, "--multirun", "optim=sgd,adamw", "study.seeds=2", "study.name=s"]
    checkpoint = break_first(ablate, study, tmp_path)
    done = ablate(*study, *PROCESSES)
    assert done.returncode == 1, done.stderr
    assert done.stderr.strip() == "ablate: 1 of 4 runs failed; the same command runs just these again"
    lines = done.stdout.splitlines()
    ends = [number for number, line in enumerate(lines) if line.startswith("[") and "val accuracy" in line]
    failed = [number for number, line in enumerate(lines) if line.startswith("failed: optimizer=sgd seed 0: ")]
    assert len(ends) == 3 and lines[ends[-1]].startswith("[4/4]")
    assert len(failed) == 2 and failed[0] < ends[-1], "told at once, and again at the end"
    checkpoint.unlink()
    again = ablate(*study, *PROCESSES)
    assert again.returncode == 0 and "[1/1] optimizer=sgd seed 0" in again.stdout, again.stderr
    alone = beside(tmp_path, "alone")
    assert ablate(*study, "threads=1", cwd=alone).returncode == 0
    assert_equal_bits(alone, tmp_path)
    assert not list((tmp_path / "outputs" / "studies").rglob("launched"))


@pytest.mark.parametrize("launcher", EACH)
def test_fail_fast_stops_what_trains_and_begins_no_other(
    launcher: list[str], ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    long = [each for each in tiny if not each.startswith("epochs")]
    study = [*long, "epochs=5000", "--multirun", "optim=sgd,adamw", "study.seeds=2", "study.name=s"]
    break_first(ablate, study, tmp_path)
    done = ablate(*study, *launcher, "study.fail_fast=true")
    assert done.returncode == 1 and "1 failed, 3 missing" in done.stdout, done.stdout
    assert done.stderr.splitlines()[-1] == "ablate: 1 of 4 runs failed; the same command runs just these again"


@pytest.fixture
def after_a_ray(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of who has used a Ray elsewhere: Ray takes the last address, living or not, unless it is told."""
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # a short path, as its sockets want
        last = Path(folder) / "ray" / "ray_current_cluster"
        last.parent.mkdir()
        last.write_text("192.0.2.2:51263")
        yield environment | {"RAY_TMPDIR": folder}


@pytest.fixture(params=EACH)
def long_study(
    request: pytest.FixtureRequest, tiny: list[str], after_a_ray: dict[str, str], tmp_path: Path
) -> "Iterator[subprocess.Popen[str]]":
    """A study of four long runs, two of which train."""
    long = [each for each in tiny if not each.startswith("epochs")]
    study = [*long, "epochs=5000", "--multirun", "optim=sgd,adamw", "study.seeds=2", "study.name=s", *request.param]
    process = started(study, tmp_path, after_a_ray)
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("outputs/runs/*/checkpoint.pt"))) < 2:  # each has an epoch to go on from
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_ctrl_c_lets_each_end_its_epoch_and_leaves_nobody(long_study: "subprocess.Popen[str]", tmp_path: Path) -> None:
    workers = psutil.Process(long_study.pid).children(recursive=True)
    os.killpg(long_study.pid, signal.SIGINT)  # as a terminal sends it, to all of them
    said, refused = long_study.communicate(timeout=60)
    assert long_study.returncode == 130 and "stopping: each run ends after its epoch" in said
    assert refused.splitlines()[-1:] == ["ablate: interrupted; the same command goes on from the last whole epoch"]
    _, alive = psutil.wait_procs(workers, timeout=30)  # what cleans up behind the workers ends once they have
    assert workers and not alive
    assert "4 missing" in said and not list(tmp_path.glob("outputs/runs/*/lease.json"))
    for run in runs(tmp_path).values():
        assert (run / "checkpoint.pt").exists() and (run / "metrics.jsonl").read_text().endswith("\n")


@pytest.mark.parametrize("long_study", [PROCESSES], indirect=True)
def test_a_process_that_is_killed_takes_no_other_run_with_it(
    long_study: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    (lease, *_) = tmp_path.glob("outputs/runs/*/lease.json")
    owner: dict[str, Any] = json.loads(lease.read_text())
    os.kill(owner["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 120
    while "resumed after epoch" not in (lease.parent / "run.log").read_text():
        assert long_study.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(long_study.pid, signal.SIGINT)
    said, _ = long_study.communicate(timeout=60)
    assert long_study.returncode == 130 and "what it had begun goes on from its last epoch" in said


def test_of_a_command_that_is_killed_the_processes_end_with_their_runs(
    tiny: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    longer = [each for each in tiny if not each.startswith("epochs")]
    study = [*longer, "epochs=50", "--multirun", "optim=sgd,adamw", "study.seeds=2", "study.name=s", *PROCESSES]
    process = started(study, tmp_path, environment)
    while len(list(tmp_path.glob("outputs/runs/*/metrics.jsonl"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=120)  # as whoever reads its output waits until no process has it any more
    deadline = time.monotonic() + 120
    while left := [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(tmp_path)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert len(list(tmp_path.glob("outputs/runs/*/result.json"))) == 2


def test_on_a_terminal_there_is_a_bar_over_the_processes(
    tiny: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    study = [*tiny, "--multirun", "optim=sgd,adamw", "study.name=s", *PROCESSES]
    code, output = seen(study, tmp_path, environment | {"TERM": "xterm-256color"})
    text = output.decode(errors="replace")
    assert code == 0 and "0/2" in text and "1/2" in text and "[2/2] optimizer=" in text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["hydra/launcher=processes", "hydra.launcher.n_jobs=999"], "hydra.launcher.n_jobs=999: with 1 thread each"),
        (["hydra/launcher=slurm", "hydra.launcher._target_=hydra_plugins.absent.A"], "pip install 'ablate[slurm]'"),
        (["hydra/launcher=slurm", "threads=9"], "threads=9: expected at most hydra.launcher.cpus_per_task=4"),
        (["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=x"], "cpus_per_task: expected a valid integer"),
        (["hydra/launcher=slurm", "+hydra.launcher.partitions=x"], "unknown key; did you mean partition?"),
        (["hydra/launcher=processes", "+hydra.launcher.foo=1"], "hydra.launcher.foo: unknown key; known: "),
        (["hydra/launcher=slurm", "hydra.launcher.setup=foo"], "hydra.launcher.setup: expected a valid list"),
        (["hydra/launcher=ray", "hydra.launcher.ray.remote.num_cpus=0"], "num_cpus: expected greater than or equal"),
        (
            ["hydra/launcher=ray", "study.dry_run=true", "hydra.launcher.ray.init.address=host"],
            "expected local, auto, ",
        ),
        (["hydra/launcher=ray", "hydra.launcher.ray.remote.num_cpus=9999"], "num_cpus=9999: expected at most"),
        (["hydra/launcher=ray", "hydra.launcher.ray.init.address=127.0.0.1:1"], "127.0.0.1:1: no Ray answers there"),
    ],
)
def test_what_can_not_be_launched_is_refused_in_a_line(
    settings: list[str], said: str, ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    if "absent" not in settings[-1] and not settings[0].endswith("processes"):
        pytest.importorskip({"slurm": "submitit", "ray": "ray"}[settings[0].rpartition("=")[2]])
    done = ablate(*tiny, "--multirun", "optim=sgd,adamw", *settings)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "outputs" / "studies").exists()


@pytest.mark.cluster
@cluster.NEEDS_RAY
def test_a_study_on_a_ray_of_two_nodes(
    ablate: Command, tiny: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    study = [*tiny, "--multirun", "optim=sgd,adamw", "study.name=s"]
    with cluster.ray(tmp_path / "ray", environment) as (address, found):
        done = ablate(*study, "hydra/launcher=ray", f"hydra.launcher.ray.init.address={address}", env=found)
    assert done.returncode == 0, done.stderr
    assert [line.partition(" ")[0] for line in done.stdout.splitlines() if "val accuracy" in line] == ["[1/2,", "[2/2]"]
    assert not (tmp_path / "ray" / "outputs").exists(), "a node's own folder"
    alone = beside(tmp_path, "alone")
    assert ablate(*study, "threads=1", cwd=alone).returncode == 0
    assert_equal_bits(alone, tmp_path)
