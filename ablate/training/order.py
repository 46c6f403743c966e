"""The order of the frames in each epoch, drawn ahead while a GPU trains on the one before."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor


class Order:
    """Permutations (frames,) int32 of so many frames, one an epoch, from a generator of its own on the CPU.

    So a run has the same order on each device. With `ahead` the next is drawn by a thread while its caller goes on:
    36 million frames take it a second. State is of those that were taken.
    """

    def __init__(self, seed: int, frames: int, *, ahead: bool) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._frames = frames
        self._pool = ThreadPoolExecutor(1, "order") if ahead else None
        self._next: Future[Tensor] | None = None
        self._state = self._generator.get_state()

    def take(self) -> Tensor:
        """The next epoch's."""
        order = self._next.result() if self._next else self._draw()
        self._state, self._next = self._generator.get_state(), None
        if self._pool:
            self._next = self._pool.submit(self._draw)
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

    def _draw(self) -> Tensor:
        return torch.randperm(self._frames, generator=self._generator, dtype=torch.int32)
