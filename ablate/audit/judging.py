"""All that is found in a corpus that has been measured, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    kinds = list(KINDS)
    return sorted(found, key=lambda each: (each.rank == "look", kinds.index(each.kind)))


def _refused(measured: Measured) -> list[Finding]:
    faults = {name: "; ".join(lines) for name, lines in measured.faults.items()}
    return [Finding("refused", measured.split, "utterances that the loader refuses", faults)] if faults else []
