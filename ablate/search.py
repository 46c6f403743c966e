"""`ablate search`: look for good levels by what earlier trials have shown, with Optuna; a trial is an ordinary run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablate.command.frame import end, framed
from ablate.command.line import read
from ablate.config.check import refuse
from ablate.config.compose import Composer, is_of_hydra
from ablate.error import UserError


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return framed(_search, given, after_interruption="the same command goes on with the search")


def _search(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate search", description=__doc__)
    levels = "study.name=NAME, and levels to choose from: arch=cylinder,pyramid 'optim.lr=tag(log, interval(1e-4,0.1))'"
    parser.add_argument("overrides", nargs="+", help=levels)
    parser.add_argument("--trials", type=int, default=20, help="how many more (default: %(default)s)")
    parser.add_argument("--journal", type=Path, help="a file that members share (default: one in the study's folder)")
    asked = parser.parse_intermixed_args(arguments)
    if asked.trials < 1:
        raise UserError(f"--trials {asked.trials}: expected at least 1")
    line = read(asked.overrides)
    refuse(line.problems)
    try:
        from ablate.multirun.search import search
        from ablate.multirun.space import space
    except ModuleNotFoundError as error:
        raise UserError("search: needs Optuna; pip install 'ablate[search]'") from error
    with Composer.of(line.flags, line.overrides) as composer:
        if launcher := [each for each in line.overrides if each.startswith("hydra/launcher")]:
            raise UserError(f"{launcher[0]}: trials run one by one; start the search several times for several at once")
        own = [each for each in line.overrides if not is_of_hydra(each)]
        search(composer, space(composer, own), asked.trials, asked.journal)
    return 0


if __name__ == "__main__":
    end(main())
