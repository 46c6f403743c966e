"""`ablate help TOPIC`: what a group, an option or a key means, its default and what it may be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ablate.command.frame import end, framed
from ablate.config.compose import Composer
from ablate.config.describe import Described, described_option, described_settings, option_comment, option_text
from ablate.config.override import canonical_override
from ablate.config.settings import GROUPS, Group
from ablate.config.spelling import nearest
from ablate.error import UserError

_USAGE = "ablate help TOPIC: a group (arch), an option (optim=sam), a key (arch.depth, study.seeds) or a node (wandb)"


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(_help, sys.argv[1:] if arguments is None else arguments)


def _help(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate help", add_help=False)
    parser.add_argument("topics", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--config-dir", "-cd", help="a folder of options of your own")
    asked = parser.parse_intermixed_args(arguments)
    with Composer(folders=[asked.config_dir] if asked.config_dir else []) as composer:
        if not asked.topics or asked.help:
            print(f"{_USAGE}\n\ngroups: {', '.join(GROUPS)}\nkeys: {', '.join(_tops(composer))}")
            return 0
        for topic in asked.topics:
            print("\n".join(_about(composer, canonical_override(topic))))
    return 0


def _about(composer: Composer, topic: str) -> list[str]:
    """Lines on a topic. Raises `UserError` for one that there is not."""
    name, _, option = topic.partition("=")
    group = next((each for each in GROUPS if each == name.partition(".")[0]), None)
    if (name == "study" and option) or (name not in (*GROUPS, "study") and composer.is_group(name)):
        return _about_files(composer, name, option)
    if group is None:
        found = [each for each in described_settings(composer) if f"{each.path}.".startswith(f"{name}.")]
        if not found:
            raise UserError(f"{topic}: no group and no key; {nearest(name, [*GROUPS, 'experiment', *_tops(composer)])}")
        return _table(found)
    if name != group:
        return _about_key(composer, group, name)
    default = composer.whole([]).hydra.runtime.choices[group]
    _check_option(composer, group, option)
    shown = option or default
    lines = [] if option else _options(composer, group)
    title = f"{group}={shown}{'' if option else ', the default'}: {option_comment(composer, group, shown)}"
    return [*lines, *([""] if lines else []), title, *_table(described_option(composer, group, shown))]


def _about_files(composer: Composer, group: str, option: str) -> list[str]:
    """The ready settings of a group whose files set what they like, or one of them, as it is written."""
    _check_option(composer, group, option)
    return option_text(composer, group, option).splitlines() if option else _options(composer, group)


def _check_option(composer: Composer, group: str, option: str) -> None:
    if option and option not in composer.options(group):
        raise UserError(f"{group}={option}: no such option; {nearest(option, composer.options(group))}")


def _options(composer: Composer, group: str) -> list[str]:
    options = composer.options(group)
    width = max(map(len, options), default=0)
    return [f"{group}={each.ljust(width)}  {option_comment(composer, group, each)}" for each in options]


def _about_key(composer: Composer, group: Group, path: str) -> list[str]:
    """A key of a group, as each option has it; options that say the same of it share a line."""
    having: dict[tuple[str, ...], list[str]] = {}
    known: set[str] = set()
    for option in composer.options(group):
        for each in described_option(composer, group, option):
            known.add(each.path)
            if each.path == path:
                having.setdefault(tuple(_table([each])), []).append(option)
    if not having:
        raise UserError(f"{path}: no option of {group} has it; {nearest(path, known)}")
    return [line for table, options in having.items() for line in [*table, f"  of {group}={', '.join(options)}"]]


def _table(keys: Sequence[Described]) -> list[str]:
    """Two lines a key: its default with its comment, and what it may be."""
    return [
        line
        for each in keys
        for line in (
            f"{each.path}={each.default}{'  # ' if each.comment else ''}{each.comment}",
            f"    {each.may_be}",
        )
    ]


def _tops(composer: Composer) -> list[str]:
    return list(dict.fromkeys(each.path.partition(".")[0] for each in described_settings(composer)))


if __name__ == "__main__":
    end(main())
