"""Optimizers: each takes a model and gives an optimizer over its parameters, torch's own and fused where there is one.

Weight decay is for weight matrices; biases and norms are decayed only where `decay_all` asks for it. What one of them
needs of a training that others don't, a second gradient or a place in the run, is known here alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypedDict, TypeVar, Unpack

import numpy as np
import torch
from annotated_types import Len
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from ablate.quantity import InnerFraction, NonNegative, Positive, ProperFraction

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)

_GUARDED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")

Betas = Annotated[list[ProperFraction], Len(2, 2)]


class Decay(TypedDict):
    """What all optimizers have in common."""

    weight_decay: NonNegative
    decay_all: bool


def sgd(model: nn.Module, *, lr: Positive, **decay: Unpack[Decay]) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent, without momentum."""
    return _unguarded(torch.optim.SGD)(_groups(model, **decay), lr=lr, fused=True)


def momentum(
    model: nn.Module, *, lr: Positive, momentum: ProperFraction, **decay: Unpack[Decay]
) -> torch.optim.Optimizer:
    """Gradient descent along a decaying sum of the gradients so far (heavy ball)."""
    return _unguarded(torch.optim.SGD)(_groups(model, **decay), lr=lr, momentum=momentum, fused=True)


def nesterov(
    model: nn.Module, *, lr: Positive, momentum: InnerFraction, **decay: Unpack[Decay]
) -> torch.optim.Optimizer:
    """Momentum with the look-ahead of Nesterov, in the form of Sutskever et al. 2013."""
    return _unguarded(torch.optim.SGD)(_groups(model, **decay), lr=lr, momentum=momentum, nesterov=True, fused=True)


def adagrad(
    model: nn.Module, *, lr: Positive, initial_accumulator: NonNegative, eps: Positive, **decay: Unpack[Decay]
) -> torch.optim.Optimizer:
    """A rate for each weight that falls with the sum of its squared gradients (Duchi et al. 2011)."""
    return _unguarded(torch.optim.Adagrad)(
        _groups(model, **decay), lr=lr, initial_accumulator_value=initial_accumulator, eps=eps, fused=_on_cpu(model)
    )


def adadelta(
    model: nn.Module, *, lr: Positive, rho: ProperFraction, eps: Positive, **decay: Unpack[Decay]
) -> torch.optim.Optimizer:
    """Steps in the ratio of past steps to past gradients, so that the usual `lr` is 1 (arXiv:1212.5701)."""
    groups = _groups(model, **decay)
    return _unguarded(torch.optim.Adadelta)(groups, lr=lr, rho=rho, eps=eps, capturable=_on_cuda(model))


def rmsprop(
    model: nn.Module,
    *,
    lr: Positive,
    alpha: ProperFraction,
    eps: Positive,
    momentum: ProperFraction,
    centered: bool,
    **decay: Unpack[Decay],
) -> torch.optim.Optimizer:
    """Gradients over the root of their running mean square (Hinton's lecture 6e); `centered`: over their deviation."""
    groups = _groups(model, **decay)
    return _unguarded(torch.optim.RMSprop)(
        groups, lr=lr, alpha=alpha, eps=eps, momentum=momentum, centered=centered, capturable=_on_cuda(model)
    )


class Moments(Decay):
    """What Adam and its relatives have in common: running means of gradients and of their squares."""

    lr: Positive
    betas: Betas
    eps: Positive


def adam(model: nn.Module, **moments: Unpack[Moments]) -> torch.optim.Optimizer:
    """Adam (arXiv:1412.6980); its weight decay is added to the gradient."""
    return _unguarded(torch.optim.Adam)(fused=True, **_adams(model, **moments))


def adamw(model: nn.Module, **moments: Unpack[Moments]) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (arXiv:1711.05101)."""
    return _unguarded(torch.optim.AdamW)(fused=True, **_adams(model, **moments))


def nadam(model: nn.Module, **moments: Unpack[Moments]) -> torch.optim.Optimizer:
    """Adam with Nesterov's look-ahead (Dozat 2016); its weight decay is added to the gradient."""
    return _unguarded(torch.optim.NAdam)(**_adams(model, **moments), capturable=_on_cuda(model))


def radam(model: nn.Module, **moments: Unpack[Moments]) -> torch.optim.Optimizer:
    """Adam that takes momentum's steps until its variances can be trusted (arXiv:1908.03265)."""
    return _unguarded(torch.optim.RAdam)(**_adams(model, **moments), capturable=_on_cuda(model))


