"""The order of each epoch, drawn ahead while a GPU trains on the one before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import Tensor

Drawn = TypeVar("Drawn")


class Order(Generic[Drawn]):
    """What `draw` makes of a generator of its own on the CPU, once an epoch, so that it is the same on each device.

    With `ahead` the next is drawn by a thread while its caller goes on: 36 million frames take it a second. State is of
    those that were taken.
    """

    def __init__(self, seed: int, draw: Callable[[torch.Generator], Drawn], *, ahead: bool) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._draw = draw
        self._pool = ThreadPoolExecutor(1, "order") if ahead else None
        self._next: Future[Drawn] | None = None
        self._state = self._generator.get_state()

    def take(self) -> Drawn:
        """The next epoch's."""
        order = self._next.result() if self._next else self._draw(self._generator)
        self._state, self._next = self._generator.get_state(), None
        if self._pool:
            self._next = self._pool.submit(self._draw, self._generator)
        return order

    def get_state(self) -> Tensor:
        """Where it is, as bytes."""
        return self._state

    def set_state(self, state: Tensor) -> None:
        """Go on from there."""
        if self._next:
            self._next.result()
        self._next = None
        self._generator.set_state(state)
        self._state = self._generator.get_state()
