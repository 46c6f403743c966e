"""Configs: composed by Hydra, resolved, checked, and the only door to the calls that they describe.

A node is a call: its keys are the keyword-only parameters of its `_target_`, a public callable of the group's own
module in `ablate.recipe`. Nothing else may be called, and types and ranges are those of its annotations.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import difflib
import functools
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ablate.error import UserError
from ablate.record.key import is_outside, leaves
from ablate.settings import Settings

Config = dict[str, Any]

GROUPS = (
    "data", "normalization", "augmentation", "arch", "initialization", "optimizer", "scheduler", "regularization",
)  # fmt: skip
_EXCLUSIVE = [("arch.width", "arch.num_params")]
_MOST_PROBLEMS = 5
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def conf_dir() -> Path:
    """The folder of our own configs: in a checkout at its top, in an installed wheel inside the package."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "conf"
    in_checkout = (package.parent / "pyproject.toml").is_file() and (checkout / "config.yaml").is_file()
    return checkout if in_checkout else package / "conf"


def user_conf_dir() -> Path | None:
    """The user's own `conf/` in the current folder, where it holds one of our groups and is not ours."""
    own = Path("conf").resolve()
    holds_group = any((own / group).is_dir() for group in (*GROUPS, "study"))
    return own if holds_group and own != conf_dir().resolve() else None


class _UserConf(SearchPathPlugin):
    """Puts the user's own options before ours, so that they can add to them and replace them."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if own := user_conf_dir():
            if (own / "config.yaml").exists():
                raise UserError(f"{own / 'config.yaml'}: it would replace ablate's own; put options into conf/<group>/")
            search_path.prepend(provider="user", path=f"file://{own}", anchor="main")


Plugins.instance().register(_UserConf)


def options(group: str) -> list[str]:
    """The names of a group's options, ours and the user's."""
    folders = [folder for folder in (conf_dir(), user_conf_dir()) if folder]
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def compose(overrides: Sequence[str]) -> DictConfig:
    """The config of these overrides (canonical names), as the command line would compose it; unresolved."""
    with _initialized():
        return hydra.compose("config", list(overrides))


class _Remembered(CachingConfigRepository):
    """The config files, each read once: Hydra copies its repository for every composition."""

    def __deepcopy__(self, memo: object) -> _Remembered:
        return self


@contextlib.contextmanager
def files_read_once() -> Iterator[None]:
    """A context in which config files are as they were at first: it is faster, and an edit changes no later run."""
    loader = typing.cast(ConfigLoaderImpl, GlobalHydra.instance().config_loader())
    repository = loader.repository
    loader.repository = _Remembered(repository)  # type: ignore[assignment]
    try:
        yield
    finally:
        loader.repository = repository


class Compositions:
    """Configs of many lists of overrides: a set of options is composed once. All lists must override the same keys."""

    def __init__(self) -> None:
        self._parse = functools.cache(OverridesParser.create().parse_override)
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """As the function of this name."""
        parsed = [self._parse(override) for override in overrides]
        values = [each for each in parsed if self._is_plain_value(each)]
        options = tuple(str(each.input_line) for each in parsed if not self._is_plain_value(each))
        if options not in self._composed:
            self._composed[options] = compose(overrides)
            return copy.deepcopy(self._composed[options])
        composed = copy.deepcopy(self._composed[options])
        for each in values:
            OmegaConf.update(composed, each.key_or_group, each.value(), merge=True)
        return composed

    @staticmethod
    def _is_plain_value(override: Override) -> bool:
        """Whether it only puts a value in the place of another, which Hydra does last of all."""
        is_change = override.type is OverrideType.CHANGE and not isinstance(override.value(), dict)
        return is_change and override.key_or_group not in (*GROUPS, "study") and override.package is None


@functools.cache
def _defaults() -> dict[str, str]:
    """The option of each group where nothing is chosen."""
    return dict(hydra.compose("config", return_hydra_config=True).hydra.runtime.choices)


@functools.cache
def _plain(choices: tuple[str, ...]) -> dict[str, Any]:
    """The leaves of a config that has only these options."""
    plain = OmegaConf.to_container(hydra.compose("config", list(choices)), resolve=True)
    return dict(leaves(typing.cast(Config, plain)))


def differences(config: Config, choices: Mapping[str, str]) -> list[str]:
    """What a config has that is not default, as overrides without the seed: options first, then single values."""
    with _initialized():
        defaults = _defaults()
        before = _plain(tuple(f"{group}={option}" for group, option in choices.items()))
    options = [f"{group}={option}" for group, option in choices.items() if option != defaults[group]]
    values = [f"{path}={value}" for path, value in leaves(config) if before.get(path) != value]
    return options + [
        value for value in values if not is_outside(value.split("=")[0]) and not value.startswith("seed=")
    ]


def resolve(composed: DictConfig) -> Config:
    """A composed config as plain values, every interpolation resolved.

    Raises `UserError` for a mandatory value that is missing and an interpolation that leads nowhere.
    """
    try:
        for key in sorted(OmegaConf.missing_keys(composed)):
            raise UserError(f"{key}: missing, and it has no default; give {key}=...")
        plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True, enum_to_str=True)
    except (OmegaConfBaseException, MissingMandatoryValue) as error:
        raise UserError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    assert isinstance(plain, dict)
    return typing.cast(Config, plain)


def check_settings(config: Config, overrides: Iterable[str] = ()) -> None:
    """Refuse a wrong run-level key and a group that is no node, and give the others the types they are meant to have.

    Nothing heavy is imported for it.
    """
    for group in GROUPS:
        if group not in config:
            raise UserError(f"{group}: missing; give {group}=... one of {', '.join(options(group))}")
        if not isinstance(config[group], dict):
            raise UserError(f"{group}: expected one of {', '.join(options(group))}, found {config[group]!r}")
    given = {override.lstrip("+").split("=")[0] for override in overrides if not override.endswith("=null")}
    for first, second in _EXCLUSIVE:
        if {first, second} <= given:
            raise UserError(f"{first} and {second} are both given, and each decides the same; give one")
    settings = {key: value for key, value in config.items() if key not in GROUPS}
    config |= _validated("", settings, typing.get_type_hints(Settings, include_extras=True))


def check(config: Config, group: str) -> None:
    """Refuse a node that is no call of a public callable of its group's module; give its values their types."""
    node = config[group]
    parameters = _parameters(_target(group, node.get("_target_")))
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    config[group] = {"_target_": node["_target_"], **_validated(f"{group}.", arguments, parameters)}


