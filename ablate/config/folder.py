"""Where configs lie: our own, and those of the folder in which a command is given."""

from __future__ import annotations

import filecmp
import os
import stat
from pathlib import Path

import yaml

from ablate.config.override import MOST_BRACKETS, TOO_LONG
from ablate.config.settings import GROUPS
from ablate.error import UserError

_MOST_BYTES = 1 << 20
_MOST_VALUES = 100_000

PRIMARY = "config"
"""The name of the config that all others are put into."""


def conf_dir() -> Path:
    """The folder of our own configs: in a checkout at its top, in an installed wheel inside the package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "conf"
    in_checkout = (package.parent / "pyproject.toml").is_file() and (checkout / f"{PRIMARY}.yaml").is_file()
    return checkout if in_checkout else package / "conf"


def user_conf_dir() -> Path | None:
    """The user's own `conf/` in the current folder, where it holds options or a primary config, and is not ours."""
    own = Path("conf").resolve()
    if own == conf_dir().resolve() or not own.is_dir() or _is_copy_of_ours(own):
        return None
    is_ours = any((own / group).is_dir() for group in (*GROUPS, "study", "experiment"))
    has_primary = any(file.stem != PRIMARY for file in own.glob("*.yaml"))
    return own if is_ours or has_primary or any(own.glob("*/**/*.yaml")) else None


def _is_copy_of_ours(folder: Path) -> bool:
    """Whether a folder has our configs, all to the byte and no other: a clone's, beside which we are installed."""
    if not (folder / f"{PRIMARY}.yaml").is_file():
        return False
    here, there = ({file.relative_to(each) for file in each.rglob("*.yaml")} for each in (conf_dir(), folder))
    _, differ, unread = filecmp.cmpfiles(conf_dir(), folder, here, shallow=False)
    return here == there and not differ and not unread


def check_file(file: Path) -> None:
    """Raise `UserError` for a config file, if it is there, that would take its reader's memory or stack.

    It is very long, of aliases of aliases, of many levels, or holds an endless number; or it is a link to nothing. One
    that is no YAML passes: where it is wrong is told by who reads it.
    """
    if file.is_symlink() and not file.exists():
        raise UserError(f"{file}: a link to {file.readlink()}, which is not there; remove it, or put the file there")
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise UserError(f"{file}: expected a config file of at most {_MOST_BYTES:,} bytes, found {_found(status)}")
        _check_growth(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return


def _check_growth(file: Path) -> None:
    sizes: dict[str, int] = {}  # of what each anchor stands for, written out
    open_nodes: list[tuple[str | None, int]] = []
    size = 0
    for event in yaml.parse(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, size))
            size += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes |= {anchor: size - before} if anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            size += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            size += 1
            if (not event.style or event.tag) and TOO_LONG.search(event.value):
                raise UserError(f"{file}: expected numbers of fewer than 1,000 digits, found a longer one")
        if len(open_nodes) > MOST_BRACKETS:
            raise UserError(f"{file}: expected at most {MOST_BRACKETS} levels of nesting, found more")
        if size > _MOST_VALUES:
            raise UserError(f"{file}: expected at most {_MOST_VALUES:,} values, found more, each alias counted in full")


def _found(status: os.stat_result) -> str:
    return f"{status.st_size:,}" if stat.S_ISREG(status.st_mode) else "no plain file"


def options(group: str) -> list[str]:
    """The names of a group's options, ours and the user's."""
    folders = [folder for folder in (conf_dir(), user_conf_dir()) if folder]
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})
