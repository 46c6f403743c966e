"""Clusters of one machine: a real Slurm, and a Ray of two nodes. They end with their context."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

_PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
_WANTED = os.environ.get("ABLATE_REQUIRE_ALL") == "1"
_HAS_SLURM = all(map(shutil.which, _PROGRAMS)) and os.getuid() == 0 and importlib.util.find_spec("submitit")

NEEDS_SLURM = pytest.mark.skipif(
    not (_HAS_SLURM or _WANTED), reason="needs root, Slurm (slurmctld, slurmd, slurm-client, munge), the extra slurm"
)
NEEDS_RAY = pytest.mark.skipif(not (importlib.util.find_spec("ray") or _WANTED), reason="needs the extra ray")

_CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(folder: Path, environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """A Slurm with one node of four cores; the environment in which commands find it."""
    assert _HAS_SLURM, f"ABLATE_REQUIRE_ALL=1 wants root, {', '.join(_PROGRAMS)} and the extra slurm"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(_CONFIG.format(folder=folder, host=host, ports=_free_ports(2)))
    found = {**environment, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = [f"--{name}={folder}/munge.{ending}" for name, ending in _MUNGE.items()]
    with ExitStack() as stack:
        stack.enter_context(_running(["munged", "--foreground", "--force", *munge], found, folder / "munged.out"))
        _wait_for((folder / "munge.socket").exists)
        stack.enter_context(_running(["slurmctld", "-D"], found, folder / "slurmctld.out"))
        stack.enter_context(_running(["slurmd", "-D", "-N", host], found, folder / "slurmd.out"))
        _wait_for(lambda: "idle" in _said(["sinfo", "--noheader"], found))
        try:
            yield found
        finally:
            _said(["scancel", "--user=root", "--signal=KILL"], found)


_MUNGE = {
    "socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed",
}  # fmt: skip


@contextmanager
def ray(folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """A Ray of two nodes with a core each, whose processes stand in `folder`; its address, and the environment."""
    assert importlib.util.find_spec("ray"), "ABLATE_REQUIRE_ALL=1 wants the extra ray"
    folder.mkdir(parents=True)
    found = {**environment, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    address = f"127.0.0.1:{_free_ports(1)[0]}"
    start = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", "--num-gpus=0"]
    head = ["--head", "--node-ip-address=127.0.0.1", f"--port={address.partition(':')[2]}", "--include-dashboard=false"]
    with ExitStack() as stack:
        stack.enter_context(_running([*start, *head], found, folder / "head.out", folder))
        _wait_for(lambda: "Ray runtime started" in (folder / "head.out").read_text())
        stack.enter_context(_running([*start, f"--address={address}"], found, folder / "second.out", folder))
        _wait_for(lambda: "Ray runtime started" in (folder / "second.out").read_text())
        yield address, found


@contextmanager
def _running(
    command: list[str], environment: Mapping[str, str], out: Path, folder: Path | None = None
) -> Iterator[None]:
    with out.open("w") as said:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _said(command: list[str], environment: Mapping[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _wait_for(is_so: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline, "the cluster does not start"
        time.sleep(0.1)


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
