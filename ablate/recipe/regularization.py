"""Regularization: every option is the same set of terms, so that any of them combine by their keys."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablate.quantity import Count, NonNegative, ProperFraction


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Penalties of the weight matrices, added to the loss; biases and norms are free.

    `dropout` acts in the model: `arch.dropout` takes it from here unless it is given there.
    `patience` epochs without a validation accuracy that is better by `least_improvement` end the run early.
    """

    dropout: ProperFraction
    l1: NonNegative
    l2: NonNegative
    patience: Count | None
    least_improvement: NonNegative

    def ends(self, accuracies: Sequence[float]) -> bool:
        """Whether the run should end after these validation accuracies (epochs,), oldest first.

        >>> stop = Regularization(dropout=0, l1=0, l2=0, patience=2, least_improvement=0.01)
        >>> stop.ends([0.5, 0.505]), stop.ends([0.5, 0.505, 0.509]), stop.ends([0.5, 0.505, 0.52])
        (False, True, False)
        """
        if self.patience is None:
            return False
        since, best = 0, -1.0
        for accuracy in accuracies:
            since, best = (
                (0, accuracy) if accuracy >= best + self.least_improvement and accuracy > best else (since + 1, best)
            )
        return since >= self.patience

    def penalty(self, model: nn.Module) -> Tensor | None:
        """`l1` sum |w| + `l2` sum w^2 as a scalar with a gradient; none where both are 0."""
        weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        terms = []
        if self.l1 > 0:
            terms += [self.l1 * weight.abs().sum() for weight in weights]
        if self.l2 > 0:
            terms += [self.l2 * weight.square().sum() for weight in weights]
        return torch.stack(terms).sum() if terms else None
