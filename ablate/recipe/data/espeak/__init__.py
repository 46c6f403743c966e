"""The embedded corpus: speech synthesized by espeak-ng, with exact phoneme boundaries, made on first use."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from annotated_types import Ge, Le, Len

from ablate.quantity import Count, Fraction, NonNegativeInteger, Positive, PositiveFraction
from ablate.recipe.data.cache import Recordings, Sources, Utterance, cached
from ablate.recipe.data.content import Track
from ablate.recipe.data.corpus import (
    NOT_OF_THE_FILES,
    Boundary,
    Context,
    Dtype,
    Name,
    Split,
    combined,
    of_both,
    settings_of,
)
from ablate.recipe.data.espeak.format import HOP, NUM_MELS, SAMPLE_RATE_HZ
from ablate.recipe.data.espeak.sentence import sentence
from ablate.recipe.data.installed import bits_version
from ablate.recipe.data.left_out import identity, leaving_out
from ablate.recipe.data.phoneme import PHONEMES

if TYPE_CHECKING:
    import numpy as np

_RECIPE_VERSION = 1  # raise it when the same settings make other speech
_PACKAGES = ("espeakng-loader", "torchaudio")

_VARIANTS = """
m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique Hugo Jacky
Lee Marco Mario Michael Mike Nguyen Reed Storm adam anika antonio aunty belinda benjamin boris caleb david ed
edward edward2 gustave ian iven iven2 iven3 iven4 john kaukovalta klatt klatt2 klatt3 klatt4 klatt5 linda
marcelo max michel miguel mike2 norbert pablo paul pedro quincy rob robert sandro shelby steph steph2 steph3
travis victor zac grandma grandpa
""".split()
# Voices are disjoint between the splits, and which are whose does not depend on any split's size.
_SHARE = {"train": (0.0, 0.76), "val": (0.76, 0.88), "test": (0.88, 1.0)}

Accent = Literal[
    "gmw/en-US", "gmw/en-US-nyc", "gmw/en", "gmw/en-GB-x-rp", "gmw/en-GB-scotland",
    "gmw/en-GB-x-gbclan", "gmw/en-GB-x-gbcwmd", "gmw/en-029",
]  # fmt: skip
Rates = Annotated[list[Annotated[float, Ge(80), Le(450)]], Len(2, 2)]
Tracts = Annotated[list[Annotated[float, Ge(0.5), Le(2)]], Len(2, 2)]
Decibels = Annotated[list[Annotated[float, Ge(-100), Le(100)]], Len(2, 2)]


Number = Annotated[Count, Le(1_000_000)]


class Sizes(TypedDict):
    """A number for each split."""

    train: Number
    val: Number
    test: Number


@dataclass(frozen=True)
class _Speaker:
    name: str
    accent: str
    variant: str
    rate: int
    pitch: int
    pitch_range: int
    tract: float


@dataclass(frozen=True)
class _Utterance:
    name: str
    speaker: _Speaker
    request: dict[str, Any]  # of the engine


@dataclass(frozen=True, kw_only=True)
class Espeak:
    """Sentences of a small grammar, spoken by many synthetic speakers through random channels and noise."""

    context: Context
    fraction: PositiveFraction
    boundary: Boundary
    dtype: Dtype
    device_budget: Positive | None
    leave_out: Name | None
    corpus_seed: NonNegativeInteger
    utterances: Sizes
    speakers: Sizes
    accents: Annotated[list[Accent], Len(1)]
    rate: Rates
    tract: Tracts
    snr_db: Decibels
    gain_db: Decibels
    channel: Fraction
    coefficients: Annotated[Count, Le(NUM_MELS)]

    def __post_init__(self) -> None:
        for name in ("rate", "tract", "snr_db", "gain_db"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"data.{name}: expected [low, high], got [{low}, {high}]")

    @property
    def hop_seconds(self) -> float:
        """From frame to frame."""
        return HOP / SAMPLE_RATE_HZ

    def fingerprint(self, cache: Path, track: Track) -> str:
        """A hash of the recipe, the versions of what makes the speech and what is left out; nothing is made for it."""
        recipe = self._recipe()
        return combined(*of_both(lambda split: identity(recipe, self.leave_out, split)))

    def _recipe(self) -> str:
        if importlib.util.find_spec("espeakng_loader") is None:
            raise ValueError(
                "data=espeak: the package espeakng-loader is not installed; `pip install espeakng-loader==0.2.4`, "
                "or take data=hw1p2 with a folder of your own"
            )
        recipe = settings_of(self, without=[*NOT_OF_THE_FILES, "leave_out"])
        versions = {package: bits_version(package) for package in _PACKAGES}
        text = json.dumps([_RECIPE_VERSION, recipe, versions], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def num_mfcc(self) -> int:
        """Coefficients a frame."""
        return self.coefficients

    def class_names(self) -> list[str]:
        """The phonemes in the order of their classes."""
        return list(PHONEMES)

    def whole(self, split: Split, *, cache: Path, track: Track) -> Recordings:
        """The split, made if it isn't yet (about 10 CPU seconds for `espeak`)."""
        recipe = self._recipe()
        path = cache / f"espeak-{recipe}-{split}.frames"
        sources = Sources(recipe)
        found = cached(path, sources, self.coefficients, lambda: self._make(split, track), lambda: sources)
        return leaving_out(found, self.leave_out, split)

    def load(self, split: Split, *, seed: int, cache: Path, track: Track) -> Recordings:
        """The split; of the training split, the fraction that the seed draws."""
        whole = self.whole(split, cache=cache, track=track)
        return whole.part(self.fraction, seed) if split == "train" else whole

    def _make(self, split: Split, track: Track) -> Iterator[Utterance]:
        from ablate.recipe.data.espeak.acoustics import Condition, features
        from ablate.recipe.data.espeak.alignment import align
        from ablate.recipe.data.threads import single_thread

        utterances = self._utterances(split)
        with single_thread():  # more are slower here, and the bits would depend on their number
            spoken = zip(utterances, _speak([each.request for each in utterances]), strict=True)
            for utterance, (audio, events) in track(spoken, len(utterances), f"making the embedded corpus: {split}"):
                condition = Condition.draw(
                    self._draw(split, utterance.name, "condition"),
                    tract=utterance.speaker.tract,
                    snr_db=self.snr_db,
                    channel=self.channel,
                    gain_db=self.gain_db,
                )
                segments = align(audio, events, utterance.speaker.accent)
                mfcc, classes = features(audio, segments, condition, self.coefficients)
                yield Utterance(utterance.name, utterance.speaker.name, mfcc.numpy(), classes)

    def _utterances(self, split: Split) -> list[_Utterance]:
        speakers = self._speakers(split)
        return [self._utterance(split, speakers[i % len(speakers)], i) for i in range(self.utterances[split])]

    def _utterance(self, split: Split, speaker: _Speaker, number: int) -> _Utterance:
        name = f"{speaker.name}-{number:05d}"
        draw = self._draw(split, name, "text")
        request = {
            "text": sentence(draw),
            "accent": speaker.accent,
            "variant": speaker.variant,
            "rate": int(speaker.rate * draw.uniform(0.92, 1.08)),
            "pitch": int(speaker.pitch + draw.uniform(-6, 6)),
            "pitch_range": speaker.pitch_range,
            "seed": draw.randrange(1, 1 << 30),
        }
        return _Utterance(name, speaker, request)

    def _speakers(self, split: Split) -> list[_Speaker]:
        variants = list(_VARIANTS)
        self._draw("variants").shuffle(variants)
        first, last = (round(share * len(variants)) for share in _SHARE[split])
        voices = variants[first:last]
        speakers = []
        for number in range(self.speakers[split]):
            draw = self._draw(split, "speaker", number)
            speakers.append(
                _Speaker(
                    name=f"{split}{number:03d}",
                    accent=self.accents[number % len(self.accents)],
                    variant=voices[number % len(voices)],
                    rate=round(draw.uniform(*self.rate)),
                    pitch=draw.randint(25, 75),
                    pitch_range=draw.randint(20, 80),
                    tract=draw.uniform(*self.tract),
                )
            )
        return speakers

    def _draw(self, *stream: object) -> random.Random:
        return random.Random("/".join(map(str, (self.corpus_seed, *stream))))


def _speak(requests: list[dict[str, Any]]) -> Iterator[tuple[np.ndarray, list[tuple[int, str]]]]:
    """Audio (samples,) int16 and phoneme events of each request, from a fresh process of the engine."""
    import numpy as np

    root = str(Path(__file__).parents[4])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}
    command = [sys.executable, "-c", "from ablate.recipe.data.espeak.engine import serve; serve()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(requests).encode())
                process.stdin.close()
            for _ in requests:
                if not (header := process.stdout.readline()):
                    raise RuntimeError(f"the espeak-ng process stopped: {process.stderr.read().decode().strip()}")
                answer = json.loads(header)
                audio = np.frombuffer(process.stdout.read(2 * answer["samples"]), np.int16)
                yield audio, [(sample, name) for sample, name in answer["events"]]
        finally:
            process.kill()
