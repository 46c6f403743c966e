"""The content address of a run: same key, same training."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

RESULTS_VERSION = 1
"""Raised when the code's numbers change for an unchanged config."""

OUTSIDE = (
    "study", "team", "wandb", "hydra", "output_dir", "device", "threads", "max_params", "rerun", "plot",
    "data.root", "data.alignments", "data.test",
)  # fmt: skip
"""What can't change a result: these keys and all below them are not in the address."""


def key(config: Mapping[str, Any], fingerprint: str) -> str:
    """16 hexadecimal digits of the resolved config, the data's fingerprint and the version of our results.

    Neither the order of keys nor the spelling of a number counts: 1, 1.0 and 1e0 are one value, true is another.
    """
    content = {path: value for path, value in leaves(config) if not is_outside(path)}
    text = json.dumps([RESULTS_VERSION, fingerprint, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each dotted path of a config with its value; lists are values, empty mappings too."""
    for name, value in config.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}.")
        else:
            yield path, _canonical(value)


def is_outside(path: str) -> bool:
    """Whether a dotted path is none of what the key is made of."""
    return any(path == outside or path.startswith(f"{outside}.") for outside in OUTSIDE)


def _canonical(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
