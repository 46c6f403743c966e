"""A split in numbers: what each utterance's features and labels are like, in one pass over them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ablate.audit.alignment import Classes, Fit, Moments, fit
from ablate.recipe.data.corpus import Split
from ablate.recipe.data.phoneme import PHONEMES, UNKNOWN

Frames = Iterable[tuple[np.ndarray, np.ndarray]]
"""Each utterance's features (frames, mfcc) float32 and labels (frames,) uint8."""


@dataclass(frozen=True)
class Level:
    """Of a waveform of full scale 1: its root mean square, its peak, and what part of it stands at the peak or at 0."""

    root_mean_square: float
    peak: float
    at_peak: float
    at_zero: float


@dataclass(frozen=True)
class Measured:
    """A split's sound utterances in numbers, and what is wrong with the others.

    `frames` (utterances,); `counts` (utterances, classes), of labels; `mean`, `deviation`, `low`, `high` (utterances,
    mfcc), over an utterance's frames; `repeated` (utterances,), the part of frames that equal the one before;
    `at_limit` (utterances,), the largest part of frames that share a coefficient's greatest or least value. `digests`
    and `label_digests` are equal where features and labels are. `levels` are those of the waveforms that there are.
    """

    split: Split
    names: Sequence[str]
    speakers: Sequence[str]
    is_labelled: bool
    frames: np.ndarray
    counts: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray
    repeated: np.ndarray
    at_limit: np.ndarray
    digests: Sequence[bytes]
    label_digests: Sequence[bytes]
    moments: Moments
    faults: Mapping[str, Sequence[str]] = field(default_factory=dict)
    levels: Mapping[str, Level] = field(default_factory=dict)

    def of_frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation over all frames, (mfcc,) each."""
        weights = self.frames[:, None] / self.frames.sum()
        mean = (self.mean * weights).sum(0)
        square = ((self.deviation**2 + (self.mean - mean) ** 2) * weights).sum(0)
        return mean, np.sqrt(square)


def measure(
    split: Split,
    named: Sequence[tuple[str, str]],
    num_mfcc: int,
    utterances: Frames,
    faults: Mapping[str, Sequence[str]],
) -> Measured:
    """The split of these utterances, `named` by name and speaker in their order."""
    rows: list[tuple[np.ndarray, ...]] = []
    digests, label_digests = list[bytes](), list[bytes]()
    moments, is_labelled = Moments.none(num_mfcc), True
    for features, labels in utterances:
        is_labelled = is_labelled and not (labels == UNKNOWN).any()
        digests.append(_digest(features))
        label_digests.append(_digest(labels))
        rows.append((*_of_labels(labels), *_of_features(features)))
        if is_labelled:
            moments.add(features, labels)
    none = (np.zeros(0, int), np.zeros((0, len(PHONEMES)), int), *[np.zeros((0, num_mfcc))] * 4, *[np.zeros(0)] * 2)
    columns = [np.array(column) for column in zip(*rows, strict=True)] or none
    frames, counts, mean, deviation, low, high, repeated, at_limit = columns
    return Measured(
        split=split,
        names=[name for name, _ in named],
        speakers=[speaker for _, speaker in named],
        is_labelled=is_labelled,
        frames=frames,
        counts=counts,
        mean=mean,
        deviation=deviation,
        low=low,
        high=high,
        repeated=repeated,
        at_limit=at_limit,
        digests=digests,
        label_digests=label_digests,
        moments=moments,
        faults=faults,
    )


def level(samples: np.ndarray) -> Level:
    """Of a waveform (samples,) of full scale 1. A sample counts as at the peak if its neighbour is there too."""
    size = np.abs(samples)
    peak = float(size.max())
    at = size >= 0.9999 * peak
    beside = np.append(at[1:], False) | np.insert(at[:-1], 0, False)
    square = float(np.square(samples, dtype=np.float64).mean())
    return Level(square**0.5, peak, float((at & beside).mean()), float((size == 0).mean()))


def fits(utterances: Frames, classes: Classes) -> list[Fit | None]:
    """How each utterance's labels fit its features."""
    return [fit(features, labels, classes) for features, labels in utterances]


def _of_labels(labels: np.ndarray) -> tuple[np.ndarray, ...]:
    known = labels[labels != UNKNOWN]
    return np.array(len(labels)), np.bincount(known, minlength=len(PHONEMES))


def _of_features(features: np.ndarray) -> tuple[np.ndarray, ...]:
    low, high = features.min(0), features.max(0)
    repeated = (features[1:] == features[:-1]).all(1).mean() if len(features) > 1 else np.zeros(())
    varies = high > low
    limits = np.maximum((features == low).mean(0), (features == high).mean(0))
    at_limit = limits[varies].max(initial=0)
    exact = features.astype(np.float64)
    return exact.mean(0), exact.std(0), low, high, np.asarray(repeated), np.asarray(at_limit)


def _digest(array: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()
