"""How long a command takes before it does anything, in imports of the libraries that it can't do without."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ablate.bench.faults import RUN

_ASKED = ["ablate.run", *RUN]
_LIMITS = {"import hydra": 2.5, "import torch": 1.5}
_OF_HYDRA = {
    "--help": ["ablate.run", "--help"],
    "a mistake in a group's node": [*_ASKED, "optimizer.lr=-1"],
    "an unknown key": [*_ASKED, "optimizer.lrr=1"],
    "a finished run's answer": _ASKED,
}
_OF_TORCH = {"a tiny run, data cached": [*_ASKED, "rerun=true"]}  # whose training takes next to nothing


def start(rounds: int) -> int:
    """Print each command's time in units of the import that it is compared with, alternated; 0 if all keep theirs."""
    with tempfile.TemporaryDirectory(prefix="ablate-bench-") as name:
        folder = Path(name)
        _command(folder, _ASKED)()
        commands = {
            "import hydra": _import("hydra"),
            "import torch": _import("torch"),
            **{what: _command(folder, words) for what, words in (_OF_HYDRA | _OF_TORCH).items()},
        }
        for what in _OF_HYDRA:
            commands[what]()  # which writes the bytecode of what it imports, as the first run has of all the rest
        seconds: dict[str, list[float]] = {what: [] for what in commands}
        for _ in range(rounds):
            for what, command in commands.items():
                seconds[what].append(command())
    fails = False
    for unit, kinds in (("import hydra", _OF_HYDRA), ("import torch", _OF_TORCH)):
        print(_line(unit, seconds[unit]))
        for what in kinds:
            ratios = [of / one for of, one in zip(seconds[what], seconds[unit], strict=True)]
            ratio = statistics.median(ratios)
            print(
                f"{_line(what, seconds[what])}; {ratio:.2f} times {unit} ({min(ratios):.2f} to {max(ratios):.2f}), of "
                f"{_LIMITS[unit]:g} at most"
            )
            fails = fails or ratio > _LIMITS[unit]
    return 1 if fails else 0


def _import(module: str) -> Callable[[], float]:
    return lambda: _seconds([sys.executable, "-c", f"import {module}"], None)


def _command(folder: Path, words: list[str]) -> Callable[[], float]:
    return lambda: _seconds([sys.executable, "-m", *words], folder)


def _seconds(command: list[str], folder: Path | None) -> float:
    # As an installed command has its bytecode, whatever keeps Python from writing it here.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return time.perf_counter() - started


def _line(what: str, seconds: list[float]) -> str:
    return f"{what:38} {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
