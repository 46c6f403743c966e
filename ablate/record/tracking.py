"""wandb: a window on a run, never its record. Nothing that happens to it may cost a training."""

from __future__ import annotations

import configparser
import logging
import netrc
import os
import shlex
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ablate.error import UserError
from ablate.file import read_plain
from ablate.record.layout import Layout
from ablate.record.reading import Row
from ablate.record.status import End

Mode = Literal["online", "offline", "disabled"]

_MODES: dict[str, Mode] = {
    "online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled",
}  # fmt: skip
_DEFAULT_SERVER = "https://api.wandb.ai"
_DEFAULT_PROJECT = "ablate"
_TIMEOUT_SECONDS = 10
_PATIENCE_SECONDS = 300  # after which a multirun's next run asks a server again that could not be used
_LONGEST_TAG = 64
_MOST_BYTES = 1 << 20  # of wandb's settings


def choose_mode(asked: str) -> tuple[Mode, str]:
    """The mode that `wandb.mode` means here, and the reason for it; no network is asked.

    Raises `UserError` for `online` without an API key and for a WANDB_MODE that is none.
    """
    found = _has_api_key()
    if asked == "online" and not found:
        raise UserError("wandb.mode=online: no API key in WANDB_API_KEY or netrc; `wandb login`, or wandb.mode=offline")
    if asked != "auto":
        return _MODES[asked], f"wandb.mode={asked}"
    if given := os.environ.get("WANDB_MODE"):
        if given not in _MODES:
            raise UserError(f"WANDB_MODE: expected one of {', '.join(_MODES)}, found {given!r}")
        return _MODES[given], f"WANDB_MODE={given}"
    if (given := _set_by_command().get("mode")) in ("offline", "dryrun", "disabled"):
        return _MODES[given], f"`wandb {given}` was given here"
    return ("online", "an API key was found") if found else ("offline", "no API key was found")


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

    @property
    def identity(self) -> str:
        """The run's id at the server."""
        return f"{self.key}-r{self.repetition}" if self.repetition else self.key


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

    def finish(self, status: End, metrics: Mapping[str, Any]) -> str | None:
        """Close the window with the run's end; the command that uploads it, where that is left to do."""
        summary = {
            "status": status,
            "best/val/accuracy": metrics.get("val/accuracy"),
            "best/val/loss": metrics.get("val/loss"),
            "best/epoch": metrics.get("best_epoch"),
        }
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
            self._warn(f"wandb: {_line(error)}; the run goes on without it")
            self._run = None
            return None


def start(config: Mapping[str, Any], shown: Shown, mode: Mode, server: Server, warn: Callable[[str], None]) -> Tracker:
    """Open a run's window; where the server can't be reached, offline, after one warning.

    Online, a resumed run goes on under its id.
    """
    if mode == "disabled":
        return Tracker(None, mode)
    if mode == "online" and time.monotonic() < server.not_before:
        mode = "offline"
    window = {"job_type": "train", "config": {**config, "key": shown.key}}
    try:
        run, opened = _open(config, shown, mode, window, warn)
        if opened != mode:
            server.not_before = time.monotonic() + _PATIENCE_SECONDS
        run.define_metric("epoch")
        for metrics in ("train/*", "val/*", "lr", "step", "frames_per_second", "seconds"):
            run.define_metric(metrics, step_metric="epoch")
    except Exception as error:  # whatever a full disk or a missing service makes of it
        warn(f"wandb: {_line(error)}; the run goes on without it")
        return Tracker(None, "disabled")
    return Tracker(run, opened, alerts=config["wandb"]["alert"], warn=warn)


def offline_runs(places: Layout, keys: Iterable[str]) -> list[Path]:
    """The folders of what is kept offline of these runs: of each, the last attempt, which has all of it."""
    latest: dict[str, Path] = {}
    wanted = set(keys)
    for folder in places.offline_windows():
        key = folder.name.split("-", 3)[-1].split("-")[0]
        if key in wanted:
            latest[key] = folder
    return [folder for folder in latest.values() if not any(folder.glob("*.synced"))]


def tell_multirun_end(config: Mapping[str, Any], code: int, arguments: str) -> None:
    """Alert those who asked with `wandb.alert` that a multirun has ended, from a run that only says so."""
    if not config["wandb"]["alert"] or choose_mode(config["wandb"]["mode"])[0] != "online":
        return
    try:
        shown = Shown(key=uuid.uuid4().hex[:16], name=arguments, tags=[])
        run, mode = _open(config, shown, "online", {"job_type": "multirun"}, print)
        run.alert("multirun ended", f"{arguments}: exit code {code}")
        _close(run, code == 0, mode)
    except Exception as error:  # telling is no part of what was asked
        print(f"ablate: wandb: the end of the multirun was not told ({_line(error)})", file=sys.stderr)


