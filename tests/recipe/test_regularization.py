"""Penalties against sums by hand, and that L1 empties weights."""

from typing import Any

import pytest
import torch
from torch import nn

from ablate.recipe.regularization import Regularization

NONE: dict[str, Any] = {
    "dropout": 0.0, "l1": 0.0, "l2": 0.0, "label_smoothing": 0.0, "patience": None, "least_improvement": 0.0,
    "max_gradient_norm": None, "max_gradient": None,
}  # fmt: skip


def terms(**changes: Any) -> Regularization:
    return Regularization(**(NONE | changes))


def test_penalties_are_sums_over_weight_matrices_only() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    layer = model[0]
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.0]]))
        layer.bias.fill_(100.0)
    penalty = terms(dropout=0.0, l1=0.1, l2=0.01).penalty(model)
    assert penalty is not None
    assert float(penalty.detach()) == pytest.approx(0.1 * 6 + 0.01 * 14)
    penalty.backward()  # type: ignore[no-untyped-call]
    assert layer.weight.grad is not None and layer.bias.grad is None
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.12, -0.14], [0.16, 0.0]]))


def test_without_terms_there_is_nothing_to_compute() -> None:
    assert terms(dropout=0.3, l1=0.0, l2=0.0).penalty(nn.Linear(2, 2)) is None


def test_l1_empties_the_weights_that_the_data_do_not_need() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(200, 5)
    model = nn.Linear(5, 1)
    stepper = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(300):
        penalty = terms(dropout=0.0, l1=0.1, l2=0.0).penalty(model)
        assert penalty is not None
        stepper.zero_grad()
        ((model(inputs)[:, 0] - inputs[:, 0]).square().mean() + penalty).backward()
        stepper.step()
    weights = model.weight.detach().abs()[0]
    assert weights[0] > 0.8 and (weights[1:] < 0.01).all()


@pytest.mark.parametrize(
    ("patience", "least", "accuracies", "ends"),
    [
        (None, 0.0, [0.5] * 99, False),
        (2, 0.0, [0.5, 0.4], False),
        (2, 0.0, [0.5, 0.4, 0.4], True),
        (2, 0.0, [0.5, 0.4, 0.6, 0.5], False),
        (1, 0.0, [0.5, 0.5], True),  # equal is no improvement
        (1, 0.1, [0.5, 0.55], True),
        (2, 0.1, [0.5, 0.55, 0.61], False),  # small steps add up
        (1, 0.0, [], False),
    ],
)
def test_patience(patience: int | None, least: float, accuracies: list[float], ends: bool) -> None:
    assert terms(patience=patience, least_improvement=least if patience else 0.0).ends(accuracies) == ends


def test_label_smoothing_is_the_mean_of_two_cross_entropies() -> None:
    """Szegedy et al., section 7: (1 - e) H(label) + e H(uniform)."""
    logits, labels = torch.randn(50, 7, dtype=torch.float64), torch.randint(7, (50,))
    logs = logits.log_softmax(1)
    of_labels, of_all = -logs[torch.arange(50), labels].mean(), -logs.mean()
    for smoothing in (0.0, 0.1, 0.5):
        expected = (1 - smoothing) * of_labels + smoothing * of_all
        torch.testing.assert_close(terms(label_smoothing=smoothing).loss(logits, labels), expected)


def gradients(scale: float) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) * scale
    return model


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_clipping_by_norm_keeps_the_direction_and_shortens_only() -> None:
    for scale, norm in ((100.0, 2.0), (1e-3, None)):
        model = gradients(scale)
        before = flat(model)
        terms(max_gradient_norm=2.0).clip(model)
        assert float(flat(model).norm()) == pytest.approx(norm or float(before.norm()), rel=1e-5)
        torch.testing.assert_close(flat(model) / flat(model).norm(), before / before.norm())


def test_clipping_by_value_cuts_each_alone() -> None:
    model = gradients(1.0)
    before = flat(model)
    terms(max_gradient=0.3).clip(model)
    assert torch.equal(flat(model), before.clamp(-0.3, 0.3)) and (before.abs() > 0.3).any()


def test_nothing_is_clipped_unless_asked_and_not_in_both_ways() -> None:
    assert not terms().clips and terms(max_gradient=1.0).clips and terms(max_gradient_norm=1.0).clips
    with pytest.raises(ValueError, match=r"regularization.least_improvement=0.1: nothing waits for one"):
        terms(least_improvement=0.1)
    with pytest.raises(ValueError, match=r"regularization.max_gradient_norm=1.0 and regularization.max_gradient=2.0"):
        terms(max_gradient_norm=1.0, max_gradient=2.0)
