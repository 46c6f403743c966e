"""From clean synthesized speech to MFCC of a speaker in a room: tract length, noise, channel, level."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ablate.recipe.data.espeak.alignment import Segment
from ablate.recipe.data.espeak.engine import SAMPLE_RATE_HZ as ENGINE_RATE_HZ
from ablate.recipe.data.espeak.format import HOP, NUM_MELS, SAMPLE_RATE_HZ, WINDOW
from ablate.recipe.data.mfcc import classes, mfcc
from ablate.recipe.data.paired import torchaudio

_SPEECH_LEVEL = 0.1  # RMS of the samples that are not silence, of full scale 1
_SILENCE = 0.01  # of the peak
_FLOOR = 1e-5  # white noise after everything, so that digital silence has a finite logarithm


@dataclass(frozen=True)
class Condition:
    """How an utterance reached the microphone's file."""

    tract: float
    snr_db: float
    noise_colour: float  # noise power falls as frequency ** -noise_colour
    low_hz: float
    high_hz: float
    tilt_db: float  # per three octaves
    bumps: tuple[tuple[float, float, float], ...]  # gain in dB, centre in Hz, width in octaves
    gain_db: float
    seed: int

    @staticmethod
    def draw(
        draw: random.Random,
        *,
        tract: float,
        snr_db: Sequence[float],
        channel: float,
        gain_db: Sequence[float],
    ) -> Condition:
        """A condition of a speaker with this vocal tract; `channel` scales how much its filter may do."""
        return Condition(
            tract=tract,
            snr_db=draw.uniform(*snr_db),
            noise_colour=draw.uniform(0, 1.6),
            low_hz=20 + channel * draw.uniform(0, 280),
            high_hz=8000 - channel * draw.uniform(0, 4500),
            tilt_db=channel * draw.uniform(-6, 6),
            bumps=tuple(
                (channel * draw.uniform(-10, 10), draw.uniform(200, 4000), draw.uniform(0.6, 2)) for _ in range(2)
            ),
            gain_db=draw.uniform(*gain_db),
            seed=draw.randrange(1 << 62),
        )


def features(
    audio: np.ndarray, segments: Sequence[Segment], condition: Condition, num_mfcc: int
) -> tuple[Tensor, np.ndarray]:
    """MFCC (frames, mfcc) float32 and classes (frames,) uint8 of an utterance, a frame every 10 ms."""
    heard, starts = hear(audio, segments, condition)
    found = mfcc(SAMPLE_RATE_HZ, n_mfcc=num_mfcc, window=WINDOW, hop=HOP, num_mels=NUM_MELS)(heard)
    return found, classes(starts, len(found), HOP)


def hear(
    audio: np.ndarray, segments: Sequence[Segment], condition: Condition
) -> tuple[Tensor, list[tuple[float, str]]]:
    """What the microphone's file holds, and where in it each phoneme starts, in samples of `SAMPLE_RATE_HZ`."""
    # A longer vocal tract is the same sound played slower: resample from another rate than the engine's.
    rate = round(condition.tract * ENGINE_RATE_HZ / 50) * 50
    speech = _resample(rate)(torch.from_numpy(audio.astype(np.float32) / 32_768))
    starts = [(start * (SAMPLE_RATE_HZ / rate), phoneme) for start, phoneme in segments]
    return _degrade(_level(speech), condition), starts


def _level(speech: Tensor) -> Tensor:
    # Voices differ twelvefold in level; without this, gain and SNR would not mean what they say.
    voiced = speech[speech.abs() > _SILENCE * speech.abs().max()]
    return speech * (_SPEECH_LEVEL / voiced.square().mean().sqrt()) if len(voiced) else speech


def _degrade(speech: Tensor, condition: Condition) -> Tensor:
    """Speech plus coloured noise, through a zero-phase channel filter, at the condition's level."""
    samples = len(speech)
    size = -(-samples // 8192) * 8192
    hertz = torch.linspace(0, SAMPLE_RATE_HZ / 2, size // 2 + 1).clamp(min=1)
    generator = torch.Generator().manual_seed(condition.seed)
    white = torch.fft.rfft(torch.randn(samples, generator=generator), size)
    coloured = white * (hertz.clamp(min=50) / 1000) ** (-condition.noise_colour / 2)
    noise = torch.fft.irfft(coloured, size)[:samples]
    noise *= _SPEECH_LEVEL * 10.0 ** (-condition.snr_db / 20) / noise.square().mean().sqrt()
    spectrum = torch.fft.rfft(speech + noise, size) * _channel(hertz, condition)
    heard: Tensor = torch.fft.irfft(spectrum, size)[:samples] * 10.0 ** (condition.gain_db / 20)
    return heard + _FLOOR * torch.randn(samples, generator=generator)


def _channel(hertz: Tensor, condition: Condition) -> Tensor:
    """The filter's gain at each frequency."""
    high_pass = (1 + (condition.low_hz / hertz) ** 4).rsqrt()
    low_pass = (1 + (hertz / condition.high_hz) ** 8).rsqrt()
    decibel: Tensor = condition.tilt_db / 3 * torch.log2(hertz.clamp(min=50) / 1000)
    for gain_db, centre_hz, octaves in condition.bumps:
        decibel = decibel + gain_db * torch.exp(-0.5 * (torch.log2(hertz / centre_hz) / octaves) ** 2)
    return high_pass * low_pass * torch.pow(10.0, decibel / 20)


@functools.cache
def _resample(rate: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(rate, SAMPLE_RATE_HZ, lowpass_filter_width=6)
