"""An audit's page: one HTML file without any outside address, the same bytes from the same data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ablate.audit import picture
from ablate.audit.measure import Measured
from ablate.audit.reading import Audit
from ablate.audit.words import answer, table
from ablate.config.override import for_shell
from ablate.display import harmless
from ablate.page.template import rendered

_MOST_NAMES = 200  # of a finding that the page lists; the JSON beside it has all


def page(audit: Audit, title: str, leave_out: Path) -> str:
    """The page; names of files and speakers are escaped."""
    from markupsafe import Markup

    scale = np.median(audit.splits[0].deviation, 0) if len(audit.splits[0].names) else np.ones(1)
    pictures = [
        ("Class balance", picture.class_balance(audit.splits), "Each phoneme's part of the frames."),
        ("Lengths", picture.lengths(audit.splits, audit.hop_seconds), "Utterances by their length."),
        (
            "Labels against features", picture.shifts(audit.splits),
            "How well the classes tell features apart when all labels are moved: the peak is where they belong, at 0.",
        ),
    ]  # fmt: skip
    return rendered(
        Path(__file__).with_name("audit.html"),
        title=title,
        answer=answer(audit),
        must_be_mended=audit.must_be_mended,
        findings=[(each, list(each.utterances.items())[:_MOST_NAMES]) for each in audit.findings],
        table=table(audit),
        not_there=audit.not_there,
        coefficients=[(each.split, _coefficients(each)) for each in audit.splits if len(each.names)],
        # Our own pictures are markup; the texts in them are escaped by what draws them.
        pictures=[(name, Markup(drawn), what) for name, drawn, what in pictures if drawn],
        shown=[(each, Markup(picture.utterance(each, scale))) for each in audit.shown],
        leave_out=audit.leave_out,
        command=for_shell(f"data.leave_out={leave_out}"),
        harmless=harmless,
    )


def _coefficients(measured: Measured) -> list[tuple[float, float, float, float]]:
    """Mean, deviation, least and greatest value of each coefficient over the split's frames."""
    mean, deviation = measured.of_frames()
    return list(zip(mean, deviation, measured.low.min(0), measured.high.max(0), strict=True))
