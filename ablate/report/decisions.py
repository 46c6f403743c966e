"""A study's decisions in words, and what later runs have changed of what they stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.display import harmless
from ablate.error import UserError
from ablate.record import reading
from ablate.record.layout import Layout
from ablate.record.reading import DecisionRecord
from ablate.report.gather import Study

if TYPE_CHECKING:
    from ablate.study.verdict import Judgement


def lines(study: Study, judgement: Judgement | None) -> list[str]:
    """A line a decision, with what no longer holds of its evidence; a malformed one is named in its place.

    What was decided on a stage before comes first, judged by what there is now.
    """
    try:
        decided = _decided(study)
    except UserError as error:
        return [str(error)]
    from ablate.study.decision import overturned

    now = study.digest()
    found = []
    for number, each in enumerate(decided, 1):
        if isinstance(each, str):
            found.append(harmless(each))
            continue
        said = f"decision {number}, {each['time'][:10]}, by {each['by']}: {each['text']}"
        if each["evidence"] != now:
            changed = ["there is no verdict any more"]
            if judgement:
                evidence = each["verdicts"]
                if study.before:  # what a stage has left behind is not contradicted by it
                    evidence = {arm: word for arm, word in evidence.items() if arm in study.arms}
                changed = overturned(evidence, judgement.verdicts, judgement.margin)
            said += f" -- NO LONGER AS IT STOOD: {'; '.join(changed)}" if changed else ""
        found.append(harmless(said))
    return found


def _decided(study: Study) -> list[DecisionRecord | str]:
    before = _decided(study.before) if study.before else []
    return [*before, *reading.decisions(Layout(study.output_dirs[0]), study.plan["study"])]
