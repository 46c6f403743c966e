"""The phonemes that a frame can be, in the course's order, and the spellings under which they come."""

import difflib
from collections.abc import Iterable

import numpy as np

PHONEMES = """
SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH
""".split()

UNKNOWN = np.uint8(255)
"""The label of a frame that has none; no class, so that nothing can take it for one."""

SILENCES = ("SIL", "[SIL]", "<sil>")
"""How terms have spelled the class of silence."""

_INDEX = {phoneme: index for index, phoneme in enumerate(PHONEMES)} | dict.fromkeys(SILENCES, 0)
_SPELLINGS = np.array(sorted(_INDEX))
_CLASSES = np.array([_INDEX[spelling] for spelling in _SPELLINGS], np.uint8)
_BOUNDARIES = {"[SOS]", "<sos>", "[EOS]", "<eos>"}


def indices(labels: np.ndarray) -> np.ndarray:
    """Classes (uint8) of spelled labels (unicode), both (frames,).

    Raises `ValueError` that names each label which is no phoneme, and the phoneme nearest to it.

    >>> indices(np.array(["SIL", "[SIL]", "AA", "ZH"]))
    array([ 0,  0,  1, 39], dtype=uint8)
    """
    position = np.minimum(np.searchsorted(_SPELLINGS, labels), len(_SPELLINGS) - 1)
    unknown = np.flatnonzero(_SPELLINGS[position] != labels)
    if len(unknown):
        raise ValueError(unknown_labels(((str(labels[frame]), f"frame {frame}") for frame in unknown), _INDEX))
    return _CLASSES[position]


def unknown_labels(unknown: Iterable[tuple[str, str]], known: Iterable[str]) -> str:
    """What is said of labels that are none and the places where they stand, the first one of each.

    >>> unknown_labels([("AX", "frame 5"), ("AX", "frame 6")], ["AY", "B"])
    "unknown label 'AX' at frame 5 (the nearest known one: AY)"
    """
    spelled = {name.upper(): name for name in known}
    places: dict[str, str] = {}
    for label, place in unknown:
        places.setdefault(label, place)
    told = []
    for label, place in places.items():
        nearest = spelled[difflib.get_close_matches(label.upper(), spelled, n=1, cutoff=0)[0]]
        told.append(f"{label!r} at {place} (the nearest known one: {nearest})")
    return f"unknown label{'s' if len(told) > 1 else ''} {', '.join(told)}"


def without_boundaries(transcript: np.ndarray) -> np.ndarray:
    """The transcript (labels,) without the start and end tokens that some terms' files carry.

    >>> without_boundaries(np.array(["[SOS]", "SIL", "AA", "[EOS]"]))
    array(['SIL', 'AA'], dtype='<U5')
    """
    start = len(transcript) > 0 and str(transcript[0]) in _BOUNDARIES
    end = len(transcript) > 1 and str(transcript[-1]) in _BOUNDARIES
    return transcript[int(start) : len(transcript) - int(end)]
