"""Configs of many lists of overrides that differ in little, each made of the one before it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablate.config.compose import Composer, resolve
from ablate.config.interpolation import check_growth, check_secrets
from ablate.config.override import name_of
from ablate.config.settings import GROUPS
from ablate.error import UserError


class Compositions:
    """The configs of a study's arms, resolved: each is made of the one before, by the overrides that differ.

    Hydra and OmegaConf take some 30 ms for each list that they compose and resolve, and a study may have thousands.
    Instead, a level that is a value is put into the config at hand, and one that is an option of a group of ours puts
    the group's node there, composed once: it is the same whatever else is chosen, since such an option sets no other
    node (`own`), unless a defaults list names an option by another choice. Where that, or anything else than such
    levels, differs, and where anything is wrong, the list is composed as any other.
    """

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._exchangeable: dict[str, bool] = {}
        self._forget()

    def _forget(self) -> None:
        self._config = OmegaConf.create({})
        self._raw: dict[str, Any] = {}  # the config's values before they are resolved, and after
        self._plain: dict[str, Any] = {}
        self._interpolated: set[str] = set()  # the top-level keys in which that makes a difference
        self._first: dict[str, str] = {}
        self._given: dict[str, str] | None = None  # the overrides of the config at hand, by name, where there is one
        self._nodes: dict[str, Any] = {}  # of an option: of its group, in the first config but for it

    def resolve(self, overrides: Sequence[str]) -> dict[str, Any]:
        """As `compose.resolve` of the composer's config; its nodes are shared with later ones, and not to be changed.

        Raises `UserError` and Hydra's errors as these do.
        """
        given = {name_of(each): each for each in overrides}
        try:
            is_made = len(given) == len(overrides) and self._follow(given)
        except (HydraException, OmegaConfBaseException, UserError):
            is_made = False  # told in full below, or not wrong
        if not is_made:
            self._forget()
            self._config = self._composer.compose(overrides)
            self._raw = {str(name): value for name, value in _container(self._config, resolve=False).items()}
            self._interpolated = set(_interpolated(self._raw))
            self._plain = resolve(self._config)
            self._first = self._given = given
        return dict(self._plain)

    def _follow(self, given: Mapping[str, str]) -> bool:
        """Make the config of these overrides of the one at hand; false where they differ in what it can't be made by.

        Where it raises, there is no config at hand.
        """
        before, self._given = self._given, None
        if before is None or list(before) != list(given):
            return False
        differing = [name for name in given if given[name] != before[name]]
        changed = {_top(name) for name in differing}
        fixed = {_top(name) for name in given if not self._is_exchangeable(given[name])}
        if changed & fixed or not all(self._is_exchangeable(before[name]) for name in differing):
            return False
        chosen = [name for name in differing if name in GROUPS]
        for group in chosen:
            self._config[group] = self._node(group, given[group])
        if chosen and self._composer.has_dependent_choices():
            return False
        for name, override in given.items():
            if _top(name) in changed and name not in GROUPS:
                OmegaConf.update(self._config, name, self._composer.parsed(override).value(), merge=True)
        self._resolve(changed)
        self._given = dict(given)
        return True

    def _is_exchangeable(self, override: str) -> bool:
        """Whether it only puts a value, or the node of one of our groups, in the place of another."""
        if override not in self._exchangeable:
            parsed = self._composer.parsed(override)
            is_level = isinstance(parsed.value(), str) if parsed.key_or_group in GROUPS else self._is_value(parsed)
            is_change = parsed.type is OverrideType.CHANGE and parsed.package is None
            self._exchangeable[override] = is_change and is_level
        return self._exchangeable[override]

    def _is_value(self, parsed: Override) -> bool:
        is_node = isinstance(parsed.value(), dict) or self._composer.is_group(parsed.key_or_group)
        is_in_node = "." in parsed.key_or_group
        return not is_node and (is_in_node or "${" not in str(parsed.value()))

    def _node(self, group: str, option: str) -> Any:
        """The node of a group with this option; a copy of it is taken into a config."""
        if option not in self._nodes:
            self._nodes[option] = self._composer.compose(list({**self._first, group: option}.values()))[group]
        return self._nodes[option]

    def _resolve(self, changed: Collection[str]) -> None:
        """Bring the values of these top-level keys up to date, and of those in which something is interpolated."""
        raw = {name: _container(self._config[name], resolve=False) for name in changed}
        self._raw |= raw
        check_growth(self._raw)
        self._interpolated = {*self._interpolated.difference(raw), *_interpolated(raw)}
        self._plain |= raw
        self._plain |= {name: _container(self._config[name], resolve=True) for name in self._interpolated}
        check_secrets(self._plain, os.environ)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _interpolated(raw: Mapping[str, Any]) -> Iterator[str]:
    """The keys of those values, not resolved, that are not what they become."""
    return (name for name, value in raw.items() if "${" in (text := str(value)) or "???" in text)


def _container(value: Any, *, resolve: bool) -> Any:
    """A part of a config as plain values."""
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=resolve, throw_on_missing=resolve, enum_to_str=True)
    return value.name if isinstance(value, Enum) else value
