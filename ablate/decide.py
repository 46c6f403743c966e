"""`ablate decide NAME "keep pyramid: ..."`: a log of decisions, each with what the study showed by then."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.command.frame import end, framed
from ablate.config.check import refuse
from ablate.display import Screen
from ablate.error import UserError
from ablate.record import reading, store
from ablate.record.layout import Layout
from ablate.record.reading import DecisionRecord
from ablate.report.decisions import lines
from ablate.report.gather import Study, gather

if TYPE_CHECKING:
    from ablate.study.verdict import Judgement


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(_decide, sys.argv[1:] if arguments is None else arguments)


def _decide(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate decide", description=__doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument("text", nargs="?", help="what is decided, and why; without it, the log")
    parser.add_argument("--by", help="who has decided (default: this user)")
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where its records lie (%(default)s)")
    asked = parser.parse_intermixed_args(arguments)
    places = Layout(asked.output_dir)
    study = gather([places.output_dir], asked.name)
    from ablate.report.judging import judgement

    judged, name = judgement(study), study.plan["study"]  # of a stage, where that is what there is
    if asked.text is not None:
        decided = _decision(study, judged, asked.text, asked.by or _user())
        known = reading.decisions(places, name)
        refuse(each for each in known if isinstance(each, str))  # a line that is written anew would be lost
        store.add_decision(places, name, [*(each for each in known if not isinstance(each, str)), decided])
    screen = Screen()
    for line in lines(study, judged) or [f"{asked.name}: nothing is decided yet"]:
        screen.say(line)
    return 0


def _decision(study: Study, judged: Judgement | None, text: str, by: str) -> DecisionRecord:
    from ablate.study.decision import concerned

    text = " ".join(text.split())
    if not text:
        raise UserError("decide: the text is empty; say what is decided, and why")
    if judged is None:
        raise UserError(f"{study.plan['study']}: there is no verdict yet to decide by; `ablate next` says what lacks")
    words = {each.arm: each.word for each in judged.verdicts}
    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "by": " ".join(by.split()),
        "text": text,
        "plan_id": study.plan["plan_id"],
        "seeds": judged.look.seeds,
        "evidence": study.digest(),
        "verdicts": {arm: words[arm] for arm in concerned(text, list(words), judged.baseline)},
    }


def _user() -> str:
    with contextlib.suppress(OSError, KeyError):  # a container's user may have no name
        return getpass.getuser()
    return "somebody"


if __name__ == "__main__":
    end(main())
