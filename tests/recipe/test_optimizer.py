"""Each option takes the steps of torch.optim's class or of the paper, and decays what it says."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ablate.recipe import optimizer
from ablate.recipe.optimizer import AdamToSGD

DECAY: dict[str, Any] = {"weight_decay": 0.1, "decay_all": True}
MOMENTS: dict[str, Any] = {"lr": 0.01, "betas": [0.8, 0.9], "eps": 1e-6, **DECAY}
TORCHS_MOMENTS: dict[str, Any] = {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.1}
TORCHS: dict[str, tuple[dict[str, Any], Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": ({"lr": 0.1}, torch.optim.SGD, {"lr": 0.1}),
    "momentum": ({"lr": 0.1, "momentum": 0.8}, torch.optim.SGD, {"lr": 0.1, "momentum": 0.8}),
    "nesterov": ({"lr": 0.1, "momentum": 0.8}, torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "adagrad": (
        {"lr": 0.1, "initial_accumulator": 0.3, "eps": 1e-6},
        torch.optim.Adagrad,
        {"lr": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-6},
    ),
    "adadelta": ({"lr": 0.9, "rho": 0.8, "eps": 1e-4}, torch.optim.Adadelta, {"lr": 0.9, "rho": 0.8, "eps": 1e-4}),
    "rmsprop": (
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "momentum": 0.5, "centered": True},
        torch.optim.RMSprop,
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "momentum": 0.5, "centered": True},
    ),
    "adam": (MOMENTS, torch.optim.Adam, TORCHS_MOMENTS),
    "adamw": (MOMENTS, torch.optim.AdamW, TORCHS_MOMENTS),
    "nadam": (MOMENTS, torch.optim.NAdam, TORCHS_MOMENTS),
    "radam": (MOMENTS, torch.optim.RAdam, TORCHS_MOMENTS),
}
FUSED = ("sgd", "momentum", "nesterov", "adagrad", "adam", "adamw")
INPUTS = torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3)).double()


def loss_of(each: nn.Module) -> Tensor:
    loss: Tensor = each(INPUTS).square().mean()
    return loss


def gradient(each: nn.Module) -> None:
    each.zero_grad()
    loss_of(each).backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", TORCHS)
def test_steps_equal_torchs(name: str) -> None:
    keys, reference, keys_of_torch = TORCHS[name]
    ours, theirs = model(), model()
    mine = getattr(optimizer, name)(ours, **(DECAY | keys))
    torchs = reference(theirs.parameters(), **({"weight_decay": 0.1} | keys_of_torch))
    for _ in range(10):
        for each, stepper in ((ours, mine), (theirs, torchs)):
            gradient(each)
            stepper.step()
    for own, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-9, atol=1e-11)
    assert all(bool(group.get("fused")) == (name in FUSED) for group in mine.param_groups)


@pytest.mark.parametrize("name", [*TORCHS, "sam", "sam_adamw", "adam_to_sgd"])
def test_biases_and_norms_are_not_decayed_unless_asked(name: str) -> None:
    own = {
        "sam": {"lr": 0.1, "momentum": 0.9, "rho": 0.1, "adaptive": False},
        "sam_adamw": {**MOMENTS, "rho": 0.1, "adaptive": False},
        "adam_to_sgd": {**MOMENTS, "switch": None, "tolerance": 1e-9},
    }
    keys = own.get(name) or TORCHS[name][0]
    for decay_all, rates in ((False, [0.1, 0.0]), (True, [0.1])):
        made = getattr(optimizer, name)(model(), **(keys | {"weight_decay": 0.1, "decay_all": decay_all}))
        assert [group["weight_decay"] for group in made.param_groups if group["params"]] == rates
        if not decay_all:
            decayed, free = ([tuple(p.shape) for p in group["params"]] for group in made.param_groups)
            assert decayed == [(7, 5), (3, 7)] and free == [(7,), (7,), (7,), (3,)]


@pytest.mark.parametrize(("name", "base"), [("sam", torch.optim.SGD), ("sam_adamw", torch.optim.AdamW)])
@pytest.mark.parametrize("adaptive", [False, True])
def test_sam_takes_the_gradient_at_the_worst_weights_within_rho(
    name: str, base: type[torch.optim.Optimizer], adaptive: bool
) -> None:
    """The paper's equation 2: ascend by rho g / |g|, or with ASAM by rho w^2 g / |w g|; step with what is found."""
    ours, theirs = model(), model()
    keys: dict[str, Any] = {"lr": 0.01, "momentum": 0.5} if name == "sam" else MOMENTS | {"weight_decay": 0.0}
    made = getattr(optimizer, name)(
        ours, **({"weight_decay": 0.0} | keys | {"decay_all": False}), rho=0.1, adaptive=adaptive
    )
    of_torch = {"lr": 0.01, "momentum": 0.5} if name == "sam" else {**TORCHS_MOMENTS, "weight_decay": 0.0}
    stepper = base(theirs.parameters(), **of_torch)
    assert optimizer._takes_two_gradients(made) and not optimizer._takes_two_gradients(stepper)
    for _ in range(5):
        gradient(ours)
        made.step(lambda: gradient(ours))
        gradient(theirs)
        with torch.no_grad():
            weights = [p.clone() for p in theirs.parameters()]
            grads = [p.grad for p in theirs.parameters() if p.grad is not None]
            scaled = [w.abs() * g if adaptive else g for w, g in zip(weights, grads, strict=True)]
            norm = torch.sqrt(sum((g.square().sum() for g in scaled), torch.zeros(()))) + 1e-12
            for p, w, g in zip(theirs.parameters(), weights, grads, strict=True):
                p.add_(0.1 * (w.square() if adaptive else 1.0) * g / norm)
        gradient(theirs)
        with torch.no_grad():
            for p, w in zip(theirs.parameters(), weights, strict=True):
                p.copy_(w)
        stepper.step()
    for own, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-7)  # its norm is in float32


