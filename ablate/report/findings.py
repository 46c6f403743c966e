"""What a study shows beyond its verdicts: effects of factors, steps, other dev sets, confusions, where time went."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ablate.error import UserError
from ablate.record import reading
from ablate.report.confirmation import best as best_arm
from ablate.report.confirmation import confirmation, typed
from ablate.report.gather import Study
from ablate.report.judging import model_of
from ablate.study import effects
from ablate.study.dev_set import Counts, Resampled, resampled
from ablate.study.effects import Term
from ablate.study.model import Estimate, Model
from ablate.study.verdict import Judgement, Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MOST_RESAMPLED = 6  # arms of the largest effects, whose utterances are read
_FACTORIAL = ("grid", "fraction")


@dataclass(frozen=True)
class Confused:
    """Rates of confusion, (classes, classes), each row's sum 1 or, without a frame of the class, 0."""

    arm: str
    baseline: str
    of_arm: npt.NDArray[np.float64]
    of_baseline: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Findings:
    """Of a study that has verdicts."""

    main: list[Term]
    both: list[Term]  # interactions of two factors
    steps: list[tuple[str, str, Estimate]]  # of a path: before, after, difference
    best: Verdict | None  # the arm that is picked, where one looks better than the baseline
    kept: float | None  # of its lead, what is to be expected again
    confirmation: str | None  # the command for it
    dev_set: dict[str, Resampled]
    confused: Confused | None


def findings(study: Study, judgement: Judgement) -> Findings:
    """All of it, as far as the records tell; what is malformed is named among the study's notes."""
    model = model_of(study, judgement)
    picked = best_arm(judgement)
    best = next((each for each in judgement.verdicts if each.arm == picked), None)
    main, both = effects_of_factors(study, model)
    return Findings(
        main=main,
        both=both,
        steps=effects.steps(model, study.arms) if study.plan["design"] == "path" else [],
        best=best,
        kept=effects.shrinkage(model),
        confirmation=typed(asked) if best and (asked := confirmation(study, best.arm)) else None,
        dev_set=_dev_sets(study, judgement),
        confused=_confused(study, judgement),
    )


def effects_of_factors(study: Study, model: Model) -> tuple[list[Term], list[Term]]:
    """Main effects and interactions of two factors, where a design crosses its factors."""
    levels = {arm: study.levels(arm) for arm in model.arms}
    baseline = study.plan["baseline"]
    are_crossed = all(set(of) == set(levels[baseline]) for of in levels.values()) and len(levels[baseline]) > 1
    if study.plan["design"] not in _FACTORIAL or not are_crossed:
        return [], []
    return effects.terms(model, levels, baseline, 1), effects.terms(model, levels, baseline, 2)


def hours(study: Study) -> tuple[dict[str, float], dict[str, float]]:
    """Of training, by arm and by member."""
    by_arm, by_member = defaultdict[str, float](float), defaultdict[str, float](float)
    for cell in study.cells:
        if result := study.results.get(cell["key"]):
            spent = result.get("seconds", 0.0) / 3600
            by_arm[cell["arm"]] += spent
            by_member[str(result.get("member") or cell.get("member") or "nobody")] += spent
    return dict(by_arm), dict(sorted(by_member.items()))


def origins(study: Study) -> list[tuple[str, str]]:
    """What the runs were made from, each with how many have it: data, code, versions, machines."""
    found = defaultdict[str, Counter[str]](Counter)
    for result in study.results.values():
        machine = result.get("machine")
        versions = result.get("versions", {})
        told = {
            "data": result.get("data_fingerprint"),
            "results version": result.get("results_version"),
            "commit": result.get("git_commit"),
            "torch": versions.get("torch"),
            "ablate": versions.get("ablate"),
            "machine": machine and f"{machine['name']} ({machine.get('device', '?')})",
        }
        for name, value in told.items():
            if value is not None:
                found[name][str(value)] += 1
    several = {name: sorted(counts.items(), key=lambda each: (-each[1], each[0])) for name, counts in found.items()}
    return [
        (name, ", ".join(value if len(counts) == 1 else f"{value} ({number} runs)" for value, number in counts))
        for name, counts in several.items()
    ]


def _dev_sets(study: Study, judgement: Judgement) -> dict[str, Resampled]:
    """How sure the largest differences are of other speakers."""
    baseline = _counts(study, judgement.baseline)
    if baseline is None:
        return {}
    known = [each for each in judgement.verdicts if each.effect is not None]
    largest = sorted(known, key=lambda each: -abs(each.effect or 0.0))[:_MOST_RESAMPLED]
    found = {}
    for arm in (each.arm for each in known if each in largest):
        counts = _counts(study, arm)
        if counts and (one := resampled(counts, baseline)):
            found[arm] = one
    return found


def _counts(study: Study, arm: str) -> Counts | None:
    """The counts of an arm's utterances, the means of its runs; none where none is recorded."""
    correct, frames, speaker = defaultdict[str, list[int]](list), dict[str, int](), dict[str, str]()
    for path in _folders(study, arm):
        try:
            for each in reading.utterances(path):
                correct[each["name"]].append(each["correct"])
                frames[each["name"]] = each["frames"]
                speaker[each["name"]] = each.get("speaker", "")
        except UserError as error:
            study.notes.append(f"{error}; left out")
    return Counts({name: fmean(of) for name, of in correct.items()}, frames, speaker) if frames else None


def _confused(study: Study, judgement: Judgement) -> Confused | None:
    """The confusions of the arm that looks best, beside the baseline's."""
    known = [each for each in judgement.verdicts if each.effect is not None]
    if not known:
        return None
    best = max(known, key=lambda each: each.effect or 0.0).arm
    of_arm, of_baseline = (_rates(study, arm) for arm in (best, judgement.baseline))
    if of_arm is None or of_baseline is None or of_arm.shape != of_baseline.shape:
        return None
    return Confused(best, judgement.baseline, of_arm, of_baseline)


def _rates(study: Study, arm: str) -> npt.NDArray[np.float64] | None:
    import numpy as np

    counts: npt.NDArray[np.int64] | None = None
    for path in _folders(study, arm):
        try:
            found = reading.confusion(path)
        except UserError as error:
            study.notes.append(f"{error}; left out")
            continue
        if found is not None and (counts is None or counts.shape == found.shape):
            counts = found if counts is None else counts + found
    if counts is None:
        return None
    rates: npt.NDArray[np.float64] = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return rates


def _folders(study: Study, arm: str) -> list[Path]:
    return [study.folders[cell["key"]] for cell in study.cells if cell["arm"] == arm and cell["key"] in study.folders]


def most_changed(confused: Confused, names: Sequence[str], most: int = 8) -> list[tuple[str, str, float, float]]:
    """Pairs of a class and what it was taken for whose rates differ most: of the baseline, of the arm."""
    import numpy as np

    change = np.abs(confused.of_arm - confused.of_baseline)
    np.fill_diagonal(change, 0)
    places = np.argsort(-change, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(places, change.shape)
    return [
        (names[i], names[j], float(confused.of_baseline[i, j]), float(confused.of_arm[i, j]))
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        if change[i, j] > 0
    ]
