"""What wandb's server does not have yet, and its upload by `wandb sync`, which marks what it has uploaded."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.error import UserError
from ablate.file import read_plain
from ablate.record import layout
from ablate.record.layout import Layout
from ablate.record.store import RunFolder

_AT_ONCE = 20  # folders a process, which takes seconds to start
_MOST_SECONDS = 600  # for these
_TOO_LONG = f"not uploaded within {_MOST_SECONDS} s"
_MOST_BYTES = 10_000  # of a run's path
_DEFAULT_OUTPUT_DIR = Path("outputs")


def command(places: Layout, study: str | None = None) -> str:
    """The command that uploads, from here, what the server does not have of a study, or of all there is."""
    where = [] if places.output_dir == _DEFAULT_OUTPUT_DIR else ["--output-dir", str(places.output_dir)]
    return shlex.join(["ablate", "sync", *([study] if study else []), *where])


@dataclass(frozen=True)
class Window:
    """A folder of wandb's: what one attempt at a training has shown, online or kept for later."""

    folder: Path

    @property
    def is_offline(self) -> bool:
        """Whether it was kept offline from its start."""
        return self.folder.name.startswith("offline-")

    @property
    def identity(self) -> str:
        """The id of the run at the server.

        >>> Window(Path("run-20261127_101530-0123456789abcdef-r1")).identity
        '0123456789abcdef-r1'
        """
        return self.folder.name.removeprefix("offline-").split("-", 2)[-1]

    @property
    def training(self) -> str:
        """The training that it shows: its key, and where there have been others of it which one it is.

        >>> Window(Path("offline-run-20261127_101530-0123456789abcdef-r1-2")).training
        '0123456789abcdef-r1'
        """
        if (file := self._file()) and re.fullmatch(r"\w+(-r\d+)?", told := "".join(_lines(file)[1:2])):
            return told
        found = re.fullmatch(r"(\w{16}(-r\d+)?)-\d+", self.identity) if self.is_offline else None
        return found[1] if found else self.identity

    @property
    def run(self) -> str:
        """What all attempts at a training have in common, which should be one run at the server.

        That is the run's id; of each attempt that is kept offline it has a number. An agent's run has an id of its own.
        """
        return self.training if self.identity.startswith(f"{self.training}-") else self.identity

    @property
    def key(self) -> str:
        """The key of the run."""
        return self.training.split("-")[0]

    @property
    def path(self) -> str | None:
        """Where the run is at the server: ENTITY/PROJECT/ID, none where that was not written down.

        Of what was kept offline ENTITY may be empty, for whose account it is. Raises `UserError` for what is none.
        """
        if (file := self._file()) is None:
            return None
        path = (_lines(file) or [""])[0]
        if path.count("/") != 2 or path.rpartition("/")[2] != self.identity:
            raise UserError(f"{file}: expected ENTITY/PROJECT/{self.identity}, found {path!r}; write it there anew")
        return path

    @property
    def is_uploaded(self) -> bool:
        """Whether `wandb sync` has marked it so, or we in its stead."""
        return any(self.folder.glob("*.synced"))

    @property
    def lacks(self) -> bool:
        """Whether the server may lack something of it."""
        return not self.is_uploaded and (self.is_offline or (self.folder / layout.UNSYNCED).exists())

    @property
    def is_there(self) -> bool:
        """Whether the server may have something of it, with which it is known how to go on."""
        has_begun = not self.is_offline or self.is_uploaded or (self.folder / layout.BEGUN).exists()
        return has_begun and self._file() is not None

    def mark_open(self, path: str, training: str) -> None:
        """Remember where the run is at the server, until that has all of it, and which training it shows."""
        (self.folder / layout.UNSYNCED).write_text(f"{path}\n{training}\n")

    def _file(self) -> Path | None:
        files = [self.folder / layout.UNSYNCED, self.folder / layout.WHOLE]
        return next((file for file in files if file.exists()), None)