class Bowl(nn.Module):
    """A quadratic whose gradient is known, the weights times curvatures, with a noise that is known too."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor([0.7], dtype=torch.float64))

    def gradients(self, step: int) -> None:
        noise = 1 + 0.5 * np.sin(3 * step)
        self.weight.grad = self.weight.detach() * torch.tensor([[1.0, 0.1], [0.3, 0.02]], dtype=torch.float64) * noise
        self.bias.grad = self.bias.detach() * 0.5 * noise


def swats(
    start: np.ndarray, curvature: np.ndarray, lr: float, epsilon: float, steps: int, decay: float = 0.0
) -> Iterator[tuple[np.ndarray, str]]:
    """Algorithm 1 of arXiv:1712.07628, over all weights as one vector."""
    w, m, a, v, rate, mean, phase = start, 0.0, 0.0, 0.0, 0.0, 0.0, "adam"
    beta1, beta2 = 0.9, 0.99
    for k in range(1, steps + 1):
        g = curvature * w * (1 + 0.5 * np.sin(3 * k)) + decay * w
        if phase == "sgd":
            v = beta1 * v + g
            w = w - (1 - beta1) * rate * v
        else:
            m, a = beta1 * m + (1 - beta1) * g, beta2 * a + (1 - beta2) * g**2
            p = -lr * np.sqrt(1 - beta2**k) / (1 - beta1**k) * m / (np.sqrt(a) + 1e-8)
            w = w + p
            gamma = p @ p / -(p @ g)
            mean = beta2 * mean + (1 - beta2) * gamma
            if k > 1 and abs(mean / (1 - beta2**k) - gamma) < epsilon:
                phase, v, rate = "sgd", 0.0, mean / (1 - beta2**k)
        yield w, phase


def made_swats(bowl: Bowl, **changes: Any) -> AdamToSGD:
    keys: dict[str, Any] = {
        "lr": 0.05, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.0, "decay_all": False,
        "switch": None, "tolerance": 0.01,
    }  # fmt: skip
    made = optimizer.adam_to_sgd(bowl, **(keys | changes))
    assert isinstance(made, AdamToSGD)
    return made


@pytest.mark.parametrize("decay", [0.0, 0.02])
def test_adam_to_sgd_is_the_papers_algorithm(decay: float) -> None:
    bowl = Bowl()
    made = made_swats(bowl, weight_decay=decay, decay_all=decay > 0)
    curvature = np.array([1.0, 0.1, 0.3, 0.02, 0.5])
    start = np.array([1.0, -2.0, 0.5, 3.0, 0.7])
    phases: list[str] = []
    for expected, phase in swats(start, curvature, 0.05, 0.01, 40, decay):
        bowl.gradients(len(phases) + 1)
        made.step()
        found = torch.cat([bowl.weight.detach().flatten(), bowl.bias.detach()]).numpy()
        assert found == pytest.approx(expected, rel=1e-6), len(phases)
        phases.append(phase)
    assert 5 < phases.index("sgd") < 35, "the example should show both phases"
    assert (made.param_groups[0]["ratio"] is not None) == (phases[-1] == "sgd")


def test_the_switch_comes_when_it_was_asked_for_and_outlives_a_checkpoint() -> None:
    bowl = Bowl()
    made = made_swats(bowl, switch=0.5)
    phases: list[bool] = []
    for step in range(20):
        for group in made.param_groups:
            group["progress"] = step / 20
        bowl.gradients(step)
        made.step()
        phases.append(made.param_groups[0]["ratio"] is not None)
    assert phases == [False] * 10 + [True] * 10
    other = made_swats(Bowl(), switch=0.5)
    other.load_state_dict(made.state_dict())
    assert other.param_groups[0]["ratio"] == made.param_groups[0]["ratio"]


def test_a_rate_that_fades_does_not_meet_the_criterion() -> None:
    bowl = Bowl()
    made = made_swats(bowl, tolerance=1e-6)
    for step in range(20):
        for group in made.param_groups:
            group["lr"] = 0.05 * 0.1**step
        bowl.gradients(step)
        made.step()
    assert made.param_groups[0]["ratio"] is None


def test_it_stays_adam_while_there_is_no_rate_for_sgd() -> None:
    bowl = Bowl()
    made = made_swats(bowl, switch=0.5)
    for group in made.param_groups:
        group["progress"] = 0.9  # due at once, as where fp16 has skipped the steps before
    for gradient in (1.0, -0.5, -0.5):  # after the first, momentum climbs
        for parameter in bowl.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        made.param_groups[0]["mean"] = torch.tensor(-1.0) if gradient == 1.0 else made.param_groups[0]["mean"]
        made.step()
        assert made.param_groups[0]["ratio"] is None


def test_after_the_switch_the_schedule_goes_on() -> None:
    bowl = Bowl()
    made = made_swats(bowl, switch=0.5)
    bowl.gradients(1)
    made.step()
    for group in made.param_groups:
        group["progress"] = 0.5
    moves = []
    for lr in (0.05, 0.025):
        bowl = Bowl()
        fresh = made_swats(bowl, switch=0.5)
        fresh.load_state_dict(made.state_dict())
        for group in fresh.param_groups:
            group["lr"] = lr
        bowl.gradients(1)
        before = bowl.bias.detach().clone()
        fresh.step()
        moves.append(float((bowl.bias.detach() - before).abs()))
    assert moves[0] == pytest.approx(2 * moves[1]) and moves[0] > 0


def test_a_training_imports_no_compiler_and_torchs_own_still_works() -> None:
    code = """
import sys, torch
from ablate.recipe import optimizer
before = torch.optim.AdamW.step, torch.optim.Optimizer.add_param_group
model = torch.nn.Linear(3, 2)
made = optimizer.adamw(model, lr=0.1, betas=[0.9, 0.99], eps=1e-8, weight_decay=0.0, decay_all=False)
model(torch.ones(4, 3)).sum().backward()
made.step()
made.zero_grad()
made.load_state_dict(made.state_dict())
print("torch._dynamo" in sys.modules, isinstance(made, torch.optim.AdamW))
print((torch.optim.AdamW.step, torch.optim.Optimizer.add_param_group) == before)
compiled = torch.compile(model, backend="eager")
print(torch.equal(compiled(torch.ones(4, 3)), model(torch.ones(4, 3))), "torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "True", "True"]
