"""`ablate sync NAME`: upload what wandb's server does not have of a study; of all there is without a name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ablate.command.frame import end, framed
from ablate.config.spelling import nearest
from ablate.display import Screen
from ablate.error import IncompleteError, UserError
from ablate.record import reading, upload, wandb_api, wandb_settings
from ablate.record.layout import Layout
from ablate.record.upload import Window
from ablate.training import window


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return framed(_sync, given, after_interruption="the same command goes on with what is left")


def _sync(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate sync", description=__doc__)
    parser.add_argument("name", nargs="?", help="the study; without it, all that is kept offline")
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where it lies (%(default)s)")
    asked = parser.parse_args(arguments)
    places, screen = Layout(asked.output_dir), Screen()
    windows = upload.left(places) if asked.name is None else upload.left(places, asked.name, _keys(places, asked.name))
    if not windows:
        screen.say("nothing is left to upload")
        return 0
    wandb_settings.check_api_key()
    if problem := wandb_api.unreachable(asked.output_dir):
        raise IncompleteError(f"wandb: the server can't be used ({problem}); nothing is uploaded")
    uploaded = 0
    for each, problem in _sent(places, windows, screen):
        screen.say(f"{'failed' if problem else 'uploaded'}: {each.folder}{f': {problem}' if problem else ''}")
        uploaded += problem is None
    if uploaded < len(windows):
        raise IncompleteError(f"{len(windows) - uploaded} of {len(windows)} runs are left; the same command goes on")
    return 0


def _sent(places: Layout, windows: Sequence[Window], screen: Screen) -> Iterator[tuple[Window, str | None]]:
    """Upload runs, each with what went wrong.

    `wandb sync` repeats what a server has of a run already: it gets the rest from the run's record.
    """
    others = list[Window]()
    for each in windows:
        try:
            if not window.show_rest(places, each):
                others.append(each)
                continue
            problem = None
        except UserError as error:
            problem = " ".join(str(error).splitlines())
        yield each, problem
    if others:
        screen.say(f"uploading {len(others)} of wandb's own files ...")
    yield from upload.send(others)


def _keys(places: Layout, study: str) -> set[str]:
    plan = reading.plan(places, study)
    if plan is None:
        raise UserError(f"{study}: no such study in {places.output_dir}; {nearest(study, reading.studies(places))}")
    return {cell["key"] for cell in plan["cells"]}


if __name__ == "__main__":
    end(main())
