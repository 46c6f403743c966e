"""wandb: a window on a run, never its record. Nothing that happens to it may cost a training."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.error import UserError
from ablate.record import exhibit, upload, wandb_api, wandb_settings
from ablate.record.key import is_outside
from ablate.record.layout import Layout
from ablate.record.patience import MOST_SECONDS, within_seconds
from ablate.record.reading import Row
from ablate.record.status import ENDED, End
from ablate.record.wandb_settings import Mode, choose_mode, first_line

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RECORD = "record"
"""Where the summary of a run that has ended has its result, as JSON: what a team-mate's report needs."""

_UPLOAD_SECONDS = 120  # that a model may take
_GRACE_SECONDS = 5  # that wandb may be late to end a run
_PATIENCE_SECONDS = 300  # after which a multirun's next run asks a server again that could not be used
_NOT_SHOWN = ("files", "dropped_utterances")  # of a result: they speak of files that are not there


@dataclass
class Server:
    """What a command knows of wandb's server."""

    not_before: float = 0.0  # by the monotonic clock: it could not be used, and each attempt costs seconds


@dataclass(frozen=True)
class Shown:
    """A run as its window shows it."""

    key: str
    name: str
    tags: list[str]
    repetition: int = 0  # tells trainings of one key apart that are not one going on, from 0
    attempt: int = 1  # at this training, from 1
    facts: Mapping[str, Any] = field(default_factory=dict)  # that its config does not have: arm, machine, ...

    @property
    def identity(self) -> str:
        """The run's id at the server: an agent's, where one has started it, for its sweep to know it by."""
        return wandb_settings.sweep_run() or upload.identity(self.key, self.repetition)


class Tracker:
    """A run's window in wandb, or none if it is disabled. A failure closes it with a warning, and is no error."""

    def __init__(
        self, run: Any | None, mode: Mode, *, alerts: bool = False, warn: Callable[[str], None] = print
    ) -> None:
        self._run = run
        self._alerts = alerts
        self._warn = warn
        self.mode = mode

    @property
    def url(self) -> str:
        """Where the run can be seen; empty where it is not online."""
        return str(self._run.url or "") if self._run and self.mode == "online" else ""

    def log(self, row: Row) -> None:
        """An epoch's row of metrics, once: what a resumed run has shown before is not shown again."""
        if self._run and int(row["epoch"] or 0) >= self._run.starting_step:
            present = {name: value for name, value in row.items() if value is not None}
            self._try(lambda run: run.log(present, step=row["epoch"], commit=True))

    def log_confusion(self, counts: npt.NDArray[np.int64] | None, names: Sequence[str]) -> None:
        """What was taken for what in the best epoch, where there was one."""
        if counts is not None and len(counts) == len(names):
            self._try_beside(lambda run: exhibit.log(run, counts, names))

    def keep_model(self, path: Path, key: str) -> None:
        """Upload the weights of the best epoch, where there was one."""
        if path.exists():
            self._try_beside(lambda run: exhibit.keep_model(run, path, key))

    def finish(self, status: End, record: Mapping[str, Any]) -> str | None:
        """Close the window with the run's end, of which `record` has what is known.

        Gives the command that uploads it, where that is left to do.
        """
        metrics = record.get("metrics", {})
        summary = {
            "status": status,
            "best/val/accuracy": metrics.get("val/accuracy"),
            "best/val/loss": metrics.get("val/loss"),
            "best/epoch": metrics.get("best_epoch"),
        }
        summary |= {name: record[name] for name in ("seconds", "frames_per_second") if name in record}
        if status in ENDED and "key" in record:
            told = {name: value for name, value in record.items() if name not in _NOT_SHOWN}
            summary[RECORD] = json.dumps(told, separators=(",", ":"), allow_nan=False)
        self._try(lambda run: run.summary.update(summary))
        if self._alerts and status == "diverged":
            self._try(lambda run: run.alert("diverged", f"{run.name}: the loss became NaN or infinite"))
        how_to_sync: str | None = self._try(lambda run: _close(run, status == "finished", self.mode))
        self._run = None
        return how_to_sync

    def _try(self, act: Callable[[Any], Any]) -> Any:
        if self._run is None:
            return None
        try:
            return act(self._run)
        except Exception as error:  # whatever a service that died, a full disk or a server makes of it
            self._warn(f"wandb: {first_line(error)}; the run goes on without it")
            self._run = None
            return None

    def _try_beside(self, act: Callable[[Any], None]) -> None:
        """Do what asks the server there and then, and what the window can do without."""
        run = self._run
        if run is None:
            return
        try:
            within_seconds(lambda: act(run))
        except Exception as error:  # whatever a failing server makes of it
            self._warn(f"wandb: {first_line(error)}; the run's tables or model are not all shown")


