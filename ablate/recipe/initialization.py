"""Initializations: each sets a model's weights and biases from the run's own generator.

All but torch's own start with biases of 0. Norms keep torch's start (weight 1, bias 0), which is no random choice.
A gain is that of the activation behind the layer, as torch.nn.init has it; the last layer has none, hence gain 1.
"""

import math
from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn

from ablate.quantity import Positive

Mode = Literal["fan_in", "fan_out"]
Nonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu"]

# Where torch defines no gain, a smooth relative of the rectifier takes the rectifier's.
_RELATIVES = {"gelu": "relu", "silu": "relu", "mish": "relu", "softplus": "relu"}
_SLOPE = 0.01  # of nn.LeakyReLU


def torch_default(model: nn.Module, generator: torch.Generator, activation: str) -> None:
    """What `nn.Linear` does by itself: weights and biases uniform within 1 / sqrt(fan in)."""
    for layer in _linear(model):
        nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
        if layer.bias is not None:
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


def xavier_uniform(model: nn.Module, generator: torch.Generator, activation: str) -> None:
    """Weights uniform with variance gain^2 2 / (fan in + fan out) (Glorot and Bengio 2010)."""
    _set(model, activation, lambda weight, before: nn.init.xavier_uniform_(weight, gain(before), generator))


def xavier_normal(model: nn.Module, generator: torch.Generator, activation: str) -> None:
    """Weights normal with variance gain^2 2 / (fan in + fan out) (Glorot and Bengio 2010)."""
    _set(model, activation, lambda weight, before: nn.init.xavier_normal_(weight, gain(before), generator))


def kaiming_uniform(model: nn.Module, generator: torch.Generator, activation: str, *, mode: Mode) -> None:
    """Weights uniform with variance gain^2 / fan (arXiv:1502.01852)."""
    _set(model, activation, lambda weight, before: nn.init.kaiming_uniform_(weight, _SLOPE, mode, before, generator))


def kaiming_normal(model: nn.Module, generator: torch.Generator, activation: str, *, mode: Mode) -> None:
    """Weights normal with variance gain^2 / fan (arXiv:1502.01852)."""
    _set(model, activation, lambda weight, before: nn.init.kaiming_normal_(weight, _SLOPE, mode, before, generator))


def uniform(model: nn.Module, generator: torch.Generator, activation: str, *, bound: Positive) -> None:
    """Weights uniform within `bound`, whatever the layer's size."""
    _set(model, activation, lambda weight, _: nn.init.uniform_(weight, -bound, bound, generator))


def normal(model: nn.Module, generator: torch.Generator, activation: str, *, deviation: Positive) -> None:
    """Weights normal with this standard deviation, whatever the layer's size."""
    _set(model, activation, lambda weight, _: nn.init.normal_(weight, 0, deviation, generator))


def orthogonal(model: nn.Module, generator: torch.Generator, activation: str) -> None:
    """Weights whose rows, or columns where they are fewer, are orthogonal and of length gain (arXiv:1312.6120)."""
    _set(model, activation, lambda weight, before: nn.init.orthogonal_(weight, gain(before), generator))


def gain(nonlinearity: Nonlinearity) -> float:
    """The factor that keeps the variance of a signal through a nonlinearity."""
    return nn.init.calculate_gain(nonlinearity, _SLOPE if nonlinearity == "leaky_relu" else None)


def _set(model: nn.Module, activation: str, fill: Callable[[Tensor, Nonlinearity], object]) -> None:
    layers = _linear(model)
    for layer in layers:
        behind = "linear" if layer is layers[-1] else _RELATIVES.get(activation, activation)
        fill(layer.weight, cast(Nonlinearity, behind))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _linear(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Linear)]
