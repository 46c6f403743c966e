"""One training, epoch by epoch."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ablate.display import Screen
from ablate.inference import portable
from ablate.interruption import Interruption
from ablate.recipe import arch
from ablate.recipe.data.corpus import combined
from ablate.recipe.data.phoneme import PHONEMES
from ablate.record import layout
from ablate.record.reading import Row
from ablate.record.store import Writer
from ablate.record.tracking import Tracker
from ablate.training import checkpoint
from ablate.training.checkpoint import Progress
from ablate.training.prepare import Training
from ablate.training.step import Judged, captured, learn, measure_batch_norms, validate
from ablate.training.stream import stream_seed

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
    data_digest: str
    dropped_utterances: dict[str, dict[str, Sequence[str]]]


def loop(training: Training, writer: Writer, tracker: Tracker, screen: Screen, interruption: Interruption) -> Outcome:
    """Train from the folder's checkpoint, or from the start, to the last epoch; all but the result is recorded."""
    config = training.config
    torch.manual_seed(stream_seed(config["seed"], "dropout"))
    progress = checkpoint.resume(training, writer.folder) or Progress()
    writer.write_tensors(
        layout.INFERENCE, portable.content(writer.folder.key, config, training.train.table, training.class_names)
    )
    writer.write_rows(progress.rows)
    for shown in progress.rows:
        tracker.log(shown)
    if progress.rows:
        screen.say(f"resumed after epoch {len(progress.rows)}")
    graph = captured(training)
    if training.device.type == "cuda" and not graph:
        screen.say("each step is launched by the host, kernel by kernel: this optimizer reads numbers of the GPU's")
    with screen.bar(training.num_steps, len(progress.rows) * training.steps_an_epoch) as bar:
        while not (interruption.asked or _is_over(training, progress)):
            epoch, started = len(progress.rows) + 1, time.perf_counter()

            was_refused = bool(graph and graph.refused)
            learned = learn(training, progress.rows, bar.advance, bar.state, graph)
            trained_seconds = time.perf_counter() - started
            if graph and graph.refused and not was_refused:
                screen.say(f"each step is launched by the host, kernel by kernel: no CUDA graph ({graph.refused})")
            measure_batch_norms(training)
            judged = validate(training) if np.isfinite(learned.loss) else None
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
            if judged and not progress.diverged and _is_best(progress):
                progress.best_epoch = epoch
                _record_best(training, judged, writer)
            checkpoint.save(training, progress, writer)
            writer.write_rows(progress.rows)
            tracker.log(row)
            screen.say_epoch(_line(row, config["epochs"]), epoch, config["epochs"])
    return _outcome(training, progress)


def _is_over(training: Training, progress: Progress) -> bool:
    if progress.diverged or len(progress.rows) >= training.config["epochs"]:
        return True
    return training.regularization.ends([float(row["val/accuracy"] or 0) for row in progress.rows])


def _is_best(progress: Progress) -> bool:
    accuracy = progress.rows[-1]["val/accuracy"]
    best = progress.best["val/accuracy"] if progress.best_epoch else None
    return accuracy is not None and (best is None or accuracy > best)


def _record_best(training: Training, judged: Judged, writer: Writer) -> None:
    """Weights, confusion counts (true class, predicted class), and counts an utterance, of the best epoch."""
    writer.write_tensors(layout.BEST, {name: value.cpu() for name, value in training.validated.state_dict().items()})
    classes, table = len(PHONEMES), training.val.table
    pairs = table.labels.long() * classes + judged.predictions.long()
    confusion = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    counted = io.BytesIO()
    np.save(counted, confusion.cpu().numpy(), allow_pickle=False)
    writer.write(layout.CONFUSION, counted.getbuffer())
    correct = torch.cat([judged.correct.new_zeros(1), judged.correct]).cumsum(0).cpu()
    ends = table.lengths.cumsum(0)
    counts = correct[ends] - correct[ends - table.lengths]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["name", "correct", "frames", "speaker"])
    speakers = table.speakers or [""] * len(table.names)
    lines.writerows(zip(table.names, counts.tolist(), table.lengths.tolist(), speakers, strict=True))
    writer.write(layout.UTTERANCES, text.getvalue().encode())


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
        data_digest=combined(training.train.table.digest, training.val.table.digest),
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
