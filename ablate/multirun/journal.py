"""The journal of a search, a file that members on several machines may write to; Optuna reads and writes its lines.

Its lock is our own, since those of Optuna's are waited for without end where what a killed process has left is a link
that leads nowhere or lies where it can't be removed, and fail a process that was stopped while it held one.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ablate.error import UserError
from ablate.file import check_plain

LEFT_SECONDS = 30
"""After so long the lock of a process that was killed while it wrote is removed; to write takes milliseconds."""

_BEGINNING = b'{"op_code":'
_LONGEST_PAUSE_SECONDS = 0.2


def opened(file: Path, name: str, objective: str) -> optuna.Study:
    """The search as a journal has it, begun where there is none. Raises `UserError` for what is no journal."""
    file = file.resolve()  # one lock, however it is spelled
    optuna.logging.disable_default_handler()  # which prints a traceback of whatever ends a trial
    try:
        _check_beginning(file)
        lock: Any = Lock(file)  # as what Optuna calls a lock, a class that it keeps to itself
        storage = JournalStorage(JournalFileBackend(str(file), lock))
        found = optuna.create_study(
            storage=storage,
            sampler=optuna.samplers.TPESampler(constant_liar=True),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
            study_name=name,
            direction="maximize" if objective == "val/accuracy" else "minimize",
            load_if_exists=True,
        )
        found.get_trials()
    except OSError as error:
        raise UserError(f"{error.filename or file}: {error.strerror}; a search writes there, and beside it") from error
    except Exception as error:  # whatever Optuna makes of lines that it has not written
        said = f"{type(error).__name__}: {error}"
        raise UserError(f"{file}: not a journal of Optuna's ({said}); give another file, or study.name") from error
    return found


def _check_beginning(file: Path) -> None:
    """Raise `ValueError` for something else than a journal: Optuna would write behind a broken line of it."""
    check_plain(file)
    with contextlib.suppress(FileNotFoundError), file.open("rb") as stream:
        if stream.read(len(_BEGINNING)) not in (b"", _BEGINNING):
            raise ValueError(f"it does not begin with {_BEGINNING.decode()}")


class Lock:
    """The right to write to a journal: a file beside it, which a disk lets one of several make, network disks too.

    Whoever has it finds a journal of whole lines: half of one, as a full disk or a kill leaves it, is removed.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._file = journal.with_name(f"{journal.name}.lock")
        self._token = uuid.uuid4().hex.encode()

    def acquire(self) -> bool:
        """Wait for it.

        Raises `OSError` where it can't be made, or one that was left can't be removed, `ValueError` for no journal.
        """
        seen, since, pause = None, 0.0, 0.001
        while not self._is_made():
            with contextlib.suppress(FileNotFoundError):
                status = self._file.lstat()
                if (now := (status.st_ino, status.st_mtime_ns)) != seen:
                    seen, since = now, time.monotonic()
                elif time.monotonic() - since > LEFT_SECONDS:
                    self._remove(seen)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        try:
            _cut_half_line(self._journal)
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        """Leave it to others, unless one of them has taken it from a process that was stopped for long."""
        with contextlib.suppress(FileNotFoundError):
            if self._file.read_bytes() == self._token:
                self._file.unlink()

    def _is_made(self) -> bool:
        try:
            with self._file.open("xb") as file:
                file.write(self._token)
        except FileExistsError:
            return False
        except OSError:  # a full disk
            with contextlib.suppress(OSError):
                self._file.unlink()
            raise
        return True

    def _remove(self, seen: tuple[int, int]) -> None:
        """Remove a lock that was left; one that another has made meanwhile, after removing it, is put back."""
        aside = self._file.with_name(f"{self._file.name}.{uuid.uuid4().hex}")
        self._file.rename(aside)
        status = aside.lstat()
        if (status.st_ino, status.st_mtime_ns) != seen:
            with contextlib.suppress(OSError):
                self._file.hardlink_to(aside)
        with contextlib.suppress(OSError):  # a folder
            aside.unlink()


def _cut_half_line(journal: Path) -> None:
    """Remove what stands behind the last line's end. Raises `ValueError` for a file without one, no journal's work."""
    with journal.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read(1) in (b"", b"\n"):
            return
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        if not whole:
            raise ValueError("it has no whole line")
        file.truncate(whole)
