"""Every node of a config is checked against the call that it describes, and is the only door to that call.

A node's keys are the keyword-only parameters of its `_target_`, a public callable of the group's own module in
`ablate.recipe`. Nothing else may be called, and types and ranges are those of its annotations.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import ValidationError

from ablate.config import signature
from ablate.config.folder import options
from ablate.config.override import name_of, value_of
from ablate.config.settings import GROUPS, Config, Group, Settings
from ablate.config.spelling import guess, nearest
from ablate.error import UserError, refusing
from ablate.quantity.valid import valid
from ablate.study.design import split

Hints = Mapping[str, Any]

NO_FP16 = "precision=fp16: expected a GPU, found cpu; take fp32, or bf16 on a CPU with AVX-512 bf16 or AMX"

_EXCLUSIVE = [("arch.width", "arch.num_params")]
MOST_PROBLEMS = 20
"""That are told, each in a line."""


def check_settings(config: dict[str, Any], overrides: Sequence[str] = ()) -> Config:
    """The config with its run-level keys checked and in the types they are meant to have; nothing heavy is imported.

    Text that looks like a number (`study.name=2024_11_05`) is as it was typed. Raises `UserError` that names all that
    is wrong, in the nodes too.
    """
    config = dict(config)
    problems = _node_problems(config)
    given = {name_of(override) for override in overrides if value_of(override) != "null"}
    for first, second in _EXCLUSIVE:
        if {first, second} <= given:
            problems.append(f"{first} and {second} are both given, and each decides the same; give one")
    if (config.get("device"), config.get("precision")) == ("cpu", "fp16"):
        problems.append(NO_FP16)
    settings = {
        key: dict(value) if isinstance(value, dict) else value for key, value in config.items() if key not in GROUPS
    }
    hints = _hints_in(Settings)
    typed = {name_of(each): value_of(each) for each in overrides}
    _take_text_as_typed("", settings, hints, typed)
    config |= _valid("", settings, hints, problems)
    checked = typing.cast(Config, config)
    if "data" in config and isinstance(config["data"], dict):
        node = config["data"] = dict(config["data"])
        if any(name.startswith("data.") for name in typed):
            with_text = {key: value for key, value in node.items() if key != "_target_"}
            _take_text_as_typed("data.", with_text, _hints("data", node), typed)
            node |= with_text
    sound = [group for group in GROUPS if isinstance(config.get(group), dict) and _is_whole(group, config[group])]
    problems += [line for group in sound for line in node_problems(checked, group)]
    refuse(problems)
    return checked


def check(config: Config, *groups: Group) -> None:
    """Give the values of these groups' nodes their types. Raises `UserError` that names all that is wrong with them."""
    refuse([line for group in groups or GROUPS for line in node_problems(config, group)])


def node_problems(config: Config, group: Group) -> list[str]:
    """What is wrong with a group's node, a line each; its values that are not wrong get their types."""
    node, problems = config[group], list[str]()
    try:
        hints = _hints(group, node)
    except UserError as error:
        return [str(error)]
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    config[group] = {"_target_": node["_target_"], **_valid(f"{group}.", arguments, hints, problems)}
    return problems


def refuse(problems: Iterable[str]) -> None:
    """Raise `UserError` with all of these lines, each once, if there are any."""
    lines = list(dict.fromkeys(problems))
    if len(lines) > MOST_PROBLEMS:
        lines[MOST_PROBLEMS:] = [f"... and {len(lines) - MOST_PROBLEMS} more"]
    if lines:
        raise UserError("\n".join(lines))


def instantiate(config: Config, group: Group, *runtime: Any) -> Any:
    """Call the target of a group's node with the run-time objects; a `ValueError` of it is the user's mistake.

    Not by `hydra.utils.instantiate`: once a node is checked it is a plain call, and nothing in its values is one.
    """
    check(config, group)
    target = _target(group, config[group]["_target_"])
    arguments = {key: value for key, value in config[group].items() if key != "_target_"}
    try:
        _signature(target).bind(*runtime, **arguments)
    except TypeError as error:
        raise UserError(f"{group}._target_={config[group]['_target_']}: not an option of {group} ({error})") from error
    with refusing():
        return target(*runtime, **arguments)


