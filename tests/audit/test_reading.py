"""Audio at hand is listened to: silence, clipping and gaps are told of files, by name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ablate.audit.reading import Audit, audit
from ablate.config.check import instantiate
from ablate.recipe.data.corpus import Split
from tests.recipe.data.aligned_corpus import Spoken, spoken, write_audio, write_text_grid
from tests.recipe.data.test_hw1p2 import silent
from tests.trainings import checked

SMALL = ("data.utterances={train: 8, val: 5, test: 1}", "data.speakers={train: 4, val: 3, test: 1}")


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audio files and alignments of a few utterances."""
    root = tmp_path_factory.mktemp("aligned") / "root"
    splits: tuple[Split, ...] = ("train", "val")
    for split in splits:
        for utterance in spoken(split, *SMALL):
            place(root, split, utterance)
    return root


def place(root: Path, split: Split, utterance: Spoken) -> None:
    file = root / split / utterance.speaker / utterance.name
    write_audio(file.with_suffix(".wav"), utterance)
    write_text_grid(file.with_suffix(".TextGrid"), utterance)


def audited(root: Path) -> Audit:
    corpus = instantiate(checked(["data=aligned", f"data.root={root}"]), "data")
    return audit(corpus, root.parent / "cache", silent)


def test_sound_audio_is_not_accused(heard: Path) -> None:
    found = audited(heard)
    assert {each.kind for each in found.findings} <= {"label never occurs"}, "so few utterances lack one"
    assert found.not_there == {"test": "data.test: expected a folder or a list of speakers, found none"}
    assert all(len(each.levels) == len(each.names) for each in found.splits)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "silent": lambda audio: audio * 1e-5,
    "clipped": lambda audio: np.clip(audio, *np.quantile(audio, [0.02, 0.98])),
    "dropouts": lambda audio: np.where(np.arange(len(audio)) > 0.3 * len(audio), 0, audio),
}


def test_planted_silence_clipping_and_gaps_are_named(heard: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(heard, tmp_path / "root"))
    utterances = dict(zip(CHANGES, spoken("train", *SMALL), strict=False))
    for kind, utterance in utterances.items():
        place(root, "train", utterance._replace(audio=CHANGES[kind](utterance.audio).astype(np.float32)))
    found = audited(root)
    for kind, utterance in utterances.items():
        named = [name for each in found.findings if each.kind == kind for name in each.utterances]
        assert f"{utterance.speaker}/{utterance.name}" in named, (kind, found.findings)
