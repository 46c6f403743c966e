"""`ablate bench`: promises that take long to prove, measured with the real command on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablate.bench import data, faults, following, histories, kills, start, study, verdicts
from ablate.command.frame import framed


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(_bench, sys.argv[1:] if arguments is None else arguments)


def _bench(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="WHAT")

    command = commands.add_parser(
        "kills", help="kill -9 a run again and again: it ends with the undisturbed run's bits"
    )
    command.add_argument("--kills", type=int, default=50, help="how often (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="draws the moments (default: %(default)s)")
    command.set_defaults(run=lambda given: kills.kills(given.kills, given.seed))

    command = commands.add_parser(
        "team", help="kill -9 four members of a study again and again: each cell is finished once, with the same bits"
    )
    command.add_argument("--kills", type=int, default=50, help="how often (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="draws the moments (default: %(default)s)")
    command.set_defaults(run=lambda given: study.team(given.kills, given.seed))

    command = commands.add_parser(
        "claims", help="play random histories of members who take runs as they go: none is lost, none repeated"
    )
    command.add_argument("--histories", type=int, default=10_000, help="how many (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="draws them (default: %(default)s)")
    command.set_defaults(run=lambda given: histories.histories(given.histories, given.seed))

    command = commands.add_parser(
        "sweep", help="what a study costs beside its trainings: planned, asked again, from run to run"
    )
    command.add_argument("--cells", type=int, default=200, help="of the finished study (default: %(default)s)")
    command.set_defaults(run=lambda given: study.overhead(given.cells))

    command = commands.add_parser("start", help="what a command takes before it does anything, in imports of libraries")
    command.add_argument("--rounds", type=int, default=5, help="alternated (default: %(default)s)")
    command.set_defaults(run=lambda given: start.start(given.rounds))

    command = commands.add_parser(
        "data", help="what it takes to load a corpus of the course's size: 5 GB of files, 5 GB of cache"
    )
    command.add_argument("--utterances", type=int, default=28_539, help="to train on (default: %(default)s)")
    command.add_argument("--rounds", type=int, default=3, help="of starts (default: %(default)s)")
    command.add_argument("--folder", type=Path, default=Path("outputs/bench"), help="(default: %(default)s)")
    command.set_defaults(run=lambda given: data.data(given.utterances, given.folder, given.rounds))

    command = commands.add_parser("faults", help="wrong commands, odd places, hostile files, kills: all are survived")
    command.add_argument("--commands", type=int, default=1000, help="wrong ones (default: %(default)s)")
    command.add_argument("--part", type=float, default=1.0, help="of the places and files (default: all)")
    command.add_argument("--kills", type=int, default=200, help="of runs and of members (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="draws them (default: %(default)s)")
    command.set_defaults(run=_faults)

    command = commands.add_parser("verdicts", help="simulate studies whose truth is known, and judge them")
    command.add_argument("--studies", type=int, default=4000, help="of each kind (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="draws them (default: %(default)s)")
    command.set_defaults(run=lambda given: verdicts.verdicts(given.studies, given.seed))

    command = commands.add_parser("next", help="go on with simulated studies as `ablate next` says, and all arms alike")
    command.add_argument("--studies", type=int, default=500, help="of each kind (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="draws them (default: %(default)s)")
    command.set_defaults(run=lambda given: following.nexts(given.studies, given.seed))

    given = parser.parse_args(arguments)
    code: int = given.run(given)
    return code


def _faults(given: argparse.Namespace) -> int:
    """All that can go wrong; 0 if all of it was survived, else 1."""
    codes = [faults.faults(given.commands, given.seed, given.part)]
    if half := given.kills // 2:
        codes += [kills.kills(half, given.seed), study.team(half, given.seed)]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
