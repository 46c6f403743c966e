"""The embedded corpus: made again to the same bits, independent splits, and each known pitfall of the engine."""

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.config.check import instantiate
from ablate.recipe.data.corpus import GAP, Split
from ablate.recipe.data.espeak import _VARIANTS, Espeak, _speak
from ablate.recipe.data.espeak.acoustics import Condition, _degrade, _level
from ablate.recipe.data.espeak.alignment import align
from ablate.recipe.data.espeak.engine import SAMPLE_RATE_HZ
from ablate.recipe.data.phoneme import PHONEMES
from ablate.recipe.data.table import FrameTable
from ablate.recipe.normalization import none
from tests.trainings import checked

PLAIN = {"accent": "gmw/en-US", "variant": "m3", "rate": 175, "pitch": 50, "pitch_range": 50, "seed": 1}


def corpus(*overrides: str) -> Espeak:
    made = instantiate(checked(["data=espeak_tiny", *overrides]), "data")
    assert isinstance(made, Espeak)
    return made


def silent(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    return items


def table_of(made: Espeak, split: Split, cache: Path, seed: int = 0) -> FrameTable:
    recordings = made.load(split, seed=seed, cache=cache, track=silent)
    return FrameTable.of(recordings, none(recordings), "zero", "fp32", silent)


def digest(made: Espeak, split: Split, cache: Path) -> str:
    table = table_of(made, split, cache)
    return hashlib.sha256(table.features.numpy().tobytes() + table.labels.numpy().tobytes()).hexdigest()


def test_made_again_it_is_the_same_to_the_bit_whatever_the_threads(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    first = digest(corpus(), "val", tmp_path / "a")
    torch.set_num_threads(1)
    try:
        assert digest(corpus(), "val", tmp_path / "b") == first
    finally:
        torch.set_num_threads(threads)
    assert digest(corpus(), "val", tmp_path / "a") == first  # from the cache


def test_a_splits_size_changes_no_others_audio(tmp_path: Path) -> None:
    larger = corpus("data.utterances.train=99", "data.speakers.train=7")
    assert digest(larger, "val", tmp_path / "a") == digest(corpus(), "val", tmp_path / "b")
    assert larger.fingerprint(tmp_path, silent) != corpus().fingerprint(tmp_path, silent)


def test_a_larger_split_starts_with_the_smaller_one(tmp_path: Path) -> None:
    small = table_of(corpus(), "val", tmp_path)
    large = table_of(corpus("data.utterances.val=12"), "val", tmp_path)
    assert large.names[:10] == small.names
    rows = len(small.features) - GAP
    assert torch.equal(large.features[:rows], small.features[:rows])


def test_the_fingerprint_is_that_of_the_recipe_and_makes_nothing(tmp_path: Path) -> None:
    plain = corpus().fingerprint(tmp_path, silent)
    assert not list(tmp_path.iterdir())
    for same in ("data.context=3", "data.fraction=0.5", "data.boundary=bleed", "data.dtype=bf16"):
        assert corpus(same).fingerprint(tmp_path, silent) == plain
    others = [
        "data.corpus_seed=1",
        "data.channel=0.5",
        "data.snr_db=[5,30]",
        "data.accents=[gmw/en]",
        "data.coefficients=13",
    ]
    assert len({plain, *(corpus(other).fingerprint(tmp_path, silent) for other in others)}) == 1 + len(others)


@pytest.mark.parametrize(("one", "other"), [("channel=1", "channel=1.0"), ("rate=[140,230]", "rate=[140.0,2.3e2]")])
def test_the_spelling_of_a_number_is_not_part_of_the_recipe(one: str, other: str, tmp_path: Path) -> None:
    assert corpus(f"data.{one}").fingerprint(tmp_path, silent) == corpus(f"data.{other}").fingerprint(tmp_path, silent)


def test_speakers_and_voices_are_in_one_split_only() -> None:
    splits: tuple[Any, ...] = ("train", "val", "test")
    voices = [{each.speaker.variant for each in corpus("data=espeak")._utterances(split)} for split in splits]
    assert not voices[0] & voices[1] and not voices[0] & voices[2] and not voices[1] & voices[2]
    assert min(map(len, voices)) >= 8


def test_all_phonemes_occur_and_lengths_fit(tmp_path: Path) -> None:
    table = table_of(corpus(), "train", tmp_path)
    assert set(table.labels.tolist()) == set(range(len(PHONEMES)))
    assert int(table.lengths.sum()) == len(table.labels) == len(table.centre)
    assert bool(torch.isfinite(table.features).all())


def test_a_fraction_takes_whole_utterances_of_the_training_split(tmp_path: Path) -> None:
    whole = table_of(corpus(), "train", tmp_path, seed=3)
    part = table_of(corpus("data.fraction=0.1"), "train", tmp_path, seed=3)
    assert len(part.names) == 6 and set(part.names) < set(whole.names)
    frames = dict(zip(whole.names, (features for features, _ in whole.utterances()), strict=True))
    for name, (features, _) in zip(part.names, part.utterances(), strict=True):
        assert torch.equal(features, frames[name])
    assert len(table_of(corpus("data.fraction=0.1"), "val", tmp_path, seed=3).names) == 10


def test_a_broken_cache_is_made_anew(tmp_path: Path) -> None:
    first = digest(corpus(), "val", tmp_path)
    (file,) = tmp_path.glob("*.frames")
    for content in (file.read_bytes()[: file.stat().st_size // 2], b"", b"not a split"):
        file.write_bytes(content)
        assert digest(corpus(), "val", tmp_path) == first


def test_the_whole_vocabulary_of_every_accent_is_known() -> None:
    hard = corpus("data=espeak_hard", "data.utterances.val=240", "data.speakers.val=24")
    utterances = hard._utterances("val")
    assert {each.speaker.accent for each in utterances} == set(hard.accents)
    said = set()
    for utterance, (audio, events) in zip(utterances, _speak([each.request for each in utterances]), strict=True):
        segments = align(audio, events, utterance.speaker.accent)
        starts = [start for start, _ in segments]
        assert starts[0] == 0 and starts == sorted(set(starts)) and starts[-1] < len(audio)
        said |= {phoneme for _, phoneme in segments}
    assert said == set(PHONEMES)


def test_every_variant_is_installed_and_an_unknown_one_is_an_error() -> None:
    requests = [PLAIN | {"text": "yes", "variant": variant} for variant in _VARIANTS]
    assert all(len(audio) > 1000 for audio, _ in _speak(requests))
    with pytest.raises(RuntimeError, match="no voice variant 'nosuch'"):
        list(_speak([PLAIN | {"text": "yes", "variant": "nosuch"}]))
    with pytest.raises(RuntimeError, match="no accent 'gmw/nosuch'"):
        list(_speak([PLAIN | {"text": "yes", "accent": "gmw/nosuch"}]))


def test_an_unknown_mnemonic_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown espeak-ng mnemonic 'Q\\^'"):
        align(np.zeros(100, np.int16), [(0, "'Q^")], "gmw/en-US")


def test_an_exception_in_the_callback_is_raised() -> None:
    code = (
        "from ablate.recipe.data.espeak import engine\n"
        "def broken(event): raise KeyError('planted')\n"
        "engine._mnemonic = broken\n"
        f"try: engine.Engine().say('yes', **{PLAIN})\n"
        "except KeyError as error: print('raised', error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "raised 'planted'"


def test_a_long_install_path_works(tmp_path: Path) -> None:
    import espeakng_loader

    folder = tmp_path / ("x" * 100) / ("y" * 100)
    shutil.copytree(Path(espeakng_loader.__file__).parent, folder / "espeakng_loader")
    code = (
        "from ablate.recipe.data.espeak.engine import Engine\n"
        "import espeakng_loader; assert len(str(espeakng_loader.get_data_path())) > 200\n"
        f"audio, events = Engine().say('yes', **{PLAIN})\n"
        "print(len(audio), len(events))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[0]) > 1000


def test_without_the_package_the_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install espeakng-loader==0\.2\.4"):
        corpus().fingerprint(tmp_path, silent)


def test_a_stop_owns_the_silence_before_its_burst() -> None:
    second = SAMPLE_RATE_HZ
    audio = np.full(second, 1000, np.int16)
    audio[4000:5000] = 0  # the closure, which the engine counts to the vowel before
    segments = align(audio, [(100, "a"), (5000, "t"), (6000, "a")], "gmw/en-US")
    assert segments == [(0, "SIL"), (100, "AE"), (4000, "T"), (6000, "AE")]


def test_one_event_may_be_two_phonemes() -> None:
    audio = np.full(3000, 1000, np.int16)
    assert align(audio, [(0, "A@"), (1000, "t")], "gmw/en-US")[:2] == [(0, "AA"), (600, "R")]
    assert align(audio, [(0, "A@"), (1000, "r")], "gmw/en-US") == [(0, "AA"), (1000, "R")]
    assert align(audio, [(0, "aI@"), (1000, "t")], "gmw/en")[:2] == [(0, "AY"), (650, "AH")]
    assert align(audio, [(0, "3"), (1000, "t")], "gmw/en")[0] == (0, "AH")


def condition(**changes: Any) -> Condition:
    flat = Condition(
        tract=1.0, snr_db=20.0, noise_colour=0.0, low_hz=0.001, high_hz=1e9, tilt_db=0.0, bumps=(), gain_db=0.0, seed=1
    )
    return dataclasses.replace(flat, **changes)


@pytest.mark.parametrize("loudness", [0.003, 0.1, 0.9])
@pytest.mark.parametrize("snr_db", [5.0, 30.0])
def test_level_and_noise_mean_what_they_say_for_quiet_and_loud_voices(loudness: float, snr_db: float) -> None:
    speech = loudness * torch.sin(torch.arange(16_000) * 0.3)
    levelled = _level(speech)
    heard = _degrade(levelled, condition(snr_db=snr_db))
    noise = heard - _degrade(levelled, condition(snr_db=200.0))
    ratio = 10 * torch.log10(levelled.square().mean() / noise.square().mean())
    assert ratio == pytest.approx(snr_db, abs=0.2)
    quieter = _degrade(levelled, condition(snr_db=snr_db, gain_db=-20.0))
    assert 20 * torch.log10(heard.std() / quieter.std()) == pytest.approx(20, abs=0.1)


def test_the_channel_filters() -> None:
    tones = {hertz: torch.sin(torch.arange(16_000) * 2 * torch.pi * hertz / 16_000) for hertz in (100, 1000, 6000)}
    narrow = condition(snr_db=200.0, low_hz=300.0, high_hz=3000.0)
    gain_db = {
        hertz: float(20 * torch.log10(_degrade(tone, narrow).std() / tone.std())) for hertz, tone in tones.items()
    }
    assert gain_db[100] < -15 and gain_db[6000] < -20 and abs(gain_db[1000]) < 0.5
