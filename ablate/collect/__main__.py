"""`ablate collect FOLDER...`: merge what team-mates have copied to you into your own records, and say what still lacks.

A folder may be an output_dir, its runs alone, studies, or whatever these were unpacked into.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from ablate.collect import gap, merge, plans, source
from ablate.command.frame import end, framed
from ablate.display import Screen
from ablate.error import BusyError, UserError
from ablate.record import store
from ablate.record.layout import Layout


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return framed(_collect, given, after_interruption="the same command goes on; what was copied is whole")


def _collect(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate collect", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="what was copied")
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), help="your own (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    asked = parser.parse_args(arguments)
    if lost := [str(folder) for folder in asked.folders if not folder.is_dir()]:
        raise UserError(f"{', '.join(lost)}: no such folder; unpack an archive first")
    places, screen = Layout(asked.output_dir), Screen()
    if asked.dry_run:
        return _merged(places, asked.folders, screen, is_dry=True)
    store.check_writable(places)
    places.collect_guard.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(places.collect_guard, timeout=0):  # held by the system, so never left behind
            return _merged(places, asked.folders, screen, is_dry=False)
    except Timeout as error:
        raise BusyError(f"{places.output_dir}: another `ablate collect` is writing there; wait for it") from error


def _merged(places: Layout, folders: Iterable[Path], screen: Screen, *, is_dry: bool) -> int:
    """Merge all that the folders hold; the exit code."""
    found = source.look(folders, places.runs)
    screen.say(found.summary())
    merged = merge.runs(places, found.runs, is_dry=is_dry)
    merged.problems += found.problems
    studies = plans.merge(places, found.plans, is_dry=is_dry)
    for line in [*found.notes, *merged.problems, *studies.problems, *merged.notes, *studies.notes]:
        screen.say(line)
    screen.say(merged.summary(is_dry=is_dry))
    for line in gap.lines(places, studies.known, merged):
        screen.say(line)
    return 1 if merged.problems or studies.problems else 0


if __name__ == "__main__":
    end(main())
