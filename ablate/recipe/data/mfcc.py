"""From audio to frames: MFCC, and the class of each frame."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from ablate.recipe.data.paired import torchaudio
from ablate.recipe.data.phoneme import PHONEMES

_LOW_HZ = 20.0


@functools.cache
def mfcc(sample_rate_hz: int, *, n_mfcc: int, window: int, hop: int, num_mels: int) -> Callable[[Tensor], Tensor]:
    """What makes MFCC (frames, mfcc) float32 of audio (samples,): windows of `window` samples, a frame every `hop`.

    The middle of a frame's window is the sample frame number times `hop`; the audio is mirrored at its ends. Raises
    `ValueError` for bands so many that one lies between two frequencies of a window; and, when called, for audio too
    short for a window.
    """
    fft = 1 << (window - 1).bit_length()
    melkwargs = {
        "n_fft": fft, "win_length": window, "hop_length": hop, "n_mels": num_mels,
        "f_min": _LOW_HZ, "f_max": sample_rate_hz / 2,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            transform = torchaudio.transforms.MFCC(sample_rate_hz, n_mfcc, log_mels=True, melkwargs=melkwargs)
        except UserWarning as warning:
            raise ValueError(f"{num_mels} mel bands are too many for windows of {window} samples") from warning

    def make(audio: Tensor) -> Tensor:
        if len(audio) <= fft // 2:
            raise ValueError(f"only {len(audio)} samples of audio; a window takes {fft // 2 + 1}")
        found: Tensor = transform(audio)
        return found.T.contiguous()

    return make


def classes(segments: Sequence[tuple[float, str]], frames: int, hop: int) -> np.ndarray:
    """The class (uint8) of each frame: that of the segment (first sample, phoneme) in which its window's middle lies.

    >>> classes([(0, "SIL"), (150, "AA")], frames=3, hop=100)
    array([0, 0, 1], dtype=uint8)
    """
    starts = [start for start, _ in segments]
    numbers = np.array([PHONEMES.index(phoneme) for _, phoneme in segments], np.uint8)
    return numbers[np.searchsorted(starts, np.arange(frames) * hop, side="right") - 1]
