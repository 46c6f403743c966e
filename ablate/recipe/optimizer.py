"""Optimizers: each takes a model and gives torch's own optimizer over its parameters, fused.

Weight decay is for weight matrices; biases and norms are decayed only where `decay_all` asks for it.
"""

from typing import Annotated, Any

import torch
from annotated_types import Len
from torch import nn

from ablate.quantity import NonNegative, Positive, ProperFraction

Betas = Annotated[list[ProperFraction], Len(2, 2)]


def sgd(model: nn.Module, *, lr: Positive, weight_decay: NonNegative, decay_all: bool) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent, without momentum."""
    return torch.optim.SGD(_groups(model, weight_decay, decay_all), lr=lr, fused=True)


def adam(
    model: nn.Module, *, lr: Positive, betas: Betas, eps: Positive, weight_decay: NonNegative, decay_all: bool
) -> torch.optim.Optimizer:
    """Adam (arXiv:1412.6980); its weight decay is added to the gradient."""
    groups = _groups(model, weight_decay, decay_all)
    return torch.optim.Adam(groups, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)


def adamw(
    model: nn.Module, *, lr: Positive, betas: Betas, eps: Positive, weight_decay: NonNegative, decay_all: bool
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (arXiv:1711.05101)."""
    groups = _groups(model, weight_decay, decay_all)
    return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)


def _groups(model: nn.Module, weight_decay: float, decay_all: bool) -> list[dict[str, Any]]:
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in model.parameters():
        (decayed if decay_all or parameter.ndim > 1 else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