def sam(
    model: nn.Module,
    *,
    lr: Positive,
    momentum: ProperFraction,
    rho: Positive,
    adaptive: bool,
    **decay: Unpack[Decay],
) -> torch.optim.Optimizer:
    """SGD with the gradient at the worst weights within `rho`: sharpness-aware minimization (arXiv:2010.01412).

    With `adaptive` the neighbourhood scales with each weight (arXiv:2102.11600).
    """
    from pytorch_optimizer import SAM  # takes seconds to import

    return SAM(
        _groups(model, **decay), torch.optim.SGD, rho=rho, adaptive=adaptive, lr=lr, momentum=momentum, fused=True
    )


def sam_adamw(model: nn.Module, *, rho: Positive, adaptive: bool, **moments: Unpack[Moments]) -> torch.optim.Optimizer:
    """AdamW with the gradient at the worst weights within `rho`, as `sam` is over SGD."""
    from pytorch_optimizer import SAM

    given = _adams(model, **moments)
    return SAM(given.pop("params"), torch.optim.AdamW, rho=rho, adaptive=adaptive, fused=True, **given)


def adam_to_sgd(
    model: nn.Module, *, switch: InnerFraction | None, tolerance: Positive, **moments: Unpack[Moments]
) -> torch.optim.Optimizer:
    """Adam, then SGD with the rate that fits Adam's steps: `AdamToSGD`."""
    return _unguarded(AdamToSGD)(switch=switch, tolerance=tolerance, **_adams(model, **moments))


class AdamToSGD(torch.optim.Optimizer):
    """Adam until its steps tell the rate at which SGD would move as far, then SGD (SWATS, arXiv:1712.07628, alg. 1).

    The rate is the running mean of |p|^2 / -p.g over Adam's steps p and gradients g, all parameters being one vector.
    SGD begins where mean and present value differ by less than `tolerance` (the criterion, which waits for the device
    each step), or at the fraction `switch` of the run, in both cases once the mean is positive: while Adam climbs there
    is no rate for SGD. The mean is kept per unit of `lr`, so that a schedule neither disturbs it nor ends with the
    switch; with a constant rate it is the paper's.
    """

    # pytorch-optimizer's SWATS lets any one tensor switch its whole group, at that tensor's rate; hence our own.

    def __init__(
        self,
        params: Any,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        switch: float | None,
        tolerance: float,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0, "progress": 0.0})
        self.switch, self.tolerance = switch, tolerance
        # In a group, and hence in the checkpoint: Adam's steps, the mean, and once it is chosen SGD's rate over lr.
        self.param_groups[0] |= {"steps": 0, "mean": torch.zeros(()), "ratio": None}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of Adam or of SGD; `closure` is not used."""
        shared = self.param_groups[0]
        due = self.switch is not None and shared["progress"] >= self.switch
        if shared["ratio"] is None and due and shared["steps"]:
            self._switch(float(shared["mean"]) / (1 - shared["betas"][1] ** shared["steps"]))
        if shared["ratio"] is None:
            self._adam_step(shared)
        else:
            self._sgd_step(shared)

    def _adam_step(self, shared: dict[str, Any]) -> None:
        shared["steps"] += 1
        (beta1, beta2), steps = shared["betas"], shared["steps"]
        size = shared["lr"] * (1 - beta2**steps) ** 0.5 / (1 - beta1**steps)
        length, slope = [], []
        for parameter, gradient, group in self._gradients():
            state = self.state[parameter]
            if not state:
                state |= {"first": torch.zeros_like(parameter), "second": torch.zeros_like(parameter)}
            state["first"].lerp_(gradient, 1 - beta1)
            state["second"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            move = state["first"] / (state["second"].sqrt() + group["eps"]) * -size
            parameter.add_(move)
            length.append(move.square().sum())
            slope.append((move * gradient).sum())
        descent = -torch.stack(slope).sum() * shared["lr"]
        present = torch.where(descent == 0, shared["mean"].to(descent), torch.stack(length).sum() / descent)
        shared["mean"] = torch.lerp(shared["mean"].to(present), present, 1 - beta2)
        mean = shared["mean"] / (1 - beta2**steps)
        apart = (mean - present).abs() * self.defaults["lr"]  # not the schedule's, which may end at 0
        if self.switch is None and steps > 1 and apart < self.tolerance:
            self._switch(float(mean))

    def _switch(self, ratio: float) -> None:
        if ratio > 0:
            self.param_groups[0]["ratio"] = ratio
            self.state.clear()

    def _sgd_step(self, shared: dict[str, Any]) -> None:
        beta1, rate = shared["betas"][0], shared["ratio"] * shared["lr"]
        for parameter, gradient, _ in self._gradients():
            state = self.state[parameter]
            if not state:
                state["velocity"] = torch.zeros_like(parameter)
            state["velocity"].mul_(beta1).add_(gradient)
            parameter.add_(state["velocity"], alpha=-(1 - beta1) * rate)

    def _gradients(self) -> Iterator[tuple[nn.Parameter, Tensor, dict[str, Any]]]:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    yield parameter, parameter.grad.add(parameter, alpha=group["weight_decay"]), group


def check_precision(optimizer: torch.optim.Optimizer, precision: str) -> None:
    """Raise `ValueError` where an optimizer can't step in this precision."""
    if precision == "fp16" and _takes_two_gradients(optimizer):
        raise ValueError("precision=fp16: its loss scaling knows one gradient a step, and SAM takes two; take bf16")


