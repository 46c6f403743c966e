"""`ablate report NAME`: a study's verdicts, its tables and its page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablate.command.frame import framed
from ablate.display import Screen
from ablate.record.layout import Layout
from ablate.report.files import write
from ablate.report.gather import gather, judgement
from ablate.report.words import lines, listed


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(_report, sys.argv[1:] if arguments is None else arguments)


def parser(program: str, what: str) -> argparse.ArgumentParser:
    """The arguments of a command on a study by its name."""
    made = argparse.ArgumentParser(prog=f"ablate {program}", description=what)
    made.add_argument("name", nargs="?", help="the study; without it, the studies there are")
    made.add_argument(
        "--output-dir", type=Path, action="append", metavar="DIR",
        help="where its records lie, several times for several folders (default: outputs)",
    )  # fmt: skip
    return made


def _report(arguments: list[str]) -> int:
    given = parser("report", __doc__ or "").parse_args(arguments)
    folders = given.output_dir or [Path("outputs")]
    screen = Screen()
    if given.name is None:
        for line in listed(folders):
            screen.say(line)
        return 0
    study = gather(folders, given.name)
    judged = judgement(study)
    for line in lines(study, judged):
        screen.say(line)
    screen.say(f"page: {write(Layout(folders[0]), study, judged)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
