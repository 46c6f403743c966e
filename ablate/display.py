"""What one sees of a run: lines, a bar on a terminal, a small table at the end."""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text
from rich.theme import Theme

Item = TypeVar("Item")

_PLAIN_WIDTH = 200  # a log has no edge to wrap at


class _Verdicts(RegexHighlighter):
    """Colours the verdicts, whose signs say the same without colour."""

    base_style = "verdict."
    highlights = (
        r"(?P<better>\+ better)",
        r"(?P<worse>- worse)",
        r"(?P<equivalent>= equivalent)",
        r"(?P<undecided>\? undecided)",
    )


_COLOURS = Theme(
    {"verdict.better": "green", "verdict.worse": "red", "verdict.equivalent": "blue", "verdict.undecided": "yellow"}
)


def harmless(text: str) -> str:
    r"""The text with what would steer a terminal written out: a file's name may hold anything.

    >>> print(harmless("a\x1b[31mb"))
    a\x1b[31mb
    """
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda match: repr(match[0])[1:-1], text)


def mute() -> None:
    """Let standard output lead nowhere from now on: its reader is gone, or its disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        mute()  # rich would end the process, and with it the run


class Screen:
    """Standard output, and the run's log once it is there. Bars are shown on a terminal only.

    A `quiet` one, of a run among many, shows only what is announced; its log has all. Under a `sweep`'s bar it shows
    its own.
    """

    def __init__(self, *, quiet: bool = False, sweep: Sweep | None = None) -> None:
        self._sweep = sweep
        self._console = self._sweep.console if self._sweep else _console()
        self.quiet = quiet
        self._log: TextIO | None = None
        self._before_log: list[str] = []

    @contextmanager
    def logging_to(self, log: TextIO) -> Iterator[None]:
        """What is said in the context, and has been before it, is in this log too."""
        self._log = log
        log.writelines(self._before_log)
        self._before_log.clear()
        try:
            yield
        finally:
            self._log = None

    def say(self, text: str) -> None:
        """A line, in the log with the time."""
        if self.quiet:
            self.write(text)
        else:
            self.announce(text)

    def announce(self, text: str) -> None:
        """A line that a quiet screen shows too."""
        self._print(text)
        self.write(text)

    def track(self, items: Iterable[Item], total: int, title: str) -> Iterator[Item]:
        """The items, with a bar of how many have been taken; a line instead where there is no terminal."""
        if not self._console.is_terminal or self.quiet:
            self.say(f"{title} ...")
            yield from items
            return
        with _progress(self._console) as progress:
            task = progress.add_task(title, total=total)
            for item in items:
                yield item
                progress.advance(task)

    def bar(self, num_steps: int, done: int) -> TrainingBar:
        """The bar of a training of so many steps, of which some are done."""
        shared = self._sweep.progress if self._sweep else None
        progress = shared or _progress(self._console, TextColumn("{task.fields[state]}"))
        task = progress.add_task("training", total=num_steps, completed=done, state="")
        return TrainingBar(progress, task, is_shared=shared is not None)

    def table(self, rows: Mapping[str, object]) -> None:
        """Names and values, one a line, never wrapped: a path or a command is there to be copied."""
        if self.quiet:
            return
        width = max(map(len, rows))
        for name, value in rows.items():
            self._print(Text.assemble((name.ljust(width), "bold"), f"  {harmless(str(value))}"))

    def _print(self, text: str | Text) -> None:
        try:
            self._console.print(harmless(text) if isinstance(text, str) else text)
        except OSError:
            mute()

    def write(self, text: str) -> None:
        """A line in the log alone."""
        entry = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {harmless(text)}\n"
        if self._log:
            self._log.write(entry)
        else:
            self._before_log.append(entry)


def _console() -> Console:
    console = _Console(soft_wrap=True, highlighter=_Verdicts(), markup=False, theme=_COLOURS)
    console.width = console.width if console.is_terminal else _PLAIN_WIDTH
    return console


def _progress(console: Console, *columns: TextColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *columns, TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip


class Sweep:
    """A bar over the runs of a multirun, under which its runs show theirs."""

    def __init__(self, num_runs: int) -> None:
        self.console = _console()
        self.progress = _progress(self.console, TextColumn("{task.fields[state]}"))
        self._task = self.progress.add_task("study", total=num_runs, state="")
        self._num_runs, self._done, self._started = num_runs, 0, time.monotonic()

    def __enter__(self) -> Sweep:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def advance(self) -> None:
        """One run more has ended, whatever its end."""
        self._done += 1
        self.progress.advance(self._task)

    def position(self) -> str:
        """Which of the runs is under way, and how long those behind it may take, for the line that it ends with."""
        number = self._done + 1
        left = (time.monotonic() - self._started) / number * (self._num_runs - number)
        return f"{number}/{self._num_runs}" + (f", {duration(left)} left" if left else "")


def duration(seconds: float) -> str:
    """A time in two units at most.

    >>> duration(8.04), duration(70), duration(4000), duration(200000)
    ('8.0 s', '1 min 10 s', '1 h 6 min', '2 d 7 h')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    units = [("d", 86400), ("h", 3600), ("min", 60), ("s", 1)]
    whole = round(seconds)
    for (large, size), (small, part) in itertools.pairwise(units):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // part} {small}"
    return f"{whole} s"


def few(names: Sequence[str], most: int = 5) -> str:
    """The first of many names.

    >>> few(["a", "b", "c"], most=2)
    'a, b, ...'
    """
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


class TrainingBar:
    """A bar over a training's steps, with its epoch, loss and speed."""

    def __init__(self, progress: Progress, task: TaskID, *, is_shared: bool) -> None:
        self._progress, self._task, self._is_shared = progress, task, is_shared

    def __enter__(self) -> TrainingBar:
        if not self._is_shared:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shared:
            self._progress.remove_task(self._task)
        else:
            self._progress.stop()

    def advance(self) -> None:
        """One step more."""
        self._progress.advance(self._task)

    def state(self, epoch: int, loss: float, frames_per_second: float) -> None:
        """What stands beside the bar."""
        self._progress.update(
            self._task, description=f"epoch {epoch}", state=f"loss {loss:.3f}, {frames_per_second:,.0f} frames/s"
        )


def line(name: str, result: Mapping[str, Any], sweep: Sweep | None = None) -> str:
    """A run of a multirun in a line, with its place in the `sweep`."""
    position = f"[{sweep.position()}] " if sweep else ""
    metrics = result["metrics"]
    if metrics["best_epoch"] is None:
        return f"{position}{name}: {result['status']}, {duration(result['seconds'])}"
    diverged = f"{result['status']}, " if result["status"] != "finished" else ""
    return (
        f"{position}{name}: {diverged}val accuracy {metrics['val/accuracy']:.4f} (epoch {metrics['best_epoch']} of "
        f"{result['epochs']}), {duration(result['seconds'])}"
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
    if dropped := [name for faults in result.get("dropped_utterances", {}).values() for name in faults]:
        rows["dropped"] = f"bad utterances left out: {len(dropped)} ({few(dropped)}); result.json says why"
    if how_to_sync:
        rows["wandb"] = how_to_sync
    return rows
