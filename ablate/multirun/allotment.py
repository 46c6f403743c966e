"""What each of several processes gets of a machine: processor cores, and a GPU."""

from __future__ import annotations

import multiprocessing
import os
import re
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from ablate.config.check import refuse, wrong_values
from ablate.config.settings import Config
from ablate.config.spelling import nearest
from ablate.error import UserError
from ablate.quantity import Count, NonNegative, NonNegativeInteger

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_Name = str | int | None  # of Slurm's; some clusters number what they have
_OF_SLURM: dict[str, Any] = {
    "array_parallelism": Count, "timeout_min": Count, "max_num_timeout": NonNegativeInteger,
    "signal_delay_s": NonNegativeInteger, "nodes": Literal[1], "tasks_per_node": Literal[1],
    "cpus_per_task": Count | None, "gpus_per_node": NonNegativeInteger | None, "mem_gb": Count | None,
    "partition": _Name, "account": _Name, "qos": _Name, "constraint": _Name, "exclude": _Name,
    "gres": str | None, "setup": list[str] | None, "additional_parameters": dict[str, Any],
}  # fmt: skip
_OF_RAY: dict[str, Any] = {"address": str | None}
_OF_A_TASK: dict[str, Any] = {"num_cpus": Count, "num_gpus": NonNegative}  # of Ray
_HERE = "local"  # Ray's word for a machine alone
_ADDRESS = re.compile(r"auto|(ray://)?[^\s/]+:\d{1,5}")
_ANSWER_SECONDS = 5


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
    """Set a launcher up for so many runs of such a config, none where it is only looked at.

    Raises `UserError` for settings that can't be, and more threads than cores.
    """
    given, at_once = launcher.__dict__, max(num_runs, 1)
    match type(launcher).__name__:
        case "JoblibLauncher":
            _check_known(given["joblib"], "joblib")
            return _of_processes(given["joblib"], config, at_once)
        case "LocalLauncher":
            from ablate.training.machine import physical_cores

            called = "submitit_local, all runs at once"
            return Allotment(share(physical_cores(), config["threads"], at_once, 0, called)[1])
        case "SlurmLauncher":
            _check_known(given["params"], "submitit_slurm")
            refuse(wrong_values("hydra.launcher.", given["params"], _OF_SLURM))
            return Allotment(_of_a_job(config["threads"], given["params"].get("cpus_per_task"), "cpus_per_task"))
        case "RayLauncher":
            is_wanted = num_runs and not (config["study"]["dry_run"] or config["study"]["coverage"])
            settings: Any = OmegaConf.to_container(given["ray_cfg"], resolve=True)
            _check_ray(settings["init"], settings["remote"], is_wanted=bool(is_wanted))
            return Allotment(_of_a_job(config["threads"], settings["remote"].get("num_cpus"), "ray.remote.num_cpus"))
    return Allotment()


def _check_known(given: Iterable[str], launcher: str) -> None:
    """Raise `UserError` for a key, added by `+`, that the launcher of this name in Hydra breaks at as it begins."""
    known = [str(name) for name in ConfigStore.instance().load(f"hydra/launcher/{launcher}.yaml").node]
    known.remove("_target_")
    refuse(f"hydra.launcher.{name}: unknown key; {nearest(name, known)}" for name in given if name not in known)


def _of_processes(settings: dict[str, Any], config: Config, at_once: int) -> Allotment:
    """What processes on this machine get; their number is set."""
    from ablate.training.machine import gpus, physical_cores

    found = gpus() if config["device"] in ("auto", "cuda") else []
    asked = settings.get("n_jobs")
    if asked is not None and (type(asked) is not int or asked < -1 or asked == 0):
        raise UserError(f"hydra.launcher.n_jobs={asked}: expected a number of processes, from 1 on, or null")
    cores = physical_cores()
    processes, threads = share(cores, config["threads"], None if asked in (None, -1) else asked, len(found))
    settings["n_jobs"] = min(processes, at_once)
    return Allotment(threads, found if len(found) > 1 else ())


def _check_ray(init: Mapping[str, Any], remote: Mapping[str, Any], *, is_wanted: bool) -> None:
    """Raise `UserError` for what Ray would break at, or wait for without end; by its address where it is wanted now."""
    below = "hydra.launcher.ray"
    refuse([*wrong_values(f"{below}.init.", init, _OF_RAY), *wrong_values(f"{below}.remote.", remote, _OF_A_TASK)])
    address = init.get("address")
    if address == _HERE:
        _check_room(remote)
    elif address is not None and not _ADDRESS.fullmatch(address):
        raise UserError(f"{below}.init.address={address}: expected local, auto, HOST:PORT or ray://HOST:PORT")
    elif address and is_wanted:
        _check_reachable(address)


def _check_reachable(address: str) -> None:
    """Raise `UserError` where nothing answers at the address of a Ray, which would be asked for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:  # auto
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"hydra.launcher.ray.init.address={address}: no Ray answers there ({error.strerror or error}); expected "
            "HOST:PORT of `ray start --head`, or local"
        ) from error


def _check_room(asked: Mapping[str, Any]) -> None:
    """Raise `UserError` where a run asks for more than this machine has, for which Ray would wait for ever."""
    from ablate.training.machine import gpus

    room = {"num_cpus": os.cpu_count() or 1, "num_gpus": len(gpus()) if asked.get("num_gpus") else 0}
    refuse(
        f"hydra.launcher.ray.remote.{name}={asked[name]}: expected at most {most}, which this machine has"
        for name, most in room.items()
        if asked.get(name, 0) > most
    )


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
