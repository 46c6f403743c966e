"""Penalties against sums by hand, and that L1 empties weights."""

import pytest
import torch
from torch import nn

from ablate.recipe.regularization import Regularization


def test_penalties_are_sums_over_weight_matrices_only() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    layer = model[0]
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.0]]))
        layer.bias.fill_(100.0)
    penalty = Regularization(dropout=0.0, l1=0.1, l2=0.01).penalty(model)
    assert penalty is not None
    assert float(penalty) == pytest.approx(0.1 * 6 + 0.01 * 14)
    penalty.backward()  # type: ignore[no-untyped-call]
    assert layer.weight.grad is not None and layer.bias.grad is None
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.12, -0.14], [0.16, 0.0]]))


def test_without_terms_there_is_nothing_to_compute() -> None:
    assert Regularization(dropout=0.3, l1=0.0, l2=0.0).penalty(nn.Linear(2, 2)) is None


def test_l1_empties_the_weights_that_the_data_do_not_need() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(200, 5)
    model = nn.Linear(5, 1)
    stepper = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(300):
        penalty = Regularization(dropout=0.0, l1=0.1, l2=0.0).penalty(model)
        assert penalty is not None
        stepper.zero_grad()
        ((model(inputs)[:, 0] - inputs[:, 0]).square().mean() + penalty).backward()
        stepper.step()
    weights = model.weight.detach().abs()[0]
    assert weights[0] > 0.8 and (weights[1:] < 0.01).all()
