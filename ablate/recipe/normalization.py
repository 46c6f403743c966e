"""Normalizations: fitted on the training split, each then scales an utterance's features in place.

One utterance after the other, fitting too: a split may not fit into memory twice. What was fitted stands for the
split ever after, so that a trained model needs no training data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeVar

import torch
from annotated_types import Le, Len
from torch import Tensor

from ablate.quantity import Count

Statistics = Mapping[str, Tensor]
Frames = Annotated[Count, Le(1_000_000_000)]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Normalization:
    """Scales an utterance's features (frames, mfcc) in place, by the statistics that it was fitted to."""

    scale: Callable[[Tensor], object]
    statistics: Statistics

    def __call__(self, features: Tensor) -> None:
        """Normalize an utterance."""
        self.scale(features)


class Speech(Protocol):
    """What a normalization is fitted on."""

    def map(self, make: Callable[[Tensor, Tensor], Made]) -> Iterator[Made]:
        """What is made of each utterance's features (frames, mfcc) and labels (frames,), as often as it is asked."""


Fit = Speech | Statistics
"""The training split, or what has been fitted to it before."""


def none(train: Fit) -> Normalization:
    """Leave the features as they are."""
    return Normalization(lambda features: None, {})


def zscore(train: Fit) -> Normalization:
    """Each coefficient to mean 0 and (population) standard deviation 1 over the frames of the training split.

    A coefficient that is constant there becomes 0.
    """
    fitted = _fitted(train, _moments)
    mean, deviation = fitted["mean"].float(), _nonzero(fitted["deviation"]).float()
    return Normalization(lambda features: features.sub_(mean).div_(deviation), fitted)


def minmax(train: Fit, *, range: Annotated[list[float], Len(2, 2)]) -> Normalization:
    """Each coefficient's extremes over the training split to the ends of `range`; beyond them nothing is clipped.

    A coefficient that is constant there goes to the range's low end.
    """
    low, high = range
    if not low < high:
        raise ValueError(f"normalization.range: expected [low, high] with low < high, got [{low}, {high}]")
    fitted = _fitted(train, _extremes)
    minima = fitted["minima"]
    scale = (high - low) / _nonzero(fitted["maxima"] - minima)
    return Normalization(lambda features: features.sub_(minima).mul_(scale).add_(low), fitted)


def cmn(train: Fit) -> Normalization:
    """Cepstral mean normalization: each coefficient to mean 0 over each utterance, which takes out the channel.

    Nothing is learned from the training split, and the scale is left as it is.
    """
    return Normalization(lambda features: features.sub_(features.mean(0)), {})


def cmvn(train: Fit) -> Normalization:
    """Cepstral mean and variance normalization: each coefficient to mean 0 and deviation 1 over each utterance.

    A coefficient that is constant in an utterance becomes 0 there. Nothing is learned from the training split.
    """

    def normalize(features: Tensor) -> None:
        exact = features.double()  # in float32 the mean of a constant is not quite that constant
        deviation = _nonzero(exact.std(0, correction=0), least=1e-6 * exact.abs().amax(0))
        features.copy_((exact - exact.mean(0)) / deviation)

    return Normalization(normalize, {})


def cmn_sliding(train: Fit, *, window: Frames, least_window: Frames, centered: bool, variance: bool) -> Normalization:
    """Mean 0 over a window that slides along the utterance (frames), and deviation 1 too with `variance`.

    The window lies to the left of its frame, or around it where `centered`; at an utterance's start it holds at least
    `least_window` frames. The values are those of torchaudio's SlidingWindowCmn, without its loop over the frames; but
    a coefficient that is constant in a window becomes 0, where torchaudio's is infinite.
    """

    def normalize(features: Tensor) -> None:
        start, end = _sliding(len(features), window, least_window, centered)
        size = (end - start).unsqueeze(1)
        exact = features.double()  # differences of running sums would lose the digits of float32
        mean = _sums(exact, start, end) / size
        features.copy_(exact - mean)
        if variance:
            deviation = (_sums(exact.square(), start, end) / size - mean.square()).clamp(min=0).sqrt()
            features.div_(_nonzero(deviation, least=1e-6 * exact.abs().amax(0)).float())

    return Normalization(normalize, {})


def _fitted(train: Fit, fit: Callable[[Speech], Statistics]) -> Statistics:
    return train if isinstance(train, Mapping) else fit(train)


def _moments(train: Speech) -> Statistics:
    """Mean and population deviation (mfcc,) of each coefficient over all frames."""
    frames, total = 0, torch.zeros(())
    for number, part in train.map(lambda features, _: (len(features), features.sum(0, dtype=torch.float64))):
        frames += number
        total = total + part
    mean = total / frames
    squares = train.map(lambda features, _: (features.double() - mean).square().sum(0))
    return {"mean": mean, "deviation": (sum(squares, torch.zeros(())) / frames).sqrt()}


def _extremes(train: Speech) -> Statistics:
    """Least and largest value (mfcc,) of each coefficient."""
    extremes = torch.stack(list(train.map(lambda features, _: torch.stack(features.aminmax(dim=0)))))
    return {"minima": extremes[:, 0].amin(0), "maxima": extremes[:, 1].amax(0)}


def _sliding(frames: int, window: int, least_window: int, centered: bool) -> tuple[Tensor, Tensor]:
    """First frame, and the one behind the last, of each frame's window: (frames,), (frames,)."""
    here = torch.arange(frames)
    if centered:
        start = (here - window // 2).clamp(min=0)
        end = start + window
    else:
        start = (here - window).clamp(min=0)
        end = (here + 1).clamp(min=least_window)
    over = (end - frames).clamp(min=0)  # at the utterance's end the window stops and grows no shorter
    return (start - over).clamp(min=0), end - over


def _sums(values: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Sums of the rows (frames, mfcc) from `start` to `end`, exclusive, for each pair of them."""
    running = torch.cat([values.new_zeros(1, values.shape[1]), values.cumsum(0)])
    return running[end] - running[start]


def _nonzero(scale: Tensor, least: Tensor | float = 0.0) -> Tensor:
    return torch.where(scale > least, scale, torch.ones_like(scale))
