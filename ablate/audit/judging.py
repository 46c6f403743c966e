"""All that is found in a corpus that has been measured, the worst first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from ablate.audit import copies, features, labels
from ablate.audit.alignment import Fit
from ablate.audit.finding import KINDS, Finding
from ablate.audit.measure import Measured
from ablate.recipe.data.corpus import Split


def judge(splits: Sequence[Measured], fits: Mapping[Split, Sequence[Fit | None]]) -> list[Finding]:
    """The findings of splits, the training split first: what must be mended, then what is worth a look.

    `fits` are those of the labels of each split that has any.
    """
    train, found = splits[0], list[Finding]()
    for each in splits:
        found += [*_refused(each), *copies.within(each), *features.findings(each, train)]
        if each.is_labelled:
            found += [*labels.occurring(each, splits), *labels.aligned(each, fits[each.split], fits["train"])]
    found += [*copies.across(splits), *features.normalized(train)]
    return list(_explained(found))


def _explained(found: Sequence[Finding]) -> Iterator[Finding]:
    """The findings in the order of their kinds, each utterance in the first of its own, as silence has no labels.

    What is found of a whole split is not told again of its utterances.
    """
    kinds = list(KINDS)
    known, whole = set[tuple[Split, str]](), set[tuple[Split, str]]()
    for each in sorted(found, key=lambda each: (kinds.index(each.kind), len(each.utterances))):
        if not each.utterances:
            whole.add((each.split, each.kind))
            yield each
            continue
        is_told = (each.split, each.kind) in whole
        rest = {name: why for name, why in each.utterances.items() if not is_told and (each.split, name) not in known}
        known |= {(each.split, name) for name in rest}
        if rest:
            yield dataclasses.replace(each, utterances=rest)


def _refused(measured: Measured) -> list[Finding]:
    faults = {name: "; ".join(lines) for name, lines in measured.faults.items()}
    return [Finding("refused", measured.split, "utterances that the loader refuses", faults)] if faults else []
