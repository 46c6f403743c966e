"""What wandb's server does not have yet, and its upload by `wandb sync`, which marks what it has uploaded."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ablate.record import layout
from ablate.record.layout import Layout

_AT_ONCE = 20  # folders a process, which takes seconds to start
_MOST_SECONDS = 600  # for these
_TOO_LONG = f"not uploaded within {_MOST_SECONDS} s"
_DEFAULT_OUTPUT_DIR = Path("outputs")


def command(places: Layout, study: str | None = None) -> str:
    """The command that uploads, from here, what the server does not have of a study, or of all there is."""
    where = [] if places.output_dir == _DEFAULT_OUTPUT_DIR else ["--output-dir", str(places.output_dir)]
    return shlex.join(["ablate", "sync", *([study] if study else []), *where])


def left(places: Layout, study: str | None = None, keys: Collection[str] = ()) -> list[Path]:
    """The folders of wandb that have more than the server of a study's runs and reports, or of all there is.

    Of what is kept offline of a run it is the last attempt, which has all of it.
    """
    offline = {key_of_window(folder): folder for folder in places.offline_windows()}
    online = {identity_of_window(folder): folder for folder in places.unsynced_windows()}
    found = [*offline.values(), *online.values()]
    if study is not None:
        whose = {folder: key_of_window(folder) for folder in found}
        found = [folder for folder in found if whose[folder] in keys or whose[folder].startswith(report_of(study))]
    return [folder for folder in found if not is_uploaded(folder)]


def report_of(study: str) -> str:
    """How the keys of a study's published reports begin.

    >>> report_of("shapes")
    'reporte729e861'
    """
    return f"report{hashlib.sha256(study.encode()).hexdigest()[:8]}"


def is_offline(folder: Path) -> bool:
    """Whether a folder of wandb's is that of a run which was kept offline from its start."""
    return folder.name.startswith("offline-")


def identity(key: str, repetition: int) -> str:
    """The id at the server of a run that has been trained so often before.

    >>> identity("0123456789abcdef", 1)
    '0123456789abcdef-r1'
    """
    return f"{key}-r{repetition}" if repetition else key


def identity_of_window(folder: Path) -> str:
    """The id at the server of the run that a folder of wandb's is of.

    >>> identity_of_window(Path("run-20261127_101530-0123456789abcdef-r1"))
    '0123456789abcdef-r1'
    """
    return folder.name.removeprefix("offline-").split("-", 2)[-1]


def key_of_window(folder: Path) -> str:
    """The key of the run that a folder of wandb's is of.

    >>> key_of_window(Path("offline-run-20261127_101530-0123456789abcdef-r1-2"))
    '0123456789abcdef'
    """
    return identity_of_window(folder).split("-")[0]


def is_uploaded(folder: Path) -> bool:
    """Whether all of a folder has been uploaded since."""
    return any(folder.glob("*.synced"))


def mark_whole(places: Layout, identity: str) -> None:
    """Remember that the server has all of a run that was shown online, whichever of its windows lacked something."""
    for folder in places.unsynced_windows():
        if identity_of_window(folder) == identity:
            (folder / layout.UNSYNCED).unlink()


def send(folders: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """Upload folders, some at a time; each with what went wrong. Nothing more is tried once none got through."""
    for start in range(0, len(folders), _AT_ONCE):
        some = folders[start : start + _AT_ONCE]
        said = _sync(some)
        for each in some:
            # A damaged folder keeps `wandb sync` from uploading any beside it.
            if not is_uploaded(each) and len(some) > 1 and said != _TOO_LONG:
                said = _sync([each])
            yield each, None if is_uploaded(each) else said
        if not any(map(is_uploaded, some)):
            return


def _sync(folders: Sequence[Path]) -> str:
    """Give folders to `wandb sync`; the last line it says."""
    environment = {name: value for name, value in os.environ.items() if name not in ("WANDB_MODE", "WANDB_SILENT")}
    line = [sys.executable, "-m", "wandb", "sync", "--include-online", *map(str, folders)]
    try:
        done = subprocess.run(
            line, env=environment, capture_output=True, text=True, errors="replace", timeout=_MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _TOO_LONG
    lines = [each.removeprefix("wandb:").strip() for each in f"{done.stdout}\n{done.stderr}".splitlines()]
    telling = [each for each in lines if each.startswith(("ERROR", "WARNING"))] or [each for each in lines if each]
    return telling[-1] if telling else "`wandb sync` says nothing"
