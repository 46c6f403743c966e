"""`ablate status NAME`: how far a study is, and what it shows so far."""

from __future__ import annotations

import sys
from pathlib import Path

from ablate.command.frame import framed
from ablate.display import Screen
from ablate.report.__main__ import parser
from ablate.report.gather import gather, judgement
from ablate.report.words import lines, listed


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(_status, sys.argv[1:] if arguments is None else arguments)


def _status(arguments: list[str]) -> int:
    given = parser("status", __doc__ or "").parse_args(arguments)
    folders = given.output_dir or [Path("outputs")]
    screen = Screen()
    if given.name is None:
        for line in listed(folders):
            screen.say(line)
        return 0
    study = gather(folders, given.name)
    for line in lines(study, judgement(study)):
        screen.say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
