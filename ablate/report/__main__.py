"""`ablate report NAME`: a study's verdicts, its tables and its page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from ablate.command.frame import end, framed
from ablate.display import Screen
from ablate.error import UserError
from ablate.record.layout import Layout
from ablate.report.gather import Study, gather
from ablate.report.words import lines, listed

Asked = argparse.Namespace
Flags = Mapping[str, str]
"""Names of flags, and what they mean."""

_NO_FLAGS: Flags = {}


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    flags = {"publish": "log page, tables and pictures to wandb, as a run of the study's group"}
    command = partial(show, "report", __doc__ or "", _page, flags=flags)
    return framed(command, sys.argv[1:] if arguments is None else arguments)


def show(
    program: str, what: str, say: Callable[[Asked, Study], Iterable[str]], given: list[str], flags: Flags = _NO_FLAGS
) -> int:
    """A command that says something of a study by its name; without one, all studies."""
    parser = argparse.ArgumentParser(prog=f"ablate {program}", description=what)
    parser.add_argument("name", nargs="?", help="the study; without it, the studies there are")
    parser.add_argument(
        "--output-dir", type=Path, action="append", metavar="DIR",
        help="where its records lie, several times for several folders (default: outputs)",
    )  # fmt: skip
    for name, help_text in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=help_text)
    asked = parser.parse_args(given)
    asked.output_dir = folders = asked.output_dir or [Path("outputs")]
    screen = Screen()
    if asked.name is None and (alone := [name for name in flags if getattr(asked, name)]):
        raise UserError(f"--{alone[0]}: of which study? `ablate {program} NAME --{alone[0]}`")
    said = listed(folders) if asked.name is None else say(asked, gather(folders, asked.name))
    for line in said:
        screen.say(line)
    return 0


def _page(asked: Asked, study: Study) -> Iterator[str]:
    from ablate.report.files import write
    from ablate.report.judging import judgement

    places = Layout(asked.output_dir[0])
    judged = judgement(study)
    yield from lines(study, judged)
    yield f"page: {write(places, study, judged)}"
    if asked.publish:
        from ablate.report.publishing import publish

        yield from publish(places, study, judged)


if __name__ == "__main__":
    end(main())
