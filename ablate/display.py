"""What one sees of a run: lines, a bar on a terminal, a small table at the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

Item = TypeVar("Item")

_PLAIN_WIDTH = 200  # a log has no edge to wrap at


def mute() -> None:
    """Let standard output lead nowhere from now on: its reader is gone, or its disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        mute()  # rich would end the process, and with it the run


class Screen:
    """Standard output, and the run's log once it is there. Bars are shown on a terminal only."""

    def __init__(self) -> None:
        self._console = _Console(soft_wrap=True, highlight=False, markup=False)
        self._console.width = self._console.width if self._console.is_terminal else _PLAIN_WIDTH
        self.log: TextIO | None = None

    def say(self, text: str) -> None:
        """A line, in the log with the time."""
        self._print(text)
        if self.log:
            self.log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def track(self, items: Iterable[Item], total: int, title: str) -> Iterator[Item]:
        """The items, with a bar of how many have been taken; a line instead where there is no terminal."""
        if not self._console.is_terminal:
            self.say(f"{title} ...")
            yield from items
            return
        with self._progress() as progress:
            task = progress.add_task(title, total=total)
            for item in items:
                yield item
                progress.advance(task)

    def bar(self, num_steps: int, done: int) -> TrainingBar:
        """The bar of a training of so many steps, of which some are done."""
        progress = self._progress(TextColumn("{task.fields[state]}"))
        return TrainingBar(progress, progress.add_task("training", total=num_steps, completed=done, state=""))

    def table(self, rows: Mapping[str, object]) -> None:
        """Names and values, one a line, never wrapped: a path or a command is there to be copied."""
        width = max(map(len, rows))
        for name, value in rows.items():
            self._print(Text.assemble((name.ljust(width), "bold"), f"  {value}"))

    def _print(self, text: str | Text) -> None:
        try:
            self._console.print(text)
        except OSError:
            mute()

    def _progress(self, *columns: TextColumn) -> Progress:
        return Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *columns, TimeRemainingColumn(),
            console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip


class TrainingBar:
    """A bar over a training's steps, with its epoch, loss and speed."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def __enter__(self) -> TrainingBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """One step more."""
        self._progress.advance(self._task)

    def state(self, epoch: int, loss: float, frames_per_second: float) -> None:
        """What stands beside the bar."""
        self._progress.update(
            self._task, description=f"epoch {epoch}", state=f"loss {loss:.3f}, {frames_per_second:,.0f} frames/s"
        )


def summary(result: Mapping[str, Any], folder: Path, how_to_sync: str | None) -> dict[str, object]:
    """The rows that a finished run's table shows."""
    metrics = result["metrics"]
    accuracy = f"none: {result['status']} before an epoch was validated"
    if metrics["best_epoch"]:
        accuracy = f"{metrics['val/accuracy']:.4f} on validation, epoch {metrics['best_epoch']} of {result['epochs']}"
    rows: dict[str, object] = {
        "key": result["key"],
        "folder": folder,
        "accuracy": accuracy,
        "parameters": f"{result['num_params']:,} ({result['multiply_adds']:,} multiply-adds a frame)",
        "time": f"{result['seconds']:.1f} s, {result['frames_per_second']:,.0f} frames/s",
    }
    if result["status"] != "finished":
        rows["status"] = result["status"]
    if result.get("dropped_utterances"):
        rows["dropped"] = f"bad utterances left out: {len(result['dropped_utterances'])}, named in result.json"
    if how_to_sync:
        rows["wandb"] = how_to_sync
    return rows
