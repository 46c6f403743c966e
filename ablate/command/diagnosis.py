"""What is wrong with overrides and configs: every mistake in a line, with the right spelling."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Container, Sequence
from typing import TypeVar

import yaml
from hydra.core.override_parser.types import RangeSweep
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from ablate.config.check import check_settings, hint_of, is_table, refuse
from ablate.config.compose import Composer, is_of_hydra, resolve
from ablate.config.folder import PRIMARY, user_conf_dir
from ablate.config.override import ALIASES, for_shell, name_of, value_of
from ablate.config.settings import GROUPS
from ablate.config.spelling import by_another_name, guess, nearest
from ablate.error import UserError
from ablate.study.design import MOST_LEVELS

Answer = TypeVar("Answer")

_PLUGINS = {
    "submitit_local": "hydra-submitit-launcher", "submitit_slurm": "hydra-submitit-launcher",
    "optuna": "hydra-optuna-sweeper",
}  # fmt: skip


def slip(composer: Composer, override: str, *, multirun: bool) -> str | None:
    """What is wrong with an override by itself, where Hydra would take it for something else than was meant."""
    try:
        parsed = composer.parsed(override)
    except HydraException as error:
        return of_config(error)
    name, value = name_of(override), value_of(override)
    if isinstance(swept := parsed.value(), RangeSweep) and (said := wrong_range(swept)):
        return f"{override}: {said}"
    if is_of_hydra(override):
        return f"{override}: expected one value, the same for all runs" if parsed.is_sweep_override() else None
    if "@" in name and not parsed.is_delete():
        return f"{override}: a group has its own place; write {name.partition('@')[0]}={value}"
    if name in GROUPS and parsed.is_add():
        return f"{override}: every run has its {name}; write {name}={value}"
    if composer.is_group(name) and value.endswith(".yaml"):
        return f"{override}: an option goes by its name; write {name}={value.removesuffix('.yaml')}"
    if composer.is_group(name):
        if isinstance(listed := parsed.value(), list) and not parsed.is_sweep_override():
            levels = ",".join(map(str, listed))
            together = _together(composer, name, levels)
            return f"{name}: expected one option; --multirun {name}={levels} runs several{together}"
        if parsed.is_sweep_override() and not multirun:
            return f"{override}: expected one option; to compare them add --multirun{_together(composer, name, value)}"
    elif parsed.is_sweep_override() and not multirun:
        text = f'{name}="{value}"'
        others = "" if "(" in value else f"; a list is {for_shell(f'{name}=[{value}]')}, a text {for_shell(text)}"
        return f"{override}: several levels are a study: add --multirun{others}"
    return None


def wrong_range(swept: RangeSweep) -> str | None:
    """Why a range has no sensible number of levels."""
    start, stop, step = float(swept.start or 0), float(swept.stop or 0), float(swept.step)
    if not step:
        return "expected a step other than 0"
    if not (stop - start) / step <= MOST_LEVELS:
        return f"expected at most {MOST_LEVELS:,} levels, found more"
    return None


def told_at_once(composer: Composer, overrides: Sequence[str], ask: Callable[[], Answer]) -> Answer:
    """The answer, or the refusal of all that is wrong with the overrides of one config."""
    refuse(said for each in overrides if (said := slip(composer, each, multirun=False)))
    try:
        return ask()
    except Exception:
        refuse(mistakes(composer, overrides))
        raise


def mistakes(composer: Composer, overrides: Sequence[str], *, multirun: bool = False) -> list[str]:
    """All that is wrong with the overrides of one config, a line each; options first, since keys depend on them."""
    if of_hydra := _mistakes_of_hydra(composer):
        with composer.without_hydra() as plain:
            return [*of_hydra, *mistakes(plain, overrides, multirun=multirun)]
    found, sound = dict[str, str](), list[str]()
    ordered = sorted(overrides, key=lambda each: not composer.is_group(name_of(each)))
    for override in ordered:
        if said := slip(composer, override, multirun=multirun):
            found[override] = said
        else:
            sound.append(override)
    while (wrong := _first_that_does_not_compose(composer, sound)) is not None:
        found[wrong[0]] = wrong[1]
        sound.remove(wrong[0])
    return [*(found[each] for each in ordered if each in found), *_wrong_values(composer, sound)]


def _first_that_does_not_compose(composer: Composer, overrides: Sequence[str]) -> tuple[str, str] | None:
    """The first of the overrides with which those before it do not compose, and what is said of it."""
    try:
        _compose(composer, overrides)
        return None
    except Exception as error:
        if culprit := _named(error, overrides):
            return culprit, of_composition(error, composer, overrides)
    for number in range(1, len(overrides) + 1):  # a composition each, since the error does not say whose it is
        try:
            _compose(composer, overrides[:number])
        except Exception as error:
            return overrides[number - 1], of_composition(error, composer, overrides[:number])
    return None


def _compose(composer: Composer, overrides: Sequence[str]) -> None:
    composed = composer.compose(overrides)
    if any("${" in each for each in overrides):
        resolve(composed)


def _named(error: Exception, overrides: Sequence[str]) -> str | None:
    """The override that Hydra's error is about, where it names a key or an option that only one of them gives."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        name = str(error.missing_cfg_file).rpartition("/")[0]
    elif isinstance(error, ConfigCompositionException) and (key := re.match("Could not override '(.+?)'", str(error))):
        name = key[1].partition("@")[0]
    else:
        return None
    about = [each for each in overrides if name_of(each) == name]
    return about[0] if len(about) == 1 else None


