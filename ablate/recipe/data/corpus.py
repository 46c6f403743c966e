"""What every corpus offers, and the settings that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar, runtime_checkable

from annotated_types import Ge, Le, Len

from ablate.quantity import Integer, Positive, PositiveFraction
from ablate.recipe.data.content import Track, name_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from torch import Tensor

    from ablate.recipe.data.cache import Recordings

GAP = 50
"""Zero rows between utterances in a table, hence the widest context: one table serves every context."""

Split = Literal["train", "val", "test"]
Name = Annotated[str, Len(1)]
Context = Annotated[Integer, Ge(0), Le(GAP)]
Boundary = Literal["zero", "bleed"]
Dtype = Literal["fp32", "bf16"]
NOT_OF_THE_FILES = ("context", "fraction", "boundary", "dtype", "device_budget")
"""The keys of every corpus that say what is made of its files, and not which they are."""

NEUTRAL: dict[str, object] = {}
"""Keys that a corpus was given later, with the value that means "as before": so they are not in its fingerprint."""

Answer = TypeVar("Answer")


class Corpus(Protocol):
    """A source of speech; its attributes are the keys of its YAML.

    `fingerprint` and `num_mfcc` answer without torch and before any table is made.
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

    @property
    def device_budget(self) -> Positive | None:
        """The GB of the training split's features that may lie on the device; none: all."""

    @property
    def hop_seconds(self) -> float:
        """From frame to frame."""

    @property
    def leave_out(self) -> Name | None:
        """The path of a list of utterances that count as not there."""

    def fingerprint(self, cache: Path, track: Track) -> str:
        """What the identities of the training and the validation split are `combined` to.

        Raises `ValueError` that names what is wrong with the folders of either.
        """

    def num_mfcc(self) -> int:
        """Coefficients a frame."""

    def class_names(self) -> list[str]:
        """The phonemes in the order of their classes, as its own labels spell them."""

    def whole(self, split: Split, *, cache: Path, track: Track) -> Recordings:
        """All of the split but what is left out, checked and cached, whatever is wrong with its utterances.

        Raises `ValueError` that names what is wrong with its folder.
        """

    def load(self, split: Split, *, seed: int, cache: Path, track: Track) -> Recordings:
        """The split's sound utterances; of the training split, the `fraction` that `seed` draws.

        Raises `ValueError` that names all faults of the split.
        """


@runtime_checkable
class Audible(Protocol):
    """A corpus that has the audio of its features at hand."""

    def waveforms(self, split: Split, names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """The samples (samples,) of full scale 1 of each of these utterances."""


def of_both(ask: Callable[[Split], Answer]) -> tuple[Answer, Answer]:
    """What `ask` says of the training and of the validation split.

    Raises `ValueError` with all that it finds wrong with either.
    """
    splits: tuple[Split, ...] = ("train", "val")
    answers, problems = [], []
    for split in splits:
        try:
            answers.append(ask(split))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(dict.fromkeys(problems)))
    train, val = answers
    return train, val


def combined(train: str, val: str) -> str:
    """The fingerprint of splits with these identities; where one recipe makes both, it is the recipe's."""
    return train if train == val else name_of([train, val])


def settings_of(corpus: DataclassInstance, *, without: Collection[str]) -> dict[str, Any]:
    """The keys of a corpus with their values, for its fingerprint."""
    return {
        name: value
        for name, value in asdict(corpus).items()
        if name not in without and (name not in NEUTRAL or NEUTRAL[name] != value)
    }


def drawing_seed(fraction: float, seed: int) -> int | None:
    """The seed that the data of a run depend on: its own where a fraction is drawn, none where all are taken."""
    return seed if fraction < 1 else None