def instantiate(config: Config, group: str, *runtime: Any) -> Any:
    """Call the target of a group's node with the run-time objects; a `ValueError` of it is the user's mistake.

    Not by `hydra.utils.instantiate`: once a node is checked it is a plain call, and nothing in its values is one.
    """
    check(config, group)
    target = _target(group, config[group]["_target_"])
    arguments = {key: value for key, value in config[group].items() if key != "_target_"}
    try:
        inspect.signature(target).bind(*runtime, **arguments)
    except TypeError as error:
        raise UserError(f"{group}._target_={config[group]['_target_']}: not an option of {group} ({error})") from error
    try:
        return target(*runtime, **arguments)
    except ValueError as error:
        raise UserError(str(error)) from error


def is_table(group: str, node: Mapping[Any, Any], name: str) -> bool:
    """Whether a key of a group's node is a table, which takes entries of any name."""
    return typing.get_origin(_parameters(_target(group, node["_target_"])).get(name)) is dict


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint at the known word that is nearest to an unknown one, or the known ones where none is near.

    >>> nearest("lrr", ["lr", "betas"])
    'did you mean lr?'
    """
    known = sorted(words)
    close = difflib.get_close_matches(word, known, n=1)
    if len(known) == 1:
        return f"did you mean {known[0]}?"
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"


def _initialized() -> contextlib.AbstractContextManager[object]:
    if GlobalHydra.instance().is_initialized():  # within a run
        return contextlib.nullcontext()
    return hydra.initialize_config_dir(str(conf_dir()), version_base="1.3")


def _target(group: str, name: object) -> Callable[..., Any]:
    home = f"ablate.recipe.{group}"
    module_name, _, attribute = str(name).rpartition(".")
    inside = module_name == home or module_name.startswith(f"{home}.")
    if inside and not attribute.startswith("_") and all(map(str.isidentifier, str(name).split("."))):
        try:
            target = getattr(importlib.import_module(module_name), attribute, None)
        except ModuleNotFoundError:
            target = None
        is_option = inspect.isfunction(target) or dataclasses.is_dataclass(target)
        if is_option and getattr(target, "__module__", None) == module_name:
            return typing.cast(Callable[..., Any], target)
    raise UserError(f"{group}._target_: expected a public callable of {home}, found {name!r}")


@functools.cache
def _parameters(target: Callable[..., Any]) -> dict[str, Any]:
    """The keyword-only parameters of a callable with their annotations, those of `**name: Unpack[...]` too."""
    hints = typing.get_type_hints(target, include_extras=True)
    keywords: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            keywords[name] = hints[name]
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            keywords |= typing.get_type_hints(typing.get_args(hints[name])[0], include_extras=True)
    return keywords


def _validated(prefix: str, values: Mapping[str, Any], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The values, each in the type of its hint: `2.0` is an integer where one is meant, so that it is one thereafter.

    `prefix` leads to their keys in the config. Raises `UserError` that names what is wrong.
    """
    problems: list[str] = []
    valid = _valid(prefix, values, hints, problems)
    if problems:
        raise UserError("\n".join(problems[:_MOST_PROBLEMS]))
    return valid


def _valid(prefix: str, values: Mapping[str, Any], hints: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    problems += [f"{prefix}{name}: unknown key; {nearest(str(name), hints)}" for name in values if name not in hints]
    problems += [f"{prefix}{name}: missing; give {prefix}{name}=..." for name in hints if name not in values]
    valid: dict[str, Any] = {}
    for name in (name for name in values if name in hints):
        value, hint = values[name], hints[name]
        if typing.is_typeddict(hint) and isinstance(value, dict):
            below = typing.get_type_hints(hint, include_extras=True)
            valid[name] = _valid(f"{prefix}{name}.", value, below, problems)
        elif typing.is_typeddict(hint):
            problems.append(f"{prefix}{name}: expected the keys {', '.join(hint.__annotations__)}, found {value!r}")
        else:
            try:
                valid[name] = _adapter(hint).validate_python(value)
            except ValidationError as error:
                problems += [_problem(f"{prefix}{name}", dict(each)) for each in error.errors()]
    return valid


@functools.cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=_STRICT)


def _problem(key: str, error: Mapping[str, Any]) -> str:
    path = "".join(f"[{position}]" for position in error["loc"])
    said = re.sub(r"Value error, | after validation, not \d+", "", error["msg"])
    said = re.sub("Input should be|(String|List) should have", "expected", said)
    return f"{key}{path}: {said}, found {error['input']!r}"
