"""What the stage before says of a study: which arms went on, how far both stages agree, what it cost and saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ablate.report.gather import Study, machine_of

if TYPE_CHECKING:
    from ablate.study.stage import Promotion, Run
    from ablate.study.verdict import Judgement


@dataclass(frozen=True)
class Staging:
    """A stage beside the one before it."""

    before: Study
    promotion: Promotion
    ranks: tuple[float, float, float] | None  # Spearman's, over the arms of both, and its 95 %; with four arms at least
    num_of_both: int  # arms
    seconds: float  # of all stages
    seconds_of_all: float | None  # that all arms would take here

    def parts(self, study: Study) -> tuple[str, str]:
        """Of the data, that the stage before and this one train on."""
        first, last = (100 * study.parts[each.plan["study"]] for each in (self.before, study))
        return f"{first:g} %", f"{last:g} %"


def promoted(study: Study | None, before: Study, seeds: Mapping[str, Sequence[int]]) -> Promotion:
    """What a stage is to run; each arm's `seeds` are those that it may have, the baseline first."""
    from ablate.study.stage import promotion

    return promotion(_runs(before), _runs(study) if study else [], seeds)


def staging(study: Study) -> Staging | None:
    """What the stage before says of a study; none where there is none, or where it lacks runs."""
    before = study.before
    if before is None or before.waiting or any(not _accuracies(before, arm) for arm in before.arms[:1]):
        return None
    planned = list(dict.fromkeys(cell["seed"] for cell in before.cells))
    own = {arm: [cell["seed"] for cell in study.cells if cell["arm"] == arm] for arm in before.arms}
    # An arm may have been given more seeds than others since; of one that has a single one, more may be wanted.
    seeds = {arm: of if len(of) > 1 else planned for arm, of in own.items()}
    found = promoted(study, before, seeds)
    both = [arm for arm in study.arms if _accuracies(study, arm) and arm in before.arms]
    spent = {arm: (_seconds(before, arm), _seconds(study, arm)) for arm in before.arms}
    known = [(one, other) for one, other in spent.values() if one and other]
    of_all = None
    if known:
        ratio = sum(other for _, other in known) / sum(one for one, _ in known)
        of_all = sum(len(seeds[arm]) * (other or (one or 0.0) * ratio) for arm, (one, other) in spent.items())
    return Staging(before, found, _ranks(study, before, both), len(both), seconds(study), of_all)


def of_those_that_may_be_best(judgement: Judgement, found: Staging | None) -> Judgement:
    """The verdicts that are worth more runs: after a stage not on arms that it has left behind."""
    if found is None:
        return judgement
    going = [each for each in judgement.verdicts if each.arm in found.promotion.may_be_best]
    return dataclasses.replace(judgement, verdicts=going)


def lines(study: Study, found: Staging | None) -> list[str]:
    """The same in words; none where there is none."""
    if found is None and study.before:
        which = study.before.plan["study"]
        return [f"runs of the stage before, {which}, are not there: what it says of this one is told when they are"]
    if found is None:
        return []
    from ablate.display import duration

    first, last = found.parts(study)
    outlook, arms = found.promotion.outlook, found.before.arms
    tried = sum(outlook.best[arm] for arm in found.promotion.seeds)
    rho, low, high = outlook.agreement
    said = [
        f"of {len(arms)} arms on {first} of the data ({found.before.plan['study']}) {len(found.promotion.seeds)} went "
        f"on to {last}: {_reasons(found.promotion)}",
        f"the best of all {len(arms)} is among them with probability {tried:.2f}; it may still be "
        f"{_few(found.promotion.may_be_best)}",
        f"what an arm does on {first} and on {last} correlates by {rho:.2f} ({low:.2f} to {high:.2f})",
    ]
    if found.ranks:
        rho, low, high = found.ranks
        said[-1] += f", the ranks of the {found.num_of_both} on both by {rho:.2f} ({low:.2f} to {high:.2f})"
    if found.seconds_of_all:
        saved = 1 - found.seconds / found.seconds_of_all
        what = f"{100 * saved:.0f} % saved" if saved >= 0 else f"{-100 * saved:.0f} % more"
        whole = f"all arms on {last} would take about {duration(found.seconds_of_all)}"
        said.append(f"all stages took {duration(found.seconds)}; {whole}: {what}")
    return said


