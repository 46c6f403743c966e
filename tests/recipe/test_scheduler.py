"""Schedules against tables worked out by hand and against torch's own."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from ablate.recipe import scheduler
from ablate.recipe.scheduler import Epochs, Schedule

STEPS = 40
Torch = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]


def rates(schedule: Schedule, num_steps: int = STEPS) -> list[float]:
    return [schedule(step, []) for step in range(num_steps)]


def rates_of_torch(make: Torch, num_steps: int = STEPS) -> list[float]:
    stepper = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = make(stepper)
    found = []
    for _ in range(num_steps):
        found.append(reference.get_last_lr()[0])
        stepper.step()
        reference.step()
    return [float(rate) for rate in found]


TORCHS: dict[str, tuple[dict[str, Any], Torch]] = {
    "constant": ({}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    "time_decay": ({"decay": 9.0}, lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + 9 / 39 * step))),
    "step": ({"every": 0.25, "factor": 0.3}, lambda o: lr_scheduler.StepLR(o, 10, 0.3)),
    "multistep": ({"milestones": [0.5, 0.75], "factor": 0.1}, lambda o: lr_scheduler.MultiStepLR(o, [20, 30], 0.1)),
    "exponential": ({"floor": 0.01}, lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / 39))),
    "linear": ({"floor": 0.2}, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, 39)),
    "cosine": ({"floor": 0.2}, lambda o: lr_scheduler.CosineAnnealingLR(o, 39, eta_min=0.2)),
    "cosine_restarts": (
        {"cycles": 3, "growth": 1.0, "floor": 0.1},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 14, eta_min=0.1),
    ),
    "one_cycle": (
        {"rise": 0.3, "start": 0.04, "floor": 4e-6},
        lambda o: lr_scheduler.OneCycleLR(
            o, 1.0, total_steps=STEPS, pct_start=0.3, div_factor=25, final_div_factor=1e4, cycle_momentum=False
        ),
    ),
}


@pytest.mark.parametrize("option", TORCHS)
def test_it_is_torchs(option: str) -> None:
    keys, reference = TORCHS[option]
    steps = 42 if option == "cosine_restarts" else STEPS
    schedule = getattr(scheduler, option)(steps, warmup=0.0, **keys)
    assert rates(schedule, steps) == pytest.approx(rates_of_torch(reference, steps), abs=1e-9)


def test_growing_cycles_are_torchs() -> None:
    reference = rates_of_torch(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5, T_mult=2), 35)
    assert rates(scheduler.cosine_restarts(35, warmup=0.0, cycles=3, growth=2.0, floor=0.0), 35) == pytest.approx(
        reference
    )


def test_rounding_moves_no_milestone() -> None:
    """0.3 / 0.1 is less than 3 in floating point, and 0.28 x 25 more than 7."""
    stepped = scheduler.step(10, warmup=0.0, every=0.1, factor=0.5)
    assert rates(stepped, 10) == pytest.approx([0.5**step for step in range(10)])
    assert 0.28 * 25 > 7
    at_7 = scheduler.multistep(25, warmup=0.0, milestones=[0.28], factor=0.5)
    assert (at_7(6, []), at_7(7, [])) == (1.0, 0.5)


@pytest.mark.parametrize("option", sorted(set(TORCHS) - {"one_cycle"}))
def test_a_warm_up_comes_first_and_the_rest_runs_over_the_steps_left(option: str) -> None:
    keys, _ = TORCHS[option]
    make = getattr(scheduler, option)
    plain, warmed = make(30, warmup=0.0, **keys), make(40, warmup=0.25, **keys)
    assert rates(warmed, 10) == pytest.approx([step / 10 for step in range(1, 11)])
    assert [warmed(step, []) for step in range(10, 40)] == rates(plain, 30)


@given(
    st.lists(st.floats(0, 1), max_size=25),
    st.sampled_from(["accuracy", "loss"]),
    st.integers(0, 4),
    st.sampled_from([0.0, 0.05]),
    st.integers(0, 3),
)
def test_plateau_is_torchs(values: list[float], metric: Any, patience: int, least: float, cooldown: int) -> None:
    stepper = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = lr_scheduler.ReduceLROnPlateau(
        stepper, "max" if metric == "accuracy" else "min", 0.5, patience, least, "abs", cooldown, min_lr=0.1, eps=0.0
    )
    rate = scheduler.plateau(
        99, warmup=0.0, metric=metric, factor=0.5, patience=patience, least_improvement=least, cooldown=cooldown,
        floor=0.1,
    )  # fmt: skip
    epochs: list[dict[str, float | int | None]] = []
    for value in values:
        epochs.append({f"val/{metric}": value})
        reference.step(value)
        assert rate(0, epochs) == pytest.approx(reference.get_last_lr()[0])


def test_plateau_warms_up_too() -> None:
    keys: dict[str, Any] = {
        "metric": "loss", "factor": 0.1, "patience": 0, "least_improvement": 0.0, "cooldown": 0, "floor": 0.0,
    }  # fmt: skip
    worse: Epochs = [{"val/loss": 1.0}, {"val/loss": 2.0}]
    rate = scheduler.plateau(4, warmup=0.5, **keys)
    assert [rate(step, worse) for step in range(4)] == pytest.approx([0.05, 0.1, 0.1, 0.1])


@given(st.integers(2, 200), st.floats(0, 1), st.floats(0, 1))
def test_cosine_rises_to_1_and_falls_to_its_floor(num_steps: int, warmup: float, floor: float) -> None:
    if num_steps - round(warmup * num_steps) < 2:
        with pytest.raises(ValueError, match=r"scheduler.warmup"):
            scheduler.cosine(num_steps, warmup=warmup, floor=floor)
        return
    found = rates(scheduler.cosine(num_steps, warmup=warmup, floor=floor), num_steps)
    peak = found.index(max(found))
    assert max(found) == pytest.approx(1) and found[-1] == pytest.approx(floor)
    assert found[: peak + 1] == sorted(found[: peak + 1])
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(found[peak:]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scheduler.linear(10, warmup=0.95, floor=0.0), r"scheduler.warmup=0.95 leaves"),
        (lambda: scheduler.time_decay(1, warmup=0.0, decay=1.0), r"scheduler.warmup=0.0 leaves 1"),
        (lambda: scheduler.multistep(10, warmup=0.0, milestones=[0.7, 0.5], factor=0.1), r"scheduler.milestones"),
        (lambda: scheduler.multistep(10, warmup=0.0, milestones=[0.99], factor=0.1), r"lies behind the last of 10"),
        (lambda: scheduler.step(10, warmup=0.0, every=0.01, factor=0.1), r"scheduler.every=0.01"),
        (lambda: scheduler.step(10, warmup=0.0, every=0.99, factor=0.1), r"scheduler.every=0.99"),
        (lambda: scheduler.step(10, warmup=1.0, every=0.5, factor=0.1), r"scheduler.warmup=1.0 leaves"),
        (
            lambda: scheduler.one_cycle(99, warmup=0.1, rise=0.3, start=0.0, floor=0.0),
            r"scheduler.warmup=0.1: one_cycle rises by itself",
        ),
        (lambda: scheduler.cosine_restarts(9, warmup=0.0, cycles=5, growth=1.0, floor=0.0), r"scheduler.cycles=5"),
        (lambda: scheduler.one_cycle(3, warmup=0.0, rise=0.3, start=0.0, floor=0.0), r"scheduler.rise=0.3"),
        (lambda: scheduler.one_cycle(9, warmup=0.0, rise=1.0, start=0.0, floor=0.0), r"scheduler.rise=1.0"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(make: Callable[[], Schedule], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
