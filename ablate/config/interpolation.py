"""What a config's interpolations become: never more than anybody can read, and never a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ablate.error import UserError

_MOST_CHARACTERS = 1_000_000
_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_SECRET = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE)
_SHORTEST_SECRET = 8


def check_growth(config: Mapping[str, object]) -> None:
    """Raise `UserError` for an unresolved config of which something would grow beyond all sense.

    A few lines that each name the line before twice make more text than any memory has.
    """
    raw = dict(_leaves("", config))
    sizes: dict[str, int] = {}

    def size(name: str) -> int:
        if name not in sizes:
            sizes[name] = 0  # where it leads back to itself, which is told when it is resolved
            if name in raw:
                total = len(raw[name]) + sum(size(each) for each in _references(name, raw[name]))
            else:
                total = sum(size(each) for each in raw if each.startswith(f"{name}."))
            if total > _MOST_CHARACTERS:
                raise UserError(
                    f"{name}: expected at most {_MOST_CHARACTERS:,} characters, its interpolations make more"
                )
            sizes[name] = total
        return sizes[name]

    for name in [each for each, text in raw.items() if "${" in text]:
        size(name)


def check_secrets(config: Mapping[str, object], environment: Mapping[str, str]) -> None:
    """Raise `UserError` for a resolved config that holds a secret of the environment, which would be recorded."""
    secrets = {
        name: value
        for name, value in environment.items()
        if _SECRET.search(name) and len(value) >= _SHORTEST_SECRET and not value.startswith(("/", "~"))
    }
    for path, text in _leaves("", config) if secrets else ():
        for name, value in secrets.items():
            if value in text:
                raise UserError(f"{path}: holds the value of {name}, which would be recorded and shown; leave it out")


def _leaves(prefix: str, node: object) -> Iterator[tuple[str, str]]:
    """Dotted paths, indices of lists too, and what stands there as text."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _leaves(f"{prefix}.{name}" if prefix else str(name), value)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _leaves(f"{prefix}.{place}", value)
    else:
        yield prefix, str(node)


def _references(path: str, text: str) -> Iterator[str]:
    """What a text's interpolations name, from the top; of a resolver's, each of its arguments.

    >>> list(_references("a.b", "${.c} ${..d} ${e[0].f} ${oc.select:g,1}"))
    ['a.c', 'd', 'e.0.f', 'g', '1']
    """
    for inside in _REFERENCE.findall(text):
        _, colon, arguments = inside.partition(":")
        for each in arguments.split(",") if colon else [inside]:
            name = re.sub(r"\[([^\]]*)\]", r".\1", each.strip())
            levels = len(name) - len(name.lstrip("."))
            above = path.split(".")[:-levels] if levels else []
            yield ".".join([*above, name.lstrip(".")])
