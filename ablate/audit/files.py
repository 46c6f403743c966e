"""What an audit leaves in its folder: the page, the list of utterances to leave out, and all of it for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ablate.audit.measure import Measured
from ablate.audit.reading import Audit
from ablate.file import write_atomically
from ablate.recipe.data.phoneme import PHONEMES
from ablate.record import layout

_FORMAT = 1


def write(audit: Audit, folder: Path, title: str) -> tuple[Path, Path]:
    """Write all files of an audit into its folder; gives the page and the list."""
    from ablate.audit.page import page

    places = {name: folder / name for name in (layout.PAGE, layout.LEAVE_OUT, layout.AUDIT)}
    contents = {
        layout.PAGE: page(audit, title, places[layout.LEAVE_OUT]),
        layout.LEAVE_OUT: "".join(f"{name}\n" for name in audit.leave_out),
        layout.AUDIT: json.dumps(described(audit), indent=1),
    }
    for name, content in contents.items():
        with write_atomically(places[name]) as file:
            file.write(content.encode())
    return places[layout.PAGE], places[layout.LEAVE_OUT]


def described(audit: Audit) -> dict[str, Any]:
    """All that an audit says, as JSON has it."""
    return {
        "format": _FORMAT,
        "splits": {each.split: _of_split(each, audit.hop_seconds) for each in audit.splits},
        "not_there": dict(audit.not_there),
        "findings": [
            {"kind": each.kind, "rank": each.rank, "split": each.split, "what": each.what, "advice": each.advice,
             "utterances": dict(each.utterances)}
            for each in audit.findings
        ],
        "must_be_mended": audit.must_be_mended,
        "leave_out": audit.leave_out,
    }  # fmt: skip


def _of_split(measured: Measured, hop_seconds: float) -> dict[str, Any]:
    frames = int(measured.frames.sum())
    found: dict[str, Any] = {
        "utterances": len(measured.names), "bad_utterances": len(measured.faults), "frames": frames,
        "minutes": frames * hop_seconds / 60, "speakers": len(set(measured.speakers)),
    }  # fmt: skip
    if measured.is_labelled:
        found["labels"] = dict(zip(PHONEMES, measured.counts.sum(0).tolist(), strict=True))
    if frames:
        mean, deviation = measured.of_frames()
        found["coefficients"] = {
            "mean": mean.tolist(), "deviation": deviation.tolist(),
            "low": measured.low.min(0).tolist(), "high": measured.high.max(0).tolist(),
        }  # fmt: skip
    return found
