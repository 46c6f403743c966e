"""Trainings on frames made up, of any number, to measure: no corpus is read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ablate.config.check import check_settings, instantiate
from ablate.config.compose import compose, resolve
from ablate.config.settings import Config
from ablate.display import Screen
from ablate.recipe.data.phoneme import PHONEMES
from ablate.recipe.data.table import FrameTable
from ablate.training.data import Frames
from ablate.training.prepare import Training, prepare
from ablate.training.session import Tables

_UTTERANCE = 1000  # frames
_MFCC = 28


class _Made(Tables):
    """Tables that are made, whatever is asked for."""

    def __init__(self, train: int, val: int) -> None:
        super().__init__()
        self._sizes = train, val

    def get(
        self, config: Config, fingerprint: str, make: Callable[[], tuple[FrameTable, FrameTable]]
    ) -> tuple[FrameTable, FrameTable]:
        """Training and validation frames of the sizes given."""
        train, val = (_table(size, config["data"]["dtype"]) for size in self._sizes)
        return train, val


def training(overrides: Sequence[str], frames: int, val_frames: int = 10_000) -> Training:
    """A training of these overrides on so many frames (whole thousands) of 28 coefficients, normal; labels at random.

    Raises `UserError`.
    """
    config = check_settings(resolve(compose(overrides)), overrides)
    corpus = instantiate(config, "data")
    return prepare(config, corpus, "", Screen(quiet=True), _Made(frames, val_frames))


def held(made: Training) -> Frames:
    """Its training frames, which lie on the device."""
    assert isinstance(made.train, Frames)
    return made.train


def products(made: Training) -> Callable[[], None]:
    """The matrix products of one of a training's steps, on its device and in its precision, and nothing else."""
    layers = [layer.weight.shape for layer in made.model if isinstance(layer, nn.Linear)]
    batch, device = made.config["batch_size"], made.device
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(made.config["precision"], torch.float32)

    def drawn(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, device=device, dtype=dtype)

    operands = [(drawn(batch, size), drawn(out, size), drawn(batch, out)) for out, size in layers]

    def multiply() -> None:
        for layer, (inputs, weight, gradient) in enumerate(operands):
            torch.mm(inputs, weight.t())
            torch.mm(gradient.t(), inputs)
            if layer:
                torch.mm(gradient, weight)

    return multiply


def _table(frames: int, dtype: str) -> FrameTable:
    lengths = [_UTTERANCE] * max(1, frames // _UTTERANCE)
    names = [f"{number}" for number in range(len(lengths))]
    table = FrameTable.blank(names, lengths, _MFCC, dtype="bf16" if dtype == "bf16" else "fp32")
    draw = torch.Generator().manual_seed(0)
    block = torch.randn(_UTTERANCE, _MFCC, generator=draw)
    for (features, labels), shift in zip(table.utterances(), itertools.count()):
        features.copy_(block.roll(shift, 0))
        labels.random_(0, len(PHONEMES), generator=draw)
    return table
