"""Segments of speech as aligners and annotators write them: Praat's TextGrid, TIMIT's .PHN."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ablate.recipe.data.phoneme import PHONEMES, unknown_labels

_TOLERANCE_SECONDS = 0.01  # between segments: of rounding, and less than a phoneme
_MOST_ENTRIES = 10_000_000
_MOST_DIGITS = 18  # of a number of samples
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
    if backwards := [each for each in segments if each.end < each.start]:
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

    Exact entries go first; then case and a digit of stress do not count, in the table neither. Raises `ValueError`
    that names each label which is none, and the known one nearest to it.

    >>> phonemes([Segment(0, 1, "H#"), Segment(1, 2, "ih1"), Segment(2, 3, "ax0")], {"h#": "SIL", "ax": "AH"})
    ['SIL', 'IH', 'AH']
    """
    folded = {name.lower(): phoneme for name, phoneme in reversed([*table.items()])}
    found = [(each, _phoneme(each.label, table, folded)) for each in segments]
    unknown = [(each.label, f"{each.start:.3f} s") for each, name in found if name is None]
    if unknown:
        raise ValueError(f"{unknown_labels(unknown, [*table, *PHONEMES])}; data.labels maps labels to phonemes")
    return [name for _, name in found if name is not None]


def _phoneme(label: str, table: Mapping[str, str], folded: Mapping[str, str]) -> str | None:
    plain = re.sub("[0-2]$", "", label)
    if exact := table.get(label) or table.get(plain):
        return exact
    if plain.upper() in PHONEMES:
        return plain.upper()
    return folded.get(label.lower()) or folded.get(plain.lower())


# What counts in Praat's text format, by its manual: free-standing strings, flags and numbers; all else is for readers.
_TOKEN = re.compile(
    r'(?<!\S)(?:"(?P<text>(?:[^"]|"")*)"|(?P<flag><\w+>)|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))(?!\S)'
)


class _Tokens:
    """The strings, flags and numbers of a TextGrid, in either of its two text formats, one behind the other."""

    def __init__(self, content: str) -> None:
        self._matches = _TOKEN.finditer(content)

    def text(self) -> str:
        """The next one, which must be a string. Raises `ValueError`."""
        return self._next("text").replace('""', '"')

    def number(self) -> float:
        """The next one, which must be a number. Raises `ValueError`."""
        return float(self._next("number"))

    def count(self) -> int:
        """The next one, which must be a whole number that is not negative. Raises `ValueError`."""
        found = self.number()
        if not 0 <= found < _MOST_ENTRIES or found != int(found):
            raise ValueError(f"not a whole TextGrid: expected a number of entries, found {found:g}")
        return int(found)

    def flag(self) -> str:
        """The next one, which must be a flag. Raises `ValueError`."""
        return self._next("flag")

    def _next(self, kind: str) -> str:
        match = next(self._matches, None)
        if match is None:
            raise ValueError("not a whole TextGrid: it ends too soon")
        if match[kind] is None:
            raise ValueError(f"not a whole TextGrid: expected a {kind}, found {match[0][:40]!r}")
        return match[kind]


def _text_grid(file: Path, tier: str) -> list[Segment]:
    """The intervals of one tier, which alone is judged; those of no length label no frame."""
    try:
        tokens = _Tokens(_text(file))
    except ValueError as error:
        raise ValueError(f"not a whole TextGrid: {error}") from error
    if (tokens.text(), tokens.text()) != ("ooTextFile", "TextGrid"):
        raise ValueError("not a whole TextGrid: expected a text file of that class")
    tokens.number(), tokens.number()
    found: list[tuple[str, str, list[Segment]]] = []
    for _ in range(tokens.count() if tokens.flag() == "<exists>" else 0):
        kind, name = tokens.text(), tokens.text()
        tokens.number(), tokens.number()
        entries = []
        for _ in range(tokens.count()):
            start = tokens.number()
            entries.append(Segment(start, tokens.number() if kind == "IntervalTier" else start, tokens.text().strip()))
        found.append((kind, name.strip(), entries))
    named = [(kind, entries) for kind, name, entries in found if name == tier.strip() or name.endswith(f" - {tier}")]
    if len(named) != 1:  # MFA puts its one speaker before the name
        there = ", ".join(name or "''" for _, name, _ in found) or "none"
        raise ValueError(f"expected one tier {tier!r} (data.tier), found {there}")
    [(kind, entries)] = named
    if kind != "IntervalTier":
        raise ValueError(f"the tier {tier!r} is of points, expected one of intervals")
    return [each for each in entries if each.start != each.end]


def _phn(file: Path, sample_rate_hz: int) -> list[Segment]:
    segments = []
    for number, line in enumerate(_text(file).rstrip("\x1a").splitlines(), 1):  # which ended files of DOS
        if not line.strip():
            continue
        try:
            start, end, label = line.split()
            segments.append(Segment(_seconds(start, sample_rate_hz), _seconds(end, sample_rate_hz), label))
        except ValueError as error:
            raise ValueError(
                f"line {number}: expected first sample, last sample and label, found {line[:60]!r}"
            ) from error
    return [each for each in segments if each.start != each.end]


def _seconds(samples: str, sample_rate_hz: int) -> float:
    if len(samples) > _MOST_DIGITS or not re.fullmatch("[0-9]+", samples):
        raise ValueError
    return int(samples) / sample_rate_hz


def _text(file: Path) -> str:
    """A file's text, in UTF-8, or in UTF-16 as Praat writes it. Raises `ValueError` for any other."""
    content = file.read_bytes()
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise ValueError("expected text, found none") from error
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"line {line}: expected text in UTF-8, found what may be Latin-1; `iconv -f latin1 -t utf-8` makes it so"
        ) from error
