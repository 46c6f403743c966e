"""Run folders, copied under their keys: whole or not at all, and never over a record that is there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.collect.source import KEY
from ablate.config.override import with_list
from ablate.error import BusyError, UserError
from ablate.record import layout, reading
from ablate.record.layout import Layout
from ablate.record.reading import Result
from ablate.record.store import RunFolder
from ablate.record.team import shown

_REMEDY = "left out; have it copied again"
_MOST_BYTES = 1 << 33  # of a run's files together: far more than any has
_MOST_FILES = 1000
_NOT_COPIED = (layout.LEASE, layout.CHECKPOINT, layout.ERROR)  # of a run under way, or of one that failed before


class _UnsoundError(Exception):
    """A run folder that is not what its record says."""


@dataclass
class Merged:
    """What has become of the run folders."""

    copied: list[Result] = field(default_factory=list)
    known: int = 0  # that lie here already
    unfinished: dict[str, Path] = field(default_factory=dict)  # by key
    malformed: dict[str, str] = field(default_factory=dict)  # by key: what is said of them
    conflicting: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def summary(self, *, is_dry: bool) -> str:
        """All of it in a line."""
        return (
            f"runs: {len(self.copied)} {'would be copied' if is_dry else 'copied'}, {self.known} known here already, "
            f"{len(self.unfinished)} unfinished, {len(self.malformed)} malformed, {len(self.conflicting)} conflicting"
        )


def runs(places: Layout, folders: Sequence[Path], *, is_dry: bool) -> Merged:
    """Copy the runs that are not known here; of one key, the first that is sound, if all agree."""
    merged = Merged()
    by_key: dict[str, list[tuple[Path, Result]]] = defaultdict(list)
    for folder in folders:
        try:
            if found := _record(folder):
                by_key[found["key"]].append((folder, found))
            else:
                merged.unfinished[folder.name] = folder
        except (_UnsoundError, UserError) as error:
            _leave_out(merged, folder.name, str(error))
    if not is_dry:
        shutil.rmtree(places.incoming, ignore_errors=True)  # what a killed command left: ours alone, under its lock
    for key, records in sorted(by_key.items()):
        _merge(places, key, records, merged, is_dry=is_dry)
    if not is_dry:
        with contextlib.suppress(OSError):
            places.incoming.rmdir()
    for key in by_key:
        merged.unfinished.pop(key, None)
    return merged


def _leave_out(merged: Merged, key: str, said: str) -> None:
    merged.malformed.setdefault(key, said)
    merged.problems.append(said)


def _record(folder: Path) -> Result | None:
    """What a run folder says of itself; none where it has not ended. Raises `UserError` where it is malformed."""
    path = folder / layout.RESULT
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(kind):
        raise _UnsoundError(f"{path}: expected a file, found something else; {_REMEDY}")
    if not KEY.fullmatch(folder.name):
        raise _UnsoundError(f"{folder}: expected a folder named by its run's key, 16 hexadecimal digits; {_REMEDY}")
    return reading.result(folder, _REMEDY)


def _merge(places: Layout, key: str, records: Sequence[tuple[Path, Result]], merged: Merged, *, is_dry: bool) -> None:
    """Bring a run here, unless it is, or it is not clear what it has shown."""
    try:
        here = RunFolder(places, key).result()
    except UserError as error:
        _leave_out(merged, key, f"{error}; until then no other record takes its place")
        return
    known = [*([(places.run(key), here)] if here else []), *records]
    different = [each for each in known if shown(each[1]) != shown(known[0][1])]
    if different:
        merged.conflicting.add(key)
        which = "; ".join(f"{folder} has {_words(result)}" for folder, result in (known[0], *different))
        merged.problems.append(f"{key}: conflicting records, left alone until one is deleted: {which}")
    elif here:
        merged.known += 1
    else:
        problems = list[str]()
        for folder, result in records:
            try:
                merged.notes += _bring(places, folder, result, is_dry=is_dry)
                merged.copied.append(result)
                break
            except BusyError as error:
                merged.problems.append(str(error))
                break
            except (_UnsoundError, UserError) as error:
                problems.append(str(error))
        else:
            merged.malformed[key] = problems[0]
        merged.problems += problems


def _words(result: Result) -> str:
    told = ", ".join(f"{name} {value}" for name, value in result["metrics"].items())
    return f"{result['status']}, {told}"


def _bring(places: Layout, folder: Path, result: Result, *, is_dry: bool) -> list[str]:
    """Copy a run folder, check what was copied, and put it in its place; gives what was not copied of it.

    Raises `_UnsoundError` where it is not what its record says.
    """
    if is_dry:
        digests, skipped = _copy(folder, None)
        _check(folder, result, digests)
        return skipped
    places.incoming.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=places.incoming) as temporary:
        copy = Path(temporary) / result["key"]
        copy.mkdir()
        digests, skipped = _copy(folder, copy)
        _check(folder, result, digests)
        if reading.result(copy, _REMEDY) != result:
            raise _UnsoundError(f"{folder}: changed while it was copied; {_REMEDY}")
        _place(places, copy)
    return skipped


def _place(places: Layout, copy: Path) -> None:
    """Put a whole copy where the run's folder belongs: by one rename, or beside what an attempt has left there."""
    run = places.run(copy.name)
    run.parent.mkdir(parents=True, exist_ok=True)
    try:
        copy.rename(run)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        with RunFolder(places, copy.name).lease() as writer:  # which no process has, or `BusyError`
            writer.take(copy)


