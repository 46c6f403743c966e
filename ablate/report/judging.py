"""A study's verdicts, from what is recorded of it."""

from __future__ import annotations

from ablate.report.gather import Study, machine_of
from ablate.study.model import Model, Observation
from ablate.study.verdict import Judgement, judge_standing


def observed(study: Study) -> list[Observation]:
    """The runs of the seeds that are complete."""
    waiting = study.waiting
    return [
        Observation(cell["arm"], cell["seed"], machine_of(result), result["metrics"]["val/accuracy"])
        for cell in study.cells
        if cell["seed"] not in waiting and (result := study.results.get(cell["key"]))
    ]


def judgement(study: Study) -> Judgement | None:
    """The verdicts on the seeds that are complete, those of earlier looks standing; none before there can be one."""
    observations, baseline = observed(study), study.plan["baseline"]
    if not any(each.arm == baseline and each.accuracy is not None for each in observations):
        return None
    return judge_standing(observations, baseline, study.looks, study.plan.get("margin"))


def model_of(study: Study, judgement: Judgement) -> Model:
    """The fit that the verdicts are made by."""
    return Model([each for each in observed(study) if each.accuracy is not None], list(judgement.means))