def start(config: Mapping[str, Any], shown: Shown, mode: Mode, server: Server, warn: Callable[[str], None]) -> Tracker:
    """Open a run's window; where the server can't be reached, offline, after one warning.

    Online, a resumed run goes on under its id.
    """
    if mode == "disabled":
        return Tracker(None, mode)
    if mode == "online" and time.monotonic() < server.not_before:
        mode = "offline"
    window = wandb_settings.of_run(config, shown.name, shown.tags)
    window["config"] = {**of_results(config), **shown.facts, "key": shown.key}
    try:
        run, opened = _open(config, shown, mode, window, warn)
        if opened != mode:
            server.not_before = time.monotonic() + _PATIENCE_SECONDS
        _define_metrics(run)
    except Exception as error:  # whatever a full disk or a missing service makes of it
        warn(f"wandb: {first_line(error)}; the run goes on without it")
        return Tracker(None, "disabled")
    return Tracker(run, opened, alerts=config["wandb"]["alert"], warn=warn)


def go_on(places: Layout, path: str, *, has_model: bool, warn: Callable[[str], None]) -> Tracker:
    """Open the window, online, of a run (ENTITY/PROJECT/ID) of which the server has a part.

    Its name, tags and config stay as the server has them. Raises `UserError` where it can't be opened.
    """
    entity, project, identity = path.split("/")
    wandb = wandb_settings.load(str(places.output_dir))
    where = {"entity": entity or None, "project": project, "id": identity, "dir": str(places.output_dir)}
    try:
        run = wandb.init(**where, resume="must", mode="online", reinit="finish_previous", settings=_settings(has_model))
        _define_metrics(run)
    except Exception as error:  # whatever a failing server makes of it
        raise UserError(f"wandb: the run can't be gone on with ({first_line(error)})") from error
    return Tracker(run, "online", warn=warn)


def publish(
    config: Mapping[str, Any], name: str, content: Callable[[], Mapping[str, Any]], warn: Callable[[str], None]
) -> tuple[str, bool]:
    """Log a study's report as a run of its group; where it can be seen, and whether it is there already."""
    mode, _ = choose_mode(config["wandb"]["mode"])
    shown = Shown(key=f"{upload.report_of(config['study']['name'])}{uuid.uuid4().hex[:10]}", name=name, tags=[])
    window = {**wandb_settings.of_run(config, name, []), "job_type": "report", "name": name}
    run, opened = _open(config, shown, mode, window, warn)
    run.log(dict(content()))
    url = str(run.url or "")
    return url, _close(run, True, opened) is None


def tell_multirun_end(config: Mapping[str, Any], code: int, arguments: str) -> None:
    """Alert those who asked with `wandb.alert` that a multirun has ended, from a run that only says so."""
    if not config["wandb"]["alert"] or choose_mode(config["wandb"]["mode"])[0] != "online":
        return
    try:
        shown = Shown(key=uuid.uuid4().hex[:16], name=arguments, tags=[])
        window = {**wandb_settings.of_run(config, arguments, []), "job_type": "multirun", "name": arguments}
        run, mode = _open(config, shown, "online", window, print)
        run.alert("multirun ended", f"{arguments}: exit code {code}")
        _close(run, code == 0, mode)
    except Exception as error:  # telling is no part of what was asked
        print(f"ablate: wandb: the end of the multirun was not told ({first_line(error)})", file=sys.stderr)


