"""Ctrl-C and SIGTERM: the first asks a training to stop after its epoch, the second stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any


class Interruption:
    """A context in which the first signal only sets `asked`, and calls `announce`; the next one interrupts.

    It is asked, too, where whoever wanted the training has called it off.
    """

    def __init__(
        self,
        announce: Callable[[], None],
        is_called_off: Callable[[], bool] = lambda: False,
        signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM),
    ) -> None:
        self.by_signal = False
        self._announce = announce
        self._is_called_off = is_called_off
        self._signals = signals
        self._previous: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether to stop after the epoch."""
        return self.by_signal or self._is_called_off()

    def __enter__(self) -> Interruption:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals are not ours to receive where a launcher runs us in a thread
        self._previous = {number: signal.signal(number, self._receive) for number in self._signals}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.by_signal:
            raise KeyboardInterrupt
        self.by_signal = True
        self._announce()


def as_keyboard_interrupt(number: int, frame: FrameType | None) -> None:
    """A handler of SIGTERM that ends the process as Ctrl-C does."""
    raise KeyboardInterrupt
