"""Runs as the jobs of a Slurm array, each with an end of its own: the plugin's launcher waits for all, or raises."""

from __future__ import annotations

import re
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from ablate.config.compose import failed
from ablate.error import CalledOffError, UserError

_LOOK_SECONDS = 0.5  # for a job's end
_QUEUE_SECONDS = 10  # between two questions to Slurm, which is busy with others' too
_LAST_SECONDS = 1  # likewise once they are called off
_MOST_ANSWER_SECONDS = 60
_MOST_ABSENCES = 2  # from the queue without a result, which a shared disk may show late
_OF_THE_FOLDER = ("submitit_folder", "max_num_timeout")
_REMEDIES = {
    "generic resource": "hydra.launcher.gpus_per_node=null asks for no GPU",
    "invalid partition": "hydra.launcher.partition=NAME takes one that `sinfo` shows",
}
_OF_ANY_CLUSTER = (
    "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name", "stderr_to_stdout",
)  # fmt: skip


def is_slurm(launcher: Launcher) -> bool:
    """Whether a launcher submits to Slurm."""
    return type(launcher).__name__ == "SlurmLauncher"


def launch(launcher: Any, overrides: Sequence[list[str]], first: int, is_wanted: Callable[[], bool]) -> list[JobReturn]:
    """What has become of each run, once none is left; those that wait in the queue leave it when they are not wanted.

    A job that Slurm begins anew, after a pre-emption or at its time limit, is still the same job. Whatever ends this
    function early ends the jobs. Raises `UserError` where Slurm takes none.
    """
    jobs = _submit(launcher, overrides, first)
    try:
        return _awaited(jobs, is_wanted)
    except BaseException:
        _cancel(jobs)
        raise


def _submit(launcher: Any, overrides: Sequence[list[str]], first: int) -> list[Any]:
    """The jobs, of an array where there are several."""
    import submitit

    given = dict(launcher.params)
    try:
        # A folder of its own: where a cluster numbers its jobs anew, what an earlier one has left is no answer.
        folder = given["submitit_folder"].replace("%j", f"{uuid.uuid4().hex[:8]}/%j")
        executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=given.get("max_num_timeout", 0))
        executor.update_parameters(
            **{
                name if name in _OF_ANY_CLUSTER else f"slurm_{name}": value
                for name, value in given.items()
                if name not in _OF_THE_FOLDER
            }
        )
        numbers = range(first, first + len(overrides))
        names, states = [f"job_id_for_{number}" for number in numbers], [Singleton.get_state()] * len(overrides)
        folders = ["hydra.sweep.dir"] * len(overrides)
        return list(executor.map_array(launcher, overrides, folders, numbers, names, states))
    except (RuntimeError, ValueError, submitit.core.utils.FailedJobError) as error:
        said = " ".join(str(error).split())
        hint = next((f"; {hint}" for sign, hint in _REMEDIES.items() if sign in said), "")
        raise UserError(f"hydra/launcher=slurm: Slurm takes no jobs from here: {said}{hint}") from error


def _awaited(jobs: Sequence[Any], is_wanted: Callable[[], bool]) -> list[JobReturn]:
    ended, absences = dict[str, JobReturn](), Counter[str]()
    asked, is_called_off = time.monotonic(), False
    while len(ended) < len(jobs):
        if not is_called_off and not is_wanted():
            _cancel(jobs, "--state=PENDING")
            is_called_off = True
        if (
            time.monotonic() - asked > (_LAST_SECONDS if is_called_off else _QUEUE_SECONDS)
            and (queue := _queue(jobs)) is not None
        ):
            absences.update(job.job_id for job in jobs if job.job_id not in queue)
            asked = time.monotonic()
        for job in jobs:
            if job.job_id not in ended and job.paths.result_pickle.exists():
                ended[job.job_id] = _returned(job)
            elif absences[job.job_id] >= _MOST_ABSENCES:
                ended.setdefault(job.job_id, failed(_lost(job, is_called_off)))
        time.sleep(_LOOK_SECONDS)
    return [ended[job.job_id] for job in jobs]


def _returned(job: Any) -> JobReturn:
    try:
        returned = job.results()[0]
        assert isinstance(returned, JobReturn)
        return returned
    except Exception as error:
        return failed(error)


def _lost(job: Any, is_called_off: bool) -> Exception:
    if is_called_off:
        return CalledOffError(f"job {job.job_id}: called off")
    return RuntimeError(f"Slurm's job {job.job_id} has ended before its run; its log: {job.paths.stderr}")


def _queue(jobs: Sequence[Any]) -> set[str] | None:
    """The numbers of the jobs that wait or run; none where Slurm does not answer."""
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={_array(jobs)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode and not re.search("invalid job id", done.stderr, re.IGNORECASE):  # one long gone is invalid
        return None
    return set(done.stdout.split())


def _cancel(jobs: Sequence[Any], *which: str) -> None:
    subprocess.run(["scancel", *which, _array(jobs)], capture_output=True, check=False)


def _array(jobs: Sequence[Any]) -> str:
    return str(jobs[0].job_id).partition("_")[0]
