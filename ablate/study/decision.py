"""Decisions on a study, each bound to what the study had shown by then: what later runs change of that is told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ablate.study.design import split
from ablate.study.verdict import Verdict


def concerned(text: str, arms: Sequence[str], baseline: str) -> list[str]:
    """The arms that a decision is about: those of which it names a level that the baseline lacks; else all of them.

    >>> concerned("keep pyramid: cheaper", ["arch=pyramid", "arch=diamond"], "arch=cylinder")
    ['arch=pyramid']
    """
    words = set(re.findall(r"[\w.+-]*\w", text))
    usual = set(split(baseline))
    named = [
        arm
        for arm in arms
        if any(part not in usual and part.partition("=")[2] in words for part in split(arm) if "=" in part)
    ]
    return named or list(arms)


def overturned(evidence: Mapping[str, str], now: Sequence[Verdict], margin: float) -> list[str]:
    """A line on each arm whose verdict is another than it was, or is not borne out by what all runs show.

    A verdict that was given stands in the report, since it was given at its own error rate; a decision need not.

    >>> overturned({"a": "better"}, [Verdict("a", "better", 0.001, -0.002, 0.004, 0.3, 5)], margin=0.002)
    ['a was better, and is at +0.10 points, between -0.20 and +0.40']
    """
    known = {each.arm: each for each in now}
    found = []
    for arm, before in evidence.items():
        if (verdict := known.get(arm)) is None:
            found.append(f"{arm} was {before}, and is not in the study any more")
        elif verdict.word != before:
            found.append(f"{arm} was {before}, and is {verdict.word}")
        elif not _is_borne_out(verdict, margin):
            low, high = (f"{100 * (each or 0):+.2f}" for each in (verdict.low, verdict.high))
            effect = f"{100 * (verdict.effect or 0):+.2f}"
            found.append(f"{arm} was {before}, and is at {effect} points, between {low} and {high}")
    return found


def _is_borne_out(verdict: Verdict, margin: float) -> bool:
    """Whether all runs together show what a verdict says."""
    if verdict.effect is None or verdict.low is None or verdict.high is None:
        return True
    return {
        "better": verdict.low > 0,
        "worse": verdict.high < 0,
        "equivalent": abs(verdict.effect) <= margin,
        "undecided": True,
    }[verdict.word]
