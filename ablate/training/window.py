"""What a run's window in wandb is given: what the run is, what its best epoch confuses, and what has ended before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.config.settings import Config
from ablate.error import UserError
from ablate.record import layout, reading, tracking, upload, wandb_api
from ablate.record.layout import Layout
from ablate.record.reading import Row
from ablate.record.store import RunFolder
from ablate.record.tracking import Server, Shown, Tracker
from ablate.record.upload import Window
from ablate.record.wandb_settings import choose_mode

if TYPE_CHECKING:
    from ablate.training.prepare import Training


def shown(
    config: Config, folder: RunFolder, name: str, choices: Mapping[str, str], measured: Mapping[str, Any]
) -> Shown:
    """A run, called `name`, with the options chosen, and what is `measured` of it, as a result has it."""
    study, member = config["study"], config["team"]["member"]
    facts: dict[str, Any] = {f"choice/{group}": option for group, option in choices.items()}
    facts |= {"arm": name or "all defaults", "study": study["name"], "member": member}
    facts |= {each: measured.get(each) for each in ("num_params", "multiply_adds")}
    facts["machine"] = {each: measured["machine"].get(each) for each in ("name", "device")}
    return Shown(
        key=folder.key,
        name=" ".join([name, f"seed={config['seed']}"]).strip(),
        tags=[
            *(f"{group}={option}" for group, option in choices.items()),
            *([f"design={study['design']}"] if study["arm"] else []),
            *([f"member={member}"] if member else []),
        ],
        repetition=folder.repetitions(),
        attempt=folder.attempts(),
        facts={each: value for each, value in facts.items() if value is not None},
    )


def measured(training: Training) -> dict[str, Any]:
    """What a result will say of a training that is ready to start."""
    from ablate.recipe import arch
    from ablate.training import machine

    return {
        "num_params": arch.num_params(training.model),
        "multiply_adds": arch.multiply_adds(training.model),
        "machine": machine.describe(training.device),
    }


def exhibit(run: Path, names: Sequence[str], tracker: Tracker, *, has_model: bool) -> None:
    """Show what the best epoch takes for what, by the names of classes, and upload its model if that is asked for."""
    with contextlib.suppress(UserError, OSError):  # the record's own fault is named by who reads it
        tracker.log_confusion(reading.confusion(run), names)
    if has_model:
        tracker.keep_model(run / layout.BEST, run.name)


def replay(
    config: Config, shown: Shown, result: Mapping[str, Any], folder: Path | None, warn: Callable[[str], None]
) -> None:
    """Show a run that has ended before in the window that `wandb agent` has given it, for its sweep to see.

    Where no folder has its rows, its result alone is shown.
    """
    mode, _ = choose_mode(config["wandb"]["mode"])
    tracker = tracking.start(config, shown, mode, Server(), warn)
    rows = reading.rows(folder) if folder else []
    _show(tracker, rows, result, folder, has_model=config["wandb"]["artifact"])


def show_rest(places: Layout, window: Window) -> bool:
    """Show what the server lacks of a run that it has a part of, from the run's record, so that nothing is repeated.

    False where it has nothing of it, so that wandb's own file can be uploaded. Raises `UserError` where neither is so.
    """
    path = window.path if window.is_there and not upload.is_report(window.key) else None  # a report is one row
    if path is None or (num_rows := wandb_api.num_rows(path)) is None:
        return False
    record = RunFolder(places, window.key)
    rows, result = reading.rows(record.path), record.result()
    if not rows or window.training != upload.identity(record.key, record.repetitions()):
        if not num_rows:
            return False
        raise UserError(
            f"the server has the first {num_rows} rows of it, and {record.path} is not the record of this training; "
            f"`wandb sync --include-online {window.folder}` uploads all of it, and these rows once more"
        )
    if record.is_running():
        raise UserError("it is being trained, and will show the rest itself")
    told = list[str]()
    asked = (reading.config(record.path) or {}).get("wandb")
    has_model = isinstance(asked, dict) and asked.get("artifact") is True
    tracker = tracking.go_on(places, path, has_model=has_model, warn=told.append)
    ended = record.path if result else None  # tables take a step, which an interrupted run may still need for an epoch
    left = _show(tracker, rows, result or {"status": "interrupted"}, ended, has_model=has_model)
    if left or told:
        raise UserError("; ".join(told) or "the server did not take all of it")
    upload.mark_whole(places, window.run)
    return True


def _show(
    tracker: Tracker, rows: Sequence[Row], result: Mapping[str, Any], folder: Path | None, *, has_model: bool
) -> str | None:
    """Show rows, what the `folder` of a run that has ended has beside them, and its end; how to upload what is left."""
    from ablate.recipe.data.phoneme import PHONEMES

    for row in rows:
        tracker.log(row)
    if folder:
        exhibit(folder, PHONEMES, tracker, has_model=has_model)
    return tracker.finish(result["status"], result)
