"""The course's layout: what differs between terms is found out, and what is wrong is named by file."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.compose import compose, instantiate, resolve
from ablate.recipe.data.hw1p2 import HW1P2
from ablate.recipe.data.phoneme import PHONEMES

LENGTHS = {"1-a": 5, "1-b": 3, "2-c": 4}


def silent(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    return items


def write(root: Path, *, sil: str = "SIL", ends: tuple[str, str] | None = None, num_mfcc: int = 4) -> Path:
    for split in ("train-clean-100", "dev-clean"):
        for part in ("mfcc", "transcript"):
            (root / split / part).mkdir(parents=True)
        draw = np.random.default_rng(len(split))
        for name, length in LENGTHS.items():
            spelled = [sil if label == "SIL" else label for label in draw.choice(PHONEMES, length)]
            spelled = [ends[0], *spelled, ends[1]] if ends else spelled
            features = draw.standard_normal((length, num_mfcc)).astype(np.float32)
            np.save(root / split / "mfcc" / f"{name}.npy", features)
            np.save(root / split / "transcript" / f"{name}.npy", np.array(spelled))
    return root


def corpus(root: Path, *overrides: str) -> HW1P2:
    made = instantiate(resolve(compose(["data=hw1p2", f"data.root={root}", *overrides])), "data")
    assert isinstance(made, HW1P2)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "root")


@pytest.mark.parametrize(
    "form",
    [{"sil": "[SIL]", "ends": ("[SOS]", "[EOS]")}, {"sil": "SIL", "ends": ("<sos>", "<eos>")}, {"sil": "[SIL]"}],
)
def test_every_terms_form_gives_the_same_table(form: dict[str, Any], root: Path, tmp_path: Path) -> None:
    plain = corpus(root).load("train", seed=0, cache=tmp_path, track=silent)
    other = corpus(write(tmp_path / "other", **form)).load("train", seed=0, cache=tmp_path, track=silent)
    assert torch.equal(plain.features, other.features) and torch.equal(plain.labels, other.labels)


def test_the_table_is_what_the_files_say(root: Path, tmp_path: Path) -> None:
    table = corpus(root).load("val", seed=0, cache=tmp_path, track=silent)
    assert table.names == tuple(LENGTHS)
    for name, (features, labels) in zip(table.names, table.utterances(), strict=True):
        assert np.array_equal(features.numpy(), np.load(root / "dev-clean/mfcc" / f"{name}.npy"))
        spelled = np.load(root / "dev-clean/transcript" / f"{name}.npy")
        assert [PHONEMES[label] for label in labels] == spelled.tolist()


@pytest.mark.parametrize("num_mfcc", [13, 15, 27, 28])
def test_any_number_of_coefficients(num_mfcc: int, tmp_path: Path) -> None:
    made = corpus(write(tmp_path / "root", num_mfcc=num_mfcc))
    assert made.num_mfcc() == num_mfcc
    assert made.load("train", seed=0, cache=tmp_path, track=silent).num_mfcc == num_mfcc


def fault(root: Path, kind: str) -> None:
    mfcc, transcript = (root / "train-clean-100" / part / "1-b.npy" for part in ("mfcc", "transcript"))
    features, labels = np.load(mfcc), np.load(transcript)
    if kind == "missing transcript":
        transcript.unlink()
    elif kind == "missing mfcc":
        mfcc.unlink()
    elif kind == "unequal lengths":
        np.save(transcript, labels[:-1])
    elif kind == "unknown label":
        np.save(transcript, np.array(["AX", *labels[1:]]))
    elif kind == "nan":
        features[1, 2] = np.nan
        np.save(mfcc, features)
    elif kind == "coefficients":
        np.save(mfcc, features[:, :-1])
    elif kind == "integers":
        np.save(mfcc, features.astype(int))
    elif kind == "one dimension":
        np.save(mfcc, features[:, 0])
    elif kind == "empty utterance":
        np.save(mfcc, features[:0])
    elif kind == "truncated mfcc":
        mfcc.write_bytes(mfcc.read_bytes()[:-7])
    elif kind == "empty file":
        mfcc.write_bytes(b"")
    elif kind == "truncated transcript":
        transcript.write_bytes(transcript.read_bytes()[:-7])
    elif kind == "pickled mfcc":
        np.save(mfcc, np.array([features], object), allow_pickle=True)
    elif kind == "pickled transcript":
        np.save(transcript, labels.astype(object), allow_pickle=True)


FAULTS = {
    "missing transcript": "no transcript",
    "missing mfcc": "a transcript without MFCC",
    "unequal lengths": "3 frames of MFCC, but 2 of transcript",
    "unknown label": "unknown label 'AX' at frame 0",
    "nan": "NaN or infinity",
    "coefficients": "3 coefficients, where the training split has 4",
    "integers": "expected floats",
    "one dimension": "expected floats (frames, mfcc), found float32 (3,)",
    "empty utterance": "expected floats (frames, mfcc), found float32 (0, 4)",
    "truncated mfcc": "not a whole .npy array",
    "empty file": "not a whole .npy array",
    "truncated transcript": "transcript is not a whole .npy array",
    "pickled mfcc": "without pickled objects",
    "pickled transcript": "without pickled objects",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_named_by_file_or_its_utterance_dropped(kind: str, root: Path, tmp_path: Path) -> None:
    fault(root, kind)
    with pytest.raises(ValueError) as caught:
        corpus(root).load("train", seed=0, cache=tmp_path, track=silent)
    text = str(caught.value)
    assert "train-clean-100: a bad utterance; mend, or" in text and "\n  1-b: " in text and FAULTS[kind] in text
    table = corpus(root, "data.on_bad_utterance=drop").load("train", seed=0, cache=tmp_path, track=silent)
    assert table.names == ("1-a", "2-c") and table.dropped == ("1-b",)
    assert len(table.labels) == 9


def test_the_odd_one_out_is_blamed_even_if_it_is_the_first(root: Path, tmp_path: Path) -> None:
    first = root / "train-clean-100/mfcc/1-a.npy"
    np.save(first, np.load(first)[:, :-1])
    with pytest.raises(ValueError, match=r"1-a: 3 coefficients, where the training split has 4"):
        corpus(root).load("train", seed=0, cache=tmp_path, track=silent)


def test_what_is_no_file_is_no_utterance(root: Path, tmp_path: Path) -> None:
    (root / "train-clean-100/mfcc/folder.npy").mkdir()
    (root / "train-clean-100/mfcc/link.npy").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / "train-clean-100/mfcc/pipe.npy")
    assert corpus(root).fingerprint(tmp_path)
    assert corpus(root).load("train", seed=0, cache=tmp_path, track=silent).names == tuple(LENGTHS)


def test_a_value_too_large_for_the_table_is_named(root: Path, tmp_path: Path) -> None:
    np.save(root / "train-clean-100/mfcc/1-b.npy", np.full((3, 4), 1e300))
    with pytest.raises(ValueError, match=r"1-b: NaN or infinity"):
        corpus(root).load("train", seed=0, cache=tmp_path, track=silent)


def test_many_faults_are_reported_at_once_in_few_lines(root: Path, tmp_path: Path) -> None:
    for i in range(9):
        np.save(root / "train-clean-100/mfcc" / f"9-{i}.npy", np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError) as caught:
        corpus(root).load("train", seed=0, cache=tmp_path, track=silent)
    lines = str(caught.value).splitlines()
    assert "9 bad utterances" in lines[0] and lines[-1] == "  and 5 more" and len(lines) <= 6


def test_a_wrong_root_is_told_the_right_one(root: Path, tmp_path: Path) -> None:
    for wrong in (root.parent, root / "dev-clean"):
        with pytest.raises(ValueError, match=f"did you mean data.root={root}"):
            corpus(wrong).fingerprint(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        corpus(root / "nowhere").fingerprint(tmp_path)


def test_the_fingerprint_is_of_the_content_wherever_it_lies(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = corpus(root).fingerprint(cache)
    moved = write(tmp_path / "moved")
    assert corpus(moved).fingerprint(cache) == first
    (root / "test-clean/mfcc").mkdir(parents=True)
    assert corpus(root).fingerprint(cache) == first
    file = moved / "dev-clean/mfcc/1-a.npy"
    features = np.load(file)
    features[0, 0] += 1
    np.save(file, features)
    assert corpus(moved).fingerprint(cache) != first


def test_asking_again_reads_no_data_file(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = corpus(root).fingerprint(tmp_path)
    monkeypatch.setattr("ablate.recipe.data.hw1p2._content_hash", None)  # calling it would fail
    assert corpus(root).fingerprint(tmp_path) == first


def test_a_broken_memory_of_hashes_is_made_anew(root: Path, tmp_path: Path) -> None:
    first = corpus(root).fingerprint(tmp_path)
    (memory,) = tmp_path.glob("hw1p2-*.json")
    for content in (b"", b"[1, 2]", b'{"train-clean-100/mfcc/1-a.npy": 3}', memory.read_bytes()[:50]):
        memory.write_bytes(content)
        assert corpus(root).fingerprint(tmp_path) == first
