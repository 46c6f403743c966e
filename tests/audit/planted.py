"""A sound corpus in the course's layout, and faults that are planted in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ablate.config.check import instantiate
from ablate.recipe.data.corpus import Split
from ablate.recipe.data.phoneme import PHONEMES
from tests.trainings import checked

FOLDERS: dict[Split, str] = {"train": "train-clean-100", "val": "dev-clean"}
ONE, OTHER = "train007-00037", "train005-00005"
OF_VAL = "val002-00002"
_ALL = slice(None)


def write_sound(root: Path, cache: Path) -> Path:
    """The embedded tiny corpus's training and validation split, as files."""
    corpus = instantiate(checked(["data=espeak_tiny"]), "data")
    for split, folder in FOLDERS.items():
        recordings = corpus.load(split, seed=0, cache=cache, track=lambda items, total, title: items)
        for part in ("mfcc", "transcript"):
            (root / folder / part).mkdir(parents=True)
        for name, (features, labels) in zip(recordings.names, recordings.utterances(), strict=True):
            write(root, split, name, features.numpy(), np.array(PHONEMES)[labels.numpy()])
    return root


def write(root: Path, split: Split, name: str, features: np.ndarray, labels: np.ndarray) -> None:
    """Write an utterance."""
    np.save(root / FOLDERS[split] / "mfcc" / f"{name}.npy", features)
    np.save(root / FOLDERS[split] / "transcript" / f"{name}.npy", labels)


def read(root: Path, split: Split, name: str) -> tuple[np.ndarray, np.ndarray]:
    """An utterance's features and labels."""
    mfcc, transcript = (root / FOLDERS[split] / part / f"{name}.npy" for part in ("mfcc", "transcript"))
    return np.load(mfcc), np.load(transcript)


def names(root: Path, split: Split) -> list[str]:
    """Of the split's utterances."""
    return sorted(file.stem for file in (root / FOLDERS[split] / "mfcc").iterdir())


Change = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def change(root: Path, split: Split, which: list[str], how: Change) -> None:
    """Change features and labels of some utterances."""
    for name in which:
        write(root, split, name, *how(*read(root, split, name)))


