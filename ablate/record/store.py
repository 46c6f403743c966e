"""The folders of runs: `<output_dir>/runs/<key>/`. What stands there is whole, whenever a process was killed."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import io
import json
import os
import platform
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from socket import gethostname
from typing import Any, Literal, TextIO, cast

from ablate.error import BusyError, UserError
from ablate.file import write_atomically
from ablate.record.key import RESULTS_VERSION
from ablate.record.lease import LEASE, Lease, Owner, busy, holder

Status = Literal["missing", "running", "finished", "diverged", "failed"]
"""Of a run, as far as its folder tells."""

FORMAT = 1
"""Of result.json; raised when its fields change their meaning."""

_PACKAGES = ("ablate", "torch", "torchaudio", "numpy", "hydra-core", "omegaconf", "wandb")

Row = dict[str, float | int | None]


class RunFolder:
    """What is recorded of one run, under its key."""

    def __init__(self, output_dir: str | Path, key: str) -> None:
        self.key = key
        self.path = Path(output_dir, "runs", key)
        self._guard = Path(output_dir, "cache", "lease.lock")

    def lease(self) -> Lease:
        """The right to write here, to be held while the run is trained."""
        return Lease(self.path, self._guard)

    def owner(self) -> Owner | None:
        """The process that trains the run."""
        return holder(self.path, self._guard)

    def check_free(self) -> None:
        """Raise `BusyError` where another process trains the run."""
        if owner := self.owner():
            raise BusyError(busy(self.path, owner))

    def result(self) -> dict[str, Any] | None:
        """The record of the run if it has ended, else none."""
        try:
            content = (self.path / "result.json").read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            result = json.loads(content)
        except ValueError as error:
            raise UserError(
                f"{self.path / 'result.json'}: not JSON ({error}); delete the file to train again"
            ) from error
        if not isinstance(result, dict) or result.get("key") != self.key:
            raise UserError(f"{self.path / 'result.json'}: not a record of {self.key}; delete the file to train again")
        return result

    def open(self, config: str) -> TextIO:
        """Write the config (YAML), and clear what a killed process left; gives `run.log`, open at its end."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "error.txt").unlink(missing_ok=True)
        for left in self.path.glob(".*.tmp"):
            left.unlink()
        with write_atomically(self.path / "config.yaml") as file:
            file.write(config.encode())
        return (self.path / "run.log").open("a", buffering=1)

    def repetitions(self) -> int:
        """How often the run has been trained before and its record set aside."""
        return sum(1 for _ in self.path.glob("earlier-*"))

    def set_aside(self) -> Path:
        """Move the record of an earlier training into a folder of its own below; the result goes first."""
        earlier = self.path / f"earlier-{self.repetitions() + 1}"
        earlier.mkdir()
        files = [file for file in self.path.iterdir() if file.is_file() and file.name != LEASE]
        for file in sorted(files, key=lambda file: file.name != "result.json"):
            file.rename(earlier / file.name)
        return earlier

    def write_rows(self, rows: Sequence[Row]) -> None:
        """`metrics.jsonl`: one object an epoch."""
        with write_atomically(self.path / "metrics.jsonl") as file:
            file.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())

    def write_error(self, text: str) -> None:
        """`error.txt`: how a run crashed."""
        with contextlib.suppress(OSError), write_atomically(self.path / "error.txt") as file:  # the disk may be why
            file.write(text.encode())

    def finish(self, record: Mapping[str, Any]) -> None:
        """`result.json`, which says that the run has ended, and nothing more is needed to go on with it."""
        with write_atomically(self.path / "result.json") as file:
            content = {**record, "results_version": RESULTS_VERSION, "format": FORMAT}
            file.write((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
        (self.path / "checkpoint.pt").unlink(missing_ok=True)

    def write_tensors(self, name: str, content: Any) -> None:
        """What `torch.save` writes of this content."""
        import torch

        # Through memory, so that a full disk is an OSError and not an error of torch's own writer.
        buffer = io.BytesIO()
        torch.save(content, buffer)
        with write_atomically(self.path / name) as file:
            file.write(buffer.getbuffer())


def statuses(output_dir: Path, keys: Iterable[str]) -> dict[str, Status]:
    """What has become of the runs that anything is recorded of."""
    found: dict[str, Status] = {}
    for key in keys:
        folder = RunFolder(output_dir, key)
        if result := folder.result():
            found[key] = cast(Status, result["status"])
        elif folder.owner():
            found[key] = "running"
        elif (folder.path / "error.txt").exists():
            found[key] = "failed"
    return found


def accuracy(output_dir: Path, key: str) -> float | None:
    """The validation accuracy of a finished run."""
    result = RunFolder(output_dir, key).result()
    return result["metrics"]["val/accuracy"] if result else None


def seconds_per_cost(output_dir: Path, fingerprints: Iterable[str], most: int) -> float | None:
    """What this machine took for a unit of cost: the median of its latest runs, at `most` so many, on such data."""
    try:
        folders = sorted(os.scandir(output_dir / "runs"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    except FileNotFoundError:
        return None
    known, wanted = [], set(fingerprints)
    for folder in folders[:most]:
        # Whatever another version or a broken disk has left there: an estimate does without it.
        with contextlib.suppress(UserError, OSError, KeyError, TypeError):
            result = RunFolder(output_dir, folder.name).result() or {}
            if result["data_fingerprint"] in wanted and result["machine"]["name"] == gethostname():
                known.append(result["seconds"] / result["cost"])
    return statistics.median(known) if known else None


def study_dir(output_dir: Path, study: str) -> Path:
    """The folder of a study, made if it is not there."""
    folder = output_dir / "studies" / study
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def plan_id(output_dir: Path, study: str) -> str | None:
    """Of the plan that is recorded of a study."""
    try:
        content = json.loads((output_dir / "studies" / study / "plan.json").read_bytes())
        return _file_name(str(content["plan_id"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _file_name(text: str) -> str:
    """The text with nothing in it that could lead elsewhere."""
    return re.sub(r"[^\w-]", "_", text)[:100]


def write_plan(output_dir: Path, study: str, content: Mapping[str, Any]) -> Path:
    """`studies/<name>/plan.json`, as it is known now; another plan that stood there is kept beside it by its id."""
    path = study_dir(output_dir, study) / "plan.json"
    if (before := plan_id(output_dir, study)) and before != content["plan_id"]:
        path.replace(path.with_name(f"plan-{before}.json"))
    with write_atomically(path) as file:
        file.write((json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    return path


def write_list(output_dir: Path, study: str, name: str, paths: Iterable[Path]) -> Path:
    """A file of the study with a path a line."""
    path = study_dir(output_dir, study) / name
    with write_atomically(path) as file:
        file.write("".join(f"{each}\n" for each in paths).encode())
    return path


def check_writable(output_dir: str | Path) -> None:
    """Raise `UserError` where results can't be written there, before anything is done for them."""
    try:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output_dir):
            pass
    except OSError as error:
        raise UserError(
            f"output_dir={output_dir}: can't be written ({error.strerror}); choose another place"
        ) from error


@functools.cache
def provenance() -> dict[str, Any]:
    """The code that trains: its versions, and its commit (`-dirty` with changes, null where it is no checkout)."""
    versions = {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES}
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
