"""What is said of a command that ends badly, and its exit code; one line where one is enough."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

import yaml
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from ablate.command_line import ALIASES
from ablate.compose import GROUPS, compose, is_table, nearest, options, user_conf_dir
from ablate.error import BusyError, IncompleteError, UserError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_WRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EFBIG,
)  # fmt: skip


def refusal(error: Exception, overrides: Sequence[str]) -> tuple[int, str] | None:
    """Exit code and text for an error that has its cause outside the code; none for a fault of ours."""
    if isinstance(error, UserError):
        return 2, str(error)
    if isinstance(error, BusyError | IncompleteError):
        return 1, str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return 2, f"{group}={option}: no such option; expected one of {', '.join(sorted(error.options))}"
    if isinstance(error, OverrideParseException):
        return 2, f"{error.override}: can't be read as key=value{_how_to_quote(error)}"
    if isinstance(error, ConfigCompositionException) and (key := re.match("Could not override '(.+?)'", str(error))):
        return 2, _unknown_key(key[1], overrides)
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        wrong = [each for each in overrides if each.partition("=")[0] in GROUPS and each.endswith("=null")]
        return 2, f"{', '.join(wrong) or _line(str(error))}: give a group the name of one of its options"
    if isinstance(error, UnicodeDecodeError | RecursionError) or "Invalid loaded object type" in str(error):
        return 2, f"{_broken_file()}: not a config that can be read (UTF-8, keys and values, no defaults in a circle)"
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return 2, f"{mark.name}, line {mark.line + 1}: not YAML: {error.problem}"
    if isinstance(error, YAMLError):
        return 2, _line(str(error))
    if isinstance(error, HydraException | OmegaConfBaseException):
        cause = f"; {_line(str(error.__cause__))}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        return 2, _line(str(error)) + cause
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return 1, f"{error.strerror}{_of(error)}; free some space and give the same command again"
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        return 2, f"{error.strerror}{_of(error)}; output_dir=... chooses another place for results"
    return None


def in_words(error: Exception, overrides: Sequence[str] = ()) -> str:
    """What is said of an error wherever its cause lies."""
    known = refusal(error, overrides)
    return known[1] if known else f"{type(error).__name__}: {error}"


def _how_to_quote(error: OverrideParseException) -> str:
    """What is wrong with an override, in words of ours where the parser has none, and how to say it."""
    key, _, value = str(error.override).partition("=")
    reason = "" if error.message.startswith("Lexer") else f": {_line(error.message)}"
    if value.startswith(("{", "[")):
        return f"{reason}; what the command line can't say goes into a file of your own, conf/<group>/<option>.yaml"
    if value and not set(value) & set("'\""):
        return f"{reason}; put a value with special characters in quotes: '{key}=\"{value}\"'"
    return reason


def _unknown_key(key: str, overrides: Sequence[str]) -> str:
    parent, _, name = key.rpartition(".")
    others = options(parent) if parent in GROUPS else []
    if having := [option for option in others if name in _keys(compose([f"{parent}={option}"])[parent])]:
        return f"{key}: only some options of {parent} have it: {', '.join(having)}; choose one with {parent}=..."
    groups = [override for override in overrides if override.split("=")[0] in GROUPS and "," not in override]
    try:
        config = compose(groups)
    except HydraException:
        return f"{key}: unknown key"
    group, _, below = parent.partition(".")
    if group in GROUPS and is_table(group, config[group], below):
        return f"{key}: not in the table {parent}; +{key}=... adds it"
    keys = _keys(config)
    beside = [known for known in keys if known.rpartition(".")[0] == parent]
    elsewhere = [known for known in keys if known.rpartition(".")[2] == name]
    if not parent:
        beside = [*beside, *ALIASES]
    return f"{key}: unknown key; {nearest(key, elsewhere[:1] or beside or keys)}"


def _broken_file() -> str:
    """The user's own config file that is no mapping, as far as that can be told."""
    own = user_conf_dir()
    for file in sorted(own.rglob("*.yaml")) if own else []:
        try:
            if isinstance(yaml.safe_load(file.read_text(encoding="utf-8")), dict):
                continue
        except (UnicodeDecodeError, yaml.YAMLError):
            pass
        return str(file)
    return str(own or "conf")


def _keys(config: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name in map(str, config):
        keys.append(f"{prefix}{name}")
        if isinstance(below := config._get_node(name), DictConfig):
            keys += _keys(below, f"{prefix}{name}.")
    return [key for key in keys if not key.endswith("_target_")]


def _line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith("See https"))


def _of(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""
