"""A run's streams of random numbers: initialization, order, augmentation, dropout, each with its own generator."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor


class Stream:
    """Random numbers of its own for code that draws from torch's global generator of a device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._global = global_random(device)
        self.state: Tensor = torch.Generator(device).manual_seed(seed).get_state()

    def __enter__(self) -> None:
        self._outer = self._global.get_rng_state()
        self._global.set_rng_state(self.state)

    def __exit__(self, *_: object) -> None:
        self.state = self._global.get_rng_state()
        self._global.set_rng_state(self._outer)


def global_random(device: torch.device) -> Any:
    """The module whose `get_rng_state` and `set_rng_state` are those of a device's global generator."""
    return torch if device.type == "cpu" else torch.get_device_module(device)


def stream_seed(seed: int, stream: str) -> int:
    """The seed of one of a run's streams of random numbers; 63 bits of a hash, so that no two are alike."""
    digest = hashlib.sha256(f"{stream}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1