def _features(how: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda root: change(root, "train", [ONE], lambda features, labels: (how(features), labels))


def _labels(how: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda root: change(root, "train", [ONE], lambda features, labels: (features, how(labels)))


def _length(how: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda root: change(root, "train", [ONE], lambda features, labels: (how(features), how(labels)))


def _of_all(how: Change, *splits: Split) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        for split in splits or FOLDERS:
            change(root, split, names(root, split), how)

    return plant


def _with(features: np.ndarray, value: float, frames: slice = _ALL, coefficients: slice = _ALL) -> np.ndarray:
    features = features.copy()
    features[frames, coefficients] = value
    return features


def _stuck(features: np.ndarray) -> np.ndarray:
    return _with(features, 1, coefficients=slice(5, 6))


def _moved(labels: np.ndarray, shift: int) -> np.ndarray:
    """Labels that lie `shift` frames too late."""
    return np.concatenate([np.repeat(labels[:1], shift), labels[:-shift]])


def _file(part: str, how: Callable[[Path], object]) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        how(root / FOLDERS["train"] / part / f"{ONE}.npy")

    return plant


def _pickle(file: Path) -> None:
    np.save(file, np.array([{"a": 1}], object), allow_pickle=True)


def _copy(to: Split, name: str) -> Callable[[Path], None]:
    return lambda root: write(root, to, name, *read(root, "train", ONE))


def _speaker_in_val(root: Path) -> None:
    write(root, "val", f"{OTHER.partition('-')[0]}-x", *read(root, "val", OF_VAL))
    for part in ("mfcc", "transcript"):
        (root / FOLDERS["val"] / part / f"{OF_VAL}.npy").unlink()


def _labels_of_another(root: Path) -> None:
    features, labels = read(root, "train", ONE)
    _, others = read(root, "train", OTHER)
    write(root, "train", ONE, features, np.resize(others, len(labels)))


def _minmax(root: Path) -> None:
    all_of = [read(root, split, name)[0] for split in FOLDERS for name in names(root, split)]
    low, high = np.concatenate(all_of).min(0), np.concatenate(all_of).max(0)
    _of_all(lambda features, labels: ((features - low) / (high - low), labels))(root)


def _zscore(root: Path) -> None:
    frames = np.concatenate([read(root, "train", name)[0] for name in names(root, "train")])
    mean, deviation = frames.mean(0), frames.std(0)
    _of_all(lambda features, labels: ((features - mean) / deviation, labels))(root)


def _speaker_shifted(root: Path) -> None:
    whose = {f"train003-{number:05}": f"train{number:03}-{number:05}" for number in (20, 21, 22, 23)}
    for new, old in whose.items():  # one speaker of six utterances
        for part in ("mfcc", "transcript"):
            folder = root / FOLDERS["train"] / part
            (folder / f"{old}.npy").rename(folder / f"{new}.npy")
    of_speaker = [name for name in names(root, "train") if name.startswith("train003-")]
    change(root, "train", of_speaker, lambda features, labels: (features, _moved(labels, 2)))


class Planted(NamedTuple):
    """A fault: how it is planted, and the finding that it is: of which kind, in which split, of which utterance."""

    plant: Callable[[Path], None]
    kind: str
    utterance: str | None = ONE
    split: Split = "train"


FAULTS: dict[str, Planted] = {
    "no transcript": Planted(_file("transcript", Path.unlink), "refused"),
    "no features": Planted(_file("mfcc", Path.unlink), "refused"),
    "unequal lengths": Planted(_labels(lambda labels: labels[:-1]), "refused"),
    "unknown label": Planted(_labels(lambda labels: np.array(["AX", *labels[1:]])), "refused"),
    "NaN": Planted(_features(lambda features: _with(features, np.nan, slice(5, 6))), "refused"),
    "infinity": Planted(_features(lambda features: _with(features, np.inf, slice(5, 6))), "refused"),
    "too few coefficients": Planted(_features(lambda features: features[:, :-1]), "refused"),
    "no frames": Planted(_features(lambda features: features[:0]), "refused"),
    "cut short": Planted(_file("mfcc", lambda file: file.write_bytes(file.read_bytes()[:-7])), "refused"),
    "pickled": Planted(_file("mfcc", _pickle), "refused"),
    "same bytes twice": Planted(_copy("train", "train099-00099"), "duplicate", "train099-00099"),
    "same features in two splits": Planted(_copy("val", "val099-00099"), "in two splits"),
    "silence": Planted(_features(lambda features: features[:1] + 1e-3 * np.sin(features)), "silent"),
    "nothing at all": Planted(_features(np.zeros_like), "silent"),
    "a constant coefficient": Planted(_features(lambda features: _stuck(features)), "constant coefficient"),
    "a constant coefficient of all": Planted(
        _of_all(lambda features, labels: (_stuck(features), labels)), "constant coefficient", None
    ),
    "another scale": Planted(_features(lambda features: 8 * features), "other features"),
    "normalized alone": Planted(_features(lambda features: features - features.mean(0)), "other features"),
    "validation of another scale": Planted(
        _of_all(lambda features, labels: (4 * features, labels), "val"), "other features", None, "val"
    ),
    "labels too late": Planted(_labels(lambda labels: _moved(labels, 6)), "shifted labels"),
    "labels too early": Planted(_labels(lambda labels: _moved(labels[::-1], 6)[::-1]), "shifted labels"),
    "a speaker's labels too late": Planted(_speaker_shifted, "shifted labels", "train003-00003"),
    "all labels too late": Planted(
        _of_all(lambda features, labels: (features, _moved(labels, 3))), "shifted labels", None
    ),
    "validation's labels too late": Planted(
        _of_all(lambda features, labels: (features, _moved(labels, 3)), "val"), "shifted labels", None, "val"
    ),
    "another's labels": Planted(_labels_of_another, "wrong labels"),
    "all labels by a frame": Planted(
        _of_all(lambda features, labels: (features, _moved(labels, 1))), "labels off by a frame", None
    ),
    "cut at a limit": Planted(
        _features(lambda features: np.minimum(features, np.quantile(features, 0.8, 0))), "clipped"
    ),
    "gaps": Planted(_features(lambda features: _with(features, 0.5, slice(50, 150))), "dropouts"),
    "far away": Planted(_features(lambda features: features - 300 * np.eye(28, dtype=np.float32)[0]), "quiet"),
    "too long": Planted(_length(lambda array: np.concatenate([array] * 5)), "length"),
    "too short": Planted(_length(lambda array: array[:20]), "length"),
    "one label": Planted(_labels(lambda labels: np.full_like(labels, "SIL")), "one label"),
    "the same labels": Planted(
        lambda root: write(
            root, "train", "train099-00099", *(np.add(read(root, "train", ONE)[0], 0.5), read(root, "train", ONE)[1])
        ),
        "same labels", "train099-00099",
    ),
    "a label never": Planted(
        _of_all(lambda features, labels: (features, np.where(labels == "ZH", "SH", labels))), "label never occurs", None
    ),
    "a speaker in two splits": Planted(_speaker_in_val, "speaker in two splits", None),
    "means taken out": Planted(
        _of_all(lambda features, labels: (features - features.mean(0), labels)), "normalized already", None
    ),
    "standardized": Planted(_zscore, "normalized already", None),
    "in an interval": Planted(_minmax, "normalized already", None),
}  # fmt: skip
"""By what is done to the corpus."""