def rows(study: Study, found: Staging) -> list[tuple[str, float | None, float | None, float, str]]:
    """Each arm of the stage before, the likeliest best one first: accuracy there and here, how likely, what became."""
    promotion = found.promotion
    became = dict.fromkeys(promotion.seeds, "went on") | dict.fromkeys(promotion.regularizers, "went on to regularize")
    became |= dict.fromkeys(promotion.audited, "went on as an audit")
    became |= dict.fromkeys(promotion.may_be_best, "may be the best") | {found.before.arms[0]: "baseline"}
    best = promotion.outlook.best
    return [
        (arm, found.before.mean(arm), study.mean(arm), best[arm], became.get(arm, "stayed"))
        for arm in sorted(found.before.arms, key=lambda arm: -best[arm])
    ]


def _reasons(promotion: Promotion) -> str:
    """Why arms went on, with how many did for each reason."""
    others = {
        "the baseline": 1,
        f"{len(promotion.regularizers)} that regularize them, of which a part of the data says little": len(
            promotion.regularizers
        ),
        f"{len(promotion.audited)} of the rest, drawn as an audit": len(promotion.audited),
    }
    number = len(promotion.seeds) - sum(others.values())
    return ", ".join([f"{number} that may be the best", *(what for what, count in others.items() if count)])


def _few(arms: Sequence[str]) -> str:
    return ", ".join(arms[:4]) + (f" or one of {len(arms) - 4} more" if len(arms) > 4 else "")


def _runs(study: Study) -> list[Run]:
    from ablate.study.stage import Run

    return [
        Run(cell["arm"], cell["seed"], machine_of(found), metrics["val/accuracy"], metrics.get("val/loss"))
        for cell in study.cells
        if (found := study.results.get(cell["key"])) and (metrics := found["metrics"])
    ]


def _accuracies(study: Study, arm: str) -> list[float]:
    return [each.accuracy for each in _runs(study) if each.arm == arm and each.accuracy is not None]


def _seconds(study: Study, arm: str) -> float | None:
    """What a run of an arm takes."""
    results = [
        study.results[cell["key"]] for cell in study.cells if cell["arm"] == arm and cell["key"] in study.results
    ]
    return fmean(each.get("seconds", 0.0) for each in results) if results else None


def seconds(study: Study) -> float:
    """What all runs of a study took, those of the stages before it too."""
    here = sum(each.get("seconds", 0.0) for each in study.results.values())
    return here + (seconds(study.before) if study.before else 0.0)


def _ranks(study: Study, before: Study, arms: Sequence[str]) -> tuple[float, float, float] | None:
    """Spearman's correlation of mean accuracies with its interval (Bonett and Wright 2000).

    Of equal or opposite ranks the interval is that of the nearest other correlation, for which two change places: they
    are no proof that there is no other.
    """
    if len(arms) < 4:
        return None
    import math

    import numpy as np

    from ablate.study.stage import ranks  # scipy.stats would take two seconds to load

    here, there = (ranks([fmean(_accuracies(of, arm) or [0.0]) for arm in arms]) for of in (study, before))
    if len(set(here)) == 1 or len(set(there)) == 1:
        return None
    rho = float(np.corrcoef(here, there)[0, 1])
    half = 1.96 * math.sqrt((1 + rho**2 / 2) / (len(arms) - 3))
    nearest = 1 - 12 / (len(arms) * (len(arms) ** 2 - 1))
    centre = math.atanh(max(min(rho, nearest), -nearest))
    return rho, min(rho, math.tanh(centre - half)), max(rho, math.tanh(centre + half))
