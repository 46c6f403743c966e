"""The folders of runs: `<output_dir>/runs/<key>/`. What stands there is whole, whenever a process was killed."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import os
import platform
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import Any, BinaryIO, TextIO

from ablate.error import BusyError, UserError
from ablate.file import check_plain, read_plain, write_atomically
from ablate.record import layout, reading
from ablate.record.claim import Claim
from ablate.record.key import RESULTS_VERSION
from ablate.record.layout import Layout
from ablate.record.lease import Lease, busy, holder
from ablate.record.reading import FORMAT, CommandRecord, FoundRecord, Result, Row
from ablate.record.status import Status

_OF_THE_RESULT = (
    layout.ROWS,
    layout.BEST,
    layout.INFERENCE,
    layout.CONFUSION,
    layout.UTTERANCES,
)  # what a result keeps digests of
_SLOWEST = 1e6  # seconds for a unit of cost, which no machine takes
_MOST_LOG_BYTES = 1 << 26
_PACKAGES = ("ablate", "torch", "torchaudio", "numpy", "hydra-core", "omegaconf", "wandb")


class RunFolder:
    """What is recorded of one run, under its key."""

    def __init__(self, places: Layout, key: str) -> None:
        self.key = key
        self.path = places.run(key)
        self._guard = places.lease_guard

    @contextlib.contextmanager
    def lease(self, claim: Claim | None = None) -> Iterator[Writer]:
        """The right to write here, to be held while the run is trained. Raises `BusyError` where another has it.

        Where members take runs as they go, what is written is of my `claim`, too.
        """
        with Lease(self.path, self._guard) as lease:
            yield Writer(self, lease, claim)

    def is_running(self) -> bool:
        """Whether a process trains the run."""
        return holder(self.path, self._guard) is not None

    def check_free(self) -> None:
        """Raise `BusyError` where another process trains the run."""
        if owner := holder(self.path, self._guard):
            raise BusyError(busy(self.path, owner))

    def result(self) -> Result | None:
        """The record of the run if it has ended, else none. Raises `UserError` where it is malformed."""
        return reading.result(self.path)

    def whole_result(self) -> Result | None:
        """As `result`, with all that a record of mine has. Raises `UserError` for what it lacks too."""
        return reading.whole_result(self.path)

    def status(self) -> Status:
        """What has become of the run."""
        if result := self.result():
            return result["status"]
        if self.is_running():
            return "running"
        return "failed" if (self.path / layout.ERROR).exists() else "missing"

    def attempts(self) -> int:
        """How often its training has been begun, which its log tells."""
        try:
            content = read_plain(self.path / layout.LOG, _MOST_LOG_BYTES) or b""
        except ValueError:  # no log of ours is so long
            return 0
        return len(re.findall(rf"^.{{19}} run {self.key}: ", content.decode(errors="replace"), re.MULTILINE))

    def repetitions(self) -> int:
        """How often the run has been trained before and its record set aside."""
        return len(layout.earlier(self.path))


class Writer:
    """Writes a run's record under its lease: whoever has lost it writes nothing more (`BusyError`)."""

    def __init__(self, folder: RunFolder, lease: Lease, claim: Claim | None) -> None:
        self.folder = folder
        self._lease = lease
        self._claim = claim

    def open(self, config: str) -> TextIO:
        """Write the config (YAML), and clear what a killed process left; gives the log, open at its end."""
        path = self.folder.path
        (path / layout.ERROR).unlink(missing_ok=True)
        for left in layout.unfinished(path):
            left.unlink()
        self._check_places()
        with self._written(layout.CONFIG) as file:
            file.write(config.encode())
        return (path / layout.LOG).open("a", buffering=1)

    def _check_places(self) -> None:
        """Raise `UserError` for what stands where this run's files go, before anything is trained for nothing."""
        for name in (layout.LOG, layout.CONFIG, layout.CHECKPOINT, *_OF_THE_RESULT):
            try:
                check_plain(self.folder.path / name)
            except ValueError as error:
                raise UserError(f"{self.folder.path / name}: {error}; move it away") from error

    def set_aside(self) -> Path:
        """Move the record of an earlier training into a folder of its own below; the result goes first."""
        earlier = layout.next_earlier(self.folder.path)
        with self._lease.confirmed():
            earlier.mkdir()
            files = [file for file in self.folder.path.iterdir() if file.is_file() and file.name != layout.LEASE]
            for file in sorted(files, key=lambda file: file.name != layout.RESULT):
                file.rename(earlier / file.name)
        return earlier

    def take(self, copy: Path) -> None:
        """Put a copy of this run's record here, what an attempt has left being set aside; the result comes last."""
        if any(each.is_file() and each.name != layout.LEASE for each in self.folder.path.iterdir()):
            self.set_aside()
        files = [file for file in copy.iterdir() if file.is_file()]
        for file in sorted(files, key=lambda file: file.name == layout.RESULT):
            with self._allowed():
                file.rename(self.folder.path / file.name)

    def write_rows(self, rows: Sequence[Row]) -> None:
        """One object an epoch."""
        with self._written(layout.ROWS) as file:
            file.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())

    def write_tensors(self, name: str, content: Any) -> None:
        """What `torch.save` writes of this content."""
        import torch

        # Through memory, so that a full disk is an OSError and not an error of torch's own writer.
        buffer = io.BytesIO()
        torch.save(content, buffer)
        self.write(name, buffer.getbuffer())

    def write(self, name: str, content: bytes | memoryview) -> None:
        """A file of these bytes."""
        with self._written(name) as file:
            file.write(content)

    def write_error(self, text: str) -> None:
        """How a run crashed."""
        with contextlib.suppress(OSError, BusyError):  # the disk may be why, and another's run is not ours to tell of
            self.write(layout.ERROR, text.encode())

    def finish(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The result as written, which says that the run has ended, and nothing more is needed to go on with it."""
        written = [path for name in _OF_THE_RESULT if (path := self.folder.path / name).exists()]
        files = {path.name: reading.file_digest(path) for path in written}
        content = {**record, "files": files, "results_version": RESULTS_VERSION, "format": FORMAT}
        with write_atomically(self.folder.path / layout.RESULT, partial(self._ending, content)) as file:
            file.write((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
        (self.folder.path / layout.CHECKPOINT).unlink(missing_ok=True)
        return content

    @contextlib.contextmanager
    def _written(self, name: str) -> Iterator[BinaryIO]:
        with write_atomically(self.folder.path / name, self._allowed) as file:
            yield file

    @contextlib.contextmanager
    def _allowed(self) -> Iterator[None]:
        self._check_unfinished()  # said rather than that the lease is gone
        with self._lease.confirmed():
            self._check_unfinished()
            if self._claim:
                self._claim.check()
            yield

    @contextlib.contextmanager
    def _ending(self, content: Mapping[str, Any]) -> Iterator[None]:
        with self._allowed():
            if self._claim:
                self._claim.end(content)
            yield

    def _check_unfinished(self) -> None:
        if (self.folder.path / layout.RESULT).exists():
            raise BusyError(f"{self.folder.key}: another process has finished this run; its record is left alone")


def seconds_per_cost(places: Layout, fingerprints: Iterable[str], most: int) -> float | None:
    """What this machine took for a unit of cost: the median of its latest runs, at `most` so many, on such data."""
    try:
        folders = sorted(os.scandir(places.runs), key=lambda folder: folder.stat().st_mtime, reverse=True)
    except FileNotFoundError:
        return None
    known, wanted = [], set(fingerprints)
    for folder in folders[:most]:
        # Whatever another version or a broken disk has left there: an estimate does without it.
        with contextlib.suppress(UserError, OSError, KeyError):
            result = reading.result(Path(folder.path))
            if result and result["data_fingerprint"] in wanted and result["machine"]["name"] == gethostname():
                pace = result["seconds"] / result["cost"] if result["cost"] > 0 else math.inf
                known += [pace] if 0 <= pace < _SLOWEST else []
    return statistics.median(known) if known else None


def recorded_plan_id(places: Layout, study: str) -> str | None:
    """Of the plan that is recorded of a study, if it can be read."""
    with contextlib.suppress(OSError, UserError):
        if recorded := reading.plan(places, study):
            return re.sub(r"[^\w-]", "_", recorded["plan_id"])[:100]  # nothing in it that could lead elsewhere
    return None


def write_plan(places: Layout, study: str, content: Mapping[str, Any]) -> None:
    """A study's plan, as it is known now; another plan that stood there is kept beside it by its id."""
    path = places.plan(study)
    if (before := recorded_plan_id(places, study)) and before != content["plan_id"]:
        with contextlib.suppress(FileNotFoundError):  # another command has just done so
            path.replace(places.earlier_plan(study, before))
    with write_atomically(path) as file:
        file.write((json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def write_command(places: Layout, study: str, content: CommandRecord) -> None:
    """What a study's command asked for, so that it can be gone on with by the study's name."""
    with write_atomically(places.command(study)) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())


def write_stores(places: Layout, study: str, folders: Sequence[str]) -> None:
    """The folders of team-mates that a study's command named on this machine, for who asks by the study's name."""
    _write_if_any(places.stores(study), json.dumps(list(folders), indent=1) + "\n" if folders else "")


def write_found(places: Layout, study: str, records: Sequence[FoundRecord]) -> None:
    """What wandb has shown of a study's runs, for who asks by the study's name without it."""
    content = json.dumps(list(records), indent=1, allow_nan=False) + "\n" if records else ""
    _write_if_any(places.found(study), content)


def _write_if_any(path: Path, content: str) -> None:
    """A file, or none where there is nothing to say in it."""
    if not content:
        path.unlink(missing_ok=True)
        return
    with write_atomically(path) as file:
        file.write(content.encode())


def add_decision(places: Layout, study: str, decided: Sequence[Mapping[str, Any]]) -> None:
    """All that is decided on a study, the last one new."""
    with write_atomically(places.decisions(study)) as file:
        file.write("".join(json.dumps(each) + "\n" for each in decided).encode())


def check_writable(places: Layout) -> None:
    """Raise `UserError` where results can't be written there, before anything is done for them."""
    try:
        places.output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=places.output_dir):
            pass
    except OSError as error:
        raise UserError(
            f"output_dir={places.output_dir}: can't be written ({error.strerror}); choose another place"
        ) from error


@functools.cache
def provenance() -> dict[str, Any]:
    """The code that trains: its versions, and its commit (`-dirty` with changes, null where it is no checkout).

    Once a process, as it is the code that the process has loaded.
    """
    from importlib import metadata  # takes a while, since it reads mail for its format

    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}
    root = Path(__file__).resolve().parents[2]
    commit = None
    if (root / "pyproject.toml").is_file() and (commit := _git(root, "rev-parse", "HEAD")):
        commit += "-dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else ""
    return {"versions": versions, "git_commit": commit}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
