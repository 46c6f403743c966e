"""Segments of speech as aligners and annotators write them: Praat's TextGrid, TIMIT's .PHN."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ablate.recipe.data.phoneme import PHONEMES, unknown_labels

_TOLERANCE_SECONDS = 0.01  # between segments: of rounding, and less than a phoneme
_TOLERANCE_AT_END_SECONDS = 0.1  # TIMIT's last segment may end so much before the audio does


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


def check_cover(segments: Sequence[Segment], seconds: float) -> None:
    """Raise `ValueError` unless the segments lie one behind the other from 0 to `seconds`, but for what is tolerated.

    >>> check_cover([Segment(0, 1, "AA"), Segment(2, 3, "B")], 3)
    Traceback (most recent call last):
    ValueError: no segment from 1.000 to 2.000 s, of audio of 3.000 s
    """
    if backwards := [each for each in segments if each.end <= each.start]:
        raise ValueError(f"a segment {backwards[0].label!r} from {backwards[0].start:.3f} to {backwards[0].end:.3f} s")
    if unsorted := [later for each, later in itertools.pairwise(segments) if later.start <= each.start]:
        raise ValueError(f"a segment {unsorted[0].label!r} at {unsorted[0].start:.3f} s, behind a later one")
    ends = [0.0, *(each.end for each in segments)]
    starts = [*(each.start for each in segments), seconds]
    for number, (end, start) in enumerate(zip(ends, starts, strict=True)):
        tolerance = _TOLERANCE_SECONDS if number < len(segments) else _TOLERANCE_AT_END_SECONDS
        if end < start - tolerance:
            raise ValueError(f"no segment from {end:.3f} to {start:.3f} s, of audio of {seconds:.3f} s")
        if end > start + tolerance:
            what = "two segments" if number < len(segments) else "a segment beyond the audio's end,"
            raise ValueError(f"{what} from {start:.3f} to {end:.3f} s, of audio of {seconds:.3f} s")


def phonemes(segments: Sequence[Segment], table: Mapping[str, str]) -> list[str]:
    """The phoneme of each segment's label: by the table, else that of this name in ARPAbet.

    Raises `ValueError` that names each label which is none, and the known one nearest to it.

    >>> phonemes([Segment(0, 1, "h#"), Segment(1, 2, "ih1")], {"h#": "SIL"})
    ['SIL', 'IH']
    """
    found = [(each, table.get(each.label) or re.sub("[0-2]$", "", each.label).upper()) for each in segments]
    unknown = [(each.label, f"{each.start:.3f} s") for each, name in found if name not in PHONEMES]
    if unknown:
        raise ValueError(f"{unknown_labels(unknown, [*table, *PHONEMES])}; data.labels maps labels to phonemes")
    return [name for _, name in found]


def _text_grid(file: Path, tier: str) -> list[Segment]:
    from praatio import textgrid
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.utilities.errors import PraatioException

    try:
        grid = textgrid.openTextgrid(str(file), includeEmptyIntervals=True, reportingMode="silence")
    except OSError:
        raise
    except PraatioException as error:
        raise ValueError(f"not a whole TextGrid: {error}") from error
    except Exception as error:  # whatever else the parser stumbles over, in words about its code
        raise ValueError("not a whole TextGrid") from error
    names = [name for name in grid.tierNames if name == tier or name.endswith(f" - {tier}")]  # of MFA's one speaker
    if len(names) != 1:
        raise ValueError(f"expected one tier {tier!r} (data.tier), found {', '.join(grid.tierNames) or 'none'}")
    if not isinstance(found := grid.getTier(names[0]), IntervalTier):
        raise ValueError(f"the tier {names[0]!r} is of points, expected one of intervals")
    return [Segment(start, end, label.strip()) for start, end, label in found.entries]


def _phn(file: Path, sample_rate_hz: int) -> list[Segment]:
    segments = []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError("expected text in UTF-8") from error
    for number, line in enumerate(lines, 1):
        try:
            start, end, label = line.split()
            segments.append(Segment(int(start) / sample_rate_hz, int(end) / sample_rate_hz, label))
        except ValueError as error:
            raise ValueError(f"line {number}: expected first sample, last sample and label, found {line!r}") from error
    return segments
