"""How many threads torch computes in: one, where they are shared out otherwise or bits would depend on their number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_thread() -> Iterator[int]:
    """A context in which torch has one thread, in threads begun in it too; how many it has outside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
