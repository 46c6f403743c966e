"""What wandb's server does not have yet, and its upload by `wandb sync`, which marks what it has uploaded."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ablate.record import reading
from ablate.record.layout import Layout
from ablate.record.tracking import is_offline, key_of_window, offline_runs

_AT_ONCE = 20  # folders a process, which takes seconds to start
_MOST_SECONDS = 600  # for these
_TOO_LONG = f"not uploaded within {_MOST_SECONDS} s"
_DEFAULT_OUTPUT_DIR = Path("outputs")


def command(places: Layout, study: str) -> str:
    """The command that uploads what the server does not have of a study, from here."""
    where = [] if places.output_dir == _DEFAULT_OUTPUT_DIR else ["--output-dir", str(places.output_dir)]
    return shlex.join(["ablate", "sync", study, *where])


def left(places: Layout, study: str, keys: Sequence[str], further: Iterable[Path] = ()) -> list[Path]:
    """The folders of wandb that have more of a study than the server: kept offline, or told of, now or before."""
    told = [*reading.unsynced(places, study), *further]
    # Of what is kept offline of a run, the last attempt has all of it; an earlier one may have been told of.
    others = [each for each in told if not (is_offline(each) and key_of_window(each) in keys)]
    found = {each.resolve(): each for each in [*offline_runs(places, keys), *others]}
    return [folder for folder in found.values() if folder.is_dir() and not is_uploaded(folder)]


def is_uploaded(folder: Path) -> bool:
    """Whether `wandb sync` has uploaded a folder."""
    return any(folder.glob("*.synced"))


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
