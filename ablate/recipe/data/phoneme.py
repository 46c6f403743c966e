"""The phonemes that a frame can be, in the course's order, and the spellings under which they come."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PHONEMES = """
SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH
""".split()

UNKNOWN = 255
"""The label of a frame that has none; no class, so that nothing can take it for one."""

SILENCES = ("SIL", "[SIL]", "<sil>")
"""How terms have spelled the class of silence."""

_INDEX = {phoneme: index for index, phoneme in enumerate(PHONEMES)} | dict.fromkeys(SILENCES, 0)
_BOUNDARIES = {"[SOS]", "<sos>", "[EOS]", "<eos>"}


def indices(labels: np.ndarray) -> np.ndarray:
    """Classes (uint8) of spelled labels (unicode), both (frames,).

    Raises `ValueError` that names each label which is no phoneme, and the phoneme nearest to it.

    >>> import numpy as np
    >>> indices(np.array(["SIL", "[SIL]", "AA", "ZH"]))
    array([ 0,  0,  1, 39], dtype=uint8)
    """
    import numpy as np

    spellings, classes = _known()
    position = np.minimum(np.searchsorted(spellings, labels), len(spellings) - 1)
    wrong = np.flatnonzero(spellings[position] != labels)
    if len(wrong):
        raise ValueError(unknown_labels(((str(labels[frame]), f"frame {frame}") for frame in wrong), _INDEX))
    return classes[position]


@functools.cache
def _known() -> tuple[np.ndarray, np.ndarray]:
    """All spellings, sorted, and the class of each."""
    import numpy as np

    spellings = sorted(_INDEX)
    return np.array(spellings), np.array([_INDEX[spelling] for spelling in spellings], np.uint8)


def unknown(num_frames: int) -> np.ndarray:
    """Labels (frames,) uint8 of frames of which none is known."""
    import numpy as np

    return np.full(num_frames, UNKNOWN, np.uint8)


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

    >>> import numpy as np
    >>> without_boundaries(np.array(["[SOS]", "SIL", "AA", "[EOS]"]))
    array(['SIL', 'AA'], dtype='<U5')
    """
    start = len(transcript) > 0 and str(transcript[0]) in _BOUNDARIES
    end = len(transcript) > 1 and str(transcript[-1]) in _BOUNDARIES
    return transcript[int(start) : len(transcript) - int(end)]
