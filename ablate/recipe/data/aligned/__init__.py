"""A corpus of one's own: audio files with the alignments of their phonemes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le, Len

from ablate.file import check_plain
from ablate.quantity import Count, Integer, Positive, PositiveFraction
from ablate.quantity.valid import After, Before
from ablate.recipe.data.aligned import segment
from ablate.recipe.data.aligned.tree import Paths, Tree
from ablate.recipe.data.cache import Fault, Sources, Utterance
from ablate.recipe.data.content import Content, Track, name_of, readable
from ablate.recipe.data.corpus import (
    NOT_OF_THE_FILES,
    Boundary,
    Context,
    Dtype,
    Name,
    Split,
    settings_of,
)
from ablate.recipe.data.fault import OnBadUtterance, noted
from ablate.recipe.data.file_corpus import FileCorpus
from ablate.recipe.data.installed import bits_version
from ablate.recipe.data.phoneme import PHONEMES

if TYPE_CHECKING:
    from torch import Tensor

_PACKAGES = ("torchaudio", "soundfile")
_NOT_OF_THE_FRAMES = ("root", "alignments", "train", "val", "test", "on_bad_utterance", "leave_out", *NOT_OF_THE_FILES)


def _phoneme(name: str) -> str:
    if name not in PHONEMES:
        raise ValueError(f"expected one of {' '.join(PHONEMES)}")
    return name


def _part(value: object) -> object:
    """A folder, a list of speakers, or none; YAML and Hydra take LibriSpeech's speakers for numbers."""
    if value is None:
        return None
    names = [str(each) if type(each) is int else each for each in (value if isinstance(value, list) else [value])]
    if not names or not all(isinstance(each, str) and each for each in names):
        raise ValueError("expected a folder or a list of speakers")
    return names if isinstance(value, list) else names[0]


def _suffix(value: str) -> str:
    if not value.startswith("."):
        raise ValueError("expected suffixes like .wav")
    return value.lower()


Part = Annotated[str | list[str] | None, Before(_part)]
Suffix = Annotated[str, After(_suffix)]
Phoneme = Annotated[str, After(_phoneme)]


