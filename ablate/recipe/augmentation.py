"""Augmentations: each changes a batch of training windows, (batch, time, mfcc) -> same, on the batch's device.

They draw from torch's global generator, as torchaudio does; the training loop puts the run's own augmentation
stream there. Masks are zero, and drawn for each sample; as torchaudio
places them, they never reach the last frame or coefficient.  SpecAugment: arXiv:1904.08779.
"""

from collections.abc import Callable

import torchaudio
from torch import Tensor

from ablate.quantity import Count

Augmentation = Callable[[Tensor], Tensor]


def none(num_frames: int, num_mfcc: int) -> Augmentation:
    """Leave the windows as they are."""
    return lambda windows: windows


def time_mask(num_frames: int, num_mfcc: int, *, frames: Count) -> Augmentation:
    """Blank up to `frames` (exclusive) neighbouring frames of each window."""
    _check("frames", frames, num_frames, "frames of a window; widen data.context")
    mask = torchaudio.transforms.TimeMasking(frames, iid_masks=True)
    return lambda windows: mask(windows.transpose(1, 2)).transpose(1, 2)


def freq_mask(num_frames: int, num_mfcc: int, *, coefficients: Count) -> Augmentation:
    """Blank up to `coefficients` (exclusive) neighbouring coefficients of each window."""
    _check("coefficients", coefficients, num_mfcc, "coefficients of a frame")
    mask = torchaudio.transforms.FrequencyMasking(coefficients, iid_masks=True)
    return lambda windows: mask(windows.transpose(1, 2)).transpose(1, 2)


def time_freq_mask(num_frames: int, num_mfcc: int, *, frames: Count, coefficients: Count) -> Augmentation:
    """`freq_mask`, then `time_mask`."""
    over_frequency = freq_mask(num_frames, num_mfcc, coefficients=coefficients)
    over_time = time_mask(num_frames, num_mfcc, frames=frames)
    return lambda windows: over_time(over_frequency(windows))


def _check(key: str, size: int, limit: int, what: str) -> None:
    if size > limit:
        raise ValueError(f"augmentation.{key}={size}: expected at most the {limit} {what}")
