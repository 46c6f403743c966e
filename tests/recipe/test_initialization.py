"""Initializations against nn.Linear's own, torch.nn.init's functions, and the variances that the papers promise."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablate.recipe import initialization

OPTIONS: dict[str, dict[str, Any]] = {
    "torch_default": {},
    "xavier_uniform": {},
    "xavier_normal": {},
    "kaiming_uniform": {"mode": "fan_in"},
    "kaiming_normal": {"mode": "fan_in"},
    "uniform": {"bound": 0.03},
    "normal": {"deviation": 0.03},
    "orthogonal": {},
}
GAINS = [("relu", 2**0.5), ("gelu", 2**0.5), ("silu", 2**0.5), ("mish", 2**0.5), ("softplus", 2**0.5),
         ("leaky_relu", math.sqrt(2 / (1 + 0.01**2))), ("tanh", 5 / 3), ("sigmoid", 1.0)]  # fmt: skip


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(300, 500), nn.BatchNorm1d(500), nn.ReLU(), nn.Linear(500, 200))


def weights(option: str, activation: str = "relu", **changes: Any) -> tuple[Tensor, Tensor]:
    made = perceptron()
    keys = OPTIONS[option] | changes
    getattr(initialization, option)(made, torch.Generator().manual_seed(0), activation, **keys)
    first, last = made[0], made[3]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    if option != "torch_default":
        assert not first.bias.any() and not last.bias.any()
    return first.weight.detach(), last.weight.detach()


def is_uniform(values: Tensor) -> bool:
    """Whether values lie evenly within their largest: a normal's kurtosis is 3, a uniform's 1.8."""
    return float((values / values.std()).pow(4).mean()) < 2


def test_torchs_own_to_the_bit() -> None:
    torch.manual_seed(3)
    expected = perceptron().state_dict()
    made = perceptron()
    initialization.torch_default(made, torch.Generator().manual_seed(3), "relu")
    assert all(torch.equal(made.state_dict()[name], value) for name, value in expected.items())


@pytest.mark.parametrize(("activation", "gain"), GAINS)
@pytest.mark.parametrize("option", ["kaiming_uniform", "kaiming_normal"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_kaimings_variance(option: str, activation: str, gain: float, mode: str) -> None:
    first, last = weights(option, activation, mode=mode)
    assert float(first.std()) == pytest.approx(gain / (300 if mode == "fan_in" else 500) ** 0.5, rel=0.01)
    assert float(last.std()) == pytest.approx(1 / (500 if mode == "fan_in" else 200) ** 0.5, rel=0.01)
    assert is_uniform(first) == (option == "kaiming_uniform")


@pytest.mark.parametrize(("activation", "gain"), GAINS)
@pytest.mark.parametrize("option", ["xavier_uniform", "xavier_normal"])
def test_xaviers_variance(option: str, activation: str, gain: float) -> None:
    first, last = weights(option, activation)
    assert float(first.std()) == pytest.approx(gain * (2 / 800) ** 0.5, rel=0.01)
    assert float(last.std()) == pytest.approx((2 / 700) ** 0.5, rel=0.01)
    assert is_uniform(first) == (option == "xavier_uniform")


def test_fixed_sizes() -> None:
    for layer in weights("uniform"):
        assert 0.0299 < float(layer.abs().max()) <= 0.03 and is_uniform(layer)
    for layer in weights("normal"):
        assert float(layer.std()) == pytest.approx(0.03, rel=0.01) and not is_uniform(layer)


@pytest.mark.parametrize(("activation", "gain"), GAINS)
def test_orthogonal_weights_keep_lengths(activation: str, gain: float) -> None:
    first, last = weights("orthogonal", activation)
    torch.testing.assert_close(first.T @ first, gain**2 * torch.eye(300), atol=1e-5, rtol=0)
    torch.testing.assert_close(last @ last.T, torch.eye(200), atol=1e-5, rtol=0)


@pytest.mark.parametrize("option", OPTIONS)
def test_only_the_generator_is_drawn_from(option: str) -> None:
    state = torch.get_rng_state()
    model = nn.Sequential(nn.Linear(3, 3))
    torch.set_rng_state(state)
    getattr(initialization, option)(model, torch.Generator().manual_seed(0), "relu", **OPTIONS[option])
    assert torch.equal(torch.get_rng_state(), state)
    assert model[0].weight.requires_grad
