"""What the user has told wandb: by our keys, by the environment, by wandb's own commands. No network is asked."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal
from urllib.parse import urlsplit

from ablate.error import UserError
from ablate.file import read_plain
from ablate.record.layout import Layout

Mode = Literal["online", "offline", "disabled"]

_MODES: dict[str, Mode] = {
    "online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled",
}  # fmt: skip
_SERVER, _SERVER_BEFORE = "api.forge.coreweave.com", "api.wandb.ai"  # wandb's own, and its name when many logged in
_DEFAULT_PROJECT = "ablate"
_LONGEST_TAG = 64
_MOST_BYTES = 1 << 20  # of wandb's settings


def choose_mode(asked: str) -> tuple[Mode, str]:
    """The mode that `wandb.mode` means here, and the reason for it.

    Raises `UserError` for `online` without an API key, and for a WANDB_MODE or a server that is none.
    """
    mode, reason = _chosen(asked)
    url = server_url()
    if mode != "disabled" and url and not _is_address(url):
        raise UserError(f"WANDB_BASE_URL: expected the address of a server, https://HOST, found {url!r}")
    return mode, reason


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is none, half an IPv6 address
        return False


def _chosen(asked: str) -> tuple[Mode, str]:
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


def check_api_key() -> None:
    """Raise `UserError` where there is no API key."""
    if not _has_api_key():
        raise UserError("wandb: no API key in WANDB_API_KEY or netrc; `wandb login`")


def server_url() -> str | None:
    """The server that the user has named; none means wandb's own."""
    return os.environ.get("WANDB_BASE_URL") or _set_by_command().get("base_url")


def entity(asked: Mapping[str, Any]) -> str | None:
    """The team of `wandb.entity`; none means the user's default."""
    found: str | None = asked["entity"] or os.environ.get("WANDB_ENTITY") or _set_by_command().get("entity")
    return found


def project(asked: Mapping[str, Any]) -> str:
    """The project of `wandb.project`, or the nearest that is named elsewhere."""
    named = os.environ.get("WANDB_PROJECT") or _set_by_command().get("project")
    return str(asked["project"] or named or _DEFAULT_PROJECT)


def sweep_run() -> str | None:
    """The id that `wandb agent` has given this process for its run; none where no agent has started it."""
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def of_run(config: Mapping[str, Any], name: str, tags: list[str]) -> dict[str, Any]:
    """What a run is called in its window, and where it belongs, given its own name and tags."""
    asked, environment = config["wandb"], os.environ
    by_environment = [tag.strip() for tag in environment.get("WANDB_TAGS", "").split(",") if tag.strip()]
    own_name = None if _is_of_multirun(config) else environment.get("WANDB_NAME")
    return {
        "group": config["study"]["name"] or environment.get("WANDB_RUN_GROUP"),
        "job_type": environment.get("WANDB_JOB_TYPE") or "train",
        "name": own_name or name,
        "notes": asked["notes"] or environment.get("WANDB_NOTES"),
        "tags": [tag[:_LONGEST_TAG] for tag in dict.fromkeys([*asked["tags"], *by_environment, *tags])],
    }


def not_heeded(config: Mapping[str, Any], *, is_multirun: bool = False) -> list[str]:
    """A line on each of wandb's variables that is set and means nothing here."""
    said = {}
    if not os.environ.get("WANDB_SWEEP_ID"):  # an agent sets these itself
        said["WANDB_DIR"] = f"wandb's files lie in {config['output_dir']}/wandb; output_dir= moves them"
        said["WANDB_RUN_ID"] = "a run's id is its key"
    if config["study"]["name"] or is_multirun:
        said["WANDB_RUN_GROUP"] = "the runs of a study are grouped by its name, study.name"
    if is_multirun or _is_of_multirun(config):
        said["WANDB_NAME"] = "the runs of a study are called by their arms and seeds"
    return [f"{name}={os.environ[name]}: not heeded; {why}" for name, why in said.items() if os.environ.get(name)]


def load(output_dir: str) -> ModuleType:
    """The module `wandb`, quiet from its import on."""
    os.environ.setdefault("WANDB_SILENT", "true")  # wandb.login speaks before any setting can say not to
    if not _has_cache():  # wandb's service tells at length that it has no place for its logs
        os.environ.setdefault("XDG_CACHE_HOME", str(Layout(Path(output_dir)).cache.resolve()))
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # wandb's own telemetry, whose failures are its own
    import wandb

    return wandb


def first_line(error: Exception) -> str:
    """What wandb says of an error, in a line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_of_multirun(config: Mapping[str, Any]) -> bool:
    return config["study"]["arm"] is not None


def _has_cache() -> bool:
    """Whether the user has a folder for what programs keep."""
    folder = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("HOME") and f"{os.environ['HOME']}/.cache")
    try:
        Path(folder or "").mkdir(parents=True, exist_ok=True)
        return bool(folder)
    except OSError:
        return False


def _set_by_command() -> dict[str, str]:
    """What wandb's own commands (`wandb offline`, `wandb init`) have set for this user, or for this folder."""
    import configparser

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
    import netrc

    host = urlsplit(server_url() or "").netloc or _SERVER  # with its port, as `wandb login` writes it
    hosts = (_SERVER, _SERVER_BEFORE) if host == _SERVER else (host,)
    files = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for file in files:
        try:
            known = netrc.netrc(str(Path(file).expanduser()))
        except (OSError, netrc.NetrcParseError):
            continue
        if any((found := known.authenticators(host)) and found[2] for host in hosts):
            return True
    return False
