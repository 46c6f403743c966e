"""Questions to a server that may never answer: they are asked beside, and waited for some seconds only."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

MOST_SECONDS = 10


def within_seconds(ask: Callable[[], Answer], seconds: float = MOST_SECONDS) -> Answer:
    """What comes of a question: its answer, or what it raises.

    Raises `TimeoutError` when it is no longer waited for; it goes on then, and its answer counts no more.
    """
    answers: queue.Queue[tuple[Answer | None, Exception | None]] = queue.Queue()

    def fetch() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:  # handed to who asks
            answers.put((None, error))

    threading.Thread(target=fetch, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error:
        raise error
    return answer  # type: ignore[return-value]
