"""A run's model in use: it needs its record alone, neither its training data nor the command that trained it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ablate.error import UserError
from ablate.inference import portable
from ablate.inference.portable import Portable
from ablate.recipe import arch
from ablate.recipe.data.cache import Recordings
from ablate.recipe.data.table import FrameTable
from ablate.recipe.normalization import Normalization
from ablate.record import reading
from ablate.record.reading import Result

Autocast = Callable[[], AbstractContextManager[object]]
"""The context of each forward pass: its precision."""

BATCH = 8192
"""Frames of a forward pass."""


@dataclass(frozen=True)
class Trained:
    """A finished run whose model can be used."""

    folder: Path
    result: Result
    portable: Portable

    @staticmethod
    def of(folder: Path) -> Trained:
        """That of a run's folder. Raises `UserError` where there is none, or its record is damaged."""
        result = reading.result(folder)
        if result is None:
            raise UserError(
                f"{folder.name}: no finished run in {folder.parent}; only a finished one has a model to use"
            )
        if result["metrics"]["val/accuracy"] is None:
            raise UserError(f"{folder.name}: diverged before an epoch was validated, hence it has no model to use")
        return Trained(folder, result, portable.read(folder))

    @cached_property
    def model(self) -> nn.Sequential:
        """With its best weights, in evaluation mode, on the CPU until it is moved."""
        return portable.model(self.folder, self.portable)

    @cached_property
    def normalize(self) -> Normalization:
        """As fitted to its training split."""
        return portable.normalization(self.portable)

    @property
    def accuracy(self) -> float:
        """On validation, of the weights that are used."""
        return self.result["metrics"]["val/accuracy"] or 0.0

    @property
    def num_params(self) -> int:
        """Trained parameters, everything counted."""
        return arch.num_params(self.model)

    def table(self, recordings: Recordings) -> FrameTable:
        """Recordings made into what the model was trained on. Raises `UserError` for those of another width."""
        self._check_width(recordings.num_mfcc)
        return FrameTable.of(recordings, self.normalize, self.portable["boundary"], self.portable["dtype"], _untracked)

    def table_of(self, features: Tensor) -> FrameTable:
        """As `table`, of a single utterance's features (frames, mfcc)."""
        if features.ndim != 2:
            raise UserError(f"features: expected (frames, mfcc), found {tuple(features.shape)}")
        self._check_width(features.shape[1])
        spec = self.portable
        table = FrameTable.blank(["utterance"], [len(features)], spec["num_mfcc"], spec["boundary"], spec["dtype"])
        normalized = features.to(torch.float32, copy=True)
        self.normalize(normalized)
        for rows, _ in table.utterances():
            rows.copy_(normalized)
        return table

    @torch.inference_mode()
    def logits(self, table: FrameTable, device: torch.device, autocast: Autocast) -> Iterator[Tensor]:
        """Of the table's frames in their order, (batch, classes) float32 a batch, on the device."""
        model, table, context = self.model.to(device), table.to(device), self.portable["context"]
        windows, first = table.windows(context), table.centre - context
        for start in range(0, len(first), BATCH):
            with autocast():
                made = model(windows.index_select(0, first[start : start + BATCH]).float())
            yield made.float()

    def _check_width(self, found: int) -> None:
        if found != self.portable["num_mfcc"]:
            raise UserError(
                f"{self.folder.name}: trained on {self.portable['num_mfcc']} coefficients a frame, found {found}; give "
                "it data that were made as its training data were"
            )


def _untracked(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    return items
