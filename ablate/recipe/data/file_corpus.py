"""What corpora that lie in files have in common: a key by the files' content, and faults that are told in one go."""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from ablate.quantity import PositiveFraction
from ablate.recipe.data.cache import Fault, Recordings, Sources, Utterance, cached, opened
from ablate.recipe.data.content import Content, Track
from ablate.recipe.data.corpus import Name, Split, combined, of_both
from ablate.recipe.data.fault import OnBadUtterance, settle
from ablate.recipe.data.left_out import identity, leaving_out


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

    def whole(self, split: Split, *, cache: Path, track: Track) -> Recordings:
        """The split, read and checked in the first place, and from the cache as long as it is of the same files."""
        seen = self.seen(split, cache, track)
        found = cached(
            self.place(split, cache),
            seen,
            self.width(split),
            lambda: self.read(split, seen.files, track),
            lambda: self.look(split, cache, track),
        )
        return leaving_out(found, self.leave_out, split)

    def read_ahead(self, seed: int, cache: Path) -> None:
        """Have in the system's memory what `load` will read of the training split, if it was seen and is in the cache.

        To be done beside something else, such as imports; what is wrong is left to be told by `load`.
        """
        with contextlib.suppress(ValueError, OSError):
            seen = self._seen.get("train")
            if seen and (found := opened(self.place("train", cache), seen, self.width("train"))):
                leaving_out(found, self.leave_out, "train").part(self.fraction, seed).read_ahead()

    @abstractmethod
    def look(self, split: Split, cache: Path, track: Track) -> Sources:
        """All files of the split; asking again reads none of them. Raises `ValueError` where there is none."""

    @abstractmethod
    def folder(self, split: Split) -> Path:
        """Where the split is. Raises `ValueError` if it is not there."""

    @abstractmethod
    def place(self, split: Split, cache: Path) -> Path:
        """The split's file in the cache."""

    @abstractmethod
    def width(self, split: Split) -> int:
        """Coefficients a frame."""

    @abstractmethod
    def read(self, split: Split, found: Sequence[Content], track: Track) -> Iterable[Utterance | Fault]:
        """Every utterance of the split, or all that is wrong with its files."""
