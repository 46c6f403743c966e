"""Architectures: a shape is the relative width of each hidden layer; all are the same perceptron otherwise.

Width comes from `width`, that of the widest layer, or from `num_params`, the number of parameters to come close to.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypedDict, Unpack

from annotated_types import Le
from torch import nn

from ablate.quantity import Count, NonNegativeInteger, PositiveFraction, ProperFraction

Activation = Literal["relu", "sigmoid", "gelu", "softplus", "tanh", "leaky_relu", "silu", "mish"]
Norm = Literal["none", "batch", "layer"]
NormPosition = Literal["before", "after"]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
}
_NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class Layers(TypedDict):
    """What all shapes have in common."""

    depth: Annotated[NonNegativeInteger, Le(1000)]
    width: Annotated[Count, Le(1_000_000)]
    num_params: Annotated[Count, Le(100_000_000_000)] | None
    activation: Activation
    norm: Norm
    norm_position: NormPosition
    dropout: ProperFraction


def cylinder(num_inputs: int, num_classes: int, **layers: Unpack[Layers]) -> nn.Sequential:
    """Hidden layers of one width."""
    return _perceptron(num_inputs, num_classes, [1.0] * layers["depth"], **layers)


def pyramid(num_inputs: int, num_classes: int, *, taper: PositiveFraction, **layers: Unpack[Layers]) -> nn.Sequential:
    """Hidden layers that narrow evenly from the input to the output, the last to `taper` of the first."""
    return _perceptron(num_inputs, num_classes, _line(layers["depth"], taper), **layers)


def inverse_pyramid(
    num_inputs: int, num_classes: int, *, taper: PositiveFraction, **layers: Unpack[Layers]
) -> nn.Sequential:
    """Hidden layers that widen evenly from the input to the output, the first being `taper` of the last."""
    return _perceptron(num_inputs, num_classes, _line(layers["depth"], taper)[::-1], **layers)


def diamond(num_inputs: int, num_classes: int, *, taper: PositiveFraction, **layers: Unpack[Layers]) -> nn.Sequential:
    """Hidden layers that widen to the middle and narrow again, the ends being `taper` of the widest.

    An even depth has two widest layers, so that depth 2 is two equal ones.
    """
    half = _line((layers["depth"] + 1) // 2, taper)
    return _perceptron(num_inputs, num_classes, half[::-1] + half[layers["depth"] % 2 :], **layers)


def widths(model: nn.Sequential) -> list[int]:
    """Outputs of each layer, the last being the classes."""
    return [layer.out_features for layer in model if isinstance(layer, nn.Linear)]


def num_params(model: nn.Module) -> int:
    """Trained parameters, everything counted."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Sequential) -> int:
    """Multiplications with a weight to classify one frame."""
    return sum(layer.weight.numel() for layer in model if isinstance(layer, nn.Linear))


def _line(depth: int, taper: float) -> list[float]:
    """Evenly from 1 to `taper` in `depth` steps.

    >>> _line(3, 0.5)
    [1.0, 0.75, 0.5]
    """
    return [1.0 - (1.0 - taper) * layer / max(1, depth - 1) for layer in range(depth)]


def _fit(shape: Sequence[float], budget: int, count: Callable[[Sequence[int]], int]) -> list[int]:
    """The shape's widths whose `count` of parameters comes closest to `budget`, found by bisection."""
    if not shape:
        raise ValueError("arch.num_params: a model without hidden layers has no width to fit; leave it null")
    if (smallest := count(_scaled(shape, 1))) > budget:
        raise ValueError(f"arch.num_params={budget}: expected at least {smallest}, this shape's smallest")
    low, high = 1.0, 2.0
    while count(_scaled(shape, high)) < budget:
        low, high = high, 2 * high
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if count(_scaled(shape, middle)) <= budget else (low, middle)
    return min((_scaled(shape, low), _scaled(shape, high)), key=lambda widths: abs(count(widths) - budget))


def _scaled(shape: Sequence[float], scale: float) -> list[int]:
    return [max(1, round(scale * share)) for share in shape]


def _biased(norm: Norm, norm_position: NormPosition) -> bool:
    # A bias before a batch norm is subtracted again: an optimizer would only inflate its rounding noise.
    return not (norm == "batch" and norm_position == "before")


def _count(num_inputs: int, widths: Sequence[int], num_classes: int, norm: Norm, norm_position: NormPosition) -> int:
    extra = _biased(norm, norm_position) + 2 * (norm != "none")
    hidden = sum((inputs + extra) * outputs for inputs, outputs in itertools.pairwise([num_inputs, *widths]))
    return hidden + ([num_inputs, *widths][-1] + 1) * num_classes


def _perceptron(num_inputs: int, num_classes: int, shape: Sequence[float], **layers: Unpack[Layers]) -> nn.Sequential:
    """Linear, norm and activation in the order asked for, dropout, for each hidden layer; then logits."""
    norm, position = layers["norm"], layers["norm_position"]

    def count(widths: Sequence[int]) -> int:
        return _count(num_inputs, widths, num_classes, norm, position)

    budget = layers["num_params"]
    hidden = _scaled(shape, layers["width"]) if budget is None else _fit(shape, budget, count)
    modules: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise([num_inputs, *hidden]):
        modules.append(nn.Linear(inputs, outputs, bias=_biased(norm, position)))
        modules.append(_ACTIVATIONS[layers["activation"]]())
        if norm != "none":
            modules.insert(-1 if position == "before" else len(modules), _NORMS[norm](outputs))
        if layers["dropout"] > 0:
            modules.append(nn.Dropout(layers["dropout"]))
    return nn.Sequential(*modules, nn.Linear([num_inputs, *hidden][-1], num_classes))
