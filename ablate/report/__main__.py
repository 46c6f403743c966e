"""`ablate report NAME`: a study's verdicts, its tables and its page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ablate.command.frame import framed
from ablate.display import Screen
from ablate.record.layout import Layout
from ablate.report.gather import Study, gather, judgement
from ablate.report.words import lines, listed
from ablate.study.verdict import Judgement


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(partial(show, "report", __doc__ or "", _page), sys.argv[1:] if arguments is None else arguments)


def show(program: str, what: str, further: Callable[[Layout, Study, Judgement | None], str], given: list[str]) -> int:
    """A command on a study by its name: what is known of it, and what is `further` to say; without one, all studies."""
    parser = argparse.ArgumentParser(prog=f"ablate {program}", description=what)
    parser.add_argument("name", nargs="?", help="the study; without it, the studies there are")
    parser.add_argument(
        "--output-dir", type=Path, action="append", metavar="DIR",
        help="where its records lie, several times for several folders (default: outputs)",
    )  # fmt: skip
    asked = parser.parse_args(given)
    folders = asked.output_dir or [Path("outputs")]
    screen = Screen()
    if asked.name is None:
        said = listed(folders)
    else:
        study = gather(folders, asked.name)
        judged = judgement(study)
        said = [*lines(study, judged), *filter(None, [further(Layout(folders[0]), study, judged)])]
    for line in said:
        screen.say(line)
    return 0


def _page(places: Layout, study: Study, judged: Judgement | None) -> str:
    from ablate.report.files import write

    return f"page: {write(places, study, judged)}"


if __name__ == "__main__":
    sys.exit(main())
