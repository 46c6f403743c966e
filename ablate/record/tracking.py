"""wandb: a window on a run, never its record. Nothing that happens to it may cost a training."""

from __future__ import annotations

import netrc
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ablate.error import UserError
from ablate.record.store import Row

Mode = Literal["online", "offline", "disabled"]

_MODES: dict[str, Mode] = {
    "online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled",
}  # fmt: skip
_DEFAULT_SERVER = "https://api.wandb.ai"
_TIMEOUT_SECONDS = 10
_LONGEST_TAG = 64


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
    return ("online", "an API key was found") if found else ("offline", "no API key was found")


class Tracker:
    """A run's window in wandb, or none if it is disabled."""

    def __init__(self, run: Any | None, mode: Mode) -> None:
        self._run = run
        self.mode = mode

    def log(self, row: Row) -> None:
        """An epoch's row of metrics."""
        if self._run:
            self._run.log({name: value for name, value in row.items() if value is not None})

    def finish(self, status: str, metrics: Mapping[str, Any]) -> str | None:
        """Close the window with the run's end; how to sync it, where that is left to do."""
        if not self._run:
            return None
        self._run.summary.update(
            {
                "status": status,
                "best/val/accuracy": metrics.get("val/accuracy"),
                "best/val/loss": metrics.get("val/loss"),
                "best/epoch": metrics.get("best_epoch"),
            }
        )
        self._run.finish(exit_code=0 if status == "finished" else 1)
        folder = Path(self._run.settings.sync_dir)
        return None if self.mode == "online" else f"wandb sync {folder}"


def start(
    config: Mapping[str, Any], *, key: str, name: str, mode: Mode, tags: list[str], warn: Callable[[str], None]
) -> Tracker:
    """Open a run's window; where the server can't be reached, offline, after one warning."""
    if mode == "disabled":
        return Tracker(None, mode)
    import wandb

    chosen, output_dir = config["wandb"], Path(config["output_dir"])
    output_dir.mkdir(parents=True, exist_ok=True)
    attempt = 1 + sum(1 for _ in output_dir.glob(f"wandb/offline-run-*-{key}-*"))

    def init(mode: Mode) -> Any:
        return wandb.init(
            entity=chosen["entity"],
            project=chosen["project"],
            group=config["study"]["name"],
            job_type="train",
            name=name,
            tags=[tag[:_LONGEST_TAG] for tag in dict.fromkeys([*chosen["tags"], *tags])],
            notes=chosen["notes"],
            config={**config, "key": key},
            dir=str(output_dir),
            # A synced offline run appends to the run of its id: each attempt has its own.
            id=key if mode == "online" else f"{key}-{attempt}",
            resume="allow" if mode == "online" else None,
            mode=mode,
            reinit="finish_previous",
            settings=wandb.Settings(
                console="off",
                silent=True,
                init_timeout=_TIMEOUT_SECONDS,
                finish_timeout=_TIMEOUT_SECONDS,
            ),
        )

    try:
        run = init(mode)
    except wandb.errors.Error as error:
        if mode == "offline":
            raise
        reason = str(error).strip().splitlines()[0]
        warn(f"wandb: the server can't be used ({reason}); this run is kept offline")
        mode = "offline"
        run = init(mode)
    run.define_metric("epoch")
    for metrics in ("train/*", "val/*", "lr", "step", "frames_per_second", "seconds"):
        run.define_metric(metrics, step_metric="epoch")
    return Tracker(run, mode)


def _has_api_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or _DEFAULT_SERVER).hostname or ""
    files = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for file in files:
        try:
            known = netrc.netrc(str(Path(file).expanduser())).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if known and known[2]:
            return True
    return False
