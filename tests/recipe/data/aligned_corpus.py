"""The embedded corpus as a corpus of one's own: audio files and their alignments."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from praatio import textgrid
from praatio.utilities.constants import Interval

from ablate.config.check import instantiate
from ablate.recipe.data.corpus import Split
from ablate.recipe.data.espeak import _speak
from ablate.recipe.data.espeak.acoustics import Condition, hear
from ablate.recipe.data.espeak.alignment import align
from ablate.recipe.data.espeak.format import SAMPLE_RATE_HZ
from tests.trainings import checked


class Spoken(NamedTuple):
    """An utterance of the embedded corpus, as its microphone heard it."""

    name: str
    speaker: str
    audio: np.ndarray
    segments: list[tuple[float, str]]  # first sample, phoneme


def spoken(split: Split, *overrides: str) -> Iterator[Spoken]:
    """Its utterances, to the bit: torch has one thread from here on, as where the corpus itself is made."""
    torch.set_num_threads(1)
    corpus = instantiate(checked(["data=espeak_tiny", *overrides]), "data")
    utterances = corpus._utterances(split)
    for utterance, (audio, events) in zip(utterances, _speak([each.request for each in utterances]), strict=True):
        condition = Condition.draw(
            corpus._draw(split, utterance.name, "condition"),
            tract=utterance.speaker.tract,
            snr_db=corpus.snr_db,
            channel=corpus.channel,
            gain_db=corpus.gain_db,
        )
        heard, segments = hear(audio, align(audio, events, utterance.speaker.accent), condition)
        yield Spoken(utterance.name, utterance.speaker.name, heard.numpy(), segments)


def write_text_grid(file: Path, utterance: Spoken, tier: str = "phones") -> None:
    seconds = len(utterance.audio) / SAMPLE_RATE_HZ
    starts = [start / SAMPLE_RATE_HZ for start, _ in utterance.segments]
    labels = ["" if phoneme == "SIL" else f"{phoneme}1" for _, phoneme in utterance.segments]
    intervals = [Interval(*each) for each in zip(starts, [*starts[1:], seconds], labels, strict=True)]
    grid = textgrid.Textgrid()
    grid.addTier(textgrid.IntervalTier("words", [Interval(0, seconds, "spoken")], 0, seconds))
    grid.addTier(textgrid.IntervalTier(tier, intervals, 0, seconds))
    file.parent.mkdir(parents=True, exist_ok=True)
    grid.save(str(file), "long_textgrid", includeBlankSpaces=True)


def write_phn(file: Path, utterance: Spoken) -> None:
    starts = [round(start) for start, _ in utterance.segments]
    labels = ["h#" if phoneme == "SIL" else phoneme.lower() for _, phoneme in utterance.segments]
    rows = zip(starts, [*starts[1:], len(utterance.audio)], labels, strict=True)
    file.write_text("".join(f"{start} {end} {label}\n" for start, end, label in rows))


def write_audio(file: Path, utterance: Spoken, subtype: str = "FLOAT") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, utterance.audio, SAMPLE_RATE_HZ, subtype=subtype)