def _lines(file: Path) -> list[str]:
    try:
        return (read_plain(file, _MOST_BYTES) or b"").decode(errors="replace").splitlines()
    except ValueError as error:
        return [str(error)]


def left(places: Layout, study: str | None = None, keys: Collection[str] = ()) -> list[Window]:
    """A window of each run that the server may lack something of, of a study's and its reports, or of all there is.

    What is being trained has a process that shows it.
    """
    found = [each for windows in _by_run(places).values() if (each := _lacking(windows))]
    if study is not None:
        found = [each for each in found if each.key in keys or each.key.startswith(report_of(study))]
    return [each for each in found if not (each.key.isalnum() and RunFolder(places, each.key).is_running())]


def mark_whole(places: Layout, run: str) -> None:
    """Remember that the server has all of a run, whichever of its windows lacked something."""
    for each in _by_run(places)[run]:
        if each.is_offline:
            (each.folder / f"run-{each.identity}.wandb.synced").touch()  # as `wandb sync` marks it
        elif (marker := each.folder / layout.UNSYNCED).exists():
            marker.rename(each.folder / layout.WHOLE)


def _by_run(places: Layout) -> dict[str, list[Window]]:
    """The windows of each run, from the oldest on."""
    found = dict[str, list[Window]]()
    for window in map(Window, places.windows()):
        found.setdefault(window.run, []).append(window)
    return found


def _lacking(windows: Sequence[Window]) -> Window | None:
    """The window to which the rest of a training belongs, where there may be a rest.

    The last attempt has all of the training, and a run that is at the server is gone on with there.
    """
    attempts = [each for each in windows if each.is_offline or each.is_there]  # an upload itself opens a window too
    there = [each for each in attempts if each.is_there]
    if not attempts or not (attempts[-1].lacks or any(each.lacks for each in there)):
        return None
    return (there or attempts)[-1]


def is_report(key: str) -> bool:
    """Whether a key is that of a published report."""
    return key.startswith("report")


def report_of(study: str) -> str:
    """How the keys of a study's published reports begin.

    >>> report_of("shapes")
    'reporte729e861'
    """
    return f"report{hashlib.sha256(study.encode()).hexdigest()[:8]}"


def identity(key: str, repetition: int) -> str:
    """The id at the server of a run that has been trained so often before.

    >>> identity("0123456789abcdef", 1)
    '0123456789abcdef-r1'
    """
    return f"{key}-r{repetition}" if repetition else key


def send(windows: Sequence[Window]) -> Iterator[tuple[Window, str | None]]:
    """Upload wandb's own files, some at a time; each with what went wrong.

    Nothing more is tried once none got through.
    """
    for start in range(0, len(windows), _AT_ONCE):
        some = windows[start : start + _AT_ONCE]
        said = _sync(some)
        for each in some:
            # A damaged folder keeps `wandb sync` from uploading any beside it.
            if each.lacks and len(some) > 1 and said != _TOO_LONG:
                said = _sync([each])
            yield each, said if each.lacks else None
        if all(each.lacks for each in some):
            return


def _sync(windows: Sequence[Window]) -> str:
    """Give folders to `wandb sync`; the last line it says."""
    for each in windows:
        (each.folder / layout.BEGUN).touch()
    environment = {name: value for name, value in os.environ.items() if name not in ("WANDB_MODE", "WANDB_SILENT")}
    line = [sys.executable, "-m", "wandb", "sync", "--include-online", *(str(each.folder) for each in windows)]
    try:
        done = subprocess.run(
            line, env=environment, capture_output=True, text=True, errors="replace", timeout=_MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _TOO_LONG
    lines = [each.removeprefix("wandb:").strip() for each in f"{done.stdout}\n{done.stderr}".splitlines()]
    telling = [each for each in lines if each.startswith(("ERROR", "WARNING"))] or [each for each in lines if each]
    return telling[-1] if telling else "`wandb sync` says nothing"
