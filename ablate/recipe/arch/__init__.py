"""Architectures: a shape is the relative width of each hidden layer; all are the same perceptron otherwise.

Width comes from `width`, that of the widest layer, or from `num_params`, the number of parameters to come close to:
within 0.5 % from half a million parameters on, as far as whole widths allow (a cylinder has one for all layers).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypedDict, Unpack, cast

from annotated_types import Le, Len
from torch import nn

from ablate.quantity import Count, NonNegativeInteger, PositiveFraction, ProperFraction
from ablate.recipe.arch.layer import Dropout, Linear

Activation = Literal["relu", "sigmoid", "gelu", "softplus", "tanh", "leaky_relu", "silu", "mish"]
Norm = Literal["none", "batch", "layer"]
NormPosition = Literal["before", "after"]
Bias = Literal["auto", "always"]

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


Width = Annotated[Count, Le(1_000_000)]
Widths = Annotated[list[Width], Len(0, 1000)]
Budget = Annotated[Count, Le(100_000_000_000)] | None


class Block(TypedDict):
    """What stands behind each hidden layer's weights."""

    activation: Activation
    norm: Norm
    norm_position: NormPosition
    bias: Bias
    dropout: ProperFraction
    dropout_every: Count


class Layers(Block):
    """What all shapes have in common."""

    depth: Annotated[NonNegativeInteger, Le(1000)]
    width: Width
    num_params: Budget


def cylinder(num_inputs: int, num_classes: int, **layers: Unpack[Layers]) -> nn.Sequential:
    """Hidden layers of one width."""
    return _shaped(num_inputs, num_classes, [1.0] * layers["depth"], **layers)


def pyramid(num_inputs: int, num_classes: int, *, taper: PositiveFraction, **layers: Unpack[Layers]) -> nn.Sequential:
    """Hidden layers that narrow evenly from the input to the output, the last to `taper` of the first."""
    return _shaped(num_inputs, num_classes, _line(layers["depth"], taper), **layers)


def inverse_pyramid(
    num_inputs: int, num_classes: int, *, taper: PositiveFraction, **layers: Unpack[Layers]
) -> nn.Sequential:
    """Hidden layers that widen evenly from the input to the output, the first being `taper` of the last."""
    return _shaped(num_inputs, num_classes, _line(layers["depth"], taper)[::-1], **layers)


def diamond(num_inputs: int, num_classes: int, *, taper: PositiveFraction, **layers: Unpack[Layers]) -> nn.Sequential:
    """Hidden layers that widen to the middle and narrow again, the ends being `taper` of the widest.

    An even depth has two widest layers, so that depth 2 is two equal ones.
    """
    half = _half(layers["depth"], taper)
    return _shaped(num_inputs, num_classes, half[::-1] + half[layers["depth"] % 2 :], **layers)


def hourglass(num_inputs: int, num_classes: int, *, taper: PositiveFraction, **layers: Unpack[Layers]) -> nn.Sequential:
    """Hidden layers that narrow to the middle, `taper` of the ends, and widen again.

    An even depth has two narrowest layers, so that depth 2 is two equal ones.
    """
    half = _half(layers["depth"], taper)
    return _shaped(num_inputs, num_classes, half + half[::-1][layers["depth"] % 2 :], **layers)


def custom(
    num_inputs: int,
    num_classes: int,
    *,
    widths: Widths,
    num_params: Budget,
    **block: Unpack[Block],
) -> nn.Sequential:
    """Hidden layers of the widths given; `num_params` scales them."""
    return _perceptron(num_inputs, num_classes, widths, max(widths, default=0), num_params, **block)


def layers(model: nn.Sequential) -> list[int]:
    """The inputs, and the outputs of each layer, the last being the classes."""
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    return [linear[0].in_features, *(layer.out_features for layer in linear)]


