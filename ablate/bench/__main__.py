"""`ablate bench`: promises that take long to prove, measured with the real command on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ablate.bench import data, faults, following, gpu, histories, kills, speed, staging, start, study, verdicts
from ablate.command.frame import end, framed


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(_bench, sys.argv[1:] if arguments is None else arguments)


@dataclass(frozen=True)
class _Bench:
    """What is measured, by what function of which numbers, each with its default and what it says."""

    what: str
    run: Callable[..., int]
    numbers: dict[str, tuple[float, str]]


_BENCHES = {
    "kills": _Bench(
        "kill -9 a run again and again: it ends with the undisturbed run's bits",
        kills.kills,
        {"kills": (50, "how often"), "seed": (0, "draws the moments")},
    ),
    "team": _Bench(
        "kill -9 four members of a study again and again: each cell is finished once, with the same bits",
        study.team,
        {"kills": (50, "how often"), "seed": (0, "draws the moments")},
    ),
    "claims": _Bench(
        "play random histories of members who take runs as they go: none is lost, none repeated",
        histories.histories,
        {"histories": (10_000, "how many"), "seed": (0, "draws them")},
    ),
    "sweep": _Bench(
        "what a study costs beside its trainings: planned, asked again, from run to run",
        study.overhead,
        {"cells": (200, "of the finished study")},
    ),
    "start": _Bench(
        "what a command takes before it does anything, in imports of libraries",
        start.start,
        {"rounds": (5, "alternated")},
    ),
    "data": _Bench(
        "what it takes to load a corpus of the course's size: 5 GB of files, 5 GB of cache",
        data.data,
        {"utterances": (28_539, "to train on"), "rounds": (3, "of starts")},
    ),
    "speed": _Bench(
        "how near a training comes to what this processor can do, and how far ahead of the course's loop it is",
        speed.speed,
        {"rounds": (5, "alternated")},
    ),
    "gpu": _Bench(
        "how near a training comes to what an NVIDIA GPU can do; under 8 minutes",
        gpu.gpu,
        {"frames": (4_000_000, "of an epoch"), "rounds": (3, "alternated")},
    ),
    "faults": _Bench(
        "wrong commands, odd places, hostile files, kills: all are survived",
        lambda *numbers: _faults(*numbers),
        {
            "commands": (1000, "wrong ones"),
            "part": (1.0, "of the places and files"),
            "kills": (200, "of runs and of members"),
            "seed": (0, "draws them"),
        },
    ),
    "verdicts": _Bench(
        "simulate studies whose truth is known, and judge them",
        verdicts.verdicts,
        {"studies": (4000, "of each kind"), "seed": (0, "draws them")},
    ),
    "next": _Bench(
        "go on with simulated studies as `ablate next` says, and with all arms alike",
        following.nexts,
        {"studies": (500, "of each kind"), "seed": (0, "draws them")},
    ),
    "stages": _Bench(
        "simulate studies in stages whose best arm is known: is it kept, and what is saved?",
        staging.stages,
        {"studies": (500, "of each kind"), "seed": (0, "draws them")},
    ),
}


def _bench(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="WHAT", dest="what")
    for name, bench in _BENCHES.items():
        command = commands.add_parser(name, help=bench.what)
        for number, (default, meaning) in bench.numbers.items():
            said = f"{meaning} (default: %(default)s)"
            command.add_argument(f"--{number}", type=type(default), default=default, help=said)
        if name == "data":
            command.add_argument("--folder", type=Path, default=Path("outputs/bench"), help="(default: %(default)s)")
    given = vars(parser.parse_args(arguments))
    bench = _BENCHES[given["what"]]
    return bench.run(*(given[name] for name in [*bench.numbers, "folder"] if name in given))


def _faults(commands: int, part: float, number_of_kills: int, seed: int) -> int:
    """All that can go wrong; 0 if all of it was survived, else 1."""
    codes = [faults.faults(commands, seed, part)]
    if half := number_of_kills // 2:
        codes += [kills.kills(half, seed), study.team(half, seed)]
    return max(codes)


if __name__ == "__main__":
    end(main())
