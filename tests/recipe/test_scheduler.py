"""Schedules against tables worked out by hand and against torch's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ablate.recipe import scheduler


def test_constant_with_a_warm_up() -> None:
    rate = scheduler.constant(8, warmup=0.5)
    assert [rate(step) for step in range(8)] == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert [scheduler.constant(1, warmup=0.0)(0)] == [1]


def test_cosine_equals_torchs_annealing() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    stepper = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(stepper, T_max=9, eta_min=0.2)
    rate = scheduler.cosine(10, warmup=0.0, floor=0.2)
    for step in range(10):
        assert rate(step) == pytest.approx(reference.get_last_lr()[0])
        stepper.step()
        reference.step()


@given(st.integers(2, 200), st.floats(0, 1), st.floats(0, 1))
def test_cosine_rises_to_1_and_falls_to_its_floor(num_steps: int, warmup: float, floor: float) -> None:
    if num_steps - round(warmup * num_steps) < 2:
        with pytest.raises(ValueError, match=r"scheduler.warmup"):
            scheduler.cosine(num_steps, warmup=warmup, floor=floor)
        return
    rates = [scheduler.cosine(num_steps, warmup=warmup, floor=floor)(step) for step in range(num_steps)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(1) and rates[-1] == pytest.approx(floor)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert all(after <= before + 1e-12 for before, after in zip(rates[peak:], rates[peak + 1 :], strict=False))
