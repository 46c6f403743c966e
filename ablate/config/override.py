"""Overrides as text: `+group.key=value`."""

from __future__ import annotations

import re
from collections.abc import Iterable

ALIASES = {"optim": "optimizer"}

NOTHING = ("experiment=null", "study=null")
"""The defaults of groups that may have no option, which Hydra takes in a file only."""

MOST_BRACKETS = 30
"""In one another, in what a config says: far more than any has, and few enough for every reader's stack."""

TOO_LONG = re.compile(r"(?i)0x[0-9a-f_]{1000}|[0-9_]{1000}")
"""A number that Python refuses to read as one."""

_MOST_CHARACTERS = 30_000  # of which Hydra's parser takes seconds

_ALIASED = re.compile(rf"^(\+\+|\+|~)?({'|'.join(ALIASES)})(?=[@.=/]|$)")

_SHIPPED = re.compile(r"^\+(?=experiment=)")  # what is typed to add a group that ablate has already


def name_of(override: str) -> str:
    """What an override sets, without the sign before it.

    >>> name_of("++optimizer.lr=1")
    'optimizer.lr'
    """
    return override.partition("=")[0].lstrip("+~")


def sign_of(override: str) -> str:
    """Hydra's sign before the name: `+` and `++` add, `~` removes, none changes."""
    return override[: len(override) - len(override.lstrip("+~"))]


def value_of(override: str) -> str:
    """What is typed behind the name."""
    return override.partition("=")[2]


def is_too_long(override: str) -> str | None:
    """Why an override can't be read, whoever reads it.

    >>> is_too_long("arch.widths=" + 100 * "[")
    'expected at most 30 brackets in one another, found more'
    """
    if len(override) > _MOST_CHARACTERS:
        return f"expected at most {_MOST_CHARACTERS:,} characters, found {len(override):,}"
    if TOO_LONG.search(override):
        return "expected numbers of fewer than 1,000 digits, found a longer one"
    open_brackets = 0
    for each in re.findall(r"[\[{(\]})]", override):
        open_brackets += 1 if each in "[{(" else -1
        if open_brackets > MOST_BRACKETS:
            return f"expected at most {MOST_BRACKETS} brackets in one another, found more"
    return None


def canonical_override(override: str) -> str:
    """An override, or the beginning of one, with its group's own name.

    >>> canonical_override("++optim.lr=1")
    '++optimizer.lr=1'
    """
    override = _SHIPPED.sub("", override)
    return _ALIASED.sub(lambda match: (match[1] or "") + ALIASES[match[2]], override)


def quoted(text: str) -> str:
    r"""The text as a value of an override, which means nothing else to Hydra and OmegaConf.

    >>> print(quoted("it's"), quoted("a\\b"), quoted("${x}"))
    'it\'s' 'a\b' '\${x}'
    """
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return "'" + re.sub(r"(\\*)('|\Z)", lambda end: 2 * end[1] + ("\\'" if end[2] else ""), text) + "'"


def with_list(name: str, texts: Iterable[str]) -> str:
    """The override that sets a list of texts.

    >>> print(with_list("team.stores", ["/shared/anna"]))
    team.stores=['/shared/anna']
    """
    return f"{name}=[{','.join(map(quoted, texts))}]"


def for_shell(override: str) -> str:
    """An override as every shell takes it, zsh with its brackets too.

    >>> for_shell("study.seeds=[0,5]"), for_shell("epochs=3")
    ("'study.seeds=[0,5]'", 'epochs=3')
    >>> print(for_shell("study.stop=['arch=pyramid: 3']"))
    "study.stop=['arch=pyramid: 3']"
    """
    if not set(override) & set(" []{}()*?$'\"|&;<>~#\\!"):
        return override
    if "'" in override and not set(override) & set('"$`\\!'):
        return f'"{override}"'
    return "'" + override.replace("'", "'\\''") + "'"