@dataclass(frozen=True, kw_only=True)
class Aligned(FileCorpus):
    """Audio files, each with its alignment: a TextGrid, as MFA writes it, or a .PHN, as TIMIT has it.

    A split is a folder, or a list of speakers anywhere below `root`. A segment's label is the phoneme that `labels`
    maps it to, else the ARPAbet phoneme of that name, in any case, with or without a digit of stress.
    """

    root: Name
    alignments: Name | None
    train: Part
    val: Part
    test: Part
    speaker: Literal["folder", "name"]
    audio: Annotated[list[Suffix], Len(1)]
    tier: str
    labels: dict[str, Phoneme]
    sample_rate_hz: Annotated[Integer, Ge(1000), Le(200_000)]
    n_mfcc: Annotated[Count, Le(10_000)]
    window_seconds: Annotated[float, Gt(0), Le(1)]
    hop_seconds: Annotated[float, Gt(0), Le(1)]
    num_mels: Annotated[Count, Le(10_000)]
    context: Context
    fraction: PositiveFraction
    boundary: Boundary
    dtype: Dtype
    device_budget: Positive | None
    on_bad_utterance: OnBadUtterance
    leave_out: Name | None

    def __post_init__(self) -> None:
        if self.n_mfcc > self.num_mels:
            raise ValueError(f"data.n_mfcc={self.n_mfcc}: expected at most data.num_mels={self.num_mels}")
        for name in ("window_seconds", "hop_seconds"):
            if self._samples(getattr(self, name)) < 1:
                raise ValueError(f"data.{name}={getattr(self, name)}: shorter than a sample of data.sample_rate_hz")

    def num_mfcc(self) -> int:
        """Coefficients a frame."""
        return self.n_mfcc

    def class_names(self) -> list[str]:
        """The phonemes in the order of their classes."""
        return list(PHONEMES)

    def place(self, split: Split, cache: Path) -> Path:
        """The split's file in the cache, by its folders, settings and what they were read with."""
        tree = self._tree(split)
        settings = settings_of(self, without=_NOT_OF_THE_FRAMES)
        versions = [bits_version(package) for package in _PACKAGES]
        places = [str(tree.audio.resolve()), str(tree.alignments.resolve()), tree.speakers]
        return cache / f"aligned-{name_of([places, settings, versions])}.frames"

    def width(self, split: Split) -> int:
        """Coefficients a frame."""
        return self.n_mfcc

    def look(self, split: Split, cache: Path, track: Track) -> Sources:
        """All files of the split; asking again reads none of them."""
        return self._tree(split).sources(cache, track)

    def folder(self, split: Split) -> Path:
        """Where the split's audio is."""
        return self._tree(split).audio

    def waveforms(self, split: Split, names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """The samples of each of these utterances, as their files have them."""
        from ablate.recipe.data.aligned import audio

        tree = self._tree(split)
        for paths in tree.utterances():
            if paths.name in names:
                yield paths.name, audio.read(tree.audio / paths.audio[0]).samples

    def _tree(self, split: Split) -> Tree:
        part = {"train": self.train, "val": self.val, "test": self.test}[split]
        return Tree.of(
            split, part, root=self.root, alignments=self.alignments, suffixes=self.audio, speaker=self.speaker
        )

    def _samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate_hz)

    def read(self, split: Split, found: Sequence[Content], track: Track) -> Iterator[Utterance | Fault]:
        """Every utterance of the split, or all that is wrong with its files."""
        from ablate.recipe.data.mfcc import mfcc
        from ablate.recipe.data.threads import single_thread

        try:
            to_features = mfcc(
                self.sample_rate_hz,
                n_mfcc=self.n_mfcc,
                window=self._samples(self.window_seconds),
                hop=self._samples(self.hop_seconds),
                num_mels=self.num_mels,
            )
        except ValueError as error:
            raise ValueError(f"data.num_mels={self.num_mels}: {error} (data.window_seconds)") from error
        tree = self._tree(split)
        utterances, known = tree.utterances(), readable(found)
        with single_thread():  # the bits would depend on their number
            for paths in track(utterances, len(utterances), f"reading {tree.audio.name}"):
                yield self._utterance(tree, paths, known, to_features)

    def _utterance(
        self, tree: Tree, paths: Paths, known: Container[str], to_features: Callable[[Tensor], Tensor]
    ) -> Utterance | Fault:
        from ablate.recipe.data.aligned import audio
        from ablate.recipe.data.mfcc import classes

        if alone := paths.faults():
            return Fault(paths.name, paths.speaker, alone)
        faults: list[str] = []
        [audio_file], [alignment] = paths.audio, paths.alignments
        speech, segments, phonemes, features = None, None, None, None
        with noted(audio_file, faults, known):
            check_plain(tree.audio / audio_file)  # a pipe would be waited for
            speech = audio.read(tree.audio / audio_file)
            features = to_features(speech.resampled(self.sample_rate_hz)).numpy()
        with noted(alignment, faults, known):
            rate_hz = speech.sample_rate_hz if speech else self.sample_rate_hz
            check_plain(tree.alignments / alignment)
            segments = segment.read(tree.alignments / alignment, tier=self.tier, sample_rate_hz=rate_hz)
            phonemes = segment.phonemes(segments, self.labels)
        if speech and segments:
            with noted(alignment, faults, known):
                segment.check_cover(segments, speech.seconds)
        if faults or segments is None or phonemes is None or features is None:
            return Fault(paths.name, paths.speaker, tuple(faults))
        starts = [round(each.start * self.sample_rate_hz, 3) for each in segments]
        labels = classes(
            [(0, phonemes[0]), *zip(starts, phonemes, strict=True)], len(features), self._samples(self.hop_seconds)
        )
        return Utterance(paths.name, paths.speaker, features, labels)
