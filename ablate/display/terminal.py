"""What draws on a terminal, by rich: it is loaded by who draws, and not by who only says what is wrong."""

from __future__ import annotations

import os

from rich.console import Console as RichConsole
from rich.highlighter import RegexHighlighter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from rich.theme import Theme

from ablate.display.output import ProgressStyle, is_notebook, mute

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


class Console(RichConsole):
    """Standard output, and how it `shows` progress."""

    shows: ProgressStyle

    def __init__(self, progress: ProgressStyle) -> None:
        is_forced = progress == "bar"
        super().__init__(
            soft_wrap=True, highlighter=_Verdicts(), markup=False, emoji=False, theme=_COLOURS,
            force_terminal=True if is_forced else None, force_jupyter=None if is_forced else False,
        )  # fmt: skip
        if progress == "auto":
            # Not rich's is_terminal alone: FORCE_COLOR, which notebooks and CI set, makes a file one.
            draws = self.is_interactive and self.file.isatty() and not is_notebook(os.environ)
            progress = "bar" if draws else "plain"
        self.shows = progress
        if progress != "bar":
            self.width = _PLAIN_WIDTH

    def show(self, text: str, bold: int = 0) -> None:
        """A line, of which so many characters at the beginning are bold."""
        self.print(Text.assemble((text[:bold], "bold"), text[bold:]) if bold else text)

    def on_broken_pipe(self) -> None:
        """Its reader has gone."""
        mute()  # rich would end the process, and with it the run


def progress(console: Console, *, with_state: bool = False) -> Progress:
    """A bar a task: title, how many of how many, and the state that is told of it."""
    state = [TextColumn("{task.fields[state]}")] if with_state else []
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *state, TimeRemainingColumn(),
        console=console, transient=True, disable=console.shows != "bar",
    )  # fmt: skip
