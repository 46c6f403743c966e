"""What files contain, remembered by path, size, inode and times, so that asking again reads none of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ablate.file import check_plain, read_plain, write_atomically
from ablate.recipe.data.folder import File

Track = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Shows the progress of an iteration of known length under a title: `track(items, total, title)`."""

_MOST_BYTES = 1 << 30  # of a memory: some 200 bytes a file
_UNREADABLE = "unreadable: "


class Content(NamedTuple):
    """A file and what it contains."""

    file: File
    digest: str  # SHA-256, or why it can't be read

    @property
    def line(self) -> tuple[str, int, str]:
        """What of it is the same wherever it lies, and whenever it was copied there."""
        return self.file.name, self.file.size, self.digest


def contents(folder: Path, listed: Sequence[File], memory: Path, track: Track) -> list[Content]:
    """What each file in `folder` contains; of a file that `memory` knows, from there."""
    known = _remembered(memory)
    new = [file for file in listed if known.get(file.name, [])[:-1] != [file.size, *file.stamp]]
    if not new:
        return [Content(file, str(known[file.name][-1])) for file in listed]
    _let_times_pass(new)
    fresh = {file.name: _digest(folder / file.name) for file in track(new, len(new), f"hashing {folder.name}")}
    found = [Content(file, fresh.get(file.name) or str(known[file.name][-1])) for file in listed]
    whole = readable(found)
    kept = {file.name: [file.size, *file.stamp, digest] for file, digest in found if file.name in whole}
    with contextlib.suppress(OSError), write_atomically(memory) as stream:  # only a memory
        text = json.dumps(kept).encode()
        stream.write(text + _sum(text))
    return found


def readable(found: Iterable[Content]) -> set[str]:
    """The names of the files that could be read."""
    return {file.name for file, digest in found if not digest.startswith(_UNREADABLE)}


def name_of(content: object) -> str:
    """16 hexadecimal digits that stand for lists of numbers and strings."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _let_times_pass(files: Iterable[File]) -> None:
    """Wait until a file that is changed from now on gets other times than any of these has.

    File systems tell times by ticks: of a kernel's, of a second, of two.
    """
    times = [time_ns for file in files for time_ns in file.stamp[1:]]
    tick_ns = 20_000_000 if any(each % 1_000_000_000 for each in times) else 2_000_000_000
    left_ns = max(times) + tick_ns - time.time_ns()
    if 0 < left_ns <= tick_ns:  # more: of a clock that is ahead
        time.sleep(left_ns / 1e9)


def _digest(file: Path) -> str:
    try:
        check_plain(file)  # a pipe would be waited for
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # named with all other faults when the split is read
        return f"{_UNREADABLE}{error.strerror if isinstance(error, OSError) else error}"


def _sum(text: bytes) -> bytes:
    """The last line of a memory, by which it is known to be as it was written."""
    return f"\n{zlib.crc32(text):08x}\n".encode()


def _remembered(memory: Path) -> dict[str, list[object]]:
    """Size, inode, times and digest of each file; where it is missing or broken they are read again."""
    try:
        content = read_plain(memory, _MOST_BYTES) or b""
        text = content[: -len(_sum(b""))]
        if content != text + _sum(text):  # damaged: one wrong digit would be other data, hence another key
            return {}
        known = json.loads(text)
        return {name: entry for name, entry in known.items() if len(entry) == 5 and isinstance(entry[-1], str)}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
