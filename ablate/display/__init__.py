"""What one sees of a run: lines, a bar on a terminal, a small table at the end."""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeVar

from ablate.display.output import ProgressStyle, mute

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ablate.display.terminal import Console

Item = TypeVar("Item")


Listener = Callable[[Literal["said", "ended"], str], None]
"""Who gets the lines of a run instead of standard output, and which of them is the last."""

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # bidi marks too
_MOST_EPOCHS_SHOWN = 100  # of a run, as plain lines
_PATIENCE_SECONDS = 60
_COLOURING = {"FORCE_COLOR", "TTY_COMPATIBLE"}  # variables by which rich draws where no terminal is


def harmless(text: str) -> str:
    r"""The text with what would steer a terminal written out: a file's name may hold anything.

    >>> print(harmless("a\x1b[31mb"))
    a\x1b[31mb
    """
    return _STEERING.sub(lambda match: repr(match[0])[1:-1], text)


class Screen:
    """Standard output, and the run's log once it is there.

    A `quiet` one, of a run among many, shows only what is announced; its log has all. Under a `sweep` it shows progress
    as that does. Where there is a `listener` it gets the lines instead.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        progress: ProgressStyle = "auto",
        sweep: Sweep | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._sweep = sweep
        self._listener = listener
        self._console = sweep.console if sweep else _console(progress)
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

    def conclude(self, text: str) -> None:
        """The line that a run of the sweep ends with, behind its place there."""
        is_placed = self._sweep and self._console.shows != "none"
        self._print(f"[{self._sweep.position()}] {text}" if self._sweep and is_placed else text, "ended")
        self.write(text)

    def say_epoch(self, text: str, epoch: int, epochs: int) -> None:
        """A line of the `epoch`-th of so many: of many, plain lines show each n-th."""
        is_shown = self._console.shows == "bar" or epoch in (1, epochs) or not epoch % -(-epochs // _MOST_EPOCHS_SHOWN)
        if is_shown and not self.quiet and self._console.shows != "none":
            self._print(text)
        self.write(text)

    def track(self, items: Iterable[Item], total: int, title: str) -> Iterator[Item]:
        """The items, with a bar of how many have been taken, or a line now and then."""
        if self._console.shows != "bar" or self.quiet:
            self.write(f"{title} ...")
            self._remark(f"{title} ...")
            pace = _Pace()
            for number, item in enumerate(items):
                if pace.is_due():
                    self._remark(f"{title}: {number:,} of {total:,}")
                yield item
            return
        from ablate.display.terminal import progress as bar

        with bar(self._console) as progress:
            task = progress.add_task(title, total=total)
            for item in items:
                yield item
                progress.advance(task)

    def bar(self, num_steps: int, done: int) -> TrainingBar | TrainingLines:
        """The bar of a training of so many steps, of which some are done, or what stands for it in plain lines."""
        if self._console.shows != "bar":
            place = f"[{self._sweep.place}] " if self._sweep else ""
            return TrainingLines(lambda text: self._remark(f"{place}{text}", is_long=True), num_steps, done)
        shared = self._sweep.progress if self._sweep else None
        from ablate.display.terminal import progress as bar

        progress = shared or bar(self._console, with_state=True)
        task = progress.add_task("training", total=num_steps, completed=done, state="")
        return TrainingBar(progress, task, is_shared=shared is not None)

    def table(self, rows: Mapping[str, object]) -> None:
        """Names and values, one a line, never wrapped: a path or a command is there to be copied."""
        if self.quiet:
            return
        width = max(map(len, rows))
        for name, value in rows.items():
            self._print(f"{name.ljust(width)}  {value}", bold=width)

    def _remark(self, text: str, *, is_long: bool = False) -> None:
        """A line of progress where it is shown so; on a quiet screen only one of what `is_long`."""
        if self._console.shows == "plain" and (is_long or not self.quiet):
            self._print(text)

    def _print(self, text: str, kind: Literal["said", "ended"] = "said", bold: int = 0) -> None:
        if self._listener:
            self._listener(kind, text)
            return
        try:
            self._console.show(harmless(text), bold)
        except OSError:
            mute()

    def write(self, text: str) -> None:
        """A line in the log alone."""
        entry = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {harmless(text)}\n"
        if self._log:
            self._log.write(entry)
        else:
            self._before_log.append(entry)


class _Lines:
    """Standard output that is no terminal: lines as they are, for which rich need not be loaded."""

    def __init__(self, progress: Literal["auto", "plain", "none"]) -> None:
        self.shows: Literal["plain", "none"] = "none" if progress == "none" else "plain"

    def show(self, text: str, bold: int = 0) -> None:
        """A line, at once for who follows it."""
        print(f"{text}\n", end="", flush=True)  # in one write, where others write to the same log


def _is_terminal() -> bool:
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def _console(progress: ProgressStyle) -> Console | _Lines:
    if progress != "bar" and not _is_terminal() and os.environ.keys().isdisjoint(_COLOURING):
        return _Lines(progress)
    from ablate.display.terminal import Console

    return Console(progress)


class Sweep:
    """The progress of a multirun: a bar over its runs, under which they show theirs, or the place of each in a line."""

    def __init__(self, num_runs: int, progress: ProgressStyle = "auto") -> None:
        from ablate.display.terminal import Console
        from ablate.display.terminal import progress as bar

        self.console = Console(progress)
        self.progress = bar(self.console, with_state=True)
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

    @property
    def place(self) -> str:
        """Which of the runs is under way."""
        return f"{self._done + 1}/{self._num_runs}"

    def position(self) -> str:
        """As `place`, with how long the runs behind it may take, for the line that it ends with."""
        number = self._done + 1
        left = (time.monotonic() - self._started) / number * (self._num_runs - number)
        return self.place + (f", {duration(left)} left" if left else "")


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


class TrainingLines:
    """A line of a training's epoch, loss and speed now and then, where no bar shows them."""

    def __init__(self, say: Callable[[str], None], num_steps: int, done: int) -> None:
        self._say, self._num_steps, self._done, self._done_before = say, num_steps, done, done
        self._pace = _Pace()

    def __enter__(self) -> TrainingLines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self) -> None:
        """One step more."""
        self._done += 1

    def state(self, epoch: int, loss: float, frames_per_second: float) -> None:
        """What a line would say, if it is time for one."""
        if self._pace.is_due():
            left = self._pace.seconds / (self._done - self._done_before) * (self._num_steps - self._done)
            self._say(
                f"epoch {epoch}, step {self._done:,} of {self._num_steps:,}: loss {loss:.3f}, "
                f"{frames_per_second:,.0f} frames/s, about {duration(left)} left"
            )


class _Pace:
    """When to say something: a minute after the last time, and ever later, so that a day has some 60 such moments."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def is_due(self) -> bool:
        """Whether it is time; if so, the next time is counted from now."""
        now = time.monotonic()
        if now - self._last < max(_PATIENCE_SECONDS, (now - self._started) / 10):
            return False
        self._last = now
        return True


def line(name: str, result: Mapping[str, Any]) -> str:
    """A run of a multirun in a line."""
    metrics = result["metrics"]
    if metrics["best_epoch"] is None:
        return f"{name}: {result['status']}, {duration(result['seconds'])}"
    diverged = f"{result['status']}, " if result["status"] != "finished" else ""
    return (
        f"{name}: {diverged}val accuracy {metrics['val/accuracy']:.4f} (epoch {metrics['best_epoch']} of "
        f"{result['epochs']}), {duration(result['seconds'])}"
    )


def summary(result: Mapping[str, Any], folder: Path | str, how_to_sync: str | None) -> dict[str, object]:
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
