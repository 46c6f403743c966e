"""`ablate report NAME`: a study's verdicts, its tables and its page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from ablate.command.frame import framed
from ablate.display import Screen
from ablate.record.layout import Layout
from ablate.report.gather import Study, gather
from ablate.report.words import lines, listed


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(partial(show, "report", __doc__ or "", _page), sys.argv[1:] if arguments is None else arguments)


def show(program: str, what: str, say: Callable[[Layout, Study], Iterable[str]], given: list[str]) -> int:
    """A command that says something of a study by its name; without one, all studies."""
    parser = argparse.ArgumentParser(prog=f"ablate {program}", description=what)
    parser.add_argument("name", nargs="?", help="the study; without it, the studies there are")
    parser.add_argument(
        "--output-dir", type=Path, action="append", metavar="DIR",
        help="where its records lie, several times for several folders (default: outputs)",
    )  # fmt: skip
    asked = parser.parse_args(given)
    folders = asked.output_dir or [Path("outputs")]
    screen = Screen()
    said = listed(folders) if asked.name is None else say(Layout(folders[0]), gather(folders, asked.name))
    for line in said:
        screen.say(line)
    return 0


def _page(places: Layout, study: Study) -> Iterator[str]:
    from ablate.report.files import write
    from ablate.report.judging import judgement

    judged = judgement(study)
    yield from lines(study, judged)
    yield f"page: {write(places, study, judged)}"


if __name__ == "__main__":
    sys.exit(main())
