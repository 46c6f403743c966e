"""What each of several processes gets of a machine: processor cores, and a GPU."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.plugins.launcher import Launcher

from ablate.config.settings import Config
from ablate.error import UserError

_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Allotment:
    """The threads of each run, and the GPUs that all of them share."""

    threads: int | None = None  # none: as the run itself decides
    gpus: Sequence[str] = ()

    @property
    def overrides(self) -> list[str]:
        """What each run is told of it."""
        return [f"threads={self.threads}"] if self.threads else []


def allot(launcher: Launcher, config: Config, num_runs: int) -> Allotment:
    """Set a launcher up for so many runs of such a config. Raises `UserError` for more threads than cores."""
    kind, given = type(launcher).__name__, launcher.__dict__
    if kind == "JoblibLauncher":
        from ablate.training.machine import gpus, physical_cores

        found = gpus() if config["device"] in ("auto", "cuda") else []
        asked = given["joblib"].get("n_jobs")
        if asked is not None and (type(asked) is not int or asked < -1 or asked == 0):
            raise UserError(f"hydra.launcher.n_jobs={asked}: expected a number of processes, from 1 on, or null")
        cores = physical_cores()
        processes, threads = share(cores, config["threads"], None if asked in (None, -1) else asked, len(found))
        given["joblib"]["n_jobs"] = min(processes, num_runs)
        return Allotment(threads, found if len(found) > 1 else ())
    if kind == "LocalLauncher":
        from ablate.training.machine import physical_cores

        return Allotment(share(physical_cores(), config["threads"], num_runs, 0, "submitit_local, all runs at once")[1])
    if kind == "SlurmLauncher":
        return Allotment(_of_a_job(config["threads"], given["params"].get("cpus_per_task"), "cpus_per_task"))
    if kind == "RayLauncher":
        return Allotment(_of_a_job(config["threads"], given["ray_cfg"].remote.get("num_cpus"), "ray.remote.num_cpus"))
    return Allotment()


def share(
    cores: int,
    threads: int | None,
    processes: int | None,
    num_gpus: int,
    called: str = "hydra.launcher.n_jobs",
) -> tuple[int, int]:
    """How many processes, and how many threads each; what is given stays. Raises `UserError` if that's too much.

    Without a number of processes there is one a GPU, or where there is none as many as have cores.

    >>> share(8, None, None, 0), share(8, None, 3, 0), share(8, 4, None, 0), share(8, None, None, 2)
    ((8, 1), (3, 2), (2, 4), (2, 4))
    """
    if processes is None:
        processes = max(1, min(num_gpus or cores, cores // (threads or 1)))
    each = threads or max(1, cores // processes)
    if processes * each > cores:
        raise UserError(
            f"{called}={processes}: with {each} {'thread' if each == 1 else 'threads'} each they are more than the "
            f"{cores} cores of this machine; give a smaller number of either"
        )
    return processes, each


def choose_gpu(gpus: Sequence[str]) -> None:
    """Let this process, one of several that a launcher has begun here, see its own GPU alone; before torch does."""
    name, _, number = multiprocessing.current_process().name.rpartition("-")
    if gpus and name and number.isdecimal() and "torch" not in sys.modules:
        os.environ[_VISIBLE] = gpus[(int(number) - 1) % len(gpus)]


def _of_a_job(threads: int | None, cores: Any, key: str) -> int | None:
    """The threads of a job that has so many cores on whatever machine it lands."""
    if cores is None or threads is None:
        return int(cores) if cores else threads
    if threads > cores:
        raise UserError(f"threads={threads}: expected at most hydra.launcher.{key}={cores}; give one of them anew")
    return threads