def of_results(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """What of a config can change a result; a table within an option, such as of labels, is one text."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if name == "_target_" or is_outside(f"{prefix}{name}"):
            continue
        if isinstance(value, Mapping):
            value = json.dumps(value) if prefix else of_results(value, f"{name}.")
        found[name] = value
    return {name: value for name, value in found.items() if value != {}}


def _open(
    config: Mapping[str, Any], shown: Shown, mode: Mode, window: Mapping[str, Any], warn: Callable[[str], None]
) -> tuple[Any, Mode]:
    """A run of wandb and the mode it is in after all; until the server has all of it, whoever ends it, it is marked."""
    wandb = wandb_settings.load(config["output_dir"])
    asked, places = config["wandb"], Layout(Path(config["output_dir"]))
    places.output_dir.mkdir(parents=True, exist_ok=True)
    # An offline run that is synced appends to the run of its id: each attempt has its own.
    identity = shown.identity
    attempt = max(shown.attempt, 1 + len(places.offline_windows(identity)))  # whose folders may have been deleted

    def init(mode: Mode) -> Any:
        run = wandb.init(
            entity=wandb_settings.entity(asked),
            project=wandb_settings.project(asked),
            dir=str(places.output_dir),
            reinit="finish_previous",
            id=identity if mode == "online" else f"{identity}-{attempt}",
            resume="allow" if mode == "online" else None,
            mode=mode,
            settings=_settings(asked["artifact"]),
            **window,
        )
        training = upload.identity(shown.key, shown.repetition)
        _window(run).mark_open(f"{run.entity or ''}/{run.project}/{run.id}", training)
        return run

    try:
        return init(mode), mode
    except wandb.errors.Error as error:
        if mode == "offline":
            raise
        warn(
            f"wandb: the server can't be used ({first_line(error)}); this run is kept offline, and can be synced later"
        )
        return init("offline"), "offline"


def _settings(has_model: bool) -> Any:
    """wandb's, to be quick and quiet; with a model to upload it may take longer to finish."""
    import wandb

    url = wandb_settings.server_url()
    of_server: dict[str, Any] = {"base_url": url} if url else {}
    return wandb.Settings(
        console="off",
        silent=True,
        show_info=False,
        show_warnings=False,
        show_errors=False,
        init_timeout=MOST_SECONDS,
        finish_timeout=_UPLOAD_SECONDS if has_model else MOST_SECONDS,
        finish_timeout_raises=True,
        **of_server,
    )


def _define_metrics(run: Any) -> None:
    run.define_metric("epoch")
    for metrics in ("train/*", "val/*", "lr", "step", "frames_per_second", "seconds"):
        run.define_metric(metrics, step_metric="epoch")
    run.define_metric("val/accuracy", step_metric="epoch", summary="max")
    run.define_metric("val/loss", step_metric="epoch", summary="min")


def _close(run: Any, succeeded: bool, mode: Mode) -> str | None:
    """End a run of wandb within seconds; the command that uploads what the server does not have.

    A service that retries for ever, as it does with the manifest of a table, is ended: the run's own file has all.
    """
    window = _window(run)
    places = Layout(window.folder.parent.parent)

    def finish() -> bool:
        try:
            run.finish(exit_code=0 if succeeded else 1)
        except TimeoutError:
            return False
        return True

    try:
        is_whole = within_seconds(finish, run.settings.finish_timeout + _GRACE_SECONDS)
    except TimeoutError:
        _end_service()
        is_whole = False
    except KeyboardInterrupt:
        _end_service()  # or this process would wait for it at its end
        raise
    if mode != "online":
        return f"wandb sync {shlex.quote(str(window.folder))}"
    if is_whole and wandb_api.has_ended(run.path):
        upload.mark_whole(places, window.run)
        return None
    return upload.command(places)


def _window(run: Any) -> upload.Window:
    return upload.Window(Path(run.settings.sync_dir))


def _end_service() -> None:
    """End wandb's own process, so that the next run begins another."""
    import psutil
    import wandb

    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("wandb-core"):
                process.kill()
    with contextlib.suppress(Exception, SystemExit):  # it asks a process that is no more, and exits with its code
        wandb.teardown()