def _mistakes_of_hydra(composer: Composer) -> list[str]:
    """What is wrong with Hydra's own settings."""
    found, chosen = list[str](), list[str]()  # the options of Hydra's groups, whose keys others set
    for override in sorted(composer.of_hydra, key=lambda each: "/" not in name_of(each)):
        if said := slip(composer, override, multirun=False):
            found.append(said)
            continue
        try:
            with composer.without_hydra() as plain:
                plain.whole([], of_hydra=[*chosen, override])
            chosen += [override] if "/" in name_of(override) else []
        except Exception as error:
            with composer.without_hydra() as plain:
                found.append(of_composition(error, plain, [override]))
    return found


def of_composition(error: Exception, composer: Composer, overrides: Sequence[str]) -> str:
    """What is said of an error in composing the config of these overrides."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing(error, composer, {name_of(each) for each in overrides})
    if isinstance(error, ConfigCompositionException) and (key := re.match("Could not override '(.+?)'", str(error))):
        return _unknown_key(key[1].partition("@")[0], composer, overrides)
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        wrong = [each for each in overrides if name_of(each) in GROUPS and value_of(each) == "null"]
        return f"{', '.join(wrong) or _line(str(error))}: give a group the name of one of its options"
    return of_config(error)


def _wrong_values(composer: Composer, overrides: Sequence[str]) -> list[str]:
    """What is wrong with the values of overrides that compose."""
    try:
        check_settings(resolve(composer.compose(overrides)), overrides)
    except UserError as error:
        return str(error).splitlines()
    except Exception as error:
        return [of_composition(error, composer, overrides)]
    return []


def _missing(error: MissingConfigException, composer: Composer, typed: Container[str]) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    listing = re.match("In '(.+?)'", str(error))
    if listing and listing[1] not in (PRIMARY, "hydra/config") and group not in typed:
        return f"{listing[1]}.yaml: its defaults list names {error.missing_cfg_file}, and there is no such file"
    if not group:
        return f"--config-name {option}: expected {option}.yaml in conf/ or --config-dir, found none"
    options = sorted(error.options or [])
    if plugin := _PLUGINS.get(option) if group.startswith("hydra/") else None:
        return f"{group}={option}: not installed; `pip install {plugin}` brings it"
    if not options:
        return f"{group}={option}: no such option, and there is none; conf/{group}/{option}.yaml would be one"
    meant = guess(option, options)
    did_you = f"did you mean {meant}? " if meant else ""
    return f"{group}={option}: no such option; {did_you}expected one of {', '.join(options)}"


def of_config(error: Exception) -> str:
    """What is said of an error of Hydra's, OmegaConf's or of a YAML file."""
    if isinstance(error, OverrideParseException) and (meant := _without_slip(str(error.override))):
        return f"{error.override}: {meant}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: can't be read as key=value{_how_to_quote(error)}"
    if isinstance(error, UnicodeDecodeError | RecursionError) or "Invalid loaded object type" in str(error):
        return f"{_broken_file()}: not a config that can be read (UTF-8, keys and values, no defaults in a circle)"
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}: not YAML: {error.problem}"
    cause = f"; {_line(str(error.__cause__))}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
    return _line(str(error)) + cause


def _without_slip(override: str) -> str | None:
    """How an override is written that has no = or two of them."""
    if "=" not in override and (colon := re.fullmatch(r"([+~]*[\w./]+):(\S+)", override)):
        return f"= stands between key and value; write {for_shell(f'{colon[1]}={colon[2]}')}"
    if "=" not in override:
        return "expected key=value; `ablate --help` lists the keys, `ablate` alone the commands"
    if "==" in override and (twice := re.fullmatch(r"([+~]*[\w./]+)=+([^=]*)", override)):
        return f"one = is enough; write {for_shell(f'{twice[1]}={twice[2]}')}"
    return None


def _how_to_quote(error: OverrideParseException) -> str:
    """What is wrong with an override, in words of ours where the parser has none, and how to say it."""
    key, _, value = str(error.override).partition("=")
    reason = "" if error.message.startswith("Lexer") else f": {_line(error.message)}"
    if key == "study.exclude":
        arms = value.strip("[]'\"")
        return f"; arms to leave out stand in a list: 'study.exclude=[\"{arms}\"]'"
    if value.startswith(("{", "[")):
        return f"{reason}; what the command line can't say goes into a file of your own, conf/<group>/<option>.yaml"
    if value and not set(value) & set("'\""):
        return f"{reason}; put a value with special characters in quotes: '{key}=\"{value}\"'"
    return reason


def _together(composer: Composer, group: str, levels: str) -> str:
    """How several options of a group are had in one run, where all are the same call with other values."""
    names = [each.strip() for each in levels.split(",")]
    if group not in GROUPS or not {"none", *names} <= set(composer.options(group)):
        return ""
    nodes = {name: resolve(composer.compose([f"{group}={name}"]))[group] for name in ("none", *names)}
    if len({node["_target_"] for node in nodes.values()}) > 1:
        return ""
    first, *others = [name for name in names if name != "none"]
    added = [
        f"{group}.{key}={value}"
        for other in others
        for key, value in nodes[other].items()
        if value != nodes["none"][key] and nodes[first][key] != value
    ]
    return f"; together in one run they are {' '.join([f'{group}={first}', *added])}" if added else ""


def _unknown_key(key: str, composer: Composer, overrides: Sequence[str]) -> str:
    parent, _, name = key.rpartition(".")
    if not parent and key not in GROUPS and composer.is_group(key):
        return f"{key}: a folder of options of your own is added: +{key}=..."
    if is_of_hydra(key) and "/" in key:
        return f"{key}: no such group; {nearest(key, composer.groups_of_hydra())}"
    if key.startswith("hydra.launcher."):
        hint = f"`--cfg hydra` shows its keys, and +{key}=... adds one that the preset lacks"
        return f"{key}: unknown key of the launcher that hydra/launcher=... chooses; {hint}"
    if is_of_hydra(key):
        known = [each for each in _keys(composer.whole([])) if each.startswith("hydra.")]
        meant = guess(key, known)
        hint = f"did you mean {meant}?" if meant else "`--cfg hydra` shows those that there are"
        return f"{key}: unknown key; {hint}"
    others = composer.options(parent) if parent in GROUPS else []
    chosen = next((value_of(each) for each in overrides if name_of(each) == parent), None)
    having = [each for each in others if name in composer.keys_of(parent, each)]
    if having and chosen not in having:
        return f"{key}: only some options of {parent} have it: {', '.join(having)}; choose one with {parent}=..."
    if (config := _without(key, composer, overrides)) is None:
        return f"{key}: unknown key"
    if parent in GROUPS and is_table(hint_of(parent, config[parent], name)):
        return f"{key}: a table, which has no such entry; +{key}.NAME=... adds one"
    group, _, below = parent.partition(".")
    if group in GROUPS and below and is_table(hint_of(group, config[group], below)):
        return f"{key}: not in the table {parent}; +{key}=... adds it"
    keys = _keys(config)
    beside = [known for known in keys if known.rpartition(".")[0] == parent]
    elsewhere = [known for known in keys if known.rpartition(".")[2] == name]
    if meant := by_another_name(name, keys):
        return f"{key}: unknown key; did you mean {meant}?"
    if not parent:
        beside = [*beside, *ALIASES]
    return f"{key}: unknown key; {nearest(key, elsewhere[:1] or beside or keys)}"


def _without(key: str, composer: Composer, overrides: Sequence[str]) -> DictConfig | None:
    """The config of the overrides but this key, or of their options alone; none where those do not compose either."""
    others = [each for each in overrides if name_of(each) != key]
    options = [each for each in others if composer.is_group(name_of(each)) and "," not in each]
    others = [each for each in others if each in options or not each.startswith("+")]  # which may be mistakes too
    for given in (others, options):
        with contextlib.suppress(HydraException, UserError):
            return composer.compose(given)
    return None


def _broken_file() -> str:
    """The user's own config file that is no mapping, as far as that can be told."""
    own = user_conf_dir()
    for file in sorted(own.rglob("*.yaml")) if own else []:
        try:
            if isinstance(yaml.safe_load(file.read_text(encoding="utf-8")), dict):
                continue
        except (UnicodeDecodeError, RecursionError, yaml.YAMLError):
            pass
        return str(file)
    return str(own or "conf")


def _keys(config: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name in map(str, config):
        keys.append(f"{prefix}{name}")
        if isinstance(below := config._get_node(name), DictConfig) and not below._is_none() and not below._is_missing():
            keys += _keys(below, f"{prefix}{name}.")
    return [key for key in keys if not key.endswith("_target_")]


def _line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith("See https"))
