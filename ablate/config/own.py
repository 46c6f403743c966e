"""What the options of a user's folder may set: such folders travel, and what stands below `hydra` can run code."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from ablate.config.settings import GROUPS
from ablate.error import UserError

_REMEDY = "give it on the command line, or in a primary config of your own (--config-name)"


class Part(NamedTuple):
    """A file of a composition: its path without `.yaml`, the node that it sets, and the file that lists it."""

    path: str
    package: str  # empty: the whole config
    parent: str


class Option(NamedTuple):
    """A file of the user's: its top-level keys, and the groups whose choice by other files it replaces."""

    keys: Collection[str]
    replaced: Collection[str]


def check(parts: Iterable[Part], own: Mapping[str, Option]) -> None:
    """Raise `UserError` if one of the user's `own` options, or what it lists, sets what it may not.

    Nothing of it may lie below `hydra`; an option of one of our groups sets that group alone.
    """
    parts = list(parts)
    for part in parts:
        nodes = own[part.path].keys if part.path in own and not part.package else [part.package]
        for path in (part.path, *_above(part.path, parts)):
            if path in own:
                _check(path, nodes)
    for path, option in own.items():
        _check(path, [group.replace("/", ".") for group in option.replaced])


def _above(path: str, parts: Iterable[Part]) -> Iterator[str]:
    """The files by which a file has come into the composition."""
    for parent in {part.parent: None for part in parts if part.path == path and part.parent != path}:
        yield parent
        yield from _above(parent, parts)


def _check(path: str, nodes: Iterable[str]) -> None:
    group = path.split("/")[0]
    for node in nodes:
        top = node.split(".")[0]
        if top == "hydra":
            raise UserError(f"{path}.yaml: it sets {node}, which could run code, and no option may; {_REMEDY}")
        if group in GROUPS and top != group:
            found = f"{node} too" if node else "keys of the whole config"
            raise UserError(
                f"{path}.yaml: expected an option that sets {group} alone, found that it sets {found}; settings of "
                "several groups go into conf/experiment/NAME.yaml"
            )
