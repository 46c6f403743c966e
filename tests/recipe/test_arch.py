"""Shapes, parameter counts and budgets, against what torch counts."""

import itertools
import time
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ablate.recipe import arch
from ablate.recipe.arch.layer import Dropout, Linear

TAPERED = ("pyramid", "inverse_pyramid", "diamond", "hourglass")


def model(shape: str, num_inputs: int = 588, **changes: Any) -> nn.Sequential:
    layers = {
        "depth": 3, "width": 64, "num_params": None, "activation": "gelu", "norm": "batch",
        "norm_position": "before", "bias": "auto", "dropout": 0.0, "dropout_every": 1,
    } | changes  # fmt: skip
    asked = layers.pop("taper", 0.25)
    taper = {"taper": asked} if shape in TAPERED else {}
    made: nn.Sequential = getattr(arch, shape)(num_inputs, 40, **taper, **layers)
    return made


@pytest.mark.parametrize(
    ("shape", "depth", "widths"),
    [
        ("cylinder", 3, [64, 64, 64]),
        ("pyramid", 3, [64, 40, 16]),
        ("inverse_pyramid", 3, [16, 40, 64]),
        ("diamond", 3, [16, 64, 16]),
        ("diamond", 4, [16, 64, 64, 16]),
        ("diamond", 5, [16, 40, 64, 40, 16]),
        ("pyramid", 2, [64, 16]),
        ("inverse_pyramid", 2, [16, 64]),
        ("diamond", 2, [64, 64]),
        ("hourglass", 2, [64, 64]),
        ("hourglass", 3, [64, 16, 64]),
        ("hourglass", 4, [64, 16, 16, 64]),
        ("hourglass", 5, [64, 40, 16, 40, 64]),
        ("hourglass", 1, [64]),
        ("diamond", 1, [64]),
        ("pyramid", 1, [64]),
        ("cylinder", 0, []),
        ("pyramid", 0, []),
        ("diamond", 0, []),
    ],
)
def test_shapes(shape: str, depth: int, widths: list[int]) -> None:
    assert arch.layers(model(shape, depth=depth))[1:] == [*widths, 40]


BUDGETS = st.floats(0.5e6, 24e6).map(int)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.sampled_from(["cylinder", *TAPERED]),
    depth=st.integers(2, 10),
    budget=BUDGETS,
    context=st.integers(0, 50),
    num_mfcc=st.integers(1, 28),
    norm=st.sampled_from(["none", "batch", "layer"]),
    position=st.sampled_from(["before", "after"]),
    taper=st.sampled_from([0.1, 0.25, 0.6, 1.0]),
)
def test_a_budget_is_met_by_the_count_of_torch(
    shape: str, depth: int, budget: int, context: int, num_mfcc: int, norm: str, position: str, taper: float
) -> None:
    position = "before" if norm == "none" else position
    with torch.device("meta"):
        made = model(
            shape,
            (2 * context + 1) * num_mfcc,
            depth=depth,
            num_params=budget,
            norm=norm,
            norm_position=position,
            taper=taper,
        )
    count = arch.num_params(made)
    widths = arch.layers(made)[1:-1]
    half = widths[: (depth + 1) // 2]
    assert (
        widths
        == {
            "cylinder": widths[:1] * depth,
            "pyramid": sorted(widths, reverse=True),
            "inverse_pyramid": sorted(widths),
            "diamond": sorted(half) + sorted(half, reverse=True)[depth % 2 :],
            "hourglass": sorted(half, reverse=True) + sorted(half)[depth % 2 :],
        }[shape]
    )
    if shape == "cylinder":  # with whole widths it may miss by a little more: then it is the nearest of them
        assert count == pytest.approx(budget, rel=0.0052)
        with torch.device("meta"):
            for other in (widths[0] - 1, widths[0] + 1):
                beside = model(
                    shape, (2 * context + 1) * num_mfcc, depth=depth, width=other, norm=norm, norm_position=position
                )
                assert abs(count - budget) <= abs(arch.num_params(beside) - budget)
    else:
        assert count == pytest.approx(budget, rel=0.005)


def custom(widths: list[int], **changes: Any) -> nn.Sequential:
    layers: dict[str, Any] = {
        "num_params": None, "activation": "gelu", "norm": "batch", "norm_position": "before", "bias": "auto",
        "dropout": 0.0, "dropout_every": 1,
    }  # fmt: skip
    return arch.custom(588, 40, widths=widths, **(layers | changes))


def test_widths_of_ones_own() -> None:
    assert arch.layers(custom([64, 8, 32]))[1:] == [64, 8, 32, 40]
    assert arch.layers(custom([]))[1:] == [40]
    scaled = custom([200, 50, 100], num_params=1_000_000)
    first, second, third, _ = arch.layers(scaled)[1:]
    assert first / second == pytest.approx(4, rel=0.01) and third / second == pytest.approx(2, rel=0.01)
    assert arch.num_params(scaled) == pytest.approx(1_000_000, rel=0.005)


@pytest.mark.parametrize(("every", "behind"), [(1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3]), (4, [4])])
def test_dropout_behind_every_or_every_other_layer(every: int, behind: list[int]) -> None:
    made = list(model("cylinder", depth=4, dropout=0.3, dropout_every=every))
    found, layer = [], 0
    for module in made:
        layer += isinstance(module, nn.Linear)
        if isinstance(module, nn.Dropout):
            assert module.p == 0.3
            found.append(layer)
    assert found == behind


