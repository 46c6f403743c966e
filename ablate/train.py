"""One training, epoch by epoch."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ablate import checkpoint, machine
from ablate.checkpoint import Progress
from ablate.display import Screen
from ablate.file import write_atomically
from ablate.interruption import Interruption
from ablate.prepare import Training, stream_seed
from ablate.recipe import arch
from ablate.recipe.data.phoneme import PHONEMES
from ablate.recipe.optimizer import takes_two_gradients
from ablate.record.lease import Lease
from ablate.record.store import Row, RunFolder
from ablate.record.tracking import Tracker

_VALIDATION_BATCH = 8192
_MOST_STEPS_UNSEEN = 100  # steps between looks at the loss, each of which waits for the device

Status = Literal["finished", "diverged", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """What a training ended with, as its record has it."""

    status: Status
    metrics: dict[str, float | int | None]
    layers: list[int]
    num_params: int
    multiply_adds: int
    seconds: float
    frames_per_second: float
    dropped_utterances: dict[str, dict[str, Sequence[str]]]


def train(
    training: Training, folder: RunFolder, lease: Lease, tracker: Tracker, screen: Screen, interruption: Interruption
) -> Outcome:
    """Train from the folder's checkpoint, or from the start, to the last epoch; all but the result is recorded."""
    config = training.config
    torch.manual_seed(stream_seed(config, "dropout"))
    progress = checkpoint.resume(training, folder) or Progress()
    folder.write_rows(progress.rows)
    for shown in progress.rows:
        tracker.log(shown)
    if progress.rows:
        screen.say(f"resumed after epoch {len(progress.rows)}")
    with screen.bar(training.num_steps, len(progress.rows) * training.steps_an_epoch) as bar:
        while not (interruption.asked or _is_over(training, progress)):
            epoch, started = len(progress.rows) + 1, time.perf_counter()

            learned = _learn(training, progress.rows, bar.advance, bar.state)
            trained_seconds = time.perf_counter() - started
            judged = _validate(training) if np.isfinite(learned.loss) else None
            progress.diverged = judged is None or not np.isfinite(judged.loss)

            row: Row = {
                "epoch": epoch,
                "step": (epoch - 1) * training.steps_an_epoch + learned.steps,
                "lr": learned.lr,
                "train/loss": _finite(learned.loss),
                "train/accuracy": learned.accuracy,
                "val/loss": _finite(judged.loss) if judged else None,
                "val/accuracy": judged.accuracy if judged and not progress.diverged else None,
                "seconds": time.perf_counter() - started,
                "frames_per_second": learned.frames / trained_seconds,
            }
            progress.rows.append(row)
            lease.check()
            if judged and not progress.diverged and _is_best(progress):
                progress.best_epoch = epoch
                _record_best(training, judged, folder)
            checkpoint.save(training, progress, folder)
            folder.write_rows(progress.rows)
            tracker.log(row)
            screen.say(_line(row, config["epochs"]))
    return _outcome(training, progress)


def _is_over(training: Training, progress: Progress) -> bool:
    if progress.diverged or len(progress.rows) == training.config["epochs"]:
        return True
    return training.regularization.ends([float(row["val/accuracy"] or 0) for row in progress.rows])


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


