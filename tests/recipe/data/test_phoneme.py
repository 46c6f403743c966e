"""The course's classes and the spellings of its terms."""

import numpy as np
import pytest

from ablate.recipe.data.phoneme import PHONEMES, indices, without_boundaries


def test_an_index_means_what_the_course_means() -> None:
    assert len(PHONEMES) == 40
    assert [PHONEMES.index(name) for name in ("SIL", "AA", "HH", "NG", "ZH")] == [0, 1, 16, 24, 39]


def test_all_spellings_and_only_those() -> None:
    assert indices(np.array(PHONEMES)).tolist() == list(range(40))
    assert indices(np.array(["[SIL]", "SIL", "ZH"])).tolist() == [0, 0, 39]
    for unknown in ("sil", "AX", "", "[SOS]", "ZZZZZZ"):
        with pytest.raises(ValueError, match=f"unknown label '{unknown}' at frame 1".replace("[", r"\[")):
            indices(np.array(["AA", unknown]))
    for unknown, nearest in (("sil", "SIL"), ("AH0", "AH"), ("zh", "ZH"), ("AX", "A"), ("ax", "A")):
        with pytest.raises(ValueError, match=rf"the nearest known one: {nearest}\w?\)$"):
            indices(np.array([unknown]))
    with pytest.raises(ValueError, match=r"unknown labels 'X' at frame 1 .*, 'AX' at frame 3 \(the near.*: AY\)$"):
        indices(np.array(["AA", "X", "X", "AX", "X", "AX"]))


@pytest.mark.parametrize("ends", [("[SOS]", "[EOS]"), ("<sos>", "<eos>")])
def test_boundaries_are_taken_off_at_the_ends_only(ends: tuple[str, str]) -> None:
    assert without_boundaries(np.array([ends[0], "AA", "B", ends[1]])).tolist() == ["AA", "B"]
    assert without_boundaries(np.array(["AA", "B"])).tolist() == ["AA", "B"]
    assert without_boundaries(np.array([ends[0], ends[1]])).tolist() == []
    assert without_boundaries(np.array([ends[0]])).tolist() == []
    assert ends[0] in without_boundaries(np.array(["AA", ends[0], "B"])).tolist()
