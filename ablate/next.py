"""`ablate next NAME`: the runs that would settle most of what a study leaves undecided, with their hours."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from pathlib import Path
from statistics import fmean

from ablate.command.frame import end, framed
from ablate.config.override import with_list
from ablate.display import Screen, duration
from ablate.report.gather import Study, gather
from ablate.report.words import next_steps, resume, why_no_verdict


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(_next, sys.argv[1:] if arguments is None else arguments)


def _next(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate next", description=__doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument("--hours", type=float, default=math.inf, help="that there are, all members together")
    parser.add_argument("--output-dir", type=Path, action="append", metavar="DIR", help="where its records lie")
    asked = parser.parse_args(arguments)
    if not asked.hours > 0:
        parser.error(f"--hours {asked.hours}: expected more than none")
    screen = Screen()
    for line in _lines(gather(asked.output_dir or [Path("outputs")], asked.name), 3600 * asked.hours):
        screen.say(line)
    return 0


def _lines(study: Study, budget: float) -> list[str]:
    from ablate.report.judging import judgement
    from ablate.report.staging import of_those_that_may_be_best, staging
    from ablate.study.following import following

    judged = judgement(study)
    if judged is None:
        return [why_no_verdict(study), *next_steps(study, None)]
    seconds = _seconds(study)
    if study.waiting or study.stage_of or judged.look.seeds < 2 or not judged.verdicts:
        return next_steps(study, judged)
    every, judged = judged, of_those_that_may_be_best(judged, staging(study))
    undecided = [each for each in judged.verdicts if each.word == "undecided"]
    runs = Counter(cell["arm"] for cell in study.cells)
    found = following(judged, runs, seconds, budget)
    if not undecided:
        return next_steps(study, every)
    if found is None and (any_time := following(judged, runs, seconds)):
        return [
            f"--hours is too little for the first of {len(undecided)} undecided arms; all of them take {any_time.runs} "
            f"runs, about {duration(any_time.seconds)}"
        ]
    if found is None:
        return next_steps(study, every)
    lines = [f"{arm}: undecided; {seeds - runs[arm]} more seeds, to {seeds}" for arm, seeds in found.seeds.items()]
    lines += [f"{arm}: undecided, and left for want of time" for arm in found.left]
    settled = len(judged.verdicts) - len(undecided)
    lines.append(
        f"{found.runs} runs, about {duration(found.seconds)} as long as runs took so far; "
        f"{settled} settled {'arm gets' if settled == 1 else 'arms get'} none"
    )
    most = max(found.seeds.values())
    stops = [f"{arm}: {number}" for arm, number in found.stops.items()]
    given = [f"study.seeds={most}", *([with_list("study.stop", stops)] if stops else [])]
    return [*lines, f"`{resume(study, *given)}`"]


def _seconds(study: Study) -> dict[str, float]:
    """What a run of each arm takes."""
    known = {
        arm: [spent for cell in study.cells if cell["arm"] == arm and (spent := _spent(study, cell["key"]))]
        for arm in study.arms
    }
    every = [spent for each in known.values() for spent in each]
    return {arm: fmean(spent or every or [0.0]) for arm, spent in known.items()}


def _spent(study: Study, key: str) -> float | None:
    result = study.results.get(key)
    return result.get("seconds") if result else None


if __name__ == "__main__":
    end(main())
