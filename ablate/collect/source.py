"""What a folder that was copied holds: run folders and plans, wherever in it they lie; no link is followed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ablate.error import UserError
from ablate.record import layout

KEY = re.compile(r"[0-9a-f]{16}")
_MOST_FOLDERS = 200_000
_DEEPEST = 12
_NOT_LOOKED_INTO = ("cache", "wandb", layout.CLAIMED, "__MACOSX")


@dataclass
class Source:
    """The run folders and the plans in some folders."""

    runs: list[Path] = field(default_factory=list)
    plans: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # runs that are left out

    def summary(self) -> str:
        """What there is, in a line."""
        return f"found: {len(self.runs)} run folders, {len(self.plans)} plans"


def look(folders: Iterable[Path], own: Path) -> Source:
    """All that the folders hold but `own` runs. Raises `UserError` for a folder that no copy of records is so large."""
    found, seen = Source(), 0
    for folder in folders:
        waiting = [(folder.resolve(), 0)]
        while waiting:
            here, depth = waiting.pop()
            seen += 1
            if seen > _MOST_FOLDERS or depth > _DEEPEST:
                raise UserError(f"{here}: more folders, or deeper ones, than records have; name a folder further down")
            if here == own.resolve():
                continue
            if _is_run(here):
                found.runs.append(here)
                continue
            if here.name == here.parent.name == own.name:
                found.notes.append(f"{here}: a copy of runs within runs, read all the same")
            waiting += [(each, depth + 1) for each in _inside(here, found)]
    found.runs = sorted(dict.fromkeys(found.runs))
    found.plans = sorted(dict.fromkeys(found.plans))
    return found


def _is_run(folder: Path) -> bool:
    return bool(KEY.fullmatch(folder.name)) or os.path.lexists(folder / layout.RESULT)


def _inside(folder: Path, found: Source) -> Iterator[Path]:
    """The folders to look into next; plans are noted, and links that stand where a run would."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        found.problems.append(f"{folder}: can't be read ({error.strerror}); left out")
        return
    for entry in entries:
        if entry.is_symlink() and (KEY.fullmatch(entry.name) or entry.name in ("runs", "studies", layout.PLAN)):
            found.problems.append(f"{entry.path}: a link, which is not followed; left out")
        elif entry.is_dir(follow_symlinks=False) and entry.name not in _NOT_LOOKED_INTO:
            yield Path(entry.path)
        elif entry.name == layout.PLAN:
            found.plans.append(Path(entry.path))
