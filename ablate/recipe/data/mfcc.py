"""From audio to frames: MFCC, and the class of each frame."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torchaudio
from torch import Tensor

from ablate.recipe.data.phoneme import PHONEMES

_LOW_HZ = 20.0


def mfcc(audio: Tensor, sample_rate_hz: int, *, n_mfcc: int, window: int, hop: int, num_mels: int) -> Tensor:
    """MFCC (frames, mfcc) float32 of audio (samples,): windows of `window` samples, a frame every `hop` of them.

    The middle of a frame's window is the sample frame number times `hop`; the audio is mirrored at its ends. Raises
    `ValueError` for audio too short for that.
    """
    fft = 1 << (window - 1).bit_length()
    if len(audio) <= fft // 2:
        raise ValueError(f"only {len(audio)} samples of audio; a window takes {fft // 2 + 1}")
    found: Tensor = _transform(sample_rate_hz, n_mfcc, fft, window, hop, num_mels)(audio)
    return found.T.contiguous()


def classes(segments: Sequence[tuple[float, str]], frames: int, hop: int) -> np.ndarray:
    """The class (uint8) of each frame: that of the segment (first sample, phoneme) in which its window's middle lies.

    >>> classes([(0, "SIL"), (150, "AA")], frames=3, hop=100)
    array([0, 0, 1], dtype=uint8)
    """
    starts = [start for start, _ in segments]
    numbers = np.array([PHONEMES.index(phoneme) for _, phoneme in segments], np.uint8)
    return numbers[np.searchsorted(starts, np.arange(frames) * hop, side="right") - 1]


@functools.cache
def _transform(
    sample_rate_hz: int, n_mfcc: int, fft: int, window: int, hop: int, num_mels: int
) -> torchaudio.transforms.MFCC:
    return torchaudio.transforms.MFCC(
        sample_rate_hz,
        n_mfcc,
        log_mels=True,
        melkwargs={
            "n_fft": fft, "win_length": window, "hop_length": hop, "n_mels": num_mels,
            "f_min": _LOW_HZ, "f_max": sample_rate_hz / 2,
        },
    )  # fmt: skip
