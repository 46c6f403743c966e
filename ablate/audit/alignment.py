"""How well labels fit features when they are moved against them: the frame where they fit best tells a shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

    `sums` (shifts, classes, mfcc), `counts` (shifts, classes), `products` (mfcc, mfcc).
    """

    sums: np.ndarray
    counts: np.ndarray
    products: np.ndarray

    @staticmethod
    def none(num_mfcc: int) -> Moments:
        """Of no frame."""
        classes = (len(SHIFTS), len(PHONEMES))
        return Moments(np.zeros((*classes, num_mfcc)), np.zeros(classes), np.zeros((num_mfcc, num_mfcc)))

    def add(self, features: np.ndarray, labels: np.ndarray) -> None:
        """Take in an utterance: (frames, mfcc) float, (frames,) classes. One too short to be moved is left out."""
        frames = len(labels)
        if frames <= 2 * REACH:
            return
        centred = (features - features.mean(0)).astype(np.float64)
        running = np.concatenate([np.zeros((1, centred.shape[1])), centred.cumsum(0)])
        starts = _starts(labels)
        of_segment = labels[starts]
        starts = np.clip(starts, REACH, frames - REACH)
        ends = np.append(starts[1:], frames - REACH)
        for place, shift in enumerate(SHIFTS):  # the labels that stand `shift` later: their frames are earlier
            sums = running[ends - shift] - running[starts - shift]
            np.add.at(self.sums[place], of_segment, sums)
            np.add.at(self.counts[place], of_segment, ends - starts)
        inner = centred[REACH : frames - REACH]
        self.products += inner.T @ inner

    def fit(self) -> np.ndarray:
        """The classes' share of the features' variance at each shift (shifts,), 0 to mfcc: trace of T^-1 B."""
        number = self.counts.sum(1, keepdims=True)
        means = self.sums / np.maximum(self.counts, 1)[..., None]
        between = np.einsum("scd,sce,sc->sde", means, means, self.counts / np.maximum(number, 1))
        total = _regular(self.products / max(float(number.max()), 1))
        found: np.ndarray = np.trace(np.linalg.solve(total[None], between), axis1=1, axis2=2)
        return found


@dataclass(frozen=True)
class Classes:
    """Gaussians of the classes, with one covariance, of features without their utterance's mean.

    `weights` (mfcc, classes) and `offset` (classes,) give a frame's log-likelihood but for what all classes share.
    """

    weights: np.ndarray
    offset: np.ndarray

    @staticmethod
    def of(moments: Moments, shift: int) -> Classes:
        """As the labels give them, moved by `shift`."""
        place = shift + REACH
        counts = moments.counts[place]
        means = moments.sums[place] / np.maximum(counts, 1)[:, None]
        number = max(float(counts.sum()), 1)
        within = moments.products / number - np.einsum("cd,ce,c->de", means, means, counts / number)
        weights = np.linalg.solve(_regular(within), means.T)
        offset = 0.5 * np.einsum("cd,dc->c", means, weights)
        return Classes(weights, np.where(counts > 0, offset, offset.max() + 1))


@dataclass(frozen=True)
class Fit:
    """How well an utterance's labels fit: `at` (shifts,), log-likelihood a frame beyond that of labels elsewhere."""

    at: np.ndarray


def fit(features: np.ndarray, labels: np.ndarray, classes: Classes) -> Fit | None:
    """The fit of an utterance's labels; none of one too short, or with too few segments, to tell."""
    frames = len(labels)
    if frames < _SHORTEST or len(_starts(labels)) < _FEWEST_SEGMENTS:
        return None
    likely = (features - features.mean(0)) @ classes.weights - classes.offset
    inner = np.arange(REACH, frames - REACH)
    at = np.array([likely[inner, labels[inner + shift]].mean() for shift in SHIFTS])
    lags = np.linspace(0.2 * frames, 0.8 * frames, _ELSEWHERE).astype(int)
    elsewhere = [likely[np.arange(frames), np.roll(labels, lag)].mean() for lag in lags]
    return Fit(at - np.mean(elsewhere))


def best_shift(at: np.ndarray) -> int:
    """The shift of the best fit of `at` (shifts,)."""
    return int(SHIFTS[at.argmax()])


def _starts(labels: np.ndarray) -> np.ndarray:
    """The first frame of each segment of equal labels."""
    return np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])


def _regular(covariance: np.ndarray) -> np.ndarray:
    """The covariance with a little more of each variance, so that it can be divided by; of none, a little of all."""
    variances = np.diag(covariance)
    return covariance + np.diag(_A_LITTLE * (variances + _A_LITTLE * variances.mean()) + _TINY)
