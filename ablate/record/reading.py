"""What any folder's records say, typed; what is malformed is named in a line, and nothing of it is run.

Only the fields that are needed to make sense of a record are required: older records have fewer than today's.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypedDict, TypeVar

from annotated_types import Ge, Le, Len
from pydantic_core import ValidationError

from ablate.error import UserError
from ablate.file import read_plain
from ablate.quantity.valid import Pattern, valid
from ablate.record import layout
from ablate.record.key import RESULTS_VERSION
from ablate.record.layout import Layout
from ablate.record.status import Status

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FORMAT = 1
"""Of result.json; raised when its fields change their meaning."""

_MOST_BYTES = 1 << 26  # of a file of a record: far more than any has
_MOST_OF_A_RESULT = 1 << 23

_LATER = ("cost", "data_digest", "dropped_utterances", "files", "layers")  # fields that older records lack

Read = TypeVar("Read")
Number = Annotated[int, Ge(0)]
Accuracy = Annotated[float, Ge(0), Le(1)]
Key = Annotated[str, Pattern(r"^[\w-]+$")]  # nothing that could lead elsewhere
_AGAIN = "delete the file to train again"


class Machine(TypedDict):
    """What a run was trained on."""

    name: str
    device: NotRequired[str]
    threads: NotRequired[int]
    cpu: NotRequired[str]
    gpu: NotRequired[str]


Metrics = TypedDict(
    "Metrics",
    {
        "val/accuracy": Accuracy | None,
        "val/loss": NotRequired[float | None],
        "train/accuracy": NotRequired[Accuracy | None],
        "train/loss": NotRequired[float | None],
        "best_epoch": NotRequired[int | None],
    },
)
"""Of the best epoch; accuracies are fractions of frames. None where no epoch was validated."""


class Result(TypedDict):
    """A run that has ended: `result.json`."""

    key: str
    status: Literal["finished", "diverged"]
    metrics: Metrics
    seed: NotRequired[Number]
    epochs: NotRequired[Number]
    num_params: NotRequired[Number]
    multiply_adds: NotRequired[Number]
    layers: NotRequired[list[int]]
    overrides: NotRequired[list[str]]
    choices: NotRequired[dict[str, str]]
    seconds: NotRequired[float]
    frames_per_second: NotRequired[float]
    cost: NotRequired[float]
    machine: NotRequired[Machine]
    member: NotRequired[int | None]
    versions: NotRequired[dict[str, str]]
    git_commit: NotRequired[str | None]
    data_fingerprint: NotRequired[str]
    data_digest: NotRequired[str]
    files: NotRequired[dict[str, str]]
    dropped_utterances: NotRequired[dict[str, dict[str, list[str]]]]
    results_version: NotRequired[int]
    format: NotRequired[int]


Row = dict[str, float | int | None]
"""An epoch of `metrics.jsonl`."""


class CellRecord(TypedDict):
    """A run of a study, as its plan has it."""

    key: Key
    arm: str
    seed: Number
    member: NotRequired[int]
    overrides: NotRequired[list[str]]
    status: NotRequired[Status]


class PlanRecord(TypedDict):
    """A study: `plan.json`."""

    study: str
    plan_id: str
    design: str
    baseline: str
    cells: list[CellRecord]
    question: NotRequired[str | None]
    factors: NotRequired[dict[str, list[str]]]
    seeds: NotRequired[list[int]]
    margin: NotRequired[float | None]
    aliases: NotRequired[list[str]]
    size: NotRequired[int]


class CommandRecord(TypedDict):
    """What a study's command asked for: `command.json`."""

    config_name: str
    folders: Annotated[list[str], Len(0, 100)]
    overrides: Annotated[list[str], Len(0, 1000)]
    stages: NotRequired[dict[str, float]]  # the studies that it is made of, in order: their parts of the data


class TestRecord(TypedDict):
    """What a run has shown on the test split: `test.json`."""

    key: str
    accuracy: Accuracy
    correct: Number
    frames: Number
    looks: Number
    data: str


class DecisionRecord(TypedDict):
    """A decision on a study, with the digest of what all runs had shown, and the verdicts that it stands on."""

    time: str
    by: str
    text: str
    plan_id: str
    seeds: Number
    evidence: str
    verdicts: dict[str, str]


class FoundRecord(TypedDict):
    """A run that a team-mate has ended, of which the result alone is here: in `found.json`."""

    place: str
    result: Result


class Utterance(TypedDict):
    """Counts of a validation utterance."""

    name: str
    correct: Number
    frames: Number
    speaker: NotRequired[str]


def result(run: Path, remedy: str = _AGAIN) -> Result | None:
    """The record of a run's folder; none where it has not ended. Raises `UserError` where it is malformed."""
    path = run / layout.RESULT
    found = _read(path, lambda content: valid(Result, json.loads(content)), remedy, _MOST_OF_A_RESULT)
    if found:
        _check_result(found, run.name, str(path), remedy)
    return found