def _check(folder: Path, result: Result, digests: dict[str, str]) -> None:
    """Raise `_UnsoundError` where a file is not there, or not the one that the run wrote."""
    for name, digest in result.get("files", {}).items():
        store = folder.parent.parent
        if name not in digests and (store / layout.CLAIMED).is_dir():
            raise _UnsoundError(
                f"{folder}: without {name}, since claims keep no weights; {with_list('team.stores', [str(store)])} "
                "counts it as it is, and the output_dir of who trained it has all of it"
            )
        if name not in digests:
            raise _UnsoundError(f"{folder}: half of a copy, without {name}; {_REMEDY}")
        if digests[name] != digest:
            raise _UnsoundError(f"{folder / name}: not the file that the run wrote; {_REMEDY}")


def _copy(folder: Path, to: Path | None) -> tuple[dict[str, str], list[str]]:
    """Copy the plain files of a run folder, and those of its earlier records; each file's digest, and what was not.

    Nothing is copied where `to` is none.
    """
    digests, skipped, left = dict[str, str](), list[str](), _MOST_BYTES
    inner = [Path(each.name) for each in layout.earlier(folder) if each.is_dir() and not each.is_symlink()]
    entries = [(below, entry) for below in [Path(), *inner] for entry in _entries(folder / below)]
    if len(entries) > _MOST_FILES:
        raise _UnsoundError(f"{folder}: more than {_MOST_FILES:,} files, which no run has; {_REMEDY}")
    for below, entry in entries:
        if entry.is_dir(follow_symlinks=False) and below == Path():
            if below / entry.name not in inner:
                skipped.append(f"{entry.path}: no file of a run; not copied")
            continue
        target = None
        if to is not None:
            (to / below).mkdir(exist_ok=True)
            target = to / below / entry.name
        size, digest = _copy_file(Path(entry.path), target, left)
        if digest is None:
            skipped.append(f"{entry.path}: no plain file; not copied")
            continue
        left -= size
        digests[str(below / entry.name)] = digest
    return digests, skipped


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    for entry in os.scandir(folder):
        if entry.name not in _NOT_COPIED and not entry.name.startswith("."):
            yield entry


def _copy_file(path: Path, to: Path | None, most: int) -> tuple[int, str | None]:
    """The size and the digest of a plain file, copied as it is read; no digest of anything else."""
    try:  # neither a link is followed nor a pipe waited for, even one that takes the file's place now
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EACCES, errno.ENOENT):
            return 0, None
        raise
    with open(descriptor, "rb") as file, contextlib.ExitStack() as stack:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return 0, None
        copy = stack.enter_context(to.open("xb")) if to else None
        size, digest = 0, hashlib.sha256()
        while chunk := file.read(1 << 20):
            size += len(chunk)
            if size > most:
                raise _UnsoundError(f"{path}: with the others larger than any run is; {_REMEDY}")
            digest.update(chunk)
            if copy:
                copy.write(chunk)
        if copy:
            copy.flush()
            os.fsync(copy.fileno())
        return size, digest.hexdigest()
