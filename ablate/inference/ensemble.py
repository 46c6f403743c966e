"""What several models say together of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Combination = Literal["average", "vote"]


def average(probabilities: Sequence[Tensor]) -> Tensor:
    """The mean (frames, classes) of models' probabilities but for its scale, which no choice of a class depends on.

    >>> average([torch.tensor([[0.6, 0.4]]), torch.tensor([[0.1, 0.9]])]).argmax(1)
    tensor([1])
    """
    return torch.stack(tuple(probabilities)).sum(0)


def vote(classes: Sequence[Tensor], num_classes: int) -> Tensor:
    """The class (frames,) that most models name, of models' classes (frames,) each, the most accurate model's first.

    Of classes with as many votes, the one that the most accurate of their models names.

    >>> vote([torch.tensor([0, 0, 2]), torch.tensor([1, 1, 1]), torch.tensor([1, 2, 0])], num_classes=3)
    tensor([1, 0, 2])
    """
    named = torch.stack([each.long() for each in classes], dim=1)  # (frames, models)
    models = named.shape[1]
    votes = torch.zeros(len(named), num_classes, dtype=torch.long)
    votes.scatter_add_(1, named, torch.ones_like(named))
    best = torch.zeros_like(votes)
    best.scatter_reduce_(1, named, torch.arange(models, 0, -1).expand_as(named), "amax")  # the first model's is highest
    return (votes * (models + 1) + best).argmax(1)
