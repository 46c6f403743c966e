"""What files contain, remembered by path, size and time, so that asking again reads none of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ablate.file import write_atomically
from ablate.recipe.data.corpus import Track

UNREADABLE = "unreadable"


class File(NamedTuple):
    """A file as its folder describes it."""

    name: str  # relative to the folder that is asked for
    size: int
    time_ns: int


def files(folder: Path, suffixes: tuple[str, ...], *, recursive: bool) -> list[File]:
    """The files of a folder with one of these suffixes (in any case), by name; of those below it too if `recursive`.

    Hidden ones are left out, and what is neither a file nor a folder.
    """
    found: list[File] = []
    folders = [""]
    while folders:
        prefix = folders.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.name.lower().endswith(suffixes) and entry.is_file():
                    status = entry.stat()
                    found.append(File(f"{prefix}{entry.name}", status.st_size, status.st_mtime_ns))
                elif recursive and entry.is_dir(follow_symlinks=False):
                    folders.append(f"{prefix}{entry.name}/")
    return sorted(found)


def digests(folder: Path, listed: Sequence[File], memory: Path, track: Track) -> dict[str, str]:
    """The SHA-256 of each file in `folder`, or `UNREADABLE`; of a file that `memory` knows, from there."""
    known = _remembered(memory)
    new = [file for file in listed if known.get(file.name, [])[:2] != [file.size, file.time_ns]]
    if not new:
        return {file.name: str(known[file.name][2]) for file in listed}
    fresh = {file.name: _digest(folder / file.name) for file in track(new, len(new), f"hashing {folder.name}")}
    found = {file.name: fresh.get(file.name) or str(known[file.name][2]) for file in listed}
    seen = {file.name: [file.size, file.time_ns, found[file.name]] for file in listed}
    kept = {name: entry for name, entry in seen.items() if entry[2] != UNREADABLE}
    with contextlib.suppress(OSError), write_atomically(memory) as stream:  # only a memory
        stream.write(json.dumps(kept).encode())
    return found


def name_of(content: object) -> str:
    """16 hexadecimal digits that stand for lists of numbers and strings."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:  # named with all other faults when the split is read
        return UNREADABLE


def _remembered(memory: Path) -> dict[str, list[object]]:
    """Size, time and digest of each file; where it is missing or broken they are read again."""
    try:
        known = json.loads(memory.read_bytes())
        return {name: entry for name, entry in known.items() if len(entry) == 3 and isinstance(entry[2], str)}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
