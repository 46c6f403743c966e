"""Audio files of one channel, by libsndfile: wav, flac, and what else it reads."""

from __future__ import annotations

import functools
import io
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import torch
from torch import Tensor

from ablate.recipe.data.paired import torchaudio

_LARGEST = 0x7FFF0000  # from here on the size of a wav's data is no size, but what was written for want of one
_MOST = 0xFFFFFFFF
_NO_LENGTH = 1 << 62  # libsndfile's for a flac that does not know its own
_BLOCK = 1 << 20  # samples
_MOST_SECONDS = 3600  # of an utterance
_MOST_BYTES = 1 << 30
_RATES_HZ = (1000, 1_000_000)
_MOST_OF_A_FILTER = 10_000_000  # numbers; 44,100 to 16,000 Hz takes 70,000


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
        """The samples at another rate. Raises `ValueError` where the two rates have too little in common."""
        if sample_rate_hz == self.sample_rate_hz:
            return self.samples
        common = math.gcd(sample_rate_hz, self.sample_rate_hz)
        if sample_rate_hz // common * (self.sample_rate_hz // common) > _MOST_OF_A_FILTER:
            raise ValueError(
                f"a rate of {self.sample_rate_hz} Hz, which can't be made {sample_rate_hz} Hz; is it right?"
            )
        found: Tensor = _resample(self.sample_rate_hz, sample_rate_hz)(self.samples)
        return found


def read(file: Path) -> Audio:
    """The file's audio. Raises `ValueError` where it is not whole, has several channels, or no numbers as samples."""
    try:
        with file.open("rb") as stream, _Streamed(_Lenient(_with_known_size(stream))) as sound:
            if sound.channels != 1:
                raise ValueError(f"{sound.channels} channels, expected one")
            if not _RATES_HZ[0] <= sound.samplerate <= _RATES_HZ[1]:
                raise ValueError(f"a rate of {sound.samplerate} Hz; is it right?")
            samples, rate, expected = _samples(sound), sound.samplerate, sound.frames
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not audio that libsndfile can read ({error.error_string})") from error
    if not len(samples):
        raise ValueError("no audio in it")
    if len(samples) < expected < _NO_LENGTH:
        raise ValueError(f"cut short: {len(samples):,} samples, of {expected:,} that it should have")
    audio = torch.from_numpy(samples)
    if not bool(torch.isfinite(audio).all()):
        raise ValueError("NaN or infinity among the samples")
    return Audio(audio, rate)


class _Lenient:
    """A stream in which no place is too far: where a header leads libsndfile beyond all files, it finds the end.

    An exception would be printed with its traceback, and not be raised.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.read, self.readinto, self.tell, self.write = stream.read, stream.readinto, stream.tell, stream.write  # type: ignore[attr-defined]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As a file's."""
        try:
            return self._stream.seek(offset, whence)
        except (OSError, OverflowError, ValueError):
            return self._stream.seek(0, os.SEEK_END)


class _Streamed(soundfile.SoundFile):  # type: ignore[misc]
    """Audio that is read from its beginning to its end: a flac without a length can't be sought in."""

    def seekable(self) -> bool:
        """Whether reading may seek."""
        return False


def _samples(sound: soundfile.SoundFile) -> np.ndarray:
    """All that there are, read in blocks, since a header's number may be none (a streamed flac) or a lie."""
    blocks, most = [], _MOST_SECONDS * sound.samplerate
    while len(block := sound.read(_BLOCK, dtype="float32")):
        blocks.append(block)
        if len(blocks) * _BLOCK > most + _BLOCK:
            raise ValueError(f"longer than {_MOST_SECONDS:,} s, expected an utterance")
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32)


def _with_known_size(stream: BinaryIO) -> BinaryIO:
    """The stream, in which a wav of unknown size says its size.

    A wav is judged by its data chunk: recorders that write into a pipe leave 0 or a largest number for its size, which
    means "to the end of the file". Raises `ValueError` for one that is shorter than it says.
    """
    end = stream.seek(0, os.SEEK_END)
    if end > _MOST_BYTES:
        raise ValueError(f"{end:,} bytes, expected an utterance")
    stream.seek(0)
    header = stream.read(12)
    if header[:4] != b"RIFF" or header[8:] != b"WAVE":
        stream.seek(0)
        declared = _declared_size(stream.read(1024))
        if declared is not None and end + 1 < declared:  # a byte of padding may lack
            raise ValueError(f"cut short: {end} bytes, of {declared} that it should have")
        stream.seek(0)
        return stream
    place = len(header)
    while place + 8 <= end:
        stream.seek(place)
        name, size = stream.read(4), int.from_bytes(stream.read(4), "little")
        place += 8
        if name == b"data":
            break
        place += size + size % 2
    else:
        raise ValueError(f"cut short: {end} bytes, and no audio among them")
    is_off = int.from_bytes(header[4:8], "little") + 8 != end
    if size >= _LARGEST or (size == 0 and is_off):
        stream.seek(0)
        content = bytearray(stream.read())
        content[place - 4 : place] = min(end - place, _MOST).to_bytes(4, "little")
        content[4:8] = min(end - 8, _MOST).to_bytes(4, "little")
        return io.BytesIO(content)
    if place + size > end:
        raise ValueError(f"cut short: {end} bytes, of {place + size} that it should have")
    stream.seek(0)
    return stream


def _declared_size(header: bytes) -> int | None:
    """How long a file of another container says that it is, in bytes; none where it does not say."""
    if header[:4] in (b"FORM", b"RIFX"):
        size = int.from_bytes(header[4:8], "big")
        return size + 8 if 0 < size < _LARGEST else None
    if header[:4] == b"RF64" and header[12:16] == b"ds64":
        size = int.from_bytes(header[20:28], "little")
        return size + 8 if 0 < size < _NO_LENGTH else None
    if header[:4] == b"riff" and len(header) >= 24:  # Sony Wave64
        size = int.from_bytes(header[16:24], "little")
        return size if 0 < size < _NO_LENGTH else None
    if header[:4] == b".snd":
        start, size = (int.from_bytes(header[at : at + 4], "big") for at in (4, 8))
        return start + size if 0 < size < _LARGEST else None
    if header[:7] == b"NIST_1A":
        return _declared_by_sphere(header)
    return None


def _declared_by_sphere(header: bytes) -> int | None:
    """As NIST's SPHERE has it, of samples that are not compressed."""
    said = dict(re.findall(rb"^(\w+) -\w+ (\S+)", header, re.MULTILINE))
    start = header.split(b"\n")[1].strip()
    if said.get(b"sample_coding", b"pcm") != b"pcm" or not start.isdigit():
        return None
    numbers = [said.get(name, b"") for name in (b"sample_count", b"sample_n_bytes", b"channel_count")]
    return int(start) + math.prod(map(int, numbers)) if all(each.isdigit() for each in numbers) else None


@functools.cache
def _resample(before_hz: int, after_hz: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(before_hz, after_hz)
