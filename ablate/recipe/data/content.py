"""What folders hold and files contain, remembered by path, size and times, so that asking again reads no file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ablate.file import write_atomically
from ablate.recipe.data.corpus import Track

_UNREADABLE = "unreadable: "


class File(NamedTuple):
    """A file as its folder describes it."""

    name: str  # relative to the folder that is asked for
    size: int
    times_ns: tuple[int, int]  # of modification, and of change, which copying tools can't set


class Content(NamedTuple):
    """A file and what it contains."""

    file: File
    digest: str  # SHA-256, or why it can't be read

    @property
    def line(self) -> tuple[str, int, str]:
        """What of it is the same wherever it lies, and whenever it was copied there."""
        return self.file.name, self.file.size, self.digest


@contextmanager
def listing() -> Iterator[None]:
    """A context in which folders are looked through; `ValueError` names one that can't be."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}; your data must lie where you may read them") from error


@listing()
def files(folder: Path, suffixes: tuple[str, ...], *, recursive: bool) -> list[File]:
    """The files of a folder with one of these suffixes (in any case), by name; of those below it too if `recursive`.

    Hidden ones are left out, and what is neither a file nor a folder. Raises `ValueError` for a folder that can't be
    read and names that are no text.
    """
    found: list[File] = []
    folders = [("", {_identity(folder.stat())})]
    while folders:
        prefix, around = folders.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.name.lower().endswith(suffixes) and entry.is_file():
                    status = entry.stat()
                    found.append(File(prefix + entry.name, status.st_size, (status.st_mtime_ns, status.st_ctime_ns)))
                elif recursive and entry.is_dir() and (own := _identity(entry.stat())) not in around:  # no circle
                    folders.append((f"{prefix}{entry.name}/", {*around, own}))
    if foreign := sorted(file.name for file in found if not _is_text(file.name)):
        names = ", ".join(os.fsencode(name).decode("utf-8", "backslashreplace") for name in foreign[:5])
        raise ValueError(f"{folder}: expected names in UTF-8, found {len(foreign)} others ({names}); rename them")
    return sorted(found)


def elsewhere(root: Path, is_right: Callable[[Path], bool]) -> tuple[str, Path] | None:
    """Where the folder is that `root` should be, if it is near, and how far `root` is off."""
    root = root.resolve()
    low = ((root.parent, "one level too low"), (root.parent.parent, "two levels too low"))
    high = (
        (near, f"{far} too high")
        for pattern, far in (("*", "one level"), ("*/*", "two levels"))
        for near in sorted(root.glob(pattern))
    )
    for places in (low, high):
        with contextlib.suppress(OSError):
            for near, far in places:
                if is_right(near):
                    return far, near
    return None


def contents(folder: Path, listed: Sequence[File], memory: Path, track: Track) -> list[Content]:
    """What each file in `folder` contains; of a file that `memory` knows, from there."""
    known = _remembered(memory)
    new = [file for file in listed if known.get(file.name, [])[:-1] != [file.size, *file.times_ns]]
    if not new:
        return [Content(file, str(known[file.name][-1])) for file in listed]
    fresh = {file.name: _digest(folder / file.name) for file in track(new, len(new), f"hashing {folder.name}")}
    found = [Content(file, fresh.get(file.name) or str(known[file.name][-1])) for file in listed]
    whole = readable(found)
    kept = {file.name: [file.size, *file.times_ns, digest] for file, digest in found if file.name in whole}
    with contextlib.suppress(OSError), write_atomically(memory) as stream:  # only a memory
        stream.write(json.dumps(kept).encode())
    return found


def readable(found: Iterable[Content]) -> set[str]:
    """The names of the files that could be read."""
    return {file.name for file, digest in found if not digest.startswith(_UNREADABLE)}


def name_of(content: object) -> str:
    """16 hexadecimal digits that stand for lists of numbers and strings."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:  # named with all other faults when the split is read
        return f"{_UNREADABLE}{error.strerror}"


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _remembered(memory: Path) -> dict[str, list[object]]:
    """Size, times and digest of each file; where it is missing or broken they are read again."""
    try:
        known = json.loads(memory.read_bytes())
        return {name: entry for name, entry in known.items() if len(entry) == 4 and isinstance(entry[-1], str)}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
