"""How progress is shown, by what is printed to; the real commands are seen from a pty."""

import io
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ablate import display
from ablate.display import Screen
from ablate.display.output import ProgressStyle, is_notebook
from tests.conftest import Command
from tests.terminal import seen

NOTEBOOKS = {
    "jupyter": {"JPY_PARENT_PID": "82"},
    "colab": {"COLAB_RELEASE_TAG": "release-colab_20261101", "JPY_PARENT_PID": "82"},
    "vscode": {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
}
KERNEL = {"TERM": "xterm-color", "CLICOLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "PAGER": "cat"}
"""What ipykernel sets for what a cell starts."""

CURSOR = re.compile(rb"\x1b\[\d*[ABCDEFGHJKST]|\x1b\[\?25|\r(?!\n)")
"""Escapes that move the cursor, hide it or clear; and the bare carriage return."""

Shown = Callable[..., tuple[int, bytes]]


@pytest.fixture
def shown(tmp_path: Path, environment: dict[str, str]) -> Shown:
    """The exit code of a command, and all that a terminal gets of it, in the environment and some variables more."""

    def run(*arguments: str, env: dict[str, str]) -> tuple[int, bytes]:
        return seen(arguments, tmp_path, environment | env)

    return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`clock(5)` lets five seconds pass for what is displayed."""
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=lambda: now[0], strftime=time.strftime))
    return wait


@pytest.mark.parametrize("variables", NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_a_notebooks_variables_are_known(variables: dict[str, str]) -> None:
    assert is_notebook(KERNEL | variables)
    assert not is_notebook(KERNEL)


def test_twelve_short_runs_in_a_notebooks_pty_are_few_lines_and_move_no_cursor(
    shown: Shown, tiny: list[str], tmp_path: Path
) -> None:
    study = [*tiny, "--multirun", "optim=sgd,adamw", "arch=cylinder,pyramid", "study.seeds=3", "study.name=s"]
    code, output = shown(*study, env=KERNEL | NOTEBOOKS["jupyter"])
    assert code == 0, output.decode()
    assert len(output) < 5000 and not CURSOR.search(output), output
    assert len(re.findall(rb"\[\d+/12.*\] .* val accuracy", output)) == 12
    assert len(list((tmp_path / "outputs" / "runs").iterdir())) == 12


@pytest.mark.parametrize(
    ("progress", "variables", "has_bar"),
    [("auto", {}, True), ("auto", NOTEBOOKS["colab"], False), ("bar", NOTEBOOKS["colab"], True), ("plain", {}, False),
     ("none", {}, False)],
)  # fmt: skip
def test_a_run_on_a_terminal(
    progress: str, variables: dict[str, str], has_bar: bool, shown: Shown, tiny: list[str], tmp_path: Path
) -> None:
    code, output = shown(*tiny, f"progress={progress}", env={"TERM": "xterm-256color"} | variables)
    assert code == 0, output.decode()
    assert bool(CURSOR.search(output)) == has_bar
    assert (b"epoch 1/1: train loss" in output) == (progress != "none")
    assert b"on validation, epoch 1 of 1" in output
    (run,) = (tmp_path / "outputs" / "runs").iterdir()
    assert "epoch 1/1: train loss" in (run / "run.log").read_text()


def test_without_progress_results_warnings_and_errors_remain(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    done = ablate(*tiny, "progress=none", "--multirun", "optim.lr=1e-3,1e-2", "arch.norm=none", "study.name=s")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": val accuracy") == 2 and "[1/2" not in done.stdout and "verdict" in done.stdout
    assert "progress" not in (tmp_path / "outputs" / "studies" / "s" / "plan.json").read_text()
    done = ablate(*tiny, "progress=none", "optim.lr=-1")
    assert done.returncode == 2 and "optimizer.lr: expected greater than 0" in done.stderr
    done = ablate(*tiny, "progress=verbose")
    assert done.returncode == 2 and "progress: expected 'auto', 'bar', 'plain' or 'none'" in done.stderr


def test_a_file_is_no_terminal_though_colour_is_forced(ablate: Command, tiny: list[str]) -> None:
    done = ablate(*tiny, env={"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    assert done.returncode == 0 and not CURSOR.search(done.stdout.encode())


@pytest.mark.parametrize("colour", [{}, {"FORCE_COLOR": "1"}])
def test_text_is_shown_as_it_is(
    colour: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for name, value in colour.items():
        monkeypatch.setenv(name, value)
    screen = Screen(progress="auto")
    screen.announce("data:100:train [bold]x[/bold] a\x1b[2Jb")
    screen.table({"key": ":bus:", "folder": "a" * 300})
    said = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)
    assert said == f"data:100:train [bold]x[/bold] a\\x1b[2Jb\nkey     :bus:\nfolder  {'a' * 300}\n"


def test_where_there_is_no_output_a_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", None)
    Screen(progress="auto").table({"key": "a"})


def test_a_bar_can_be_had_in_a_file(ablate: Command, tiny: list[str]) -> None:
    assert CURSOR.search(ablate(*tiny, "progress=bar", env={"TERM": "xterm-256color"}).stdout.encode())


def test_plain_lines_of_a_long_training_come_ever_more_rarely(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen(progress="plain")
    with screen.bar(num_steps=86_400, done=0) as bar:
        for step in range(86_400):
            clock(1)
            bar.advance()
            if step % 10 == 0:
                bar.state(1, 2.5, 1000)
    lines = capsys.readouterr().out.splitlines()
    assert 40 < len(lines) < 70
    assert lines[0] == "epoch 1, step 61 of 86,400: loss 2.500, 1,000 frames/s, about 23 h 58 min left"


def test_plain_lines_of_an_iteration(clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    def slow(items: range) -> Any:
        for item in items:
            clock(1)
            yield item

    assert list(Screen(progress="plain").track(slow(range(100)), 100, "reading")) == list(range(100))
    assert capsys.readouterr().out.splitlines() == ["reading ...", "reading: 59 of 100"]
    for screen in (Screen(progress="none"), Screen(progress="plain", quiet=True)):
        assert list(screen.track(slow(range(100)), 100, "reading")) == list(range(100))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("progress", "most"), [("plain", 102), ("none", 0)])
def test_lines_of_epochs_are_bounded_where_they_stand_for_progress_and_whole_in_the_log(
    progress: ProgressStyle, most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    log, screen = io.StringIO(), Screen(progress=progress)
    with screen.logging_to(log):
        for epoch in range(1, 1001):
            screen.say_epoch(f"epoch {epoch}", epoch, 1000)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= most and (not most or (lines[0], lines[-1]) == ("epoch 1", "epoch 1000"))
    assert log.getvalue().count("\n") == 1000