@pytest.mark.parametrize(("depth", "every"), [(0, 1), (1, 2), (3, 4)])
def test_a_dropout_without_a_place_is_refused(depth: int, every: int) -> None:
    with pytest.raises(ValueError, match=f"arch.dropout=0.3: expected at least {every} hidden layers"):
        model("cylinder", depth=depth, dropout=0.3, dropout_every=every)


def test_what_has_no_effect_is_refused() -> None:
    with pytest.raises(ValueError, match=r"arch.norm_position=after: there is no norm"):
        model("cylinder", norm="none", norm_position="after")
    with pytest.raises(ValueError, match=r"arch.dropout_every=2: there is no dropout"):
        model("cylinder", dropout_every=2)


def test_the_description_tells_layers_size_and_miss() -> None:
    made = model("cylinder", 10, depth=2, width=4)
    assert arch.describe(made, None) == "layers 10-4-4-40, 272 parameters, 216 multiply-adds a frame"
    assert "272 parameters (+36.00% of arch.num_params)" in arch.describe(made, 200)


def test_widths_are_found_in_milliseconds() -> None:
    with torch.device("meta"):
        started = time.process_time()
        model("diamond", 2828, depth=10, num_params=24_000_000)
    assert (
        time.process_time() - started < 1
    )  # a benchmark states the figure; this only guards against a search gone wild


@settings(deadline=None, max_examples=30)
@given(widths=st.lists(st.integers(50, 3000), min_size=2, max_size=10), budget=BUDGETS)
def test_widths_of_ones_own_meet_a_budget_in_their_proportions(widths: list[int], budget: int) -> None:
    with torch.device("meta"):
        made = custom(widths, num_params=budget)
    assert arch.num_params(made) == pytest.approx(budget, rel=0.0052)
    found = arch.layers(made)[1:-1]
    scale = max(found) / max(widths)
    assert all(abs(width - scale * asked) <= 1.5 for width, asked in zip(found, widths, strict=True))


@pytest.mark.parametrize(
    ("norm", "position"), [("none", "before"), *itertools.product(["batch", "layer"], ["before", "after"])]
)
def test_layers_stand_in_the_order_asked_for(norm: str, position: str) -> None:
    made: list[Any] = list(
        model("cylinder", depth=1, norm=norm, norm_position=position, dropout=0.3, activation="relu")
    )
    of_norm: dict[str, list[type[nn.Module]]] = {"none": [], "batch": [nn.BatchNorm1d], "layer": [nn.LayerNorm]}
    rest = [*of_norm[norm], nn.ReLU]
    expected = rest if position == "before" else rest[::-1]
    assert [type(module) for module in made] == [Linear, *expected, Dropout, Linear]
    assert made[-2].p == 0.3
    assert (made[0].bias is None) == (norm == "batch" and position == "before")


def test_activations_are_torchs() -> None:
    x = torch.linspace(-3, 3, 50)
    functional = torch.nn.functional
    expected: dict[str, Any] = {
        "relu": functional.relu, "sigmoid": torch.sigmoid, "gelu": functional.gelu, "softplus": functional.softplus,
        "tanh": torch.tanh, "leaky_relu": functional.leaky_relu, "silu": functional.silu, "mish": functional.mish,
    }  # fmt: skip
    for name, function in expected.items():
        assert torch.equal(model("cylinder", depth=1, activation=name, norm="none")[1](x), function(x)), name


def test_counts_of_a_small_model_by_hand() -> None:
    made = model("cylinder", 10, depth=2, width=4)
    # 10x4 and 4x4 weights, two batch norms of 2x4, an output layer of 4x40 weights and 40 biases
    assert arch.num_params(made) == 40 + 16 + 16 + 160 + 40
    assert arch.multiply_adds(made) == 40 + 16 + 160


def test_a_linear_model_has_no_width_to_fit_and_a_tiny_budget_is_refused() -> None:
    with pytest.raises(ValueError, match=r"arch.num_params: a model without hidden layers"):
        model("cylinder", depth=0, num_params=1000)
    with pytest.raises(ValueError, match=r"arch.num_params=100: expected at least"):
        model("cylinder", num_params=100)


@pytest.mark.parametrize(("norm", "position"), [("batch", "before"), ("batch", "after"), ("layer", "before")])
def test_a_bias_before_a_batch_norm_is_there_only_if_asked_for(norm: str, position: str) -> None:
    kinds = [model("cylinder", depth=2, norm=norm, norm_position=position, bias=bias) for bias in ("auto", "always")]
    biased = [[layer.bias is not None for layer in kind if isinstance(layer, nn.Linear)] for kind in kinds]
    usual = (norm, position) != ("batch", "before")
    assert biased == [[usual, usual, True], [True, True, True]]
    fitted = model("cylinder", depth=2, norm=norm, norm_position=position, bias="always", num_params=20_000)
    assert abs(arch.num_params(fitted) - 20_000) < 600
