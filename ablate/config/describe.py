"""What configs mean, in words: the comments of their files, and what a key may be, from its annotation."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import annotated_types
import yaml
from omegaconf import DictConfig, OmegaConf

from ablate.config.check import hint_of
from ablate.config.compose import Composer
from ablate.config.folder import PRIMARY, conf_dir, user_conf_dir
from ablate.config.settings import GROUPS, Group, Settings

_NUMBERS = {int: "a whole number", float: "a number"}
_PLAIN = {bool: "true or false", str: "text", types.NoneType: "null", Any: "anything"}


@dataclass(frozen=True)
class Described:
    """A key: its path, its default, what it may be, and what the comment in its file says."""

    path: str
    default: str
    may_be: str
    comment: str


def option_comment(composer: Composer, group: str, option: str) -> str:
    """What an option is: the comment that its file begins with, without a line for Hydra."""
    lines = option_text(composer, group, option).splitlines()
    first = next((line for line in lines if not line.startswith("# @package")), "")
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def option_text(composer: Composer, group: str, option: str) -> str:
    """An option's file, as it is written."""
    file = _file(composer, f"{group}/{option}")
    return file.read_text(encoding="utf-8") if file else ""


def described_option(composer: Composer, group: Group, option: str) -> list[Described]:
    """The keys of a group's option. Raises `UserError` for an option that describes no call."""
    node = _unresolved(composer.compose([f"{group}={option}"])[group])
    comments = _comments_of_option(composer, group, option)
    return [
        Described(f"{group}.{name}", _shown(value), may_be(hint_of(group, node, name)), comments.get(name, ""))
        for name, value in node.items()
        if name != "_target_"
    ]


def described_settings(composer: Composer) -> list[Described]:
    """The keys beside the groups."""
    raw = _unresolved(composer.compose([]))
    comments = _comments(conf_dir() / f"{PRIMARY}.yaml")
    hints = typing.get_type_hints(Settings, include_extras=True)
    plain = {name: value for name, value in raw.items() if name not in GROUPS and name in hints}
    return list(_described("", plain, hints, comments))


def may_be(hint: Any) -> str:
    """What a value of this annotation may be.

    >>> may_be(int | None), may_be(Literal["relu", "gelu"])
    ('a whole number or null', 'relu or gelu')
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _limited(arguments[0], arguments[1:])
    if origin is Literal:
        return _listed([_shown(each) for each in arguments])
    if origin in (typing.Union, types.UnionType):
        return _listed([may_be(each) for each in arguments])
    if origin is list:
        return f"a list of {may_be(arguments[0])}"
    if origin is dict:
        return "a table"
    if typing.is_typeddict(hint):
        return f"the keys {', '.join(hint.__annotations__)}"
    return _NUMBERS.get(hint) or _PLAIN.get(hint) or str(getattr(hint, "__name__", hint))


def _limited(hint: Any, limits: tuple[Any, ...]) -> str:
    """An annotation with its limits in words; what only code checks is left out."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _limited(typing.get_args(hint)[0], (*typing.get_args(hint)[1:], *limits))
    words = []
    for limit in limits:
        match limit:
            case annotated_types.Ge(ge=least):
                words.append(f"from {least}")
            case annotated_types.Gt(gt=beyond):
                words.append(f"above {beyond}")
            case annotated_types.Le(le=most):
                words.append(f"to {most}")
            case annotated_types.Lt(lt=beyond):
                words.append(f"below {beyond}")
            case annotated_types.Len(min_length=least, max_length=most):
                words.append(_length(least, most, "entries" if origin is list else "letters"))
    return " ".join([may_be(hint), *words])


def _length(least: int, most: int | None, of: str) -> str:
    if most is None:
        return "that is not empty" if least == 1 else f"with at least {least} {of}"
    return f"of {least} {of}" if least == most else f"of at most {most} {of}"


def _listed(words: list[str]) -> str:
    distinct = list(dict.fromkeys(words))
    return f"{', '.join(distinct[:-1])} or {distinct[-1]}" if len(distinct) > 1 else distinct[0]


def _described(
    prefix: str, values: Mapping[str, Any], hints: Mapping[str, Any], comments: Mapping[str, str]
) -> Iterator[Described]:
    for name, value in values.items():
        path, hint = f"{prefix}{name}", hints[name]
        if typing.is_typeddict(hint) and isinstance(value, dict):
            yield from _described(f"{path}.", value, typing.get_type_hints(hint, include_extras=True), comments)
        else:
            yield Described(path, _shown(value), may_be(hint), comments.get(path, ""))


def _shown(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _unresolved(node: DictConfig) -> dict[str, Any]:
    return typing.cast(dict[str, Any], OmegaConf.to_container(node))


def _file(composer: Composer, name: str) -> Path | None:
    """A config's file, the user's before ours."""
    own = [
        Path(folder.removeprefix("file://")) for folder in reversed(composer.folders) if folder.startswith("file://")
    ]
    folders = [folder for folder in (user_conf_dir(), *own, conf_dir()) if folder]
    return next((file for folder in folders if (file := folder / f"{name}.yaml").is_file()), None)


def _comments_of_option(composer: Composer, group: str, option: str) -> dict[str, str]:
    """The comments of an option's keys, also of the options that it is made from."""
    file = _file(composer, f"{group}/{option}")
    if file is None:
        return {}
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    parents = content.get("defaults", []) if isinstance(content, dict) else []
    inherited: dict[str, str] = {}
    for parent in parents:
        if isinstance(parent, str) and parent not in ("_self_", option):
            inherited |= _comments_of_option(composer, group, parent)
    return inherited | _comments(file)


def _comments(file: Path) -> dict[str, str]:
    """What stands behind each key of a YAML file, by its dotted path."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    lines, found = text.splitlines(), dict[str, str]()

    def visit(node: yaml.Node | None, prefix: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            is_block = isinstance(value, yaml.CollectionNode) and not value.flow_style
            mark = key.end_mark if is_block else value.end_mark
            behind = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
            before, _, comment = behind.partition("#")
            if comment and not before.strip(" :"):
                found[f"{prefix}{key.value}"] = comment.strip()
            visit(value, f"{prefix}{key.value}.")

    visit(yaml.compose(text, Loader=yaml.SafeLoader), "")
    return found
