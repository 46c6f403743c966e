"""A training split that is larger than a device: its frames pass through it in shards of whole utterances.

Windows would be (2 context + 1) times as much to copy, and utterances in their own order would be another experiment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from ablate.recipe.data.table import FrameTable

_SLOTS = 2  # shards on the device at once: one to train on, and the next


@dataclass(frozen=True)
class Shard:
    """Some utterances, and in the random order of their frames the place (frames,) of each in a slot, and its label."""

    utterances: Tensor
    places: Tensor
    labels: Tensor


class Streamed:
    """A split on the host, of which so many bytes of features lie on the device.

    An epoch takes the utterances in a random order, as many as a slot holds, and the frames of each such shard in a
    random order. `windows` is the overlapping view of both slots, whose memory stays the same, so that a step on it can
    be captured; its rows of the present epoch are what `begin` gives. Raises `ValueError` for a budget in which no
    shard has a batch.
    """

    def __init__(self, table: FrameTable, context: int, device: torch.device, budget: int, batch_size: int) -> None:
        self.table, self._context, self._device = table, context, device
        self.labels = table.labels
        self._sizes = table.lengths + 2 * context  # rows of each utterance with what its windows reach
        self._ends = table.lengths.cumsum(0)
        row = table.features.element_size() * table.num_mfcc
        total = int(self._sizes.sum())
        self._slot = min(budget // (_SLOTS * row), total)
        # A shard of fewer frames than a batch, and then another, would be three that a step needs.
        least = int(self._sizes.max()) + batch_size + 2 * context * math.ceil(batch_size / int(table.lengths.min()))
        if self._slot < min(least, total):
            needed = _SLOTS * row * least / 1e9
            raise ValueError(f"expected at least {needed:.2g} GB, two shards of a batch and the longest utterance")
        rows, width = _SLOTS * self._slot, (2 * context + 1) * table.num_mfcc
        self._rows = torch.zeros(rows, table.num_mfcc, dtype=table.features.dtype, device=device)
        self.windows = self._rows.as_strided((rows - 2 * context, width), (table.num_mfcc, 1))
        on_gpu = device.type == "cuda"
        self._staged = torch.empty(self._slot, table.num_mfcc, dtype=table.features.dtype, pin_memory=on_gpu)
        self._side = torch.cuda.Stream() if on_gpu else None  # type: ignore[no-untyped-call]
        self._pool = ThreadPoolExecutor(1, "shards")
        self._shards: Sequence[Shard] = ()
        self._batch_size = batch_size
        self._staging: Future[int] | None = None
        self._copied: list[torch.cuda.Event] = []  # of each shard of the epoch, on a GPU
        self._next = 0

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, generator: torch.Generator) -> list[Shard]:
        """An epoch's shards."""
        utterances = torch.randperm(len(self._sizes), generator=generator)
        ends = self._sizes[utterances].cumsum(0)
        shards = []
        begin = 0
        while begin < len(utterances):
            before = int(ends[begin - 1]) if begin else 0
            end = int(torch.searchsorted(ends, before + self._slot, right=True))
            shards.append(self._shuffled(utterances[begin:end], generator))
            begin = end
        return shards

    def begin(self, shards: Sequence[Shard]) -> tuple[Tensor, Tensor]:
        """The rows (frames,) of `windows` and the labels (frames,) of an epoch of these shards, on the device."""
        if self._staging:
            self._staging.result()  # of an epoch that was ended early
        self._shards, self._next, self._copied = shards, 0, []
        ends = torch.tensor([len(shard.places) for shard in shards]).cumsum(0).tolist()
        # The steps, from 0, in which a shard is needed first, and before which the one that has its slot is done with.
        self._needed = [0, *(end // self._batch_size for end in ends[:-1])]
        self._free = [0, 0, *((end - 1) // self._batch_size + 1 for end in ends)]
        self._stage(0, None)
        rows = torch.cat([shard.places + number % _SLOTS * self._slot for number, shard in enumerate(shards)])
        return rows.to(self._device), torch.cat([shard.labels for shard in shards]).to(self._device)

    def before(self, step: int) -> None:
        """Have on the device what this step, from 0, needs, and begin to copy what has room."""
        while self._next < len(self._shards) and self._free[self._next] <= step:
            if self._needed[self._next] > step and not (self._staging and self._staging.done()):
                break
            self._copy()
        for number, copied in enumerate(self._copied):
            if self._needed[number] == step:
                torch.cuda.current_stream().wait_event(copied)

    def _shuffled(self, utterances: Tensor, generator: torch.Generator) -> Shard:
        lengths, sizes = self.table.lengths[utterances], self._sizes[utterances]
        order = torch.randperm(int(lengths.sum()), generator=generator)
        within = torch.arange(len(order)) - torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
        places = within + torch.repeat_interleave(sizes.cumsum(0) - sizes, lengths)
        frames = within + torch.repeat_interleave(self._ends[utterances] - lengths, lengths)
        return Shard(utterances, places[order].int(), self.labels[frames[order]])

    def _stage(self, number: int, copied: torch.cuda.Event | None) -> None:
        if number < len(self._shards):
            self._staging = self._pool.submit(self._gather, self._shards[number], copied)

    def _gather(self, shard: Shard, copied: torch.cuda.Event | None) -> int:
        """Put a shard's rows in a line, in memory that a GPU can read; how many."""
        if copied:
            copied.synchronize()
        sizes = self._sizes[shard.utterances]
        first = self.table.centre[self._ends[shard.utterances] - self.table.lengths[shard.utterances]] - self._context
        within = torch.arange(int(sizes.sum())) - torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
        rows = within + torch.repeat_interleave(first.long(), sizes)
        torch.index_select(self.table.features, 0, rows, out=self._staged[: len(rows)])
        return len(rows)

    def _copy(self) -> None:
        """The next shard into its slot, while the device goes on with the one before."""
        assert self._staging
        size, begin = self._staging.result(), self._next % _SLOTS * self._slot
        slot, copied = self._rows[begin : begin + size], None
        if self._side:
            self._side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._side):
                slot.copy_(self._staged[:size], non_blocking=True)
            copied = self._side.record_event()
            self._copied.append(copied)
        else:
            slot.copy_(self._staged[:size])
        self._next += 1
        self._stage(self._next, copied)
