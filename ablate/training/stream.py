"""A run's streams of random numbers: initialization, order, augmentation, dropout, each with its own generator."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor


class Stream:
    """Random numbers of its own for code that draws from torch's global generator of a device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        self._device = device

    @property
    def state(self) -> Tensor:
        """Where it is in its numbers, as bytes."""
        return self.generator.get_state()

    @state.setter
    def state(self, state: Tensor) -> None:
        """Go on from there."""
        self.generator.set_state(state)

    def __enter__(self) -> None:
        if self._device.type == "cuda":  # by reference, so that a graph of the numbers' use can be captured
            torch.cuda.init()  # type: ignore[no-untyped-call]
            self._global = torch.cuda.default_generators[torch.cuda.current_device()]
            self._outer_generator = self._global.graphsafe_get_state()
            self._global.graphsafe_set_state(self.generator)
            return
        random = global_random(self._device)
        self._outer = random.get_rng_state()
        random.set_rng_state(self.state)

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self._global.graphsafe_set_state(self._outer_generator)
            return
        random = global_random(self._device)
        self.state = random.get_rng_state()
        random.set_rng_state(self._outer)


def global_random(device: torch.device) -> Any:
    """The module whose `get_rng_state` and `set_rng_state` are those of a device's global generator."""
    return torch if device.type == "cpu" else torch.get_device_module(device)


def stream_seed(seed: int, stream: str) -> int:
    """The seed of one of a run's streams of random numbers; 63 bits of a hash, so that no two are alike."""
    digest = hashlib.sha256(f"{stream}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1
