"""Averages of a model's weights over its training; validation and the best weights are the average's.

The trained model goes on as if there were none. What an average's batch norms have seen is measured anew by the loop.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ablate.quantity import NonNegative, ProperFraction


@dataclass(frozen=True)
class Averaging:
    """A mean of a model's weights: `follow` is told each step of the run, from 1, once the model has made it.

    `mean.n_averaged`, on the CPU, is how often weights have come into it; at 0 it is no mean of anything.
    """

    mean: AveragedModel
    follow: Callable[[int], None]


def none(model: nn.Module, epochs: int, steps_an_epoch: int) -> None:
    """No average."""


def swa(model: nn.Module, epochs: int, steps_an_epoch: int, *, start: ProperFraction) -> Averaging:
    """The mean of the weights at the ends of the last epochs, all alike, from `_first_epoch` on (arXiv:1803.05407).

    A run that is stopped earlier has the model's own weights.
    """
    mean, first = AveragedModel(model), _first_epoch(epochs, start)

    def follow(step: int) -> None:
        epoch, more = divmod(step, steps_an_epoch)
        if epoch >= first and not more:
            mean.update_parameters(model)

    return Averaging(mean, follow)


def ema(model: nn.Module, epochs: int, steps_an_epoch: int, *, decay: ProperFraction, ramp: NonNegative) -> Averaging:
    """A mean m of the weights w in which older ones fade: w of the first step, then m <- d m + (1 - d) w after each.

    After step s, d = min(decay, s / (s + ramp)), as TensorFlow's ExponentialMovingAverage has it, whose ramp is 9: with
    `decay` from the start the mean of a short run would be little but its first weights.
    """
    mean = AveragedModel(model)
    means, weights = list(mean.module.parameters()), list(model.parameters())

    def follow(step: int) -> None:
        if not mean.n_averaged:
            mean.update_parameters(model)
            return
        # Not by `update_parameters`, which waits for the device.
        update = get_ema_multi_avg_fn(min(decay, step / (step + ramp)))  # type: ignore[no-untyped-call]
        update(means, weights, step)
        mean.n_averaged += 1

    return Averaging(mean, follow)


def _first_epoch(epochs: int, start: float) -> int:
    """The first epoch, from 1, that counts: the one after the part `start` of all epochs, rounded down to whole ones.

    The last one always counts, and of a run of one epoch that is this.

    >>> [_first_epoch(epochs, start=0.75) for epochs in (1, 2, 3, 4, 10, 100)]
    [1, 2, 3, 4, 8, 76]
    >>> _first_epoch(10, start=0), _first_epoch(10, start=0.7), _first_epoch(10, start=0.999)
    (1, 8, 10)
    """
    # A hair is added, since 0.29 * 100 is less than 29 in floating point; it must not lead beyond the end.
    return min(math.floor(start * epochs + 1e-9) + 1, epochs)
