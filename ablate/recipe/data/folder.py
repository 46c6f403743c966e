"""What folders hold, and where the one is that was meant."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """A file as its folder describes it."""

    name: str  # relative to the folder that is asked for
    size: int
    stamp: tuple[int, int, int]  # inode, and times in ns of modification and of change, which copying tools can't set


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

    Hidden ones are left out; what is called so and is no file, as a link that leads nowhere, is a fault of the data,
    which its reader tells. Raises `ValueError` for a folder that can't be read, names that are no text, and a folder
    within with files where only its own are meant.
    """
    found: list[File] = []
    folders = [("", {_identity(folder.stat())})]
    while folders:
        prefix, around = folders.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                is_folder = _is(entry.is_dir)
                if entry.name.lower().endswith(suffixes) and not (recursive and is_folder):
                    found.append(_described(entry, prefix))
                elif recursive and is_folder and (own := _identity(entry.stat())) not in around:  # no circle
                    folders.append((f"{prefix}{entry.name}/", {*around, own}))
                elif is_folder and not recursive and files(folder / entry.name, suffixes, recursive=True):
                    raise ValueError(
                        f"{folder / entry.name}: expected {', '.join(suffixes)} in {folder}, not below; move them"
                    )
    if foreign := sorted(file.name for file in found if not _is_text(file.name)):
        names = ", ".join(os.fsencode(name).decode("utf-8", "backslashreplace") for name in foreign[:5])
        raise ValueError(f"{folder}: expected names in UTF-8, found {len(foreign)} others ({names}); rename them")
    return sorted(found)


@listing()
def some_files(folder: Path, suffix: str, number: int) -> list[File]:
    """Some `number` to twice as many of a folder's files with this suffix, spread over all; the others are not asked.

    Hidden ones are left out. Raises `ValueError` for a folder that can't be read.
    """
    with os.scandir(folder) as entries:
        found = [each for each in entries if each.name.endswith(suffix) and each.name[0] != "." and _is(each.is_file)]
    found.sort(key=lambda each: each.name)
    return [_described(each) for each in found[:: max(1, len(found) // number)]]


def elsewhere(key: str, root: Path, below: str) -> str:
    """A hint at the folder that `root`, given as `key`, should be, if one with `below` in it is near; else nothing."""
    root = root.resolve()
    places = [(root.parent, "one level too low"), (root.parent.parent, "two levels too low")]
    places += [(near, "one level too high") for near in sorted(root.glob("*"))]
    places += [(near, "two levels too high") for near in sorted(root.glob("*/*"))]
    for near, far in places:
        with suppress(PermissionError):
            if (near / below).is_dir():
                return f"it is {far}, did you mean {key}={near}?"
    return ""


def _described(entry: os.DirEntry[str], prefix: str = "") -> File:
    try:
        status = entry.stat()
    except OSError:  # a link that leads nowhere, or in a circle
        status = entry.stat(follow_symlinks=False)
    return File(prefix + entry.name, status.st_size, (status.st_ino, status.st_mtime_ns, status.st_ctime_ns))


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link in a circle
        return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False
