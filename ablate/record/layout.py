"""The names and places of all files below `output_dir`, each once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULT = "result.json"
ROWS = "metrics.jsonl"
CONFIG = "config.yaml"
BEST = "best.pt"
INFERENCE = "inference.pt"
CHECKPOINT = "checkpoint.pt"
CONFUSION = "confusion.npy"
UTTERANCES = "utterances.csv"
TEST = "test.json"
SUBMISSION = "submission.csv"
LOG = "run.log"
ERROR = "error.txt"
LEASE = "lease.json"
_LONGEST_NAME = 200
_EARLIER = "earlier-"
CLAIMED = "cells"
PLAN = "plan.json"
_COMMAND = "command.json"
_STORES = "stores.json"
_SEARCH = "search.log"
_DECISIONS = "decisions.jsonl"
_FOUND = "found.json"
UNSYNCED = "unsynced"  # where a run is at wandb's server, ENTITY/PROJECT/ID, while that may lack something of it
WHOLE = "whole"  # the same, once it lacks nothing
BEGUN = "begun"  # an upload of what was kept offline, which may have got through in part
PAGE = "report.html"
RUNS_TABLE = "runs.csv"
VERDICTS = "verdicts.csv"
VERDICTS_MARKDOWN = "verdicts.md"
VERDICTS_LATEX = "verdicts.tex"
AUDIT = "audit.json"
LEAVE_OUT = "leave_out.txt"


@dataclass(frozen=True)
class Layout:
    """Where things lie below one `output_dir`."""

    output_dir: Path

    @property
    def runs(self) -> Path:
        """The folder of all runs' folders, and of nothing else."""
        return self.output_dir / "runs"

    def run(self, key: str) -> Path:
        """A run's folder."""
        return self.runs / key

    @property
    def cache(self) -> Path:
        """What can be made again: corpora, locks, Hydra's own files."""
        return self.output_dir / "cache"

    @property
    def incoming(self) -> Path:
        """Where runs are copied before they are whole: on the disk of `runs`, so that a rename brings them there."""
        return self.runs.resolve().parent / "incoming"

    @property
    def collect_guard(self) -> Path:
        """What is locked while runs are copied here."""
        return self.cache / "collect.lock"

    @property
    def lease_guard(self) -> Path:
        """What is locked while a lease is taken, or a file of a run put in its place."""
        return self.cache / "lease.lock"

    def study(self, name: str) -> Path:
        """A study's folder."""
        return self.output_dir / "studies" / name

    def plan(self, study: str) -> Path:
        """A study's plan."""
        return self.study(study) / PLAN

    def command(self, study: str) -> Path:
        """What a study's command asked for."""
        return self.study(study) / _COMMAND

    def stores(self, study: str) -> Path:
        """The folders of team-mates that a study's command named on this machine."""
        return self.study(study) / _STORES

    def decisions(self, study: str) -> Path:
        """What a team has decided on a study, a line each."""
        return self.study(study) / _DECISIONS

    def found(self, study: str) -> Path:
        """What wandb has shown of a study's runs that team-mates have ended."""
        return self.study(study) / _FOUND

    def search(self, study: str) -> Path:
        """What Optuna keeps of a study that is searched."""
        return self.study(study) / _SEARCH

    def earlier_plan(self, study: str, plan_id: str) -> Path:
        """A plan that the study had before."""
        return self.study(study) / f"plan-{plan_id}.json"

    def plans(self) -> list[Path]:
        """The plans of all studies."""
        return list((self.output_dir / "studies").glob(f"*/{PLAN}"))

    def predictions(self, keys: Sequence[str]) -> Path:
        """Predictions of these runs together: of one, in its folder."""
        if len(keys) == 1:
            return self.run(keys[0]) / SUBMISSION
        name = "-".join(keys)
        if len(name) > _LONGEST_NAME:
            name = f"{len(keys)}-runs-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        return self.output_dir / "predictions" / f"{name}.csv"

    def audit(self, name: str) -> Path:
        """The folder of what was found in data."""
        return self.output_dir / "audits" / name

    def plot(self, name: str) -> Path:
        """A picture."""
        return self.output_dir / "plots" / f"{name}.png"

    def offline_windows(self, identity: str = "") -> list[Path]:
        """The folders that wandb keeps of runs offline, of those with this id, from the oldest on."""
        pattern = f"offline-run-*-{identity}-*" if identity else "offline-run-*"
        return sorted((self.output_dir / "wandb").glob(pattern))  # the time is in the name

    def windows(self) -> list[Path]:
        """The folders that wandb keeps of all runs, from the oldest on."""
        found = [each for each in (self.output_dir / "wandb").glob("*run-*") if each.is_dir()]
        return sorted(found, key=lambda folder: folder.name.removeprefix("offline-"))  # the time is in the name


def in_store(store: Path, key: str) -> list[Path]:
    """Where a run may lie in a team-mate's folder: an output_dir, its runs alone, or these copied into themselves."""
    return [store / "runs" / key, store / key, store / "runs" / "runs" / key]


def claim(folder: Path, key: str, number: int) -> Path:
    """An entry of a cell's chain in a folder of claims, from 1."""
    return folder / CLAIMED / key / f"{number}.json"


def sign_of_life(claim: Path) -> Path:
    """What the owner of a claim counts in, to show that it lives."""
    return claim.with_suffix(".alive")


def num_claims(folder: Path, key: str) -> int:
    """How long a cell's chain of entries is."""
    numbers = [int(each.stem) for each in claim(folder, key, 1).parent.glob("*.json") if each.stem.isdecimal()]
    return max(numbers, default=0)


def dispatch(study: Path, number: str) -> Path:
    """The folder by which a command and those that it has launched know of each other."""
    return study / "launched" / number


def wanted(dispatch: Path) -> Path:
    """A file that is there as long as the command wants its runs."""
    return dispatch / "wanted"


def message(dispatch: Path, name: str) -> Path:
    """A word to the command."""
    return dispatch / f"{name}.json"


def messages(dispatch: Path) -> list[Path]:
    """All words to the command, in order."""
    return sorted(each for each in dispatch.glob("*.json") if not each.name.startswith("."))


def earlier(run: Path) -> list[Path]:
    """The folders of a run's records that were set aside."""
    return list(run.glob(f"{_EARLIER}*"))


def next_earlier(run: Path) -> Path:
    """Where a run's record is set aside: behind all that were, though some may have been deleted."""
    numbers = [int(number) for each in earlier(run) if (number := each.name.removeprefix(_EARLIER)).isdecimal()]
    return run / f"{_EARLIER}{max(numbers, default=0) + 1}"


def earlier_plans(study: Path) -> list[Path]:
    """The plans that a study has had before."""
    return sorted(study.glob("plan-*.json"))


def unfinished(run: Path) -> Iterator[Path]:
    """What a killed process left of the files that it was writing."""
    return run.glob(".*.tmp")
