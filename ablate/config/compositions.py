"""Configs of many lists of overrides that differ in little, each made of the one before it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablate.config.compose import Composer, resolve
from ablate.config.interpolation import check_growth, check_secrets
from ablate.config.override import name_of, sign_of
from ablate.config.settings import GROUPS
from ablate.error import UserError


class Compositions:
    """The configs of a study's arms, resolved: each is made of the one before, by the overrides that differ.

    Hydra and OmegaConf take some 60 ms for each list that they compose and resolve, and a study may have thousands.
    Instead, a level that is a value is put into the config at hand, and one that is an option of a group of ours puts
    the group's node there, composed once: it is the same whatever else is chosen, where the option changes no other
    node and no defaults list names an option by another choice. Where anything else than such levels differs, and
    where anything is wrong, the list is composed as any other.
    """

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._exchangeable: dict[str, bool] = {}
        self._given: dict[str, str] | None = None  # the overrides of the config at hand, by name, where there is one
        self._spoiled: set[str] = set()  # of these, what a list that could not be followed has left there

    def resolve(self, overrides: Sequence[str]) -> dict[str, Any]:
        """As `compose.resolve` of the composer's config; its nodes are shared with later ones, and not to be changed.

        Raises `UserError` and Hydra's errors as these do.
        """
        given = {name_of(each): each for each in overrides}
        if not self._is_alike(given):
            composed = self._composer.compose(overrides)
            plain = resolve(composed)
            if len(given) == len(overrides):
                self._begin(given, composed, plain)
            return dict(plain)
        try:
            if self._follow(given):
                return dict(self._plain)
        except (HydraException, OmegaConfBaseException, UserError):
            pass  # told in full below, or not wrong
        return resolve(self._composer.compose(overrides))

    def _begin(self, given: Mapping[str, str], config: DictConfig, plain: dict[str, Any]) -> None:
        self._first = self._given = dict(given)
        self._spoiled.clear()
        self._nodes: dict[str, Any] = {}  # of an option: of its group, in the first config but for it; None: not alone
        self._config, self._plain = config, plain
        self._raw = self._first_raw = _containers(config)  # what is not resolved
        self._interpolated = set(_interpolated(self._raw))  # the top-level keys in which that makes a difference

    def _is_alike(self, given: Mapping[str, str]) -> bool:
        """Whether a list differs from that of the config at hand in levels alone."""
        before = self._given
        if before is None or list(before) != list(given):
            return False
        differing = [name for name in given if given[name] != before[name]]
        fixed = {_top(name) for name in given if not self._is_exchangeable(given[name])}
        are_levels = all(self._is_exchangeable(before[name]) for name in differing)
        are_levels &= all(sign_of(before[name]) == sign_of(given[name]) for name in differing)
        return are_levels and not fixed.intersection(map(_top, differing))

    def _follow(self, given: dict[str, str]) -> bool:
        """Make the config at hand that of another such list; false where an option of it changes more than its node."""
        assert self._given is not None
        differing = {name for name in given if given[name] != self._given[name]} | self._spoiled
        self._spoiled = differing
        chosen = [name for name in differing if name in GROUPS]
        nodes = {group: self._node(group, given[group]) for group in chosen}
        if None in nodes.values() or (nodes and self._composer.has_dependent_choices()):
            return False
        for group, node in nodes.items():
            self._config[group] = node  # a copy
        changed = {_top(name) for name in differing}
        for name, override in given.items():
            if _top(name) in changed and name not in GROUPS:
                OmegaConf.update(self._config, name, self._composer.parsed(override).value(), merge=True)
        self._resolve(changed)
        self._given, self._spoiled = given, set()
        return True

    def _is_exchangeable(self, override: str) -> bool:
        """Whether it only puts a value, or the node of one of our groups, in the place of another of the same sign."""
        if override not in self._exchangeable:
            parsed = self._composer.parsed(override)
            is_level = self._is_option(parsed) if parsed.key_or_group in GROUPS else self._is_value(parsed)
            self._exchangeable[override] = is_level and parsed.package is None
        return self._exchangeable[override]

    def _is_option(self, parsed: Override) -> bool:
        return parsed.type is OverrideType.CHANGE and isinstance(parsed.value(), str)

    def _is_value(self, parsed: Override) -> bool:
        is_node = isinstance(parsed.value(), dict) or self._composer.is_group(parsed.key_or_group)
        is_in_node = "." in parsed.key_or_group
        is_put = parsed.type is not OverrideType.DEL and not is_node
        return is_put and (is_in_node or "${" not in str(parsed.value()))

    def _node(self, group: str, option: str) -> Any:
        """The node of a group with this option; none where the option changes another one too."""
        if option not in self._nodes:
            config = self._composer.compose(list({**self._first, group: option}.values()))
            others = ({**raw, group: None} for raw in (_containers(config), self._first_raw))
            self._nodes[option] = config[group] if len(set(map(str, others))) == 1 else None
        return self._nodes[option]

    def _resolve(self, changed: Collection[str]) -> None:
        """Bring the values of these top-level keys up to date, and of those in which something is interpolated."""
        raw = {name: _container(self._config[name], resolve=False) for name in changed}
        self._raw = self._raw | raw
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


def _containers(config: DictConfig) -> dict[str, Any]:
    """Of each top-level key, what stands there unresolved."""
    return {str(name): value for name, value in _container(config, resolve=False).items()}


def _container(value: Any, *, resolve: bool) -> Any:
    """A part of a config as plain values."""
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=resolve, throw_on_missing=resolve, enum_to_str=True)
    return value.name if isinstance(value, Enum) else value
