"""Initializations against nn.Linear's own, and against the variance that the paper promises."""

from typing import Any

import pytest
import torch
from torch import nn

from ablate.recipe import initialization


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(300, 500), nn.BatchNorm1d(500), nn.ReLU(), nn.Linear(500, 200))


def test_torchs_own_to_the_bit() -> None:
    torch.manual_seed(3)
    expected = perceptron().state_dict()
    made = perceptron()
    initialization.torch_default(made, torch.Generator().manual_seed(3), "relu")
    assert all(torch.equal(made.state_dict()[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("activation", "gain"), [("relu", 2**0.5), ("gelu", 2**0.5), ("tanh", 5 / 3), ("sigmoid", 1.0)]
)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_kaimings_variance(activation: str, gain: float, mode: initialization.Mode) -> None:
    made = perceptron()
    initialization.kaiming_normal(made, torch.Generator().manual_seed(0), activation, mode=mode)
    first, last = made[0], made[3]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    assert float(first.weight.detach().std()) == pytest.approx(
        gain / (300 if mode == "fan_in" else 500) ** 0.5, rel=0.01
    )
    assert float(last.weight.detach().std()) == pytest.approx(1 / (500 if mode == "fan_in" else 200) ** 0.5, rel=0.01)
    assert not first.bias.any() and not last.bias.any()


def test_only_the_generator_is_drawn_from() -> None:
    options: list[Any] = [initialization.torch_default, initialization.kaiming_normal]
    for option in options:
        keys = {"mode": "fan_in"} if option is initialization.kaiming_normal else {}
        model = nn.Sequential(nn.Linear(3, 3))
        state = torch.get_rng_state()
        option(model, torch.Generator().manual_seed(0), "relu", **keys)
        assert torch.equal(torch.get_rng_state(), state)
