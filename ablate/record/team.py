"""What team-mates have ended: in their folders, or as wandb's project shows it. It counts as if it lay here.

Folders are only read, and asked for each run. wandb is asked once by a command, for all of its runs.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.error import UserError
from ablate.file import at_home
from ablate.record import layout, reading
from ablate.record.layout import Layout
from ablate.record.reading import FoundRecord, Result


@dataclass(frozen=True)
class Found:
    """A run that a team-mate has ended."""

    result: Result
    place: str  # the team-mate's folder that it was found in, or wandb's project
    folder: Path | None = None  # the run's; none where its result alone is known

    def recorded(self) -> FoundRecord:
        """As it is kept, so that it is known without asking."""
        return {"place": self.place, "result": self.result}

    def __str__(self) -> str:
        return f"{trainer(self.result)}, in {self.place}"


@dataclass(frozen=True)
class Elsewhere:
    """Where to look for what team-mates have ended."""

    folders: Sequence[str] = ()
    in_wandb: Mapping[str, Found] = field(default_factory=dict)  # by key


def trainer(result: Result) -> str:
    """Who trained a run, and where.

    >>> trainer({"key": "", "status": "finished", "metrics": {}, "member": 2, "machine": {"name": "gpu"}})
    'member 2 on gpu'
    """
    member, machine = result.get("member"), result.get("machine")
    return f"{f'member {member}' if member else 'a team-mate'} on {machine['name'] if machine else 'some machine'}"


def absolute(stores: Iterable[str]) -> list[str]:
    """The folders as they are found from any other."""
    return [str(at_home(each).resolve()) for each in stores]


def folders(team: Mapping[str, Any]) -> list[str]:
    """Where a config has team-mates' records, absolute: their folders, and that of claims."""
    return absolute([*team["stores"], *([team["claims"]] if team["claims"] else [])])


def check(config: Mapping[str, Any]) -> None:
    """Raise `UserError` that names every folder of a config that is not there, and what claims do not go with."""
    team = config["team"]
    problems = [
        f"team.stores: {each}: no such folder; unpack or mount it, or leave it out of team.stores"
        for each in absolute(team["stores"])
        if not _is_folder(Path(each))
    ]
    if (claims := team["claims"]) and (said := _wrong_claims(at_home(claims))):
        problems.append(f"team.claims: {claims}: {said}")
    if claims and team["size"]:
        problems.append("team.claims: each member takes runs as it goes, so that none has a share; leave out team.size")
    if claims and config["rerun"]:
        problems.append("team.claims: what has ended stays so for all members; leave out rerun, or team.claims")
    if problems:
        raise UserError("\n".join(problems))


def _wrong_claims(folder: Path) -> str | None:
    """Why members can't take runs by a folder."""
    if not _is_folder(folder):
        # One made here might not be the one that the others see.
        what = "expected a folder, found a file" if folder.exists() else "no such folder"
        return f"{what}; mount its disk, or make it, once for all members"
    try:
        for below in (layout.CLAIMED, Layout(folder).runs.name):
            (folder / below).mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=folder / below):
                pass
    except OSError as error:
        return f"nothing can be written into its {below}/ ({error.strerror}); mend that, for all members"
    return None


def lost(stores: Iterable[str]) -> list[str]:
    """A line on each folder that is not there, which only looks."""
    return [
        f"{each}: no such folder; what a team-mate has ended there is not counted"
        for each in stores
        if not _is_folder(Path(each))
    ]


def find(elsewhere: Elsewhere, key: str) -> tuple[Found | None, list[str]]:
    """The run of a key where it is found first, and a line on each record that is malformed, or has another result."""
    problems = list[str]()
    found = list(every(elsewhere, key, problems))
    problems += [
        f"{key}: {each.place} has another result than {found[0].place}, which counts here; `ablate collect` shows both"
        for each in found[1:]
        if shown(each.result) != shown(found[0].result)
    ]
    return found[0] if found else None, problems


def shown(result: Result) -> object:
    """What two records of one run must have alike."""
    return result["status"], result["metrics"]


def every(elsewhere: Elsewhere, key: str, problems: list[str]) -> Iterator[Found]:
    """The run of a key wherever it is found, folders first; a line on each malformed record joins the `problems`."""
    for store in elsewhere.folders:
        for folder in layout.in_store(Path(store), key):
            try:
                result = reading.whole_result(folder, "left out")
            except UserError as error:
                problems.append(str(error))
                continue
            if result:
                yield Found(result, store, folder)
                break
    if key in elsewhere.in_wandb:
        yield elsewhere.in_wandb[key]


def credits(found: Iterable[tuple[Result, str]]) -> list[str]:
    """A line for each team-mate, machine and place: how many runs were found there."""
    count = Counter((trainer(result), place) for result, place in found)
    return [
        f"there already: {number} {'run' if number == 1 else 'runs'} of {who}, in {place}"
        for (who, place), number in count.items()
    ]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a drive that is away, or a folder that is closed to us
        return False
