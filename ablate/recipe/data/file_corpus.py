"""What corpora that lie in files have in common: a key by the files' content, and faults that are told in one go."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from pathlib import Path

from ablate.quantity import PositiveFraction
from ablate.recipe.data.cache import Recordings, Sources
from ablate.recipe.data.content import Track
from ablate.recipe.data.corpus import Name, Split, combined, of_both
from ablate.recipe.data.fault import OnBadUtterance, settle
from ablate.recipe.data.left_out import identity


class FileCorpus(ABC):
    """A corpus in files, looked at once: the data of a run are those that it has its key by, and none of later."""

    fraction: PositiveFraction
    on_bad_utterance: OnBadUtterance
    leave_out: Name | None

    def fingerprint(self, cache: Path, track: Track) -> str:
        """A hash over (split, relative name, size, content) of all files of the training and validation splits.

        What is left out of them is in it too.
        """

        def of(split: Split) -> str:
            return identity(self.seen(split, cache, track).identity, self.leave_out, split)

        return combined(*of_both(of))

    def load(self, split: Split, *, seed: int, cache: Path, track: Track) -> Recordings:
        """The split's sound utterances; of the training split, the fraction that the seed draws."""
        whole = self.whole(split, cache=cache, track=track)
        settle(whole, self.folder(split), self.on_bad_utterance)
        return whole.part(self.fraction, seed) if split == "train" else whole

    def seen(self, split: Split, cache: Path, track: Track) -> Sources:
        """The split's files as they were at the first look."""
        if split not in self._seen:
            self._seen[split] = self.look(split, cache, track)
        return self._seen[split]

    @functools.cached_property
    def _seen(self) -> dict[Split, Sources]:
        return {}

    @abstractmethod
    def look(self, split: Split, cache: Path, track: Track) -> Sources:
        """All files of the split; asking again reads none of them. Raises `ValueError` where there is none."""

    @abstractmethod
    def folder(self, split: Split) -> Path:
        """Where the split is. Raises `ValueError` if it is not there."""

    @abstractmethod
    def whole(self, split: Split, *, cache: Path, track: Track) -> Recordings:
        """The split, read and checked in the first place, and from the cache as long as it is of the same files."""
