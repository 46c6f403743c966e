"""The content address of a run: same key, same training."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

RESULTS_VERSION = 3
"""Raised when the code's numbers change for an unchanged config."""

OUTSIDE = (
    "study", "team", "wandb", "hydra", "output_dir", "device", "threads", "max_params", "rerun", "progress", "plot",
    "objective", "data.root", "data.alignments", "data.test", "data.leave_out",
)  # fmt: skip
"""What can't change a result: these keys and all below them are not in the address."""
_OUTSIDE = tuple(f"{outside}." for outside in OUTSIDE)

PLACES_OF_DATA = ("data.root", "data.alignments", "data.leave_out")
"""Of these, those that lead to what the data's fingerprint is made of."""

NEUTRAL: Mapping[str, Any] = {"averaging._target_": "none", "arch.bias": "auto", "data.device_budget": None}
"""Keys that configs were given after others had been recorded, each with the value that means "as before".

A leaf at its neutral value is not in the address, so that a new key, or a new group with all its leaves here (its
`_target_` by the callable's name), leaves every recorded key as it is.
"""


def key(config: Mapping[str, Any], fingerprint: str, neutral: Mapping[str, Any] = NEUTRAL) -> str:
    """16 hexadecimal digits of the resolved config, the data's fingerprint and the version of our results.

    Neither the order of keys nor the spelling of a number counts: 1, 1.0 and 1e0 are one value, true is another. An
    option counts by the name of its callable, wherever that lies.
    """
    content = {path: value for path, value in leaves(config) if not is_outside(path)}
    content = {path: value for path, value in content.items() if path not in neutral or not _same(value, neutral[path])}
    text = json.dumps([RESULTS_VERSION, fingerprint, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def as_before(group: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded node with the keys that its group was given since, at the values that mean "as before"."""
    since = {name.removeprefix(f"{group}."): value for name, value in NEUTRAL.items() if name.startswith(f"{group}.")}
    return {**{name: value for name, value in since.items() if name != "_target_"}, **node}


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each dotted path of a config with its value; lists are values, empty mappings too, a target is its name."""
    for name, value in config.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}.")
        elif name == "_target_":
            yield path, str(value).rpartition(".")[2]
        else:
            yield path, _canonical(value)


def is_outside(path: str) -> bool:
    """Whether a dotted path is none of what the key is made of."""
    return f"{path}.".startswith(_OUTSIDE)


def _same(value: Any, other: Any) -> bool:
    return json.dumps(value, sort_keys=True) == json.dumps(_canonical(other), sort_keys=True)


def _canonical(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