def check_length(optimizer: torch.optim.Optimizer, num_steps: int) -> None:
    """Raise `ValueError` where a run of so many steps is too short for an optimizer."""
    if isinstance(optimizer, AdamToSGD) and optimizer.switch and optimizer.switch > 1 - 1 / num_steps:
        raise ValueError(f"optimizer.switch={optimizer.switch}: comes behind the last of the run's {num_steps} steps")


def set_rate(optimizer: torch.optim.Optimizer, factor: float, progress: float) -> float:
    """Set each group's rate to `factor` of its own, at this fraction of the run's steps; gives the rate in force.

    It is a float32, which is what a captured step can take.
    """
    for group in optimizer.param_groups:
        group["lr"] = float(np.float32(group.setdefault("base_lr", group["lr"]) * factor))
        group["progress"] = progress
    shared = optimizer.param_groups[0]
    return float(shared["lr"]) * (shared.get("ratio") or 1.0)  # of SGD's rate over Adam's, once one became the other


def step(
    optimizer: torch.optim.Optimizer,
    model: nn.Module,
    scaler: GradScaler,
    backward: Callable[[], object],
    clip: Callable[[], None] | None,
) -> None:
    """One update from the gradients of the last `backward`, which SAM asks for again at other weights; clipped first.

    The second time, batch norms see the batch without counting it into what evaluation uses.
    """

    def again() -> float:
        with _running_statistics_kept(model):
            backward()
        if clip:
            clip()
        return 0.0  # what optimizers make nothing of

    if _takes_two_gradients(optimizer):
        optimizer.step(again)
        return
    if clip:
        scaler.unscale_(optimizer)
        clip()
    scaler.step(optimizer)
    scaler.update()


def can_capture(optimizer: torch.optim.Optimizer, precision: str) -> bool:
    """Whether its steps can be captured in a CUDA graph: none of them reads a number on the host."""
    if precision == "fp16" and not getattr(optimizer, "_step_supports_amp_scaling", False):
        return False  # the scaler would read whether to step
    settings = optimizer.defaults
    return bool(settings.get("capturable") or (settings.get("fused") and not _takes_two_gradients(optimizer)))


@contextmanager
def on_device(optimizer: torch.optim.Optimizer, rate: Tensor) -> Iterator[None]:
    """Let steps take their rate from this tensor () float32, and be captured, as `can_capture` has it."""
    groups = optimizer.param_groups
    kept = [dict(group) for group in groups]
    for group in groups:
        group |= {"lr": rate, "capturable": True} if "capturable" in group else {"lr": rate}
    try:
        yield
    finally:  # a capture may fail
        for group, before in zip(groups, kept, strict=True):
            group.update(before)


def _takes_two_gradients(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its step needs a closure that computes the gradients again, at other weights, as SAM's does."""
    return hasattr(optimizer, "first_step")


@contextmanager
def _running_statistics_kept(model: nn.Module) -> Iterator[None]:
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    for norm in norms:
        norm.track_running_stats = False
    yield
    for norm in norms:
        norm.track_running_stats = True


def _unguarded(kind: type[Kind]) -> type[Kind]:
    """The optimizer without the guards that torch has put around it for its compiler.

    They matter only where an optimizer's own methods are compiled, which none are here, and import the compiler at the
    first call: more than all else that a training's start takes.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in _GUARDED}
    unguarded: type[Kind] = type(
        kind.__name__, (kind,), {**methods, "step": torch.no_grad()(inspect.unwrap(kind.step))}
    )
    return unguarded


def _groups(model: nn.Module, weight_decay: float, decay_all: bool) -> list[dict[str, Any]]:
    if decay_all and weight_decay == 0:
        raise ValueError("optimizer.decay_all=true: there is no decay; give optimizer.weight_decay")
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in model.parameters():
        (decayed if decay_all or parameter.ndim > 1 else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _adams(model: nn.Module, **moments: Unpack[Moments]) -> dict[str, Any]:
    groups = _groups(model, moments["weight_decay"], moments["decay_all"])
    return {"params": groups, "lr": moments["lr"], "betas": tuple(moments["betas"]), "eps": moments["eps"]}


def _on_cpu(model: nn.Module) -> bool:
    return next(model.parameters()).device.type == "cpu"


def _on_cuda(model: nn.Module) -> bool:
    return next(model.parameters()).device.type == "cuda"
