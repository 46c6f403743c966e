"""A study's verdicts, from what is recorded of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ablate.report.gather import Study, machine_of
from ablate.study.model import Model, Observation
from ablate.study.verdict import Judgement, Verdict, judge


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
    judge_these = partial(judge, baseline=baseline, stages=study.stages, margin=study.plan.get("margin"))
    now = judge_these(observations)
    if all(each.word != "undecided" for each in now.verdicts):
        return now
    settled: dict[str, Verdict] = {}
    seeds = list(dict.fromkeys(each.seed for each in observations))
    for count in range(2, len(seeds)):
        seen = [each for each in observations if each.seed in seeds[:count]]
        if any(each.arm == baseline and each.accuracy is not None for each in seen):
            earlier = judge_these(seen).verdicts
            settled |= {each.arm: replace(each, since=count) for each in earlier if each.word != "undecided"}
    return replace(now, verdicts=[_standing(each, settled.get(each.arm)) for each in now.verdicts])


def _standing(now: Verdict, earlier: Verdict | None) -> Verdict:
    """What is settled stays settled, with what is known of it by now."""
    if now.word != "undecided" or earlier is None:
        return now
    return replace(now, word=earlier.word, since=earlier.since, more_seeds=None)


def model_of(study: Study, judgement: Judgement) -> Model:
    """The fit that the verdicts are made by."""
    return Model([each for each in observed(study) if each.accuracy is not None], list(judgement.means))
