"""A corpus of one's own: audio files with the alignments of their phonemes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le, Len
from pydantic import AfterValidator, BeforeValidator

from ablate.quantity import Count, Integer, Positive, PositiveFraction
from ablate.recipe.data.aligned import segment
from ablate.recipe.data.aligned.tree import Paths, Tree
from ablate.recipe.data.cache import Fault, Recordings, Utterance, cached
from ablate.recipe.data.content import name_of
from ablate.recipe.data.corpus import Boundary, Context, Dtype, Split, Track
from ablate.recipe.data.fault import OnBadUtterance, noted, settle
from ablate.recipe.data.phoneme import PHONEMES

_PACKAGES = ("torchaudio", "soundfile", "praatio")
_NOT_OF_THE_FRAMES = (
    "root", "alignments", "train", "val", "test", "context", "fraction", "boundary", "dtype", "on_bad_utterance",
)  # fmt: skip
_TOLERANCE_SECONDS = 0.1  # TIMIT's last segment may end so much before the audio does


def _phoneme(name: str) -> str:
    if name not in PHONEMES:
        raise ValueError(f"expected one of {' '.join(PHONEMES)}")
    return name


def _named(value: object) -> object:
    """A name that YAML and Hydra take for a number, as LibriSpeech's speakers have them."""
    return str(value) if type(value) is int else value


Name = Annotated[str, BeforeValidator(_named), Len(1)]
Part = Name | Annotated[list[Name], Len(1)]
Suffix = Annotated[str, AfterValidator(str.lower)]
Phoneme = Annotated[str, AfterValidator(_phoneme)]


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Audio files, each with its alignment: a TextGrid, as MFA writes it, or a .PHN, as TIMIT has it.

    A split is a folder, or a list of speakers anywhere below `root`. A segment's label is the phoneme that `labels`
    maps it to, else the ARPAbet phoneme of that name, in any case, with or without a digit of stress.
    """

    root: str
    alignments: str | None
    train: Part
    val: Part
    test: Part | None
    speaker: Literal["folder", "name"]
    audio: Annotated[list[Suffix], Len(1)]
    tier: str
    labels: dict[str, Phoneme]
    sample_rate_hz: Annotated[Integer, Ge(1000), Le(200_000)]
    n_mfcc: Count
    window_seconds: Annotated[Positive, Le(1)]
    hop_seconds: Annotated[Positive, Le(1)]
    num_mels: Count
    context: Context
    fraction: PositiveFraction
    boundary: Boundary
    dtype: Dtype
    on_bad_utterance: OnBadUtterance

    def __post_init__(self) -> None:
        if self.n_mfcc > self.num_mels:
            raise ValueError(f"data.n_mfcc={self.n_mfcc}: expected at most data.num_mels={self.num_mels}")
        for name in ("window_seconds", "hop_seconds"):
            if self._samples(getattr(self, name)) < 1:
                raise ValueError(f"data.{name}={getattr(self, name)}: shorter than a sample of data.sample_rate_hz")

    def fingerprint(self, cache: Path, track: Track) -> str:
        """A hash over (split, relative name, size, content) of the training and validation splits' files."""
        splits: tuple[Split, ...] = ("train", "val")
        return name_of([[split, self._tree(split).contents(cache, track)] for split in splits])

    def num_mfcc(self) -> int:
        """Coefficients a frame."""
        return self.n_mfcc

    def load(self, split: Split, *, seed: int, cache: Path, track: Track) -> Recordings:
        """The split, made in the first place, and from the cache as long as its files and settings stay the same."""
        tree = self._tree(split)
        settings = {name: value for name, value in asdict(self).items() if name not in _NOT_OF_THE_FRAMES}
        versions = [importlib.metadata.version(package) for package in _PACKAGES]
        identity = name_of([settings, versions, tree.contents(cache, track)])
        path = cache / f"aligned-{name_of([str(tree.audio.resolve()), tree.speakers, settings])}.frames"
        whole = cached(path, identity, self.n_mfcc, lambda: self._read(tree, track))
        settle(whole, tree.audio, self.on_bad_utterance, path.with_suffix(".faults.txt"))
        return whole.part(self.fraction, seed) if split == "train" else whole

    def _tree(self, split: Split) -> Tree:
        part = {"train": self.train, "val": self.val, "test": self.test}[split]
        return Tree.of(
            split, part, root=self.root, alignments=self.alignments, suffixes=self.audio, speaker=self.speaker
        )

    def _samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate_hz)

    def _read(self, tree: Tree, track: Track) -> Iterator[Utterance | Fault]:
        """Every utterance of the split, or what is wrong with its files."""
        import torch

        utterances = tree.utterances()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the bits would depend on their number
        try:
            for paths in track(utterances, len(utterances), f"reading {tree.audio.name}"):
                yield self._utterance(tree, paths)
        finally:
            torch.set_num_threads(threads)

    def _utterance(self, tree: Tree, paths: Paths) -> Utterance | Fault:
        from ablate.recipe.data.aligned import audio
        from ablate.recipe.data.mfcc import classes, mfcc

        if faults := paths.faults():
            return Fault(paths.name, paths.speaker, faults)
        told: list[str] = []
        made: Utterance | None = None
        with noted(paths.audio[0], told):
            speech = audio.read(tree.audio / paths.audio[0])
            with noted(paths.alignments[0], told):
                segments = segment.read(
                    tree.alignments / paths.alignments[0], tier=self.tier, sample_rate_hz=speech.sample_rate_hz
                )
                segment.check_cover(segments, speech.seconds, _TOLERANCE_SECONDS)
                phonemes = segment.phonemes(segments, self.labels)
                starts = [round(each.start * self.sample_rate_hz, 3) for each in segments]
                hop = self._samples(self.hop_seconds)
                features = mfcc(
                    speech.resampled(self.sample_rate_hz),
                    self.sample_rate_hz,
                    n_mfcc=self.n_mfcc,
                    window=self._samples(self.window_seconds),
                    hop=hop,
                    num_mels=self.num_mels,
                ).numpy()
                labels = classes([(0, phonemes[0]), *zip(starts, phonemes, strict=True)], len(features), hop)
                made = Utterance(paths.name, paths.speaker, features, labels)
        return made or Fault(paths.name, paths.speaker, tuple(told))
