"""`ablate resume NAME`: go on with a study, by the command that began it; nothing of it need be typed again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablate.command.frame import end, framed
from ablate.config.compose import is_of_hydra
from ablate.config.override import name_of
from ablate.error import UserError
from ablate.record.layout import Layout

_GROWTH = ("study.seeds", "study.stop", "team.size")  # what may be changed of a plan, on demand


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(
        _resume,
        sys.argv[1:] if arguments is None else arguments,
        after_interruption="the same command goes on from the last whole epoch",
    )


def _resume(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate resume", description=__doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument(
        "overrides",
        nargs="*",
        help="what is yours or of this machine: team.member=2 device=cpu hydra/launcher=slurm",
    )
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where its records lie (%(default)s)")
    asked = parser.parse_intermixed_args(arguments)
    from ablate.multirun import again
    from ablate.multirun.sweep import multirun

    places = Layout(asked.output_dir)
    name = again.whole(places, asked.name)
    plan, command = again.recorded(places, name)
    given = again.given(places, asked.overrides)
    own = [each for each in given if not is_of_hydra(each)]
    own += again.stores(places, name, own)
    if any(name_of(each) == "study.stages" for each in own):
        raise UserError(f"study.stages: {name} was planned with its own; the study's own command begins others anew")
    overrides = [*again.allowed(command["overrides"], own), *own]
    grows = any(name_of(each) in _GROWTH for each in own)
    with again.composer(places, name, command, given) as composer:
        return multirun(composer, overrides, ["resume", *arguments], None if grows else plan)


if __name__ == "__main__":
    end(main())