def wrong_values(prefix: str, values: Mapping[str, Any], hints: Hints) -> list[str]:
    """What is wrong with those of the values that have a hint, a line each, by their keys below `prefix`."""
    problems = list[str]()
    known = {name: hint for name, hint in hints.items() if name in values}
    _valid(prefix, {name: values[name] for name in known}, known, problems)
    return problems


def hint_of(group: Group, node: Mapping[str, Any], name: str) -> Any:
    """The annotation of a node's key; none where it has no such key. Raises `UserError` for a wrong target."""
    return _hints(group, node).get(name)


def is_table(hint: Any) -> bool:
    """Whether a key of this annotation takes entries of any name."""
    return typing.get_origin(hint) is dict


def _node_problems(config: Mapping[str, Any]) -> list[str]:
    """Groups that are no nodes."""
    problems = []
    for group in GROUPS:
        if group not in config:
            problems.append(f"{group}: missing; give {group}=... one of {', '.join(options(group))}")
        elif isinstance(config[group], dict) and not _is_at_home(group, config[group].get("_target_")):
            problems.append(_no_option(group, config[group].get("_target_")))
        elif not isinstance(config[group], dict):
            problems.append(f"{group}: expected one of {', '.join(options(group))}, found {config[group]!r}")
    return problems


def _hints(group: Group, node: Mapping[str, Any]) -> Hints:
    name = node.get("_target_")
    module_name, _, attribute = str(name).rpartition(".")
    found = signature.hints(module_name, attribute) if _is_at_home(group, name) else None
    if found is None:
        raise UserError(_no_option(group, name))
    return found


def _target(group: Group, name: object) -> Callable[..., Any]:
    module_name, _, attribute = str(name).rpartition(".")
    if _is_at_home(group, name):
        try:
            target = getattr(importlib.import_module(module_name), attribute, None)
        except ModuleNotFoundError:
            target = None
        is_option = inspect.isfunction(target) or dataclasses.is_dataclass(target)
        if is_option and getattr(target, "__module__", None) == module_name:
            return typing.cast(Callable[..., Any], target)
    raise UserError(_no_option(group, name))


