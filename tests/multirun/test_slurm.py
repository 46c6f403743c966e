"""A study on a real Slurm: an array with a limit, a job that is begun anew in mid-training, and what is said of it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import cluster
from tests.conftest import Command
from tests.multirun.test_launch import break_first

STUDY = ["arch.width=128", "arch.depth=3", "epochs=25", "optim=sgd,adamw", "study.name=s", "--multirun"]
ON_SLURM = [
    "hydra/launcher=slurm", "hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.array_parallelism=1",
]  # fmt: skip


@pytest.mark.cluster
@cluster.NEEDS_SLURM
def test_a_job_that_is_begun_anew_ends_with_the_undisturbed_bits(
    ablate: Command, tiny: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    short = [each for each in tiny if not each.startswith(("epochs", "arch"))]
    with cluster.slurm(tmp_path / "slurm", environment) as found:
        command = [sys.executable, "-m", "ablate.run", *short, *STUDY, *ON_SLURM]
        with subprocess.Popen(command, cwd=tmp_path, env=found, stdout=subprocess.PIPE, text=True) as process:
            while not list((tmp_path / "outputs" / "runs").glob("*/metrics.jsonl")):
                assert process.poll() is None
                time.sleep(0.05)
            queued = _asked(["squeue", "--noheader", "--array", "--format=%A %i %T"], found)
            (job,) = [line.split() for line in queued.splitlines() if line.endswith("RUNNING")]
            assert queued.count("PENDING") == 1
            _asked(["scontrol", "requeue", job[0]], found)
            while process.poll() is None:  # Slurm itself waits two minutes before it begins a job anew
                _asked(["scontrol", "update", f"JobId={job[0]}", "StartTime=now"], found)
                time.sleep(1)
            told = process.communicate()[0]
        assert process.returncode == 0 and "s, plan" in told and "2 finished" in told
        assert [line.partition(" ")[0] for line in told.splitlines() if "val accuracy" in line] == ["[1/2,", "[2/2]"]
        refused = ablate(*short, *STUDY, *ON_SLURM, "hydra.launcher.partition=nope", "study.seeds=2", env=found)
        assert refused.returncode == 2, refused.stderr
        assert "ablate: hydra/launcher=slurm: Slurm takes no jobs from here: " in refused.stderr
        again = ablate(*short, *STUDY, *ON_SLURM, env=found)
        assert again.returncode == 0 and "nothing is left to do here" in again.stdout
    resumed = [
        run for run in (tmp_path / "outputs" / "runs").iterdir() if "resumed after" in (run / "run.log").read_text()
    ]
    assert len(resumed) == 1 and not list((tmp_path / "outputs" / "studies").rglob("launched"))
    (tmp_path / "here" / "outputs").mkdir(parents=True)
    (tmp_path / "here" / "outputs" / "cache").symlink_to((tmp_path / "outputs" / "cache").resolve())
    assert ablate(*short, *STUDY, "threads=1", cwd=tmp_path / "here").returncode == 0
    for here in (tmp_path / "here" / "outputs" / "runs").iterdir():
        there = tmp_path / "outputs" / "runs" / here.name
        assert (here / "best.pt").read_bytes() == (there / "best.pt").read_bytes()
        metrics = [json.loads((run / "result.json").read_text())["metrics"] for run in (here, there)]
        assert metrics[0] == metrics[1]


@pytest.mark.cluster
@cluster.NEEDS_SLURM
def test_jobs_stop_at_a_failure_and_at_ctrl_c(
    ablate: Command, tiny: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    short = [each for each in tiny if not each.startswith("epochs")]
    study = [*short, "epochs=5000", "--multirun", "optim=sgd,adamw", "study.seeds=2", "study.name=s"]
    checkpoint = break_first(ablate, study, tmp_path)
    with cluster.slurm(tmp_path / "slurm", environment) as found:
        failed = ablate(*study, *ON_SLURM, "study.fail_fast=true", env=found)
        assert failed.returncode == 1 and "1 failed, 3 missing" in failed.stdout, failed.stdout
        checkpoint.unlink()
        command = [sys.executable, "-m", "ablate.run", *study, *ON_SLURM]
        with subprocess.Popen(command, cwd=tmp_path, env=found, stdout=subprocess.PIPE, text=True) as process:
            while not list((tmp_path / "outputs" / "runs").glob("*/metrics.jsonl")):
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=120)[0]
        assert process.returncode == 130 and "stopping: each run ends after its epoch" in told
        assert "4 missing" in told and not list(tmp_path.glob("outputs/runs/*/lease.json"))
        assert not _asked(["squeue", "--noheader"], found)
    # A cluster may number its jobs anew: no launch reads what another's jobs have left.
    assert len({file.parent.parent for file in tmp_path.glob("outputs/cache/hydra/slurm/*/*/*_submitted.pkl")}) > 1


def _asked(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60).stdout
