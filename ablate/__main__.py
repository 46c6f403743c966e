"""`ablate NAME ...`, which is `python -m ablate.NAME ...`; without a command's name it is `ablate run ...`."""

from __future__ import annotations

import importlib
import re
import signal
import sys

from ablate.command.frame import end, framed
from ablate.interruption import as_keyboard_interrupt

COMMANDS = {
    "run": "ablate.run",
    "audit": "ablate.audit.__main__",
    "search": "ablate.search",
    "status": "ablate.status",
    "resume": "ablate.resume",
    "collect": "ablate.collect.__main__",
    "sync": "ablate.sync",
    "predict": "ablate.predict",
    "report": "ablate.report.__main__",
    "next": "ablate.next",
    "confirm": "ablate.confirm",
    "decide": "ablate.decide",
    "help": "ablate.help",
    "bench": "ablate.bench.__main__",
}
"""Each command's module, which has `main(arguments)` that gives an exit code."""

_TOLD = {
    "run": "a run (`ablate arch=pyramid`), a study (`ablate -m arch=cylinder,pyramid study.seeds=3`)",
    "search": "look for good levels by what earlier trials have shown: `ablate search 'optim.lr=interval(1e-4,1e-1)'`",
    "audit": "what is wrong with data, before anyone trains on them: findings, and a page",
    "status|resume|report NAME": "how far a study is; go on with it; what mattered: verdicts, tables and a page",
    "collect|sync": "merge folders of team-mates, and say what still lacks; upload what wandb's server lacks",
    "next|confirm|decide NAME": "what would settle the rest; the winner on fresh seeds; what you decide, and on what",
    "predict RUN...": "labels of the test split by one run or several together, to be handed in",
    "help TOPIC": "what a group, an option or a key means, its default and what it may be; --help lists all",
    "bench WHAT": "promises that take long to prove, measured on this machine",
}
"""What there is, for who asks for nothing: ten lines with the first, however many commands join."""


def script() -> None:
    """The console script."""
    end(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Carry out the command that is named first; its exit code."""
    if not arguments:
        return framed(_tell, [])
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
        code: int = importlib.import_module(COMMANDS[name]).main(rest)
        return code
    except KeyboardInterrupt:
        print("ablate: interrupted", file=sys.stderr)
        return 130


def _tell(_: list[str]) -> int:
    width = max(map(len, _TOLD))
    print("ablate: what mattered, was it luck, and who should run what next")
    print("\n".join(f"ablate {names.ljust(width)}  {what}" for names, what in _TOLD.items()))
    return 0


if __name__ == "__main__":
    script()
