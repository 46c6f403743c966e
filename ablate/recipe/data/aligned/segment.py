"""Segments of speech as aligners and annotators write them: Praat's TextGrid, TIMIT's .PHN."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ablate.recipe.data.phoneme import PHONEMES


class Segment(NamedTuple):
    """What is said from `start` to `end`, in seconds."""

    start: float
    end: float
    label: str


def read(file: Path, *, tier: str, sample_rate_hz: int) -> list[Segment]:
    """The segments of a TextGrid's interval tier, or of a .PHN file, which counts samples of this rate.

    Raises `ValueError` where the file is no such file.
    """
    segments = _text_grid(file, tier) if file.suffix.lower() == ".textgrid" else _phn(file, sample_rate_hz)
    if not segments:
        raise ValueError("no segments in it")
    return segments


def check_cover(segments: Sequence[Segment], seconds: float, tolerance_seconds: float) -> None:
    """Raise `ValueError` unless the segments lie one behind the other from 0 to `seconds`, as near as the tolerance.

    >>> check_cover([Segment(0, 1, "AA"), Segment(2, 3, "B")], 3, 0.1)
    Traceback (most recent call last):
    ValueError: no segment from 1.000 to 2.000 s, of audio of 3.000 s
    """
    if backwards := [each for each in segments if each.end <= each.start]:
        raise ValueError(f"a segment {backwards[0].label!r} from {backwards[0].start:.3f} to {backwards[0].end:.3f} s")
    ends = [0.0, *(each.end for each in segments)]
    starts = [*(each.start for each in segments), seconds]
    for end, start in zip(ends, starts, strict=True):
        if end < start - tolerance_seconds:
            raise ValueError(f"no segment from {end:.3f} to {start:.3f} s, of audio of {seconds:.3f} s")
        if end > start + tolerance_seconds:
            what = "two segments" if start < seconds else "a segment beyond the audio's end,"
            raise ValueError(f"{what} from {start:.3f} to {end:.3f} s, of audio of {seconds:.3f} s")


def phonemes(segments: Sequence[Segment], table: Mapping[str, str]) -> list[str]:
    """The phoneme of each segment's label: by the table, else that of this name in ARPAbet.

    Raises `ValueError` that names the first label which is none, and the known one nearest to it.

    >>> phonemes([Segment(0, 1, "h#"), Segment(1, 2, "ih1")], {"h#": "SIL"})
    ['SIL', 'IH']
    """
    found = []
    for start, _, label in segments:
        name = table.get(label) or re.sub("[0-2]$", "", label).upper()
        if name not in PHONEMES:
            near = difflib.get_close_matches(label, [*table, *PHONEMES], n=1, cutoff=0)[0]
            raise ValueError(
                f"unknown label {label!r} at {start:.3f} s; the nearest known one is {near!r}, data.labels has them"
            )
        found.append(name)
    return found


def _text_grid(file: Path, tier: str) -> list[Segment]:
    from praatio import textgrid
    from praatio.data_classes.interval_tier import IntervalTier

    try:
        grid = textgrid.openTextgrid(str(file), includeEmptyIntervals=True, reportingMode="silence")
    except OSError:
        raise
    except Exception as error:  # whatever the parser stumbles over
        raise ValueError(f"not a whole TextGrid ({type(error).__name__}: {error})") from error
    names = [name for name in grid.tierNames if name == tier or name.endswith(f" - {tier}")]  # of MFA's one speaker
    if len(names) != 1:
        raise ValueError(f"expected one tier {tier!r} (data.tier), found {', '.join(grid.tierNames) or 'none'}")
    if not isinstance(found := grid.getTier(names[0]), IntervalTier):
        raise ValueError(f"the tier {names[0]!r} is of points, expected one of intervals")
    return [Segment(start, end, label.strip()) for start, end, label in found.entries]


def _phn(file: Path, sample_rate_hz: int) -> list[Segment]:
    segments = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            start, end, label = line.split()
            segments.append(Segment(int(start) / sample_rate_hz, int(end) / sample_rate_hz, label))
        except ValueError as error:
            raise ValueError(f"line {number}: expected first sample, last sample and label, found {line!r}") from error
    return segments