def _open(
    config: Mapping[str, Any], shown: Shown, mode: Mode, window: Mapping[str, Any], warn: Callable[[str], None]
) -> tuple[Any, Mode]:
    """A run of wandb and the mode it is in after all."""
    os.environ.setdefault("WANDB_SILENT", "true")  # wandb.login speaks before any setting can say not to
    if not _has_cache():  # wandb's service tells at length that it has no place for its logs
        os.environ.setdefault("XDG_CACHE_HOME", str(Layout(Path(config["output_dir"])).cache.resolve()))
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # wandb's own telemetry, whose failures are its own
    import wandb

    asked, places = config["wandb"], Layout(Path(config["output_dir"]))
    places.output_dir.mkdir(parents=True, exist_ok=True)
    # An offline run that is synced appends to the run of its id: each attempt has its own.
    identity = shown.identity
    attempt = max(shown.attempt, 1 + len(places.offline_windows(identity)))  # whose folders may have been deleted
    tags = [tag[:_LONGEST_TAG] for tag in dict.fromkeys([*asked["tags"], *shown.tags])]
    by_command = _set_by_command()
    quick_and_quiet = wandb.Settings(
        console="off",
        silent=True,
        show_info=False,
        show_warnings=False,
        show_errors=False,
        init_timeout=_TIMEOUT_SECONDS,
        finish_timeout=_TIMEOUT_SECONDS,
        finish_timeout_raises=True,
        base_url=_server_url(),
    )

    def init(mode: Mode) -> Any:
        return wandb.init(
            entity=asked["entity"] or os.environ.get("WANDB_ENTITY") or by_command.get("entity"),
            project=asked["project"]
            or os.environ.get("WANDB_PROJECT")
            or by_command.get("project")
            or _DEFAULT_PROJECT,
            group=config["study"]["name"],
            notes=asked["notes"],
            dir=str(places.output_dir),
            id=identity if mode == "online" else f"{identity}-{attempt}",
            resume="allow" if mode == "online" else None,
            mode=mode,
            reinit="finish_previous",
            settings=quick_and_quiet,
            name=shown.name,
            tags=tags,
            **window,
        )

    try:
        return init(mode), mode
    except wandb.errors.Error as error:
        if mode == "offline":
            raise
        warn(f"wandb: the server can't be used ({_line(error)}); this run is kept offline, and can be synced later")
        return init("offline"), "offline"


def _has_cache() -> bool:
    """Whether the user has a folder for what programs keep."""
    folder = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("HOME") and f"{os.environ['HOME']}/.cache")
    try:
        Path(folder or "").mkdir(parents=True, exist_ok=True)
        return bool(folder)
    except OSError:
        return False


def _close(run: Any, succeeded: bool, mode: Mode) -> str | None:
    """End a run of wandb within seconds; the command that uploads what the server does not have."""
    how_to_sync = f"wandb sync {shlex.quote(str(Path(run.settings.sync_dir)))}"
    try:
        run.finish(exit_code=0 if succeeded else 1)
    except TimeoutError:
        return how_to_sync
    return None if mode == "online" and _has_ended(run) else how_to_sync


def _has_ended(run: Any) -> bool:
    """Whether the server knows that the run has ended: an upload that was refused raises nothing by itself."""
    import wandb

    try:
        return bool(wandb.Api(timeout=_TIMEOUT_SECONDS).run(run.path).state != "running")
    except Exception:  # whatever a failing server makes of it
        return False


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _server_url() -> str:
    return os.environ.get("WANDB_BASE_URL") or _set_by_command().get("base_url") or _DEFAULT_SERVER


def _set_by_command() -> dict[str, str]:
    """What wandb's own commands (`wandb offline`, `wandb init`) have set for this user, or for this folder."""
    here = Path(os.environ.get("WANDB_DIR") or ".")
    user = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    folder = here / ".wandb" if (here / ".wandb").exists() else here / "wandb"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        for file in (user / "settings", folder / "settings"):
            parser.read_string((read_plain(file, _MOST_BYTES) or b"").decode())
        return dict(parser["default"]) if parser.has_section("default") else {}
    except (OSError, ValueError, configparser.Error):
        return {}


def _has_api_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(_server_url()).hostname or ""
    files = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for file in files:
        try:
            known = netrc.netrc(str(Path(file).expanduser())).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if known and known[2]:
            return True
    return False
