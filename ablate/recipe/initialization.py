"""Initializations: each sets a model's weights and biases from the run's own generator.

Norms keep torch's start (weight 1, bias 0), which is no random choice.
"""

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

Mode = Literal["fan_in", "fan_out"]

# Where torch defines no gain, a smooth relative of the rectifier takes the rectifier's.
_GAIN_OF = {"gelu": "relu", "silu": "relu", "mish": "relu", "softplus": "relu"}


def torch_default(model: nn.Module, generator: torch.Generator, activation: str) -> None:
    """What `nn.Linear` does by itself: weights and biases uniform within 1 / sqrt(fan in)."""
    for layer, _ in _linear(model):
        nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
        if layer.bias is not None:
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


def kaiming_normal(model: nn.Module, generator: torch.Generator, activation: str, *, mode: Mode) -> None:
    """Weights normal with deviation gain / sqrt(fan), the gain that of the activation; biases 0 (arXiv:1502.01852).

    The last layer has no activation behind it, hence gain 1.
    """
    for layer, is_last in _linear(model):
        nonlinearity = "linear" if is_last else _GAIN_OF.get(activation, activation)
        nn.init.kaiming_normal_(layer.weight, a=0.01, mode=mode, nonlinearity=nonlinearity, generator=generator)  # type: ignore[arg-type]
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _linear(model: nn.Module) -> Iterator[tuple[nn.Linear, bool]]:
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    yield from ((layer, layer is layers[-1]) for layer in layers)
