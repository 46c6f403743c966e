"""An audit in words, for a terminal: a row a split, a line a finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ablate.audit.finding import Finding
from ablate.audit.measure import Measured
from ablate.audit.reading import Audit
from ablate.config.override import for_shell
from ablate.display import few
from ablate.recipe.data.phoneme import PHONEMES

_MOST_NAMES = 3


def lines(audit: Audit, page: Path, leave_out: Path) -> Iterator[str]:
    """What is said of an audit, and where its files are."""
    rows = table(audit)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *numbers = (text.rjust(width) for text, width in zip(row, widths, strict=True))
        yield "  ".join([first.strip().ljust(widths[0]), *numbers]).rstrip()
    for split, why in audit.not_there.items():
        yield f"{split}: not looked at: {why}"
    for rank, title in (("mend", "must be mended:"), ("look", "worth a look:")):
        found = [each for each in audit.findings if each.rank == rank]
        if found:
            yield title
            yield from (f"  {line(each)}" for each in found)
    if not audit.findings:
        yield "nothing is found wrong"
    yield f"page: {page}"
    if audit.leave_out:
        number = f"{len(audit.leave_out)} utterance{'s' if len(audit.leave_out) > 1 else ''}"
        yield f"without {number} that must be mended: {for_shell(f'data.leave_out={leave_out}')}"


def table(audit: Audit) -> list[list[str]]:
    """Header and a row a split."""
    header = ["split", "utterances", "bad", "frames", "minutes", "speakers", "length", "labels", "most frequent"]
    return [header, *(_row(each, audit.hop_seconds) for each in audit.splits)]


def line(finding: Finding) -> str:
    """A finding with the first of its utterances; of one alone, why."""
    named = finding.utterances
    head = f"{finding.split}: {finding.kind}: "
    if len(named) == 1:
        [(name, why)] = named.items()
        return f"{head}{name}: {why}"
    if not named:
        return f"{head}{finding.what}"
    return f"{head}{len(named)} with {finding.what}: {few(list(named), _MOST_NAMES)}"


def answer(audit: Audit) -> str:
    """What came out, in a sentence or two."""
    mend, look = (_kinds([each for each in audit.findings if each.rank == rank]) for rank in ("mend", "look"))
    if not mend and not look:
        return "Nothing is found wrong with these data."
    first = f"Must be mended: {mend}." if mend else "Nothing must be mended."
    return f"{first} Worth a look: {look}." if look else first


def _kinds(findings: Sequence[Finding]) -> str:
    return ", ".join(dict.fromkeys(each.kind for each in findings))


def _row(measured: Measured, hop_seconds: float) -> list[str]:
    frames, counts = int(measured.frames.sum()), measured.counts.sum(0)
    lengths = f"{measured.frames.min():,} to {measured.frames.max():,}" if len(measured.names) else ""
    often, labels = "", "none"
    if measured.is_labelled and frames:
        often = f"{PHONEMES[int(counts.argmax())]} {counts.max() / frames:.1%}"
        labels = f"{np.count_nonzero(counts)} of {len(PHONEMES)}"
    return [
        measured.split, f"{len(measured.names):,}", f"{len(measured.faults):,}", f"{frames:,}",
        f"{frames * hop_seconds / 60:.1f}", f"{len(set(measured.speakers)):,}", lengths, labels, often,
    ]  # fmt: skip
