"""A pass over the training frames, step by step, and one over the validation frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ablate.recipe import optimizer as optimizers
from ablate.record.reading import Row
from ablate.training import machine
from ablate.training.data import Frames
from ablate.training.graph import Captured, can_capture
from ablate.training.prepare import Training
from ablate.training.shards import Streamed

_EVALUATION_BATCH = 8192
_MOST_STEPS_UNSEEN = 100  # steps between looks at the loss, each of which waits for the device


@dataclass(frozen=True)
class Learned:
    """What an epoch's training steps gave: means over its frames, in training mode."""

    steps: int
    frames: int
    loss: float
    accuracy: float
    lr: float


@dataclass(frozen=True)
class Judged:
    """What the model makes of the validation split."""

    loss: float
    predictions: Tensor  # (frames,) uint8
    correct: Tensor  # (frames,) bool

    @property
    def accuracy(self) -> float:
        """Correct frames over all frames."""
        return int(self.correct.sum()) / len(self.correct)


def captured(training: Training) -> Captured | None:
    """The training's steps as a graph; none where each needs the host."""
    return Captured(training, partial(step_on, training)) if can_capture(training) else None


def learn(
    training: Training,
    epochs: Sequence[Row],
    advance: Callable[[], None],
    state: Callable[[int, float, float], None],
    captured: Captured | None = None,
) -> Learned:
    """One pass over the truly shuffled frames; it ends early where a look at the loss shows NaN or infinity.

    With `captured`, the same one for each epoch, its steps are made by it; but for the rounding of a rate that some
    optimizers take in another way from a tensor, their numbers are the same.
    """
    config, data, epoch = training.config, training.train, len(epochs) + 1
    first, labels = data.begin(training.order.take())
    size = config["batch_size"]
    steps = training.steps_an_epoch
    look_every = max(1, min(_MOST_STEPS_UNSEEN, steps // 10))
    loss_sum = captured.loss_sum if captured else torch.zeros((), device=training.device)
    correct = captured.correct if captured else torch.zeros((), dtype=torch.int64, device=training.device)
    started, lr = time.perf_counter(), 0.0

    def rate(step: int) -> float:
        done = (epoch - 1) * steps + step - 1
        return optimizers.set_rate(training.optimizer, training.schedule(done, epochs), done / training.num_steps)

    training.model.train()
    rates = []
    if captured:
        rates = [rate(step) for step in range(1, steps + 1)]
        captured.begin(first, labels, rates)
    for step in range(1, steps + 1):
        data.before(step - 1)
        if captured:
            lr = rates[step - 1]
            captured.step()
        else:
            lr = rate(step)
            batch = slice((step - 1) * size, step * size)
            loss, hits = step_on(training, data, first[batch], labels[batch].long())
            loss_sum += loss
            correct += hits
        if training.averaging:
            training.averaging.follow((epoch - 1) * steps + step)
        advance()
        if step % look_every == 0 or step == steps:
            mean = float(loss_sum) / step
            state(epoch, mean, step * size / (time.perf_counter() - started))
            if not np.isfinite(mean):
                break
    return Learned(step, step * size, float(loss_sum) / step, int(correct) / (step * size), lr)


def gathered(training: Training, data: Frames | Streamed, rows: Tensor) -> Tensor:
    """The windows (batch, inputs) at these rows; in bf16 where the table is, and autocast would narrow them again."""
    found = data.windows.index_select(0, rows)
    return found if training.config["precision"] == "bf16" else found.float()


def step_on(training: Training, data: Frames | Streamed, rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """`_step` on the frames at these rows."""
    return _step(training, gathered(training, data, rows), labels)


def _step(training: Training, windows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """One update from windows (batch, inputs); gives the mean loss and the number of correct frames, on the device."""
    num_mfcc = training.train.table.num_mfcc
    with training.augmentation_stream:
        windows = training.augment(windows.view(len(windows), -1, num_mfcc)).flatten(1)
    model, optimizer, scaler, regularization = (
        training.model, training.optimizer, training.scaler, training.regularization,
    )  # fmt: skip

    def backward() -> tuple[Tensor, Tensor]:
        with machine.autocast(training.device, training.config["precision"]):
            logits = model(windows)
        loss, penalty = regularization.loss(logits.float(), labels), regularization.penalty(model)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss if penalty is None else loss + penalty).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), logits.detach()

    loss, logits = backward()
    clip = (lambda: regularization.clip(model)) if regularization.clips else None
    optimizers.step(optimizer, model, scaler, backward, clip)
    return loss, (logits.argmax(1) == labels).sum()


@torch.no_grad()
def measure_batch_norms(training: Training) -> None:
    """Give an average's batch norms their statistics: the means, over batches, of those of all training frames.

    The batches are the same each time, and each is spread over as much of the split as the device has, so that it looks
    like the whole. There is neither augmentation nor dropout.
    """
    model = training.validated
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    if model is training.model or not norms:
        return
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a mean in which all batches count alike
        norm.train()
    for rows in training.train.spread(_EVALUATION_BATCH):
        with machine.autocast(training.device, training.config["precision"]):
            model(gathered(training, training.train, rows))


@torch.no_grad()
def validate(training: Training) -> Judged:
    """What the model, or its average, makes of the whole validation split, in evaluation mode."""
    model, data = training.validated, training.val
    loss_sum = torch.zeros((), device=training.device)
    predictions = torch.empty_like(data.labels)
    model.eval()
    for start in range(0, len(data), _EVALUATION_BATCH):
        batch = slice(start, start + _EVALUATION_BATCH)
        with machine.autocast(training.device, training.config["precision"]):
            logits = model(gathered(training, data, data.first[batch]))
        loss_sum += cross_entropy(logits.float(), data.labels[batch].long(), reduction="sum")
        predictions[batch] = logits.argmax(1).to(torch.uint8)
    return Judged(float(loss_sum) / len(data), predictions, predictions == data.labels)
