"""A split in one file of the cache: its utterances checked, one behind the other, and the faults of the others."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

from ablate.error import UserError, clipped
from ablate.file import check_plain, write_atomically
from ablate.recipe.data.content import Content, name_of
from ablate.recipe.data.subset import subset

if TYPE_CHECKING:
    import numpy as np
    from filelock import BaseFileLock
    from torch import Tensor

_FORMAT = 2  # of the file, and of what is checked before an utterance gets into it
_SUFFIX = ".frames"
_LENGTH_BYTES = 8  # of the first number at the file's end: how long the index before it is
_CHECKSUM_BYTES = 4  # of the last one, the index's
_AT_ONCE = 64  # utterances that a thread takes
_READ_AHEAD = 1 << 24  # bytes
_PATIENCE_SECONDS = 5  # before it is told that another process is waited for
_LEFT_SECONDS = 3600  # after which nobody is at the beginning of a memory
_MOST_READINGS = 3  # each split's file may be damaged

Made = TypeVar("Made")


class DamagedError(Exception):
    """The file is not what it was when it was opened: changed by the disk, or made anew for other data.

    It has been removed, so that asking for the split again makes it anew.
    """


def undamaged(use: Callable[[], Made], say: Callable[[str], None] = lambda _: None) -> Made:
    """What `use` makes of splits, once more where their files turn out damaged, and so are made anew.

    Raises `UserError` where they are again and again.
    """
    for _ in range(_MOST_READINGS):
        try:
            return use()
        except DamagedError as damage:
            say(f"{damage}; the data are read anew")
            found = damage
    raise UserError(
        f"{found}, again and again as soon as it is made; is the disk of output_dir sound, and does nobody clear it?"
    )


@dataclass(frozen=True)
class Utterance:
    """A sound one: `features` (frames, mfcc) float32, all finite, and the class of each frame, (frames,) uint8."""

    name: str
    speaker: str
    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Fault:
    """An utterance that can't be used: what is wrong with which of its files, a line each."""

    name: str
    speaker: str
    lines: tuple[str, ...]


class Sources(NamedTuple):
    """What a split is made of: `identity` names its content wherever it lies, `files` tell when one was touched."""

    identity: str
    files: Sequence[Content] = ()


class _Entry(NamedTuple):
    name: str
    speaker: str
    faults: list[str]
    frames: int = 0
    start: int = 0  # byte of the file
    checksum: int = 0


