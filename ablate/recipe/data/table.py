"""A split as one table of frames, so that a batch of context windows is one `index_select`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ablate.recipe.data.cache import Recordings
from ablate.recipe.data.content import Track
from ablate.recipe.data.corpus import GAP, Boundary, Dtype
from ablate.recipe.normalization import Normalization

_TORCH = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class FrameTable:
    """The frames of a split's utterances, in the order of `names`, with rows of zeros between them.

    `features` (rows, mfcc) float32 or bfloat16: real frames, and `GAP` zero rows before, between and after
    utterances, so that a window of up to `GAP` frames a side never holds another utterance's frames; where the
    boundary is to bleed, only before the first and after the last one, as the course's starter has it.
    `labels` (frames,) uint8: a class for each real frame.  `centre` (frames,) int32: its row in `features`.
    `lengths` (utterances,) int64: the number of frames of each.  `speakers`: who speaks in each, where that is known.
    `dropped`: what is wrong with utterances left out.  `digest`: of what its features and labels were made of, which
    are those of the whole split.  `statistics`: what the normalization of its features was fitted to.
    """

    features: Tensor
    labels: Tensor
    centre: Tensor
    lengths: Tensor
    names: tuple[str, ...]
    speakers: tuple[str, ...] = ()
    dropped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    digest: str = ""
    statistics: Mapping[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def blank(
        names: Sequence[str], lengths: Sequence[int], num_mfcc: int, boundary: Boundary = "zero", dtype: Dtype = "fp32"
    ) -> FrameTable:
        """A table of these utterances to be filled: all features and labels are zero."""
        size = torch.as_tensor(np.asarray(lengths, np.int64))
        frames = int(size.sum())
        centre = torch.arange(GAP, GAP + frames, dtype=torch.int32)
        gaps = 2
        if boundary == "zero":
            centre += torch.repeat_interleave(GAP * torch.arange(len(names), dtype=torch.int32), size)
            gaps = len(names) + 1
        return FrameTable(
            features=torch.zeros(frames + GAP * gaps, num_mfcc, dtype=_TORCH[dtype]),
            labels=torch.zeros(frames, dtype=torch.uint8),
            centre=centre,
            lengths=size,
            names=tuple(names),
        )

    @staticmethod
    def of(
        recordings: Recordings, normalize: Normalization, boundary: Boundary, dtype: Dtype, track: Track
    ) -> FrameTable:
        """The recordings' table: each utterance normalized in float32, then rounded to the table's type."""
        names = recordings.names
        table = FrameTable.blank(names, recordings.lengths, recordings.num_mfcc, boundary, dtype)

        def fill(read: Tensor, classes: Tensor, place: tuple[Tensor, Tensor]) -> None:
            features, labels = place
            normalize(read)
            features.copy_(read)
            labels.copy_(classes)

        for _ in track(recordings.map(fill, list(table.utterances())), len(names), "loading"):
            pass
        return dataclasses.replace(
            table,
            speakers=tuple(recordings.speaker_of_each),
            dropped=recordings.faults,
            digest=recordings.digest,
            statistics=normalize.statistics,
        )

    def utterances(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Views of each utterance's features (frames, mfcc) and labels (frames,): writing fills the table."""
        frames = (self.lengths.cumsum(0) - self.lengths).tolist()
        rows = self.centre[frames].tolist()
        for row, frame, length in zip(rows, frames, self.lengths.tolist(), strict=True):
            yield self.features[row : row + length], self.labels[frame : frame + length]

    @property
    def num_mfcc(self) -> int:
        """Coefficients a frame."""
        return self.features.shape[1]

    @property
    def nbytes(self) -> int:
        """What the frames, labels and centres take."""
        return self.features.nbytes + self.labels.nbytes + self.centre.nbytes

    def to(self, device: torch.device) -> FrameTable:
        """The table with features, labels and centres on `device`."""
        return dataclasses.replace(
            self,
            features=self.features.to(device),
            labels=self.labels.to(device),
            centre=self.centre.to(device),
        )

    def windows(self, context: int) -> Tensor:
        """All windows of `context` frames a side, (rows - 2 context, (2 context + 1) mfcc), without a copy.

        Row r of this overlapping view is the window whose centre is row r + context of `features`.
        """
        width = (2 * context + 1) * self.num_mfcc
        return self.features.as_strided((len(self.features) - 2 * context, width), (self.num_mfcc, 1))
