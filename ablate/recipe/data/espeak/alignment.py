"""From espeak-ng's phoneme events to ARPAbet segments."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.recipe.data.espeak.engine import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np

_MNEMONICS = """
SIL _ _: _! |
P p
B b
T t t2 t# t[ ?
D d
K k
G g
CH tS
JH dZ
F f
V v
TH T
DH D
S s
Z z
SH S
ZH Z
HH h
M m
N n n-
NG N
L l @L
R r r-
W w w#
Y j ;
AA A: A@ 0
AE a aa
AO O: O2 O@ o@
AH V @ @2 a# 3
ER 3: VR IR
EH E e@
IH I I2 I# i@ i@3
IY i i:
UH U U@
UW u:
EY eI
AY aI aI2 aI3 aI@
AW aU
OW oU
OY OI
"""
_PHONEME = {
    mnemonic: phoneme
    for phoneme, *mnemonics in map(str.split, _MNEMONICS.strip().splitlines())
    for mnemonic in mnemonics
}
_RHOTIC = {"gmw/en-US", "gmw/en-GB-scotland"}
_AMERICAN = "gmw/en-US"
_STOPS = {"P", "B", "T", "D", "K", "G", "CH", "JH"}
# One event may be two phonemes; where the second starts is a convention, not a measurement.
_VOWEL_AND_R = {"A@", "O@", "o@", "e@", "i@", "i@3", "U@"}
_DIPHTHONG_AND_SCHWA = {"aI@", "aI3"}
_VOWEL_SHARE, _DIPHTHONG_SHARE = 0.60, 0.65

_QUIET = 60  # of an int16's 32,768
_SHORTEST_CLOSURE = round(0.008 * SAMPLE_RATE_HZ)

Segment = tuple[int, str]
"""The sample at which a phoneme starts, and the phoneme."""


def align(audio: np.ndarray, events: Sequence[tuple[int, str]], accent: str) -> list[Segment]:
    """Segments of an utterance: in order, the first at sample 0, none empty.

    A stop gets the silence before its burst, which the engine counts to the phoneme before.
    Raises `ValueError` for a mnemonic that is not known.
    """
    segments = _own_closures(audio, _phonemes(events, len(audio), accent))
    ends = [start for start, _ in segments[1:]] + [len(audio)]
    return [segment for segment, end in zip(segments, ends, strict=True) if end > segment[0]]


def _phonemes(events: Sequence[tuple[int, str]], end: int, accent: str) -> list[Segment]:
    names = [name.lstrip("',%=") or name for _, name in events]
    starts = [start for start, _ in events] + [end]
    segments: list[Segment] = [(0, "SIL")]
    for position, name in enumerate(names):
        start, length = starts[position], starts[position + 1] - starts[position]
        if name not in _PHONEME:
            raise ValueError(f"unknown espeak-ng mnemonic {name!r} in accent {accent!r}")
        phoneme = "ER" if name == "3" and accent in _RHOTIC else _PHONEME[name]
        segments.append((start, phoneme))
        following = names[position + 1] if position + 1 < len(names) else ""
        if accent == _AMERICAN and name in _VOWEL_AND_R and following not in ("r", "r-"):
            segments.append((start + int(_VOWEL_SHARE * length), "R"))
        elif name in _DIPHTHONG_AND_SCHWA:
            rest = "ER" if accent == _AMERICAN else "AH"
            segments.append((start + int(_DIPHTHONG_SHARE * length), rest))
    return segments


def _own_closures(audio: np.ndarray, segments: Sequence[Segment]) -> list[Segment]:
    import numpy as np

    loud = np.abs(audio.astype(np.int32)) >= _QUIET
    moved = list(segments[:1])
    for (before, previous), (start, phoneme) in itertools.pairwise(segments):
        if phoneme in _STOPS and previous != "SIL":
            sounding = np.flatnonzero(loud[before:start])
            silence = before + (int(sounding[-1]) + 1 if len(sounding) else 0)
            if start - silence > _SHORTEST_CLOSURE:
                start = silence
        moved.append((start, phoneme))
    return moved
