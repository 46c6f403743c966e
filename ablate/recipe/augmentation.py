"""Augmentations: each changes a batch of training windows, (batch, time, mfcc) -> same, on the batch's device.

They draw from torch's global generator, as torchaudio does; the training loop puts the run's own augmentation
stream there. Masks are zero and, as torchaudio places them, never reach the last frame or coefficient.
SpecAugment: arXiv:1904.08779.
"""

from collections.abc import Callable
from typing import Annotated, Literal, TypedDict, Unpack

import torch
from annotated_types import Ge
from torch import Tensor

from ablate.quantity import Integer, Positive, PositiveFraction
from ablate.recipe.data.paired import torchaudio

Augmentation = Callable[[Tensor], Tensor]


MaskSize = Annotated[Integer, Ge(2)]  # exclusive: a mask shorter than 1 would blank nothing


class Choice(TypedDict):
    """What is changed at all: each sample with `probability`, or the whole batch, all alike.

    With `keep_centre` the centre frame, the one that is labelled, stays as it is.
    """

    probability: PositiveFraction
    per: Literal["sample", "batch"]
    keep_centre: bool


def none(num_frames: int, num_mfcc: int) -> Augmentation:
    """Leave the windows as they are."""
    return lambda windows: windows


def time_mask(num_frames: int, num_mfcc: int, *, frames: MaskSize, **choice: Unpack[Choice]) -> Augmentation:
    """Blank up to `frames` (exclusive) neighbouring frames of each window."""
    return _chosen(_time_mask(num_frames, frames), num_frames, **choice)


def freq_mask(num_frames: int, num_mfcc: int, *, coefficients: MaskSize, **choice: Unpack[Choice]) -> Augmentation:
    """Blank up to `coefficients` (exclusive) neighbouring coefficients of each window."""
    return _chosen(_freq_mask(num_mfcc, coefficients), num_frames, **choice)


def time_freq_mask(
    num_frames: int, num_mfcc: int, *, frames: MaskSize, coefficients: MaskSize, **choice: Unpack[Choice]
) -> Augmentation:
    """`freq_mask`, then `time_mask`; with `per: batch` and probability 0.7 it is the course's starter."""
    over_frequency, over_time = _freq_mask(num_mfcc, coefficients), _time_mask(num_frames, frames)
    return _chosen(lambda windows, drawn: over_time(over_frequency(windows, drawn), drawn), num_frames, **choice)


def gaussian_noise(num_frames: int, num_mfcc: int, *, deviation: Positive, **choice: Unpack[Choice]) -> Augmentation:
    """Add normal noise, `deviation` times each coefficient's own standard deviation in the batch."""

    def change(windows: Tensor, drawn: int) -> Tensor:
        windows = windows.float()  # bf16 would round the sum
        noise = torch.randn(drawn, *windows.shape[1:], device=windows.device)
        return windows + noise * (deviation * windows.std((0, 1), correction=0))

    return _chosen(change, num_frames, **choice)


_Change = Callable[[Tensor, int], Tensor]
"""Changes windows by so many draws, one a sample or 1 for all."""


def _chosen(change: _Change, num_frames: int, **choice: Unpack[Choice]) -> Augmentation:
    probability, per, keep_centre = choice["probability"], choice["per"], choice["keep_centre"]
    if keep_centre and num_frames == 1:
        raise ValueError("augmentation.keep_centre=true: a window is its centre frame alone; widen data.context")

    def augment(windows: Tensor) -> Tensor:
        drawn = len(windows) if per == "sample" else 1
        changed = change(windows, drawn)
        if probability < 1:
            is_chosen = torch.rand(drawn, 1, 1, device=windows.device) < probability
            changed = torch.where(is_chosen, changed, windows)
        if keep_centre:
            centre = windows.shape[1] // 2
            changed[:, centre] = windows[:, centre]
        return changed

    return augment


def _time_mask(num_frames: int, frames: int) -> _Change:
    _check("frames", frames, num_frames, "frames of a window; widen data.context")
    return lambda windows, drawn: windows * _kept(drawn, num_frames, frames, windows).unsqueeze(2)


def _freq_mask(num_mfcc: int, coefficients: int) -> _Change:
    _check("coefficients", coefficients, num_mfcc, "coefficients of a frame")
    return lambda windows, drawn: windows * _kept(drawn, num_mfcc, coefficients, windows).unsqueeze(1)


def _kept(drawn: int, size: int, longest: int, like: Tensor) -> Tensor:
    """(drawn, size), 0 within torchaudio's mask and 1 elsewhere."""
    whole = torch.ones(drawn, size, 1, device=like.device)  # whose type decides which masks are drawn
    kept: Tensor = torchaudio.functional.mask_along_axis_iid(whole, longest, 0.0, axis=1)
    return kept.squeeze(2).to(like.dtype)


def _check(key: str, size: int, limit: int, what: str) -> None:
    if size > limit:
        raise ValueError(f"augmentation.{key}={size}: expected at most the {limit} {what}")
