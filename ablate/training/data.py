"""A run's data: checked and in the cache, normalized into tables, and on the device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ablate.config.check import instantiate
from ablate.config.settings import Config
from ablate.display import Screen, few
from ablate.error import UserError, refusing
from ablate.recipe.data.cache import Recordings, undamaged
from ablate.recipe.data.corpus import Corpus, Split, combined, of_both
from ablate.recipe.data.table import FrameTable
from ablate.record.layout import Layout

_MANY_UTTERANCES = 5_000  # whose loading takes seconds


@dataclass(frozen=True)
class Frames:
    """A split on the device: `first` (frames,) is each frame's row in the overlapping view `windows`."""

    windows: Tensor
    first: Tensor
    labels: Tensor
    table: FrameTable

    @staticmethod
    def of(table: FrameTable, context: int, device: torch.device) -> Frames:
        """The table's frames with `context` frames a side."""
        table = table.to(device)
        return Frames(table.windows(context), table.centre - context, table.labels, table)

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, generator: torch.Generator) -> Tensor:
        """An epoch's order (frames,) int32."""
        return torch.randperm(len(self), generator=generator, dtype=torch.int32)

    def begin(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """The rows (frames,) of `windows` and the labels (frames,) of an epoch in this order."""
        order = order.to(self.first.device)
        return self.first.index_select(0, order), self.labels.index_select(0, order)

    def before(self, step: int) -> None:
        """Have what this step needs: all is there."""

    def spread(self, size: int) -> Iterator[Tensor]:
        """The rows of all frames, some `size` of them at a time, of which each batch has some of all of the split."""
        batches = math.ceil(len(self) / size)
        for batch in range(batches):
            yield self.first[batch::batches]


def load(config: Config, corpus: Corpus, screen: Screen) -> tuple[Recordings, Recordings]:
    """The training and validation splits, checked and in the cache; what is left out is told.

    Raises `UserError` that names what is wrong with either.
    """
    cache = Layout(Path(config["output_dir"])).cache

    def read(split: Split) -> Recordings:
        return corpus.load(split, seed=config["seed"], cache=cache, track=screen.track)

    with refusing():
        train, val = of_both(read)
    for name, recordings in (("train", train), ("val", val)):
        if faults := recordings.faults:
            screen.say(f"bad utterances of data.{name} left out: {len(faults)} ({few(list(faults))})")
        if named := sorted(recordings.left_out):
            screen.say(f"utterances of data.{name} that data.leave_out names: {len(named)} ({few(named)})")
    return train, val


def check_size(config: Config, frames: int) -> None:
    """Raise `UserError` where so many training frames make no batch."""
    if config["batch_size"] > frames:
        raise UserError(
            f"batch_size={config['batch_size']}: the training split has only {frames} frames; give a smaller one, or a "
            "larger part of the data"
        )


def tables(config: Config, corpus: Corpus, fingerprint: str, screen: Screen) -> tuple[FrameTable, FrameTable]:
    """The normalized training and validation tables. Raises `UserError` for data that are no longer those."""

    def made() -> tuple[FrameTable, FrameTable]:
        train, val = load(config, corpus, screen)
        if combined(train.identity, val.identity) != fingerprint:
            raise UserError("data: files have changed since the run began; give the same command again")
        return _made(config, corpus, train, val, screen)

    return undamaged(made, screen.announce)


def _made(
    config: Config, corpus: Corpus, train: Recordings, val: Recordings, screen: Screen
) -> tuple[FrameTable, FrameTable]:
    if shared := sorted(train.speakers & val.speakers):
        screen.announce(f"warning: {few(shared)} speak in both splits: new speakers will be understood worse")
        if same := sorted(set(train.names) & set(val.names)):
            screen.announce(f"warning: {few(same)} are in both splits: what is trained on validates nothing")

    def table(recordings: Recordings) -> FrameTable:
        track = screen.track if len(recordings.names) > _MANY_UTTERANCES else _untracked
        return FrameTable.of(recordings, normalize, corpus.boundary, corpus.dtype, track)

    normalize = instantiate(config, "normalization", train)
    return table(train), table(val)


def _untracked(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    return items
