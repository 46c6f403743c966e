"""Regularization: every option is the same set of terms, so that any of them combine by their keys."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablate.quantity import NonNegative, ProperFraction


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Penalties of the weight matrices, added to the loss; biases and norms are free.

    `dropout` acts in the model: `arch.dropout` takes it from here unless it is given there.
    """

    dropout: ProperFraction
    l1: NonNegative
    l2: NonNegative

    def penalty(self, model: nn.Module) -> Tensor | None:
        """`l1` sum |w| + `l2` sum w^2 as a scalar with a gradient; none where both are 0."""
        weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        terms = []
        if self.l1 > 0:
            terms += [self.l1 * weight.abs().sum() for weight in weights]
        if self.l2 > 0:
            terms += [self.l2 * weight.square().sum() for weight in weights]
        return torch.stack(terms).sum() if terms else None
