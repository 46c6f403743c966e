"""`ablate NAME ...`, which is `python -m ablate.NAME ...`; without a command's name it is `ablate run ...`."""

from __future__ import annotations

import importlib
import re
import signal
import sys
from collections.abc import Iterator
from itertools import zip_longest

from ablate.interruption import as_keyboard_interrupt

COMMANDS = {
    "run": ("ablate.run", "a run (`ablate arch=pyramid`), a study (`ablate -m arch=cylinder,pyramid study.seeds=3`)"),
    "audit": ("ablate.audit.__main__", "what is wrong with data"),
    "status": ("ablate.status", "how far a study is"),
    "resume": ("ablate.resume", "go on with a study"),
    "report": ("ablate.report.__main__", "what mattered in a study"),
    "collect": ("ablate.collect.__main__", "merge folders of team-mates"),
    "sync": ("ablate.sync", "upload what wandb lacks"),
    "predict": ("ablate.predict", "labels of the test split"),
    "help": ("ablate.help", "what an option or a key means"),
    "bench": ("ablate.bench.__main__", "promises, measured here"),
}
"""Each command's module, which has `main(arguments)` that gives an exit code, and what it does."""


def script() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Carry out the command that is named first; its exit code."""
    if not arguments:
        print("\n".join(_overview()))
        return 0
    if arguments[0] == "help" and len(arguments) == 2 and arguments[1] in COMMANDS:
        arguments = [arguments[1], "--help"]
    name, rest = (arguments[0], arguments[1:]) if arguments[0] in COMMANDS else ("run", arguments)
    if name == "run" and re.fullmatch("[a-z]+", arguments[0]) and arguments[0] != "run":
        print(
            f"ablate: {arguments[0]}: no such command, and no key=value; there are {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    try:
        signal.signal(signal.SIGTERM, as_keyboard_interrupt)  # from here on, while modules load too
        code: int = importlib.import_module(COMMANDS[name][0]).main(rest)
        return code
    except KeyboardInterrupt:
        print("ablate: interrupted", file=sys.stderr)
        return 130


def _overview() -> Iterator[str]:
    """A line on the first command, and the others two a line."""
    width = max(map(len, COMMANDS))
    first, *others = (f"ablate {name.ljust(width)}  {what}" for name, (_, what) in COMMANDS.items())
    yield "ablate: what mattered, was it luck, and who should run what next; each command has its --help"
    yield first
    column = max(map(len, others)) + 3
    for left, right in zip_longest(others[::2], others[1::2], fillvalue=""):
        yield f"{left.ljust(column)}{right}".rstrip()


if __name__ == "__main__":
    script()
