"""What a run's window in wandb is given: what the run is, what its best epoch confuses, and what has ended before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.config.settings import Config
from ablate.error import UserError
from ablate.record import layout, reading, tracking, upload
from ablate.record.layout import Layout
from ablate.record.store import RunFolder
from ablate.record.tracking import Server, Shown, Tracker
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


def exhibit(config: Mapping[str, Any], run: Path, names: Sequence[str], tracker: Tracker) -> None:
    """Show what the best epoch takes for what, by the names of classes, and upload its model if that is asked for."""
    with contextlib.suppress(UserError, OSError):  # the record's own fault is named by who reads it
        tracker.log_confusion(reading.confusion(run), names)
    if config["wandb"]["artifact"]:
        tracker.keep_model(run / layout.BEST, run.name)


def replay(
    config: Config, shown: Shown, result: Mapping[str, Any], folder: Path | None, warn: Callable[[str], None]
) -> None:
    """Show a run that has ended before in the window that `wandb agent` has given it, for its sweep to see.

    Where no folder has its rows, its result alone is shown.
    """
    mode, _ = choose_mode(config["wandb"]["mode"])
    _show(tracking.start(config, shown, mode, Server(), warn), config, result, folder)


def show_rest(places: Layout, window: Path, warn: Callable[[str], None]) -> bool | None:
    """Show what the server lacks of a run that it has a part of, from the run's record; whether it has all then.

    None where it has nothing of it, or no record here is that of this window of wandb's.
    """
    record, identity = RunFolder(places, upload.key_of_window(window)), upload.identity_of_window(window)
    told = list[str]()
    try:
        config, result = reading.config(record.path), record.result()
        if not config or not result or identity != upload.identity(record.key, record.repetitions()):
            return None
        tracker = tracking.go_on({**config, "output_dir": str(places.output_dir)}, identity, told.append)
        if tracker is None:
            return None
        is_whole = _show(tracker, config, result, record.path) is None and not told
    except UserError as error:
        told.append(str(error))
        is_whole = False
    for each in told:
        warn(each)
    if is_whole:
        upload.mark_uploaded(window)
    return is_whole


def _show(tracker: Tracker, config: Mapping[str, Any], result: Mapping[str, Any], folder: Path | None) -> str | None:
    """Show what the record of a run that has ended has, and close its window; the command that uploads what is left."""
    from ablate.recipe.data.phoneme import PHONEMES

    if folder:
        for row in reading.rows(folder):
            tracker.log(row)
        exhibit(config, folder, PHONEMES, tracker)
    return tracker.finish(result["status"], result)
