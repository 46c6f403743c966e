"""Regularization: every option is the same set of terms, so that any of them combine by their keys."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ablate.quantity import Count, NonNegative, Positive, ProperFraction


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Penalties of the weight matrices, added to the loss, and what else keeps a model from fitting too well.

    `dropout` acts in the model: `arch.dropout` takes it from here unless it is given there.
    `patience` epochs without a validation accuracy that is better by `least_improvement` end the run early.
    Of `max_gradient_norm` and `max_gradient` only one may be given, and `least_improvement` only with `patience`
    (ValueError).
    """

    dropout: ProperFraction
    l1: NonNegative
    l2: NonNegative
    label_smoothing: ProperFraction
    patience: Count | None
    least_improvement: NonNegative
    max_gradient_norm: Positive | None
    max_gradient: Positive | None

    def __post_init__(self) -> None:
        if self.max_gradient_norm is not None and self.max_gradient is not None:
            raise ValueError(
                f"regularization.max_gradient_norm={self.max_gradient_norm} and "
                f"regularization.max_gradient={self.max_gradient} both clip the gradient; set one of them to null"
            )
        if self.least_improvement > 0 and self.patience is None:
            raise ValueError(
                f"regularization.least_improvement={self.least_improvement}: nothing waits for one; give "
                "regularization.patience"
            )

    def ends(self, accuracies: Sequence[float]) -> bool:
        """Whether the run should end after these validation accuracies (epochs,), oldest first.

        >>> settings = {"dropout": 0, "l1": 0, "l2": 0, "label_smoothing": 0, "max_gradient_norm": None}
        >>> stop = Regularization(**settings, max_gradient=None, patience=2, least_improvement=0.01)
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

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy of logits (batch, classes) with smoothed labels (batch,): arXiv:1512.00567, section 7."""
        return cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    @property
    def clips(self) -> bool:
        """Whether `clip` does anything."""
        return self.max_gradient_norm is not None or self.max_gradient is not None

    def clip(self, model: nn.Module) -> None:
        """Shorten the gradient in place, by its norm over all parameters or value by value (arXiv:1211.5063)."""
        if self.max_gradient_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.max_gradient_norm)
        if self.max_gradient is not None:
            nn.utils.clip_grad_value_(model.parameters(), self.max_gradient)