def whole_result(run: Path, remedy: str = _AGAIN) -> Result | None:
    """As `result`, of a run of which nothing may lack: its file is taken for the training itself.

    Raises `UserError` for what lacks too.
    """
    found = result(run, remedy)
    if found:
        _check_whole(found, str(run / layout.RESULT), remedy)
    return found


def result_from(text: str, key: str, where: str, remedy: str) -> Result:
    """As `whole_result`, of a record that came as text from `where`. Raises `UserError` where it is not whole."""
    try:
        if len(text) > _MOST_OF_A_RESULT:
            raise ValueError(f"expected at most {_MOST_OF_A_RESULT:,} characters, found {len(text):,}")
        found: Result = valid(Result, json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: {first_problem(error)}; {remedy}") from error
    _check_result(found, key, where, remedy)
    _check_whole(found, where, remedy)
    return found


def _check_result(found: Result, key: str, where: str, remedy: str) -> None:
    if found["key"] != key:
        raise UserError(f"{where}: not a record of {key}, but of {found['key']}; {remedy}")
    if found.get("format", FORMAT) > FORMAT:
        raise UserError(f"{where}: format={found['format']}: expected {FORMAT} at most; a newer ablate can read it")


def _check_whole(found: Result, where: str, remedy: str) -> None:
    if found.get("results_version", RESULTS_VERSION) != RESULTS_VERSION:
        raise UserError(
            f"{where}: results_version={found['results_version']}: expected {RESULTS_VERSION}, which its key stands "
            f"for; {remedy}"
        )
    if lacking := [name for name in Result.__annotations__ if name not in (*found, *_LATER)]:
        raise UserError(f"{where}: {lacking[0]}: missing; {remedy}")


def rows(run: Path) -> list[Row]:
    """The epochs of a run's folder, the first first. Raises `UserError` where they are malformed."""

    def parse(content: bytes) -> list[Row]:
        return [valid(Row, json.loads(line)) for line in content.splitlines()]

    return _of_run(run, layout.ROWS, parse) or []


def utterances(run: Path) -> list[Utterance]:
    """The counts of each validation utterance in the best epoch. Raises `UserError` where they are malformed."""

    def parse(content: bytes) -> list[Utterance]:
        table = csv.DictReader(io.StringIO(content.decode(), newline=""), restkey="more")
        found = [valid(Utterance, row, strict=False) for row in table]
        if wrong := next((each for each in found if each["correct"] > each["frames"]), None):
            raise ValueError(f"{wrong['name']} has {wrong['correct']} correct of {wrong['frames']} frames")
        return found

    return _of_run(run, layout.UTTERANCES, parse) or []


def confusion(run: Path) -> npt.NDArray[np.int64] | None:
    """Counts (true class, predicted class) on validation in the best epoch; none where there are none.

    Raises `UserError` where they are malformed.
    """
    import numpy as np

    def parse(content: bytes) -> npt.NDArray[np.int64]:
        found = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "iu":
            raise ValueError("expected whole numbers")
        if found.ndim != 2 or found.shape[0] != found.shape[1] or found.min(initial=0) < 0:
            raise ValueError(f"expected counts (classes, classes), found {found.shape}")
        return found.astype(np.int64)

    return _of_run(run, layout.CONFUSION, parse)


def plan(places: Layout, study: str) -> PlanRecord | None:
    """The plan of a study; none where there is none. Raises `UserError` where it is malformed."""
    remedy = "the study's command writes it anew"
    found = plan_at(places.plan(study), remedy)
    if found and found["study"] != study:
        raise UserError(f"{places.plan(study)}: not a plan of {study}, but of {found['study']}; {remedy}")
    return found


def plan_at(path: Path, remedy: str) -> PlanRecord | None:
    """A plan wherever it lies; none where there is none. Raises `UserError` with a remedy where it is malformed."""
    return _read(path, lambda content: valid(PlanRecord, json.loads(content)), remedy)


def command(places: Layout, study: str) -> CommandRecord | None:
    """What a study's command asked for; none where that is not known. Raises `UserError` where it is malformed."""
    return command_at(places.command(study))


def command_at(path: Path) -> CommandRecord | None:
    """As `command`, wherever it lies."""
    remedy = "the study's own command writes it anew"
    return _read(path, lambda content: valid(CommandRecord, json.loads(content)), remedy)


def stores(places: Layout, study: str) -> list[str]:
    """The folders of team-mates that a study's command named here. Raises `UserError` where the file is malformed."""
    remedy = "delete it, or name them anew: 'team.stores=[...]'"
    return _read(places.stores(study), lambda content: list(valid(list[str], json.loads(content))), remedy) or []


def decisions(places: Layout, study: str) -> list[DecisionRecord | str]:
    """What is decided on a study, the first the first; of a line that is malformed what is wrong with it.

    Raises `UserError` where the file can't be read at all.
    """
    path, remedy = places.decisions(study), "mend its line, or move the file away"

    def parse(number: int, line: bytes) -> DecisionRecord | str:
        try:
            found: DecisionRecord = valid(DecisionRecord, json.loads(line))
        except (ValueError, RecursionError) as error:
            return f"{path}, line {number}: {first_problem(error)}; {remedy}"
        return found

    return _read(path, lambda content: [*starmap(parse, enumerate(content.splitlines(), 1))], remedy) or []


def found(places: Layout, study: str) -> dict[str, FoundRecord]:
    """By key what wandb has shown of a study's runs. Raises `UserError` where the file is malformed."""
    path = places.found(study)
    remedy = "delete it, and the study's command asks anew"
    recorded = _read(path, lambda content: list(valid(list[FoundRecord], json.loads(content))), remedy) or []
    for each in recorded:
        _check_whole(each["result"], str(path), remedy)
    return {each["result"]["key"]: each for each in recorded}


def earlier_plans(places: Layout, study: str) -> list[PlanRecord]:
    """The plans that a study has had before and that can be read, in no order."""
    found = []
    for path in layout.earlier_plans(places.study(study)):
        with contextlib.suppress(UserError):
            if recorded := _read(path, lambda content: valid(PlanRecord, json.loads(content)), ""):
                found.append(recorded)
    return found


def key_of(places: Layout, beginning: str) -> str:
    """The key of the run whose key begins so. Raises `UserError` where none does, or several do."""
    if not re.fullmatch(r"[\w-]+", beginning):
        raise UserError(f"{beginning!r}: expected a run's key, or the beginning of one")
    if places.run(beginning).is_dir():
        return beginning
    found = sorted(run.name for run in places.runs.glob("*") if run.name.startswith(beginning))
    if not found:
        raise UserError(f"{beginning}: no run in {places.runs} has a key that begins so")
    if len(found) > 1:
        raise UserError(f"{beginning}: {len(found)} keys begin so: {', '.join(found[:5])}; give more of it")
    return found[0]


def config(run: Path) -> dict[str, Any] | None:
    """The resolved config of a run; none where there is none. Raises `UserError` where it is no mapping of YAML."""

    def parse(content: bytes) -> dict[str, Any]:
        import yaml

        try:
            return dict(valid(dict[str, Any], yaml.safe_load(content)))
        except yaml.YAMLError as error:
            raise ValueError("not YAML") from error

    return _read(run / layout.CONFIG, parse, "copy the run's folder again")


def test(run: Path) -> list[TestRecord]:
    """What a run has shown on test splits, the latest first. Raises `UserError` where that is malformed."""

    def parse(content: bytes) -> list[TestRecord]:
        latest = json.loads(content)
        others = latest.pop("of_other_data", []) if isinstance(latest, dict) else []
        return [valid(TestRecord, latest), *valid(list[TestRecord], others)]

    return _read(run / layout.TEST, parse, "delete it, and looks are counted anew") or []


def studies(places: Layout) -> list[str]:
    """The names of the studies that have a plan."""
    return sorted(path.parent.name for path in places.plans())


def _of_run(run: Path, name: str, parse: Callable[[bytes], Read]) -> Read | None:
    """What a file beside a run's result says, if it is the one that the run wrote."""
    written = _written_digest(run / name)

    def check(content: bytes) -> Read:
        if written not in (None, digest(content)):
            raise ValueError("not the file that the run wrote")
        return parse(content)

    return _read(run / name, check, "the run's result still counts")


def check_digest(path: Path) -> None:
    """Raise `ValueError` if a file of a run is not the one that its result speaks of."""
    written = _written_digest(path)
    if written not in (None, file_digest(path)):
        raise ValueError("not the file that the run wrote")


def _written_digest(path: Path) -> str | None:
    with contextlib.suppress(UserError):  # a malformed result is named by who asks for it
        recorded = result(path.parent)
        return recorded.get("files", {}).get(path.name) if recorded else None
    return None


def file_digest(path: Path) -> str:
    """As `digest`, of a file that need not fit into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content: bytes) -> str:
    """What a result keeps of a file: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _read(path: Path, parse: Callable[[bytes], Read], remedy: str, most_bytes: int = _MOST_BYTES) -> Read | None:
    try:
        content = read_plain(path, most_bytes)
        return None if content is None else parse(content)
    except (ValueError, EOFError, RecursionError, OSError, csv.Error) as error:
        raise UserError(f"{path}: {first_problem(error)}; {remedy}") from error


def first_problem(error: Exception) -> str:
    """What is wrong, in a line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}, found {_short(first)}"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error})"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _short(problem: Mapping[str, Any]) -> str:
    text = repr(problem["input"])
    return text if len(text) <= 60 else f"{text[:57]}..."
