"""A split as one table of frames, so that a batch of context windows is one `index_select`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ablate.recipe.data.corpus import GAP
from ablate.recipe.data.subset import speaker


@dataclass(frozen=True)
class FrameTable:
    """The frames of a split's utterances, in the order of `names`, with rows of zeros between them.

    `features` (rows, mfcc) float32: real frames, and `GAP` zero rows before, between and after utterances, so
    that a window of up to `GAP` frames a side never holds another utterance's frames.
    `labels` (frames,) uint8: a class for each real frame.  `centre` (frames,) int32: its row in `features`.
    `lengths` (utterances,) int64: the number of frames of each.  `dropped`: utterances left out as faulty.
    """

    features: Tensor
    labels: Tensor
    centre: Tensor
    lengths: Tensor
    names: tuple[str, ...]
    dropped: tuple[str, ...] = ()

    @staticmethod
    def blank(names: Sequence[str], lengths: Sequence[int], num_mfcc: int) -> FrameTable:
        """A table of these utterances for a loader to fill: all features and labels are zero."""
        size = torch.as_tensor(np.asarray(lengths, np.int64))
        frames = int(size.sum())
        return FrameTable(
            features=torch.zeros(frames + GAP * (len(names) + 1), num_mfcc),
            labels=torch.zeros(frames, dtype=torch.uint8),
            centre=torch.arange(frames, dtype=torch.int32)
            + GAP * torch.repeat_interleave(torch.arange(1, len(names) + 1, dtype=torch.int32), size),
            lengths=size,
            names=tuple(names),
        )

    def utterances(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Views of each utterance's features (frames, mfcc) and labels (frames,): writing fills the table."""
        frames = (self.lengths.cumsum(0) - self.lengths).tolist()
        rows = self.centre[frames].tolist()
        for row, frame, length in zip(rows, frames, self.lengths.tolist(), strict=True):
            yield self.features[row : row + length], self.labels[frame : frame + length]

    def speakers(self) -> set[str]:
        """Who speaks in the utterances."""
        return {speaker(name) for name in self.names}

    @property
    def num_mfcc(self) -> int:
        """Coefficients a frame."""
        return self.features.shape[1]

    def to(self, device: torch.device) -> FrameTable:
        """The table with features, labels and centres on `device`."""
        return dataclasses.replace(
            self,
            features=self.features.to(device),
            labels=self.labels.to(device),
            centre=self.centre.to(device),
        )

    def bleeding(self) -> FrameTable:
        """The table as the course's starter has it: zeros only at its two ends, so windows hold neighbours."""
        frames = len(self.labels)
        features = self.features.new_zeros(frames + 2 * GAP, self.num_mfcc)
        torch.index_select(self.features, 0, self.centre, out=features[GAP : GAP + frames])
        centre = torch.arange(GAP, GAP + frames, dtype=torch.int32, device=self.centre.device)
        return dataclasses.replace(self, features=features, centre=centre)

    def windows(self, context: int) -> Tensor:
        """All windows of `context` frames a side, (rows - 2 context, (2 context + 1) mfcc), without a copy.

        Row r of this overlapping view is the window whose centre is row r + context of `features`.
        """
        width = (2 * context + 1) * self.num_mfcc
        return self.features.as_strided((len(self.features) - 2 * context, width), (self.num_mfcc, 1))
