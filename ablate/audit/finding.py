"""What can be found wrong with data, whether it must be mended, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ablate.recipe.data.corpus import Split

Rank = Literal["mend", "look"]


class Kind(NamedTuple):
    """A kind of finding: `mend` where a result on such data would be wrong, `look` where it may be meant."""

    rank: Rank
    advice: str


KINDS: Mapping[str, Kind] = {
    "refused": Kind("mend", "training stops at them: mend the files, or leave them out"),
    "in two splits": Kind("mend", "what is trained on validates nothing: keep one copy, outside of the training split"),
    "duplicate": Kind("mend", "one recording under several names, of which all but one are wrong: keep one"),
    "silent": Kind("mend", "no speech is in it, whatever its labels say: was the microphone on?"),
    "constant coefficient": Kind("mend", "it says nothing, and dividing by its deviation is infinite: was it filled?"),
    "other features": Kind("mend", "features made another way than the rest: make all by one program, with one scale"),
    "shifted labels": Kind("mend", "labels of other frames are learned: look at the aligner's hop and first frame"),
    "wrong labels": Kind("mend", "they fit the features no better than labels of elsewhere: are they another's?"),
    "labels off by a frame": Kind("look", "a bias of the aligner, or windows with another middle; fine if all have it"),
    "clipped": Kind("look", "values that stop at a limit: recorded too loud, or cut"),
    "dropouts": Kind("look", "the same frame again and again: gaps in the recording, or padding"),
    "quiet": Kind("look", "far below the others' level: was the microphone far away?"),
    "length": Kind("look", "far from the others' lengths: was it cut, or are several in one?"),
    "one label": Kind("look", "nothing but one label: was the alignment lost?"),
    "same labels": Kind("look", "the very labels of another, with other features: one recording, processed twice?"),
    "label never occurs": Kind("look", "a class without frames can't be learned, or not be judged"),
    "speaker in two splits": Kind("look", "new speakers will be understood worse than validation says"),
    "name in two splits": Kind("look", "the same name, of other features: fine if it means nothing"),
    "normalized already": Kind("look", "normalization=none leaves them as they are; another one is harmless"),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Something found in a split.

    `what` says it in a line, and `utterances` of each why; none where it is one of the whole split.
    """

    kind: str
    split: Split
    what: str
    utterances: Mapping[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> Rank:
        """Whether it must be mended."""
        return KINDS[self.kind].rank

    @property
    def advice(self) -> str:
        """What it does, and what to do."""
        return KINDS[self.kind].advice

    @property
    def leave_out(self) -> list[str]:
        """The utterances whose leaving out mends it."""
        return list(self.utterances) if self.rank == "mend" else []
