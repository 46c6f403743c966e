"""What every corpus offers, and the settings that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from annotated_types import Ge, Le

from ablate.quantity import Integer, PositiveFraction

if TYPE_CHECKING:
    from ablate.recipe.data.cache import Recordings

GAP = 50
"""Zero rows between utterances in a table, hence the widest context: one table serves every context."""

Split = Literal["train", "val", "test"]
Context = Annotated[Integer, Ge(0), Le(GAP)]
Boundary = Literal["zero", "bleed"]
Dtype = Literal["fp32", "bf16"]
Track = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Shows the progress of an iteration of known length under a title: `track(items, total, title)`."""


class Corpus(Protocol):
    """A source of speech; its attributes are the keys of its YAML.

    `fingerprint`, `num_mfcc` and `faults` answer without torch and before any table is made.
    """

    @property
    def context(self) -> int:
        """Frames each side of the classified one in a window."""

    @property
    def fraction(self) -> PositiveFraction:
        """The part of the training split's utterances to train on."""

    @property
    def boundary(self) -> Boundary:
        """What a window holds beyond its utterance's ends: zeros, or the neighbouring utterance's frames."""

    @property
    def dtype(self) -> Dtype:
        """Of a table's features."""

    def fingerprint(self, cache: Path, track: Track) -> str:
        """A name of what the splits contain, the same wherever the data lie."""

    def num_mfcc(self) -> int:
        """Coefficients a frame."""

    def load(self, split: Split, *, seed: int, cache: Path, track: Track) -> Recordings:
        """The split, checked and cached; of the training split, the `fraction` that `seed` draws.

        Raises `ValueError` that names all faults of the split.
        """
