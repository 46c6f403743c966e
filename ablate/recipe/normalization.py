"""Normalizations: fitted on the training split, each then scales a table's utterances in place.

In place, because a table may take half of the memory; the zero rows between utterances are never touched.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Len

from ablate.recipe.data.table import FrameTable

Normalization = Callable[[FrameTable], None]


def none(train: FrameTable) -> Normalization:
    """Leave the features as they are."""
    return lambda table: None


def zscore(train: FrameTable) -> Normalization:
    """Each coefficient to mean 0 and (population) standard deviation 1 over the frames of the training split.

    A coefficient that is constant there becomes 0.
    """
    frames = len(train.labels)
    mean = sum((features.sum(0, dtype=torch.float64) for features, _ in train.utterances()), torch.zeros(())) / frames
    squares = ((features.double() - mean).square().sum(0) for features, _ in train.utterances())
    deviation = _nonzero((sum(squares, torch.zeros(())) / frames).sqrt())

    def normalize(table: FrameTable) -> None:
        for features, _ in table.utterances():
            features.sub_(mean.float()).div_(deviation.float())

    return normalize


def minmax(train: FrameTable, *, range: Annotated[list[float], Len(2, 2)]) -> Normalization:
    """Each coefficient's extremes over the training split to the ends of `range`; beyond them nothing is clipped.

    A coefficient that is constant there goes to the range's low end.
    """
    low, high = range
    if not low < high:
        raise ValueError(f"normalization.range: expected [low, high] with low < high, got [{low}, {high}]")
    minima = torch.stack([features.amin(0) for features, _ in train.utterances()]).amin(0)
    maxima = torch.stack([features.amax(0) for features, _ in train.utterances()]).amax(0)
    scale = (high - low) / _nonzero(maxima - minima)

    def normalize(table: FrameTable) -> None:
        for features, _ in table.utterances():
            features.sub_(minima).mul_(scale).add_(low)

    return normalize


def cmn(train: FrameTable) -> Normalization:
    """Cepstral mean normalization: each coefficient to mean 0 over each utterance, which takes out the channel.

    Nothing is learned from the training split, and the scale is left as it is.
    """

    def normalize(table: FrameTable) -> None:
        for features, _ in table.utterances():
            features.sub_(features.mean(0))

    return normalize


def _nonzero(scale: torch.Tensor) -> torch.Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))
