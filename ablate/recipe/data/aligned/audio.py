"""Audio files of one channel, by libsndfile: wav, flac, and what else it reads."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import soundfile
import torch
import torchaudio
from torch import Tensor

_UNKNOWN_SIZE = 0xFFFFFFFF  # of a wav file that was written into a pipe


@dataclass(frozen=True)
class Audio:
    """Samples (samples,) float32, of full scale 1."""

    samples: Tensor
    sample_rate_hz: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.sample_rate_hz

    def resampled(self, sample_rate_hz: int) -> Tensor:
        """The samples at another rate."""
        if sample_rate_hz == self.sample_rate_hz:
            return self.samples
        found: Tensor = _resample(self.sample_rate_hz, sample_rate_hz)(self.samples)
        return found


def read(file: Path) -> Audio:
    """The file's audio. Raises `ValueError` where it is not whole, has several channels, or no numbers as samples."""
    try:
        with file.open("rb") as stream:
            _check_whole_wav(stream)
            samples, rate = soundfile.read(stream, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not audio that libsndfile can read ({error.error_string})") from error
    if samples.shape[1] != 1:
        raise ValueError(f"{samples.shape[1]} channels, expected one")
    audio = torch.from_numpy(samples[:, 0])
    if not len(audio):
        raise ValueError("no audio in it")
    if not bool(torch.isfinite(audio).all()):
        raise ValueError("NaN or infinity among the samples")
    return Audio(audio, rate)


def _check_whole_wav(stream: BinaryIO) -> None:
    """Raise `ValueError` for a wav file shorter than it says, of which libsndfile would read what there is."""
    kind, size = stream.read(4), int.from_bytes(stream.read(4), "little")
    found = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if kind == b"RIFF" and size != _UNKNOWN_SIZE and found < size + 7:  # of 8 bytes one may be a padding left out
        raise ValueError(f"cut short: {found} bytes, of {size + 8} that it should have")


@functools.cache
def _resample(before_hz: int, after_hz: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(before_hz, after_hz)