def _learn(
    training: Training, epochs: Sequence[Row], advance: Callable[[], None], state: Callable[[int, float, float], None]
) -> Learned:
    """One pass over the truly shuffled frames; it ends early where a look at the loss shows NaN or infinity."""
    config, data, epoch = training.config, training.train, len(epochs) + 1
    order = torch.randperm(len(data), generator=training.order, dtype=torch.int32).to(training.device)
    first, labels = data.first.index_select(0, order), data.labels.index_select(0, order)
    size = int(config["batch_size"])
    steps = training.steps_an_epoch
    look_every = max(1, min(_MOST_STEPS_UNSEEN, steps // 10))
    loss_sum = torch.zeros((), device=training.device)
    correct = torch.zeros((), dtype=torch.int64, device=training.device)
    started, lr = time.perf_counter(), 0.0

    training.model.train()
    for step in range(1, steps + 1):
        batch = slice((step - 1) * size, step * size)
        lr = _set_rate(training, (epoch - 1) * steps + step - 1, epochs)
        loss, hits = _step(training, data.windows.index_select(0, first[batch]).float(), labels[batch].long())
        loss_sum += loss
        correct += hits
        advance()
        if step % look_every == 0 or step == steps:
            mean = float(loss_sum) / step
            state(epoch, mean, step * size / (time.perf_counter() - started))
            if not np.isfinite(mean):
                break
    return Learned(step, step * size, float(loss_sum) / step, int(correct) / (step * size), lr)


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

    def backward_again() -> float:
        with _running_statistics_kept(model):
            backward()
        regularization.clip(model)
        return 0.0  # what optimizers make nothing of

    loss, logits = backward()
    if takes_two_gradients(optimizer):
        optimizer.step(backward_again)
    else:
        if regularization.clips:
            scaler.unscale_(optimizer)
            regularization.clip(model)
        scaler.step(optimizer)
        scaler.update()
    return loss, (logits.argmax(1) == labels).sum()


@contextmanager
def _running_statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch norms see the batch without counting it into what evaluation uses."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    for norm in norms:
        norm.track_running_stats = False
    yield
    for norm in norms:
        norm.track_running_stats = True


def _set_rate(training: Training, step: int, epochs: Sequence[Row]) -> float:
    factor = training.schedule(step, epochs)
    for group in training.optimizer.param_groups:
        group["lr"] = group.setdefault("base_lr", group["lr"]) * factor
        group["progress"] = step / training.num_steps
    shared = training.optimizer.param_groups[0]
    return float(shared["lr"]) * (shared.get("ratio") or 1.0)  # of SGD's rate over Adam's, once one became the other


@torch.no_grad()
def _validate(training: Training) -> Judged:
    data = training.val
    loss_sum = torch.zeros((), device=training.device)
    predictions = torch.empty_like(data.labels)
    training.model.eval()
    for start in range(0, len(data), _VALIDATION_BATCH):
        batch = slice(start, start + _VALIDATION_BATCH)
        with machine.autocast(training.device, training.config["precision"]):
            logits = training.model(data.windows.index_select(0, data.first[batch]).float())
        loss_sum += cross_entropy(logits.float(), data.labels[batch].long(), reduction="sum")
        predictions[batch] = logits.argmax(1).to(torch.uint8)
    return Judged(float(loss_sum) / len(data), predictions, predictions == data.labels)


def _is_best(progress: Progress) -> bool:
    accuracy = progress.rows[-1]["val/accuracy"]
    best = progress.best["val/accuracy"] if progress.best_epoch else None
    return accuracy is not None and (best is None or accuracy > best)


def _record_best(training: Training, judged: Judged, folder: RunFolder) -> None:
    """Weights, confusion counts (true class, predicted class) and counts an utterance, of the best epoch."""
    folder.write_tensors("best.pt", {name: value.cpu() for name, value in training.model.state_dict().items()})
    classes, table = len(PHONEMES), training.val.table
    pairs = table.labels.long() * classes + judged.predictions.long()
    confusion = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    with write_atomically(folder.path / "confusion.npy") as file:
        np.save(file, confusion.cpu().numpy(), allow_pickle=False)
    correct = torch.cat([judged.correct.new_zeros(1), judged.correct]).cumsum(0).cpu()
    ends = table.lengths.cumsum(0)
    counts = correct[ends] - correct[ends - table.lengths]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "correct", "frames"])
    writer.writerows(zip(table.names, counts.tolist(), table.lengths.tolist(), strict=True))
    with write_atomically(folder.path / "utterances.csv") as file:
        file.write(text.getvalue().encode())


def _outcome(training: Training, progress: Progress) -> Outcome:
    status: Status = "finished" if _is_over(training, progress) else "interrupted"
    if progress.diverged:
        status = "diverged"
    names = ("val/accuracy", "val/loss", "train/accuracy", "train/loss")
    best = progress.best if progress.best_epoch else dict.fromkeys(names)
    seconds = [float(row["seconds"] or 0) for row in progress.rows]
    speeds = [float(row["frames_per_second"] or 0) for row in progress.rows]
    return Outcome(
        status=status,
        metrics={name: best[name] for name in names} | {"best_epoch": progress.best_epoch or None},
        layers=arch.layers(training.model),
        num_params=arch.num_params(training.model),
        multiply_adds=arch.multiply_adds(training.model),
        seconds=sum(seconds),
        frames_per_second=float(np.median(speeds)) if speeds else 0.0,
        dropped_utterances={
            split: dict(frames.table.dropped)
            for split, frames in (("train", training.train), ("val", training.val))
            if frames.table.dropped
        },
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _line(row: Row, epochs: int) -> str:
    if row["val/accuracy"] is None:
        return f"epoch {row['epoch']}/{epochs}: diverged, the loss is no finite number; step {row['step']}"
    return (
        f"epoch {row['epoch']}/{epochs}: train loss {row['train/loss']:.4f} accuracy {row['train/accuracy']:.4f}, "
        f"val loss {row['val/loss']:.4f} accuracy {row['val/accuracy']:.4f}, "
        f"{row['seconds']:.1f} s, {row['frames_per_second']:,.0f} frames/s"
    )
