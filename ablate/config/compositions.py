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

_MOST_AT_HAND = 256  # of some 100 kB each


class Compositions:
    """The configs of a study's arms, resolved: each is made of one before it, by the overrides that differ.

    Hydra and OmegaConf take some 60 ms for each list that they compose and resolve, and a study may have thousands.
    Instead, a level that is a value is put into a config at hand, and one that is an option of a group of ours puts
    the group's node there, composed once: it is the same whatever else is chosen, where the option changes no other
    node and no defaults list names an option by another choice. Lists that differ in such levels alone share a config;
    a list that shares none, or where anything is wrong, is composed as any other.
    """

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._shapes: dict[str, str] = {}
        self._at_hand: dict[tuple[str, ...], _Followed] = {}  # by what all lists that share it have

    def resolve(self, overrides: Sequence[str]) -> dict[str, Any]:
        """As `compose.resolve` of the composer's config; its nodes are shared with later ones, and not to be changed.

        Raises `UserError` and Hydra's errors as these do.
        """
        given = {name_of(each): each for each in overrides}
        shapes = tuple(map(self._shape, overrides))
        if shapes in self._at_hand:
            try:
                if plain := self._at_hand[shapes].follow(given):
                    return plain
            except (HydraException, OmegaConfBaseException, UserError):
                pass  # told in full below, or not wrong
            return resolve(self._composer.compose(overrides))
        composed = self._composer.compose(overrides)
        plain = resolve(composed)
        if len(given) == len(overrides):
            if len(self._at_hand) == _MOST_AT_HAND:
                del self._at_hand[next(iter(self._at_hand))]
            fixed = [name for name, each in given.items() if self._shape(each) == each]
            self._at_hand[shapes] = _Followed(self._composer, given, fixed, composed, plain)
        return dict(plain)

    def _shape(self, override: str) -> str:
        """What an override has in common with those that it may be exchanged for; itself, where there are none."""
        if override not in self._shapes:
            parsed = self._composer.parsed(override)
            is_level = self._is_option(parsed) if parsed.key_or_group in GROUPS else self._is_value(parsed)
            is_exchangeable = is_level and parsed.package is None
            # A list may go where no other value may, and null leaves room for any.
            kind = type(value).__name__ if isinstance(value := parsed.value(), list | None) else "value"
            shape = f"{sign_of(override)}{name_of(override)}: {kind}"
            self._shapes[override] = shape if is_exchangeable else override
        return self._shapes[override]

    def _is_option(self, parsed: Override) -> bool:
        return parsed.type is OverrideType.CHANGE and isinstance(parsed.value(), str)

    def _is_value(self, parsed: Override) -> bool:
        is_node = isinstance(parsed.value(), dict) or self._composer.is_group(parsed.key_or_group)
        is_in_node = "." in parsed.key_or_group
        is_put = parsed.type is not OverrideType.DEL and not is_node
        return is_put and (is_in_node or "${" not in str(parsed.value()))


class _Followed:
    """A config, resolved, that becomes those of other lists that have levels in the place of its own.

    The names that are `fixed` have the same override in all of them.
    """

    def __init__(
        self,
        composer: Composer,
        given: Mapping[str, str],
        fixed: Collection[str],
        config: DictConfig,
        plain: Mapping[str, Any],
    ) -> None:
        self._composer = composer
        self._first = self._given = dict(given)
        self._fixed = {_top(name) for name in fixed}
        self._spoiled: set[str] = set()  # of what is given, what a list that could not be followed has left there
        self._nodes: dict[str, Any] = {}  # of an option: of its group, in the first config but for it; None: not alone
        self._config, self._plain = config, dict(plain)
        self._raw = self._first_raw = _containers(config)  # what is not resolved
        self._interpolated = set(_interpolated(self._raw))  # the top-level keys in which that makes a difference

    def follow(self, given: dict[str, str]) -> dict[str, Any] | None:
        """The config of another list; none where its levels change more than their own nodes, or others change them."""
        differing = {name for name in given if given[name] != self._given[name]} | self._spoiled
        changed = {_top(name) for name in differing}
        if changed & self._fixed:
            return None
        self._spoiled = differing
        chosen = [name for name in differing if name in GROUPS]
        nodes = {group: self._node(group, given[group]) for group in chosen}
        if None in nodes.values() or (nodes and self._composer.has_dependent_choices()):
            return None
        for group, node in nodes.items():
            self._config[group] = node  # a copy
        for name, override in given.items():
            if _top(name) in changed and name not in GROUPS:
                OmegaConf.update(self._config, name, self._composer.parsed(override).value(), merge=True)
        self._resolve(changed)
        self._given, self._spoiled = given, set()
        return dict(self._plain)

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
