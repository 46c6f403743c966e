"""A training split that is larger than a device: its frames pass through it in shards of whole utterances.

Windows would be (2 context + 1) times as much to copy, and utterances in their own order would be another experiment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from ablate.recipe.data.table import FrameTable

_SLOTS = 8  # shards on the device at once, of which one is being replaced
_MOST_PASSES = 4  # of all utterances through the device in an epoch


@dataclass(frozen=True)
class Epoch:
    """Shards of utterances, each in each pass in one of them, and the frames in the order of the epoch's rounds.

    A round mixes frames of seven shards.

    `rows` (frames,) int32 of the view, `labels` (frames,) uint8, and how many `frames` there are by the end of a round.
    A shard comes in the round `first`, and leaves after `last`, the frames that its pass has of it divided among these.
    """

    shards: list[Tensor]
    rows: Tensor
    labels: Tensor
    frames: list[int]
    first: list[int]
    last: list[int]


class Streamed:
    """A split on the host, of which so many bytes of features lie on the device.

    An epoch takes the utterances in a random order, in shards, one after the other into the place of the one that has
    been there longest; a batch's frames are drawn from all shards that are there. It does so several times, of each
    utterance with every n-th of its frames, so that what is there for a while is like all of the split, and the last of
    an epoch too: so many `passes` as the budget has room for. `windows` is the overlapping view of the shards, whose
    memory stays the same, so that a step on it can be captured. Raises `ValueError` for a budget so small that a batch
    might need a shard that has left.
    """

    def __init__(self, table: FrameTable, context: int, device: torch.device, budget: int, batch_size: int) -> None:
        self.table, self._context, self._device = table, context, device
        self.labels = table.labels
        self._sizes = table.lengths + 2 * context  # rows of each utterance with what its windows reach
        self._ends = table.lengths.cumsum(0)
        self._batch_size = batch_size
        row = table.features.element_size() * table.num_mfcc
        longest, total = int(self._sizes.max()), int(self._sizes.sum())
        slot = budget // (_SLOTS * row)
        self.passes = max((passes for passes in range(1, _MOST_PASSES + 1) if self._least(passes) <= slot), default=0)
        if not self.passes:
            raise ValueError(self._too_small(_SLOTS * row * self._least(1)))
        self._number = math.ceil(total / (slot - longest))
        self._slot = min(slot, total)
        rows, width = _SLOTS * self._slot, (2 * context + 1) * table.num_mfcc
        self._rows = torch.zeros(rows, table.num_mfcc, dtype=table.features.dtype, device=device)
        self.windows = self._rows.as_strided((rows - 2 * context, width), (table.num_mfcc, 1))
        on_gpu = device.type == "cuda"
        self._staged = torch.empty(self._slot, table.num_mfcc, dtype=table.features.dtype, pin_memory=on_gpu)
        self._side = torch.cuda.Stream() if on_gpu else None  # type: ignore[no-untyped-call]
        self._pool = ThreadPoolExecutor(1, "shards")
        self._shards: list[Tensor] = []
        self._staging: Future[int] | None = None
        self._copied: dict[int, torch.cuda.Event] = {}  # on a GPU, by the step that needs it: the last of its shards is
        self._next = 0

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, generator: torch.Generator) -> Epoch:
        """An epoch's shards and order."""
        turns = torch.randint(self.passes, (len(self._sizes),), generator=generator)
        shards = [shard for _ in range(self.passes) for shard in self._divided(generator)]
        rounds = max(1, len(shards) - _SLOTS + 2)
        first = [max(0, number - _SLOTS + 2) for number in range(len(shards))]
        last = [min(number, rounds - 1) for number in range(len(shards))]
        of_round: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(rounds)]
        for number, shard in enumerate(shards):
            rows, labels = self._shuffled(shard, turns[shard] + number // self._number, generator)
            parts = last[number] - first[number] + 1
            rows += number % _SLOTS * self._slot
            for part, some in enumerate(zip(rows.tensor_split(parts), labels.tensor_split(parts), strict=True)):
                of_round[first[number] + part].append(some)
        mixed = []
        for parts_of_shards in of_round:
            rows, labels = (torch.cat(each) for each in zip(*parts_of_shards, strict=True))
            order = torch.randperm(len(rows), generator=generator)
            mixed.append((rows[order], labels[order]))
        frames = torch.tensor([len(rows) for rows, _ in mixed]).cumsum(0).tolist()
        rows, labels = (torch.cat(each) for each in zip(*mixed, strict=True))
        return Epoch(shards, rows, labels, frames, first, last)

    def begin(self, epoch: Epoch) -> tuple[Tensor, Tensor]:
        """The rows (frames,) of `windows` and the labels (frames,) of an epoch, on the device."""
        if self._staging:
            self._staging.result()  # of an epoch that was ended early
        self._shards, self._next, self._copied = epoch.shards, 0, {}
        # The steps, from 0, in which a shard is needed first, and before which the one that has its slot is done with.
        self._needed = [epoch.frames[first - 1] // self._batch_size if first else 0 for first in epoch.first]
        done = [(epoch.frames[last] - 1) // self._batch_size + 1 for last in epoch.last]
        self._free = [0] * _SLOTS + done
        self._stage(0, None)
        return epoch.rows.to(self._device), epoch.labels.to(self._device)

    def before(self, step: int) -> None:
        """Have on the device what this step, from 0, needs, and begin to copy what has room."""
        while self._next < len(self._shards) and self._free[self._next] <= step:
            if self._needed[self._next] > step and not (self._staging and self._staging.done()):
                break
            self._copy()
        if copied := self._copied.get(step):
            torch.cuda.current_stream().wait_event(copied)

    def spread(self, size: int) -> Iterator[Tensor]:
        """The rows of all frames but the last incomplete batch's, each batch of seven shards; the same each time.

        A batch is as large as a step's, whatever `size`: that is what the shards are kept for.
        """
        rows, _ = self.begin(self.draw(torch.Generator().manual_seed(0)))
        for step in range(len(rows) // self._batch_size):
            self.before(step)
            yield rows[step * self._batch_size : (step + 1) * self._batch_size]

    def _least(self, passes: int) -> float:
        """Rows of a slot for so many passes: then even the smallest shard has as many frames as a batch in a pass.

        So has a round, and no step is in three rounds.
        """
        of_a_pass, wanted = self.table.lengths // passes, self._batch_size + _SLOTS
        order = (of_a_pass / self._sizes).argsort()  # those first of which a shard of few frames would be made
        frames, rows = of_a_pass[order].cumsum(0), self._sizes[order].cumsum(0)
        if frames[-1] < wanted:
            return math.inf
        last = int(torch.searchsorted(frames, wanted))
        over = (int(frames[last]) - wanted) / float(of_a_pass[order[last]])  # of the last one
        return 3 * int(self._sizes.max()) + 2 * (int(rows[last]) - math.floor(over * int(self._sizes[order[last]])))

    def _too_small(self, least: float) -> str:
        """Why a budget of less than so many bytes is refused."""
        whole = self.table.features.nbytes
        enough = f"{_rounded_up(whole / 1e9)} GB, which hold the whole split"
        if least < whole:
            enough = f"at least {_rounded_up(least / 1e9)} GB for batches of {self._batch_size} frames, or {enough}"
        return f"expected {enough}; give more, or a smaller batch_size"

    def _divided(self, generator: torch.Generator) -> list[Tensor]:
        """All utterances in random order, in shards of as many rows as can be, so that none is much smaller."""
        utterances = torch.randperm(len(self._sizes), generator=generator)
        sizes = self._sizes[utterances]
        middles = sizes.cumsum(0) - sizes // 2
        number = (middles * self._number // int(sizes.sum())).clamp(max=self._number - 1)
        of_each = torch.bincount(number, minlength=self._number)
        return list(torch.split(utterances, of_each.tolist()))

    def _shuffled(self, utterances: Tensor, turns: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The places (frames,) in a slot and the labels (frames,) of a shard's frames, in random order.

        Of each utterance it is the turn of some frames, as many apart as there are passes.
        """
        lengths, sizes = self.table.lengths[utterances], self._sizes[utterances]
        within = torch.arange(int(lengths.sum())) - torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
        places = within + torch.repeat_interleave(sizes.cumsum(0) - sizes, lengths)
        frames = within + torch.repeat_interleave(self._ends[utterances] - lengths, lengths)
        taken = ((within + torch.repeat_interleave(turns, lengths)) % self.passes == 0).nonzero().flatten()
        order = taken[torch.randperm(len(taken), generator=generator)]
        return places[order].int(), self.labels[frames[order]]

    def _stage(self, number: int, copied: torch.cuda.Event | None) -> None:
        if number < len(self._shards):
            self._staging = self._pool.submit(self._gather, self._shards[number], copied)

    def _gather(self, utterances: Tensor, copied: torch.cuda.Event | None) -> int:
        """Put a shard's rows in a line, in memory that a GPU can read; how many."""
        if copied:
            copied.synchronize()
        sizes = self._sizes[utterances]
        first = self.table.centre[self._ends[utterances] - self.table.lengths[utterances]] - self._context
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
            self._copied[self._needed[self._next]] = copied
        else:
            slot.copy_(self._staged[:size])
        self._next += 1
        self._stage(self._next, copied)


def _rounded_up(number: float) -> str:
    """Two digits of a positive number, and no less than it."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return f"{math.ceil(number / unit) * unit:.2g}"