@functools.cache
def _signature(target: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(target)


def _is_whole(group: Group, node: Mapping[str, Any]) -> bool:
    return _is_at_home(group, node.get("_target_"))


def _is_at_home(group: Group, name: object) -> bool:
    """Whether a target is a public name in its group's module, as far as can be told without importing that."""
    module_name, _, attribute = str(name).rpartition(".")
    home = f"ablate.recipe.{group}"
    inside = module_name == home or module_name.startswith(f"{home}.")
    return inside and not attribute.startswith("_") and all(map(str.isidentifier, str(name).split(".")))


def _no_option(group: Group, name: object) -> str:
    remedy = "; an option of your own has another name than ours and begins with defaults: [one of ours]"
    said = f"{group}._target_: expected a public callable of ablate.recipe.{group}, found {name!r}"
    return said + (remedy if name is None else "")


@functools.cache
def _hints_in(table: type) -> Hints:
    """The hints of a table's keys, made out once: they are asked for with each cell of a study."""
    return typing.get_type_hints(table, include_extras=True)


def _take_text_as_typed(prefix: str, values: dict[str, Any], hints: Hints, typed: Mapping[str, str]) -> None:
    """Put what was typed in the place of a number where text is meant: 2024_11_05 is no 20241105 there."""
    for name, value in values.items():
        hint, text = hints.get(name), typed.get(f"{prefix}{name}", "")
        if typing.is_typeddict(hint):
            below = _hints_in(hint)
            _take_text_as_typed(f"{prefix}{name}.", value if isinstance(value, dict) else {}, below, typed)
            continue
        as_text: Any = text
        if isinstance(value, list):
            parts = split(text[1:-1])
            plain = all(isinstance(each, str | int | float) for each in value)
            if not text.startswith("[") or len(parts) != len(value) or not plain:
                continue
            as_text = [each if isinstance(each, str) else part for each, part in zip(value, parts, strict=True)]
        elif not isinstance(value, int | float) or not text or text[0] in "'\"$":
            continue
        if hint and ("_" in text or not _is_valid(hint, value)) and _is_valid(hint, as_text):
            values[name] = as_text


def _is_valid(hint: Any, value: Any) -> bool:
    try:
        valid(hint, value)
        return True
    except ValidationError:
        return False


def _valid(prefix: str, values: Mapping[str, Any], hints: Hints, problems: list[str]) -> dict[str, Any]:
    """The values, each in the type of its hint: `2.0` is an integer where one is meant, so that it is one thereafter.

    `prefix` leads to their keys in the config; what is wrong with any is added to the problems.
    """
    problems += [
        f"{prefix}{name}: {_unknown(prefix, str(name), values[name], hints)}" for name in values if name not in hints
    ]
    problems += [f"{prefix}{name}: missing; give {prefix}{name}=..." for name in hints if name not in values]
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            found[name] = value
            continue
        hint = hints[name]
        if typing.is_typeddict(hint) and isinstance(value, dict):
            below = _hints_in(hint)
            found[name] = _valid(f"{prefix}{name}.", value, below, problems)
        elif typing.is_typeddict(hint):
            problems.append(f"{prefix}{name}: expected the keys {', '.join(hint.__annotations__)}, found {value!r}")
            found[name] = value
        else:
            try:
                found[name] = valid(hint, value)
            except ValidationError as error:
                problems += _problems(f"{prefix}{name}", value, error)
                found[name] = value
    return found


def _unknown(prefix: str, name: str, value: object, hints: Hints) -> str:
    if not prefix and isinstance(value, dict):
        return (
            "no run has such a node; an option of a group of your own begins with '# @package _global_' and sets keys "
            f"that there are; {nearest(name, hints)}"
        )
    return f"unknown key; {nearest(name, hints)}"


def _problems(key: str, value: object, error: ValidationError) -> list[str]:
    """What is wrong with a value, a line for each of its places; of a union, by the branch that fits it best."""
    errors = [dict(each) for each in error.errors()]
    of_another_type = [each for each in errors if not str(each["type"]).endswith("_type")]
    return [_problem(key, value, each) for each in (of_another_type if len(errors) > 1 and of_another_type else errors)]


def _problem(key: str, value: object, error: Mapping[str, Any]) -> str:
    found, position = error["input"], list(error["loc"])
    if position[-1:] == ["[key]"]:
        return f"{key}: its key {found!r} is no text to YAML, which takes some words and numbers for values; quote it"
    path = "".join(f"[{place}]" for place in position if not _is_branch(place))
    found = found if path else value  # as it was given, and not what `Before` has made of it
    said = re.sub(r"Value error, | after validation, not \d+", "", error["msg"])
    said = re.sub("Input should be|(String|List) should have", "expected", said)
    return f"{key}{path}: {said}, found {found!r}{_hint(key, error)}"


def _is_branch(place: object) -> bool:
    """Whether a part of an error's place names a branch of a union, which no user has written."""
    return isinstance(place, str) and bool(
        re.match(r"(function-|constrained-|list\[|literal\[|(int|str|float)$)", place)
    )


def _hint(key: str, error: Mapping[str, Any]) -> str:
    """What may have been meant."""
    found, expected = error["input"], error["type"]
    if expected == "literal_error" and isinstance(found, str):
        options = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return f"; did you mean {meant}?" if (meant := guess(found, options)) else ""
    if isinstance(found, list) and found and expected in ("float_type", "int_type", "string_type", "bool_type"):
        levels = ",".join(f"{each:g}" if isinstance(each, float) else str(each) for each in found)
        return f"; several levels are a study, and stand without brackets: --multirun {key}={levels}"
    if isinstance(found, str) and expected in ("float_type", "int_type") and _is_number(found):
        of_environment = f"'{key}=\"${{oc.decode:${{oc.env:NAME}}}}\"'"
        return f"; a number stands without quotes, and that of an environment variable is {of_environment}"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii()