def num_params(model: nn.Module) -> int:
    """Trained parameters, everything counted."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Sequential) -> int:
    """Multiplications with a weight to classify one frame."""
    return sum(layer.weight.numel() for layer in model if isinstance(layer, nn.Linear))


def describe(model: nn.Sequential, budget: int | None) -> str:
    """A line on a model's layers, parameters and multiply-adds, and by how much it misses its budget."""
    size = num_params(model)
    miss = f" ({(size - budget) / budget:+.2%} of arch.num_params)" if budget else ""
    chain = "-".join(map(str, layers(model)))
    return f"layers {chain}, {size:,} parameters{miss}, {multiply_adds(model):,} multiply-adds a frame"


def _line(depth: int, taper: float) -> list[float]:
    """Evenly from 1 to `taper` in `depth` steps.

    >>> _line(3, 0.5)
    [1.0, 0.75, 0.5]
    """
    return [1.0 - (1.0 - taper) * layer / max(1, depth - 1) for layer in range(depth)]


def _half(depth: int, taper: float) -> list[float]:
    """From 1 to `taper` in the half of a symmetric shape, an odd depth's middle layer counted in.

    >>> _half(3, 0.5), _half(4, 0.5)
    ([1.0, 0.5], [1.0, 0.5])
    """
    return _line((depth + 1) // 2, taper)


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


def _biased(block: Block) -> bool:
    # A bias before a batch norm is subtracted again: an optimizer would only inflate its rounding noise.
    return block["bias"] == "always" or not (block["norm"] == "batch" and block["norm_position"] == "before")


def _count(num_inputs: int, widths: Sequence[int], num_classes: int, block: Block) -> int:
    extra = _biased(block) + 2 * (block["norm"] != "none")
    hidden = sum((inputs + extra) * outputs for inputs, outputs in itertools.pairwise([num_inputs, *widths]))
    return hidden + ([num_inputs, *widths][-1] + 1) * num_classes


def _shaped(num_inputs: int, num_classes: int, shape: Sequence[float], **layers: Unpack[Layers]) -> nn.Sequential:
    block = cast(Block, {name: value for name, value in layers.items() if name in Block.__annotations__})
    return _perceptron(num_inputs, num_classes, shape, layers["width"], layers["num_params"], **block)


def _perceptron(
    num_inputs: int,
    num_classes: int,
    shape: Sequence[float],
    width: int,
    num_params: int | None,
    **block: Unpack[Block],
) -> nn.Sequential:
    """Linear, norm and activation in the order asked for, and dropout, for each hidden layer; then logits.

    The widest layer of the shape has `width` outputs, or as many as come closest to `num_params` parameters.
    """
    norm, position = block["norm"], block["norm_position"]
    if block["dropout"] > 0 and block["dropout_every"] > len(shape):
        raise ValueError(
            f"arch.dropout={block['dropout']}: expected at least {block['dropout_every']} hidden layers for a dropout "
            f"every {block['dropout_every']} of them, found {len(shape)}; more arch.depth, or regularization.dropout=0"
        )

    if norm == "none" and position == "after":
        raise ValueError("arch.norm_position=after: there is no norm to place; give arch.norm=batch or layer")
    if block["dropout"] == 0 and block["dropout_every"] > 1:
        raise ValueError(
            f"arch.dropout_every={block['dropout_every']}: there is no dropout; give regularization.dropout"
        )

    def count(widths: Sequence[int]) -> int:
        return _count(num_inputs, widths, num_classes, block)

    relative = [share / max(shape) for share in shape]
    hidden = _scaled(relative, width) if num_params is None else _fit(relative, num_params, count)
    modules: list[nn.Module] = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise([num_inputs, *hidden]), start=1):
        modules.append(Linear(inputs, outputs, bias=_biased(block)))
        modules.append(_ACTIVATIONS[block["activation"]]())
        if norm != "none":
            modules.insert(-1 if position == "before" else len(modules), _NORMS[norm](outputs))
        if block["dropout"] > 0 and layer % block["dropout_every"] == 0:
            modules.append(Dropout(block["dropout"]))
    return nn.Sequential(*modules, Linear([num_inputs, *hidden][-1], num_classes))