@dataclass(frozen=True)
class Recordings:
    """The utterances of a split, in the order of their names, read from the cache as often as they are asked for."""

    path: Path
    identity: str  # of the sources that they were made of
    num_mfcc: int
    entries: tuple[_Entry, ...]
    digest: str = ""  # of the whole split's features and labels
    left_out: frozenset[str] = frozenset()  # names of those that count as not there

    @property
    def names(self) -> list[str]:
        """Of the sound utterances."""
        return [entry.name for entry in self._sound]

    @property
    def lengths(self) -> list[int]:
        """Frames of each sound utterance."""
        return [entry.frames for entry in self._sound]

    @property
    def speaker_of_each(self) -> list[str]:
        """Who speaks in each sound utterance."""
        return [entry.speaker for entry in self._sound]

    @property
    def speakers(self) -> set[str]:
        """Who speaks in the sound utterances."""
        return set(self.speaker_of_each)

    @property
    def faults(self) -> dict[str, list[str]]:
        """What is wrong with each of the others, a line for each of its files."""
        return {entry.name: entry.faults for entry in self._there if entry.faults}

    @property
    def _there(self) -> list[_Entry]:
        return [entry for entry in self.entries if entry.name not in self.left_out]

    @property
    def _sound(self) -> list[_Entry]:
        return [entry for entry in self._there if not entry.faults]

    def part(self, fraction: float, seed: int) -> Recordings:
        """A part of the utterances, as `subset` draws it, faulty ones counted: mending one moves no other.

        Raises `ValueError` where it has no sound one.
        """
        taken = subset([entry.speaker for entry in self.entries], fraction, seed)
        part = dataclasses.replace(self, entries=tuple(self.entries[i] for i in taken))
        if not part.names:
            number = f"{len(taken)} of {len(self.entries)} utterances"
            raise ValueError(f"data.fraction={fraction:g}: all that it takes is bad ({number}); take more")
        return part

    def map(self, make: Callable[..., Made], *others: Sequence[Any]) -> Iterator[Made]:
        """What `make` makes of each utterance's features and labels, in their order, with its items of `others`.

        They are shared out to as many threads as torch has, so that each has one for what it computes. Raises as
        `utterances` does.
        """
        from concurrent.futures import ThreadPoolExecutor

        from ablate.recipe.data.threads import single_thread

        sound = self._sound

        with self._opened() as read, single_thread() as threads, ThreadPoolExecutor(threads) as pool:

            def made(start: int) -> list[Made]:
                taken = slice(start, start + _AT_ONCE)
                each = zip(sound[taken], *(other[taken] for other in others), strict=True)
                return [make(*read(entry), *more) for entry, *more in each]

            for several in pool.map(made, range(0, len(sound), _AT_ONCE)):
                yield from several

    def utterances(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Each sound utterance's features (frames, mfcc) float32 and labels (frames,) uint8, the caller's own.

        Raises `DamagedError` if the file is not what was written.
        """
        with self._opened() as read:
            for entry in self._sound:
                yield read(entry)

    def read_ahead(self) -> None:
        """Read the sound utterances to no end but that the system has them in its memory then."""
        read = memoryview(bytearray(_READ_AHEAD))
        with self.path.open("rb", buffering=0) as file:
            for start, end in self._stretches():
                file.seek(start)
                while start < end and (size := file.readinto(read[: end - start])):
                    start += size

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """Where sound utterances lie side by side in the file: the first byte, and the one behind the last."""
        start = end = 0
        for entry in self._sound:
            if entry.start != end:
                yield start, end
                start = entry.start
            end = entry.start + entry.frames * (4 * self.num_mfcc + 1)
        yield start, end

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Callable[[_Entry], tuple[Tensor, Tensor]]]:
        """What reads an utterance's features and labels, in any thread."""
        import numpy as np
        import torch

        try:
            file = self.path.open("rb")
        except FileNotFoundError as error:
            raise DamagedError(f"{self.path}: removed while it was in use") from error
        lock = threading.Lock()

        def read(entry: _Entry) -> tuple[Tensor, Tensor]:
            features = np.empty((entry.frames, self.num_mfcc), np.float32)
            labels = np.empty(entry.frames, np.uint8)
            with lock:
                file.seek(entry.start)
                file.readinto(features.data)
                file.readinto(labels.data)
            if _checksum(features, labels) != entry.checksum:
                self._remove(file)
                raise DamagedError(f"{self.path}: {entry.name} is not what was written there")
            return torch.from_numpy(features), torch.from_numpy(labels)

        with file:
            yield read

    def _remove(self, damaged: BufferedReader) -> None:
        """Remove the file, unless another process has done so and made it anew."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(damaged.fileno()), self.path.stat()):
                self.path.unlink()


def cached(
    path: Path,
    sources: Sources,
    num_mfcc: int,
    make: Callable[[], Iterable[Utterance | Fault]],
    look: Callable[[], Sources],
) -> Recordings:
    """The split at `path`, made if what stands there is not whole, of other sources or of another version.

    Utterances are written as they are made, never held together. Raises `ValueError` if by then `look` finds other
    sources.
    """
    if found := opened(path, sources, num_mfcc):
        return found
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    _tidy(path.parent)
    with _waited_for(FileLock(_lock(path)), path):  # one process makes it, the others wait
        if found := opened(path, sources, num_mfcc):
            return found
        with write_atomically(path) as file:
            _write(file, sources.identity, num_mfcc, make())
            if look() != sources:
                raise ValueError("data: files changed while they were read; give the same command again")
    found = opened(path, sources, num_mfcc)
    assert found
    return found


def _waited_for(lock: BaseFileLock, path: Path) -> AbstractContextManager[object]:
    """Hold a lock; what is waited for for long is told."""
    from filelock import Timeout

    try:
        return lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout:
        print(f"{path}: waiting for another process, which makes it", file=sys.stderr)
        return lock.acquire()


def _tidy(folder: Path) -> None:
    """Remove what killed processes have left: the beginnings of files that nobody is making."""
    from filelock import FileLock, Timeout

    for left in filter(Path.is_file, folder.glob(f".*{_SUFFIX}.*.tmp")):
        made = left.name[1:].partition(_SUFFIX)[0] + _SUFFIX
        with contextlib.suppress(Timeout), FileLock(_lock(folder / made), timeout=0):
            left.unlink(missing_ok=True)
    for left in filter(Path.is_file, folder.glob(".*.digests.*.tmp")):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                left.unlink()


def _lock(path: Path) -> str:
    return f"{path}.lock"


def _write(file: BinaryIO, identity: str, num_mfcc: int, utterances: Iterable[Utterance | Fault]) -> None:
    import numpy as np

    entries = []
    for each in utterances:
        if isinstance(each, Fault):
            entries.append(_Entry(each.name, each.speaker, [clipped(line) for line in each.lines]))
            continue
        features, labels = np.ascontiguousarray(each.features, np.float32), np.ascontiguousarray(each.labels)
        assert features.shape == (len(labels), num_mfcc) and labels.dtype == np.uint8
        place = (len(labels), file.tell(), _checksum(features, labels))
        entries.append(_Entry(each.name, each.speaker, [], *place))
        file.write(features.data)
        file.write(labels.data)
    index = json.dumps([_FORMAT, identity, num_mfcc, file.tell(), entries]).encode()
    file.write(index)
    file.write(len(index).to_bytes(_LENGTH_BYTES, "little"))
    file.write(zlib.crc32(index).to_bytes(_CHECKSUM_BYTES, "little"))


def _digest(entries: Iterable[_Entry]) -> str:
    return name_of([[entry.name, entry.frames, entry.checksum] for entry in entries])


def _checksum(features: np.ndarray, labels: np.ndarray) -> int:
    return zlib.crc32(labels.data, zlib.crc32(features.data))


def opened(path: Path, sources: Sources, num_mfcc: int) -> Recordings | None:
    """The split in the file, if it is whole and of these sources; what else is there can be made again."""
    try:
        check_plain(path)
        with path.open("rb") as file:
            end = file.seek(-_LENGTH_BYTES - _CHECKSUM_BYTES, os.SEEK_END)
            size = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            checksum = int.from_bytes(file.read(_CHECKSUM_BYTES), "little")
            start = file.seek(end - size)
            index = file.read(size)
        if zlib.crc32(index) != checksum:
            return None
        version, *described, frames_end, entries = json.loads(index)
        if version != _FORMAT or described != [sources.identity, num_mfcc] or frames_end != start:
            return None
        found = tuple(_Entry(*entry) for entry in entries)
        if any(each.start + each.frames * (4 * num_mfcc + 1) > frames_end for each in found):
            return None
        return Recordings(path, sources.identity, num_mfcc, found, _digest(found))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
