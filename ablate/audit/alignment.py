"""How well labels fit features when they are moved against them: the frame where they fit best tells a shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from ablate.recipe.data.phoneme import PHONEMES

REACH = 10
"""Frames to each side that labels are moved by."""

SHIFTS = np.arange(-REACH, REACH + 1)
"""By a shift of k a frame is given the label that stands k frames later."""

_SHORTEST = 6 * REACH  # frames of an utterance that is judged
_FEWEST_SEGMENTS = 8
_ELSEWHERE = 13  # places in the utterance whose labels are compared with
_A_LITTLE = 1e-3
_TINY = 1e-12


@dataclass
class Moments:
    """Sums over a split's frames, each utterance's mean taken out: of each class at each shift, and of products.

    `sums` (shifts, classes, mfcc), `counts` (classes,), `products` (mfcc, mfcc). The labels within `REACH` of an end
    are left out, so that each shift has the same ones.
    """

    sums: Tensor
    counts: Tensor
    products: Tensor

    @staticmethod
    def none(num_mfcc: int) -> Moments:
        """Of no frame."""
        classes = len(PHONEMES)
        sums = torch.zeros(len(SHIFTS), classes, num_mfcc, dtype=torch.float64)
        return Moments(sums, torch.zeros_like(sums[0, :, 0]), torch.zeros(num_mfcc, num_mfcc, dtype=torch.float64))

    def add(self, features: np.ndarray, labels: np.ndarray) -> None:
        """Take in an utterance: (frames, mfcc) float, (frames,) classes. One too short to be moved is left out."""
        frames = len(labels)
        if frames <= 2 * REACH:
            return
        centred = torch.from_numpy(features).double()
        centred -= centred.mean(0)
        running = torch.cat([torch.zeros_like(centred[:1]), centred.cumsum(0)])
        starts = _starts(labels)
        of_segment = torch.from_numpy(labels[starts].astype(np.int64))
        starts = np.clip(starts, REACH, frames - REACH)
        ends = np.append(starts[1:], frames - REACH)
        # The label that stands `shift` later belongs to a frame that is earlier by as much.
        first, last = (torch.from_numpy(at - SHIFTS[:, None]) for at in (starts, ends))
        self.sums.index_add_(1, of_segment, running[last] - running[first])
        self.counts.index_add_(0, of_segment, torch.from_numpy(ends - starts).double())
        inner = centred[REACH : frames - REACH]
        self.products.addmm_(inner.T, inner)

    def fit(self) -> np.ndarray:
        """The classes' share of the features' variance at each shift (shifts,), 0 to mfcc: trace of T^-1 B."""
        number = max(float(self.counts.sum()), 1.0)
        means = self.sums / self.counts.clamp(min=1)[:, None]
        between = torch.einsum("scd,sce,c->sde", means, means, self.counts / number)
        found: np.ndarray = (
            torch.linalg.solve(_regular(self.products / number), between).diagonal(0, 1, 2).sum(1).numpy()
        )
        return found


@dataclass(frozen=True)
class Classes:
    """Gaussians of the classes, with one covariance, of features without their utterance's mean.

    `weights` (mfcc, classes) and `offset` (classes,) give a frame's log-likelihood but for what all classes share.
    """

    weights: Tensor
    offset: Tensor

    @staticmethod
    def of(moments: Moments, shift: int) -> Classes:
        """As the labels give them, moved by `shift`."""
        counts = moments.counts
        means = moments.sums[shift + REACH] / counts.clamp(min=1)[:, None]
        number = max(float(counts.sum()), 1.0)
        within = moments.products / number - torch.einsum("cd,ce,c->de", means, means, counts / number)
        weights = torch.linalg.solve(_regular(within), means.T)
        offset = 0.5 * (means * weights.T).sum(1)
        return Classes(weights.float(), torch.where(counts > 0, offset, offset.max() + 1).float())


@dataclass(frozen=True)
class Fit:
    """How well an utterance's labels fit: `at` (shifts,), log-likelihood a frame beyond that of labels elsewhere."""

    at: np.ndarray


def fit(features: np.ndarray, labels: np.ndarray, classes: Classes) -> Fit | None:
    """The fit of an utterance's labels; none of one too short, or with too few segments, to tell."""
    frames = len(labels)
    if frames < _SHORTEST or len(_starts(labels)) < _FEWEST_SEGMENTS:
        return None
    read = torch.from_numpy(features)
    likely = torch.addmm(-classes.offset, read - read.mean(0), classes.weights).numpy()
    moved = sliding_window_view(labels, frames - 2 * REACH)  # (shifts, frames)
    at = _mean_at(likely[REACH : frames - REACH], moved)
    lags = np.linspace(0.2 * frames, 0.8 * frames, _ELSEWHERE).astype(int)
    elsewhere = _mean_at(likely, np.stack([np.roll(labels, lag) for lag in lags]))
    return Fit(at - elsewhere.mean())


def _mean_at(likely: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean of `likely` (frames, classes) at the labels of each row of `labels` (rows, frames)."""
    frames, classes = likely.shape
    found: np.ndarray = likely.ravel().take(np.arange(frames) * classes + labels).mean(1, dtype=np.float64)
    return found


def best_shift(at: np.ndarray) -> int:
    """The shift of the best fit of `at` (shifts,)."""
    return int(SHIFTS[at.argmax()])


def _starts(labels: np.ndarray) -> np.ndarray:
    """The first frame of each segment of equal labels."""
    return np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])


def _regular(covariance: Tensor) -> Tensor:
    """The covariance with a little more of each variance, so that it can be divided by; of none, a little of all."""
    variances = covariance.diagonal()
    return covariance + torch.diag(_A_LITTLE * (variances + _A_LITTLE * variances.mean()) + _TINY)
