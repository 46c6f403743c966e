"""Who gets which part of a machine."""

import multiprocessing
import os
import subprocess
import sys
from typing import Any, cast

import pytest
from omegaconf import OmegaConf

from ablate.error import UserError
from ablate.multirun.allotment import allot, share
from tests.trainings import checked


@pytest.mark.parametrize(
    ("cores", "threads", "processes", "num_gpus", "expected"),
    [
        (8, None, None, 0, (8, 1)),
        (8, 3, None, 0, (2, 3)),
        (8, None, 3, 0, (3, 2)),
        (8, 2, 4, 0, (4, 2)),
        (8, None, None, 2, (2, 4)),
        (8, None, 4, 2, (4, 2)),  # two processes share a GPU
        (2, None, None, 8, (2, 1)),
        (8, 8, None, 4, (1, 8)),
    ],
)
def test_threads_times_processes_never_exceed_the_cores(
    cores: int, threads: int | None, processes: int | None, num_gpus: int, expected: tuple[int, int]
) -> None:
    assert share(cores, threads, processes, num_gpus) == expected
    assert expected[0] * expected[1] <= cores


@pytest.mark.parametrize(("cores", "threads", "processes"), [(2, None, 3), (8, 3, 3), (4, 8, None)])
def test_more_threads_than_cores_are_refused(cores: int, threads: int | None, processes: int | None) -> None:
    with pytest.raises(UserError, match=rf"the {cores} cores of this machine"):
        share(cores, threads, processes, 0)


@pytest.mark.parametrize(
    ("kind", "settings", "overrides", "expected"),
    [
        ("SlurmLauncher", {"params": {"cpus_per_task": 4}}, [], 4),
        ("SlurmLauncher", {"params": {"cpus_per_task": 4}}, ["threads=3"], 3),
        ("SlurmLauncher", {"params": {"cpus_per_task": None}}, [], None),
        ("RayLauncher", {"ray_cfg": OmegaConf.create({"init": {}, "remote": {"num_cpus": 2}})}, [], 2),
        ("OtherLauncher", {}, [], None),
    ],
)
def test_a_job_elsewhere_has_the_threads_of_its_cores(
    kind: str, settings: dict[str, Any], overrides: list[str], expected: int | None
) -> None:
    launcher = type(kind, (), {})()
    launcher.__dict__.update(settings)
    assert allot(cast(Any, launcher), checked(overrides), 3).threads == expected


def test_a_job_with_fewer_cores_than_threads_is_refused() -> None:
    launcher = type("SlurmLauncher", (), {})()
    launcher.params = {"cpus_per_task": 2}
    with pytest.raises(UserError, match=r"threads=3: expected at most hydra.launcher.cpus_per_task=2"):
        allot(cast(Any, launcher), checked(["threads=3"]), 3)


_CHOOSES = """
import multiprocessing, os, sys
from ablate.multirun.allotment import choose_gpu
multiprocessing.current_process().name = sys.argv[1]
choose_gpu(sys.argv[2:])
print(os.environ.get("CUDA_VISIBLE_DEVICES"))
"""


@pytest.mark.parametrize(
    ("name", "gpus", "seen"),
    [
        ("LokyProcess-1", ["4", "6"], "4"),
        ("LokyProcess-2", ["4", "6"], "6"),
        ("LokyProcess-3", ["4", "6"], "4"),
        ("LokyProcess-1", [], "None"),
    ],
)
def test_each_process_sees_a_gpu_of_its_own(name: str, gpus: list[str], seen: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", _CHOOSES, name, *gpus], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == seen


def test_joblib_numbers_its_processes_as_they_are_dealt_gpus() -> None:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    names = Parallel(n_jobs=2)(delayed(_name)() for _ in range(4))
    get_reusable_executor().shutdown(wait=True)
    assert {name.partition("-")[0] for name in names} == {"LokyProcess"}
    assert all(name.partition("-")[2].isdecimal() for name in names)


def _name() -> str:
    return multiprocessing.current_process().name
