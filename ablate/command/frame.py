"""How every command begins and ends: signals, exit codes, what is said of an error, and all as it was before."""

from __future__ import annotations

import gc
import io
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from ablate.command.refusal import refusal
from ablate.display import harmless
from ablate.display.output import mute
from ablate.interruption import as_keyboard_interrupt

_INTERRUPTED = 130
_NUM_THREADS = ("OMP_NUM_THREADS", "OMP_DYNAMIC", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS", "MKL_DYNAMIC")
# How long a thread of libgomp's looks for work before it sleeps. By default (300,000) it keeps a core from the thread
# that it waits for, wherever another program runs; at once (OMP_WAIT_POLICY=PASSIVE) costs an idle machine a seventh.
_SPINS = ("GOMP_SPINCOUNT", "10000")
# How many more objects than before it takes to look for cycles among them. By default 700, for which each of the
# hundred thousands that modules and configs are made of is looked at again and again: up to a tenth of a start.
_MOST_NEW_OBJECTS = 100_000
_TRACEBACK = "HYDRA_FULL_ERROR"
_WHERE_TO_LOOK = f"{_TRACEBACK}=1 shows the traceback, as does error.txt of a run that had begun"


def framed(act: Callable[[list[str]], int], arguments: Sequence[str], *, after_interruption: str = "") -> int:
    """Carry out a command with its arguments; its exit code. An error is a line on stderr, an interruption too.

    Signals, environment variables, `sys.argv`, logging and the collection of garbage are as before when it returns: a
    process can give several.
    """
    with left_as_found():
        try:
            return act(list(arguments))
        except BrokenPipeError:  # the reader of our output has enough
            mute()
            return 0
        except KeyboardInterrupt:
            _say(f"interrupted{after_interruption and f'; {after_interruption}'}")
            return _INTERRUPTED
        except Exception as error:
            if os.environ.get(_TRACEBACK) == "1":
                traceback.print_exception(error)
            code, text = refusal(error) or (1, f"{type(error).__name__}: {error}; {_WHERE_TO_LOOK}")
            _say(text)
            return code


def end(code: int) -> NoReturn:
    """End a process that a command was all of: Python need not look for cycles in all of torch and of a run."""
    gc.freeze()
    sys.exit(code)


def _say(text: str) -> None:
    print(f"ablate: {harmless(text)}", file=sys.stderr)


def set_thread_variables() -> None:
    """Leave the number of threads to the config, on which bits depend, and let waiting ones sleep soon.

    Libraries read these variables when torch is loaded: nothing changes after that. How threads wait is left as the
    environment has it, where it says so.
    """
    for name in _NUM_THREADS:
        os.environ.pop(name, None)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(*_SPINS)


@contextmanager
def left_as_found() -> Iterator[None]:
    """A context that leaves what a command sets for its whole process as it was."""
    environment, argv = dict(os.environ), list(sys.argv)
    thresholds = gc.get_threshold()
    if 0 < thresholds[0] < _MOST_NEW_OBJECTS:
        gc.set_threshold(_MOST_NEW_OBJECTS, *thresholds[1:])
    set_thread_variables()
    handlers, level = list(logging.root.handlers), logging.root.level  # which Hydra sets
    is_main = threading.current_thread() is threading.main_thread()  # others may set no handlers
    on_termination = signal.signal(signal.SIGTERM, as_keyboard_interrupt) if is_main else None
    output = sys.stdout if isinstance(sys.stdout, io.TextIOWrapper) else None
    errors = output.errors if output else None
    if output:
        output.reconfigure(errors="replace")  # what a terminal can't show is no reason to lose a run
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, on_termination or signal.SIG_DFL)
        if output:
            try:
                output.flush()
            except OSError:  # the reader of our output has enough
                mute()
            output.reconfigure(errors=errors)
        gc.set_threshold(*thresholds)
        sys.argv[:] = argv
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})
