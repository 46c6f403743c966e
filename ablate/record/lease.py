"""Who trains a run: a lease in the run's folder, renewed while the owner lives, free as soon as it does not.

A dead owner never blocks: on its own machine it is seen to be gone, on another its lease runs out.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from ablate.error import BusyError, UserError
from ablate.file import read_plain, write_atomically
from ablate.quantity.valid import valid_json
from ablate.record.layout import LEASE

if TYPE_CHECKING:
    import psutil

RENEWAL_SECONDS = 15
LEASE_SECONDS = 120
_MOST_BYTES = 10_000  # of a lease
_CLOCK_STEP_SECONDS = 30  # by which a corrected clock may move what is known of a process's start, but on Linux
_GUARD_SECONDS = 60  # that a process may hold the guard, for which a moment is enough


@dataclass(frozen=True)
class Owner:
    """A process that trains a run."""

    host: str
    space: str  # of process numbers: two containers of one host name, or a machine before and after a reboot, differ
    pid: Annotated[int, Gt(0)]
    started: float  # in seconds; on Linux since the boot, of which a clock that is set knows nothing
    token: str
    job: str = ""  # of Slurm, if any
    restarts: int = 0  # how often Slurm had begun that job anew

    @staticmethod
    def this() -> Owner:
        """The process that asks."""
        import psutil

        started, token = _started(psutil.Process()), uuid.uuid4().hex
        return Owner(socket.gethostname(), _space(), os.getpid(), started, token, *_job(os.environ))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def is_of_this_machine(self) -> bool:
        """Whether its number can be looked up here."""
        return (self.host, self.space) == (socket.gethostname(), _space())

    def is_gone(self) -> bool:
        """Whether it is known to have ended; of another machine's process nothing is known.

        But that Slurm ends a job before it begins it anew, wherever that is.
        """
        job, restarts = _job(os.environ)
        if self.job and self.job == job and self.restarts < restarts:
            return True
        if not self.is_of_this_machine():
            return False
        import psutil

        try:
            process = psutil.Process(self.pid)
            return (
                abs(_started(process) - self.started) > _CLOCK_STEP_SECONDS or process.status() == psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return True


class Lease:
    """The right to write into a run's folder, held by this process while the context is open."""

    def __init__(self, folder: Path, guard: Path) -> None:
        self._file = folder / LEASE
        self._guard = guard
        self._owner = Owner.this()
        self._ended = threading.Event()
        self._renewal = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Lease:
        """Take the lease. Raises `BusyError` where another process has it."""
        self._guard.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self._guard, _GUARD_SECONDS):  # only while taking it: held by the system, so never left behind
            if owner := holder(self._file.parent, self._guard):
                raise BusyError(busy(self._file.parent, owner))
            with write_atomically(self._file) as file:
                file.write(json.dumps(asdict(self._owner)).encode())
        self._renewal.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._renewal.join()
        with contextlib.suppress(OSError):
            if self._is_mine():
                self._file.unlink()

    @contextlib.contextmanager
    def confirmed(self) -> Iterator[None]:
        """A context in which nobody takes over, to put a file in its place. Raises `BusyError` where somebody has."""
        self._guard.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self._guard):
            self.check()
            yield

    def check(self) -> None:
        """Raise `BusyError` if another process has taken over, as after a laptop's long sleep."""
        with contextlib.suppress(OSError):  # a disk that is away for a moment takes nothing over
            if self._is_mine():
                return
            owner = _read(self._file)
            raise BusyError(
                busy(self._file.parent, owner) if owner else f"{self._file}: removed while this run trained"
            )

    def _is_mine(self) -> bool:
        return _read(self._file) == self._owner

    def _renew(self) -> None:
        while not self._ended.wait(RENEWAL_SECONDS):
            with contextlib.suppress(OSError):  # a disk that is away for a moment; `check` sees what became of it
                if self._is_mine():
                    os.utime(self._file)


def holder(folder: Path, clock: Path) -> Owner | None:
    """The living owner of a run's lease, if any; `clock` is a file on the same disk, touched to read its time."""
    file = folder / LEASE
    owner = _read(file)
    if owner is None or owner.is_gone():
        return None
    # Both times are the disk's own, since clocks of two machines differ.
    clock.parent.mkdir(parents=True, exist_ok=True)
    clock.touch()
    try:
        age = clock.stat().st_mtime - file.stat().st_mtime
    except FileNotFoundError:
        return None
    # One from the future was left by a clock that has been set back since: nobody renews it.
    return owner if abs(age) < LEASE_SECONDS else None


@contextlib.contextmanager
def _locked(guard: Path, seconds: float = -1) -> Iterator[None]:
    """Hold the guard. Raises `UserError` where another process does not let it go for so long."""
    from filelock import FileLock, Timeout  # which imports more than a finished run's answer needs

    if guard.is_symlink() or guard.is_dir():
        raise UserError(f"{guard}: expected a file to lock, found something else; remove it")
    try:
        lock = FileLock(guard).acquire(timeout=seconds)
    except Timeout:
        raise UserError(
            f"{guard}: another process has held it for {seconds:g} s, where a moment is enough; end it, or let it go "
            "on, if it was stopped (Ctrl-Z)"
        ) from None
    with lock:
        yield


def _started(process: psutil.Process) -> float:
    import psutil

    return process.create_time() - (psutil.boot_time() if psutil.LINUX else 0)


def _read(file: Path) -> Owner | None:
    try:
        return valid_json(Owner, read_plain(file, _MOST_BYTES) or b"")
    except ValueError:
        return None


def busy(folder: Path, owner: Owner) -> str:
    """What is said to another process that wants to train the run."""
    text = f"{folder.name}: {owner} is training this run already; its record will be in {folder}"
    elsewhere = f"; if that machine is gone, its lease ends within {LEASE_SECONDS} s"
    return text if owner.is_of_this_machine() else text + elsewhere


def _job(environment: Mapping[str, str]) -> tuple[str, int]:
    """Slurm's job in which a process of this environment runs, and how often it has been begun anew."""
    if not (number := environment.get("SLURM_JOB_ID")):
        return "", 0
    return f"{environment.get('SLURM_CLUSTER_NAME', '')}/{number}", int(environment.get("SLURM_RESTART_COUNT") or 0)


def _space() -> str:
    parts = []
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            parts.append(str(Path(path).readlink()) if path.endswith("pid") else Path(path).read_text().strip())
    return " ".join(parts)
