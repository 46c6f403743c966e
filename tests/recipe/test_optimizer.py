"""Each option takes the very steps of torch.optim's class, and decays what it says."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ablate.recipe import optimizer

Make = Callable[[nn.Module], torch.optim.Optimizer]
ADAM = {"lr": 0.01, "betas": [0.8, 0.9], "eps": 1e-6, "weight_decay": 0.1}
TORCH_ADAM: dict[str, Any] = {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.1}
PAIRS: dict[str, tuple[Make, Make]] = {
    "sgd": (
        lambda model: optimizer.sgd(model, lr=0.1, weight_decay=0.1, decay_all=True),
        lambda model: torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1),
    ),
    "adam": (
        lambda model: optimizer.adam(model, **ADAM, decay_all=True),  # type: ignore[arg-type]
        lambda model: torch.optim.Adam(model.parameters(), **TORCH_ADAM),
    ),
    "adamw": (
        lambda model: optimizer.adamw(model, **ADAM, decay_all=True),  # type: ignore[arg-type]
        lambda model: torch.optim.AdamW(model.parameters(), **TORCH_ADAM),
    ),
}


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3)).double()


@pytest.mark.parametrize("name", PAIRS)
def test_steps_equal_torchs(name: str) -> None:
    ours, theirs = model(), model()
    steppers = [make(each) for make, each in zip(PAIRS[name], (ours, theirs), strict=True)]
    inputs = torch.randn(20, 5, dtype=torch.float64)
    for _ in range(10):
        for each, stepper in zip((ours, theirs), steppers, strict=True):
            stepper.zero_grad()
            each(inputs).square().mean().backward()
            stepper.step()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-9, atol=1e-11)
    assert all(group["fused"] for group in steppers[0].param_groups)


def test_biases_and_norms_are_not_decayed_unless_asked() -> None:
    made = optimizer.adamw(model(), **ADAM, decay_all=False)  # type: ignore[arg-type]
    decayed, free = ([tuple(p.shape) for p in group["params"]] for group in made.param_groups)
    assert decayed == [(7, 5), (3, 7)] and free == [(7,), (7,), (7,), (3,)]
    assert [group["weight_decay"] for group in made.param_groups] == [0.1, 0.0]
