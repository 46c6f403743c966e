"""Utterances left out by a list: they are gone from data and fingerprint, and move no other."""

from pathlib import Path

import pytest

from ablate.config.check import instantiate
from ablate.recipe.data.cache import Recordings
from ablate.recipe.data.corpus import Corpus, Split, combined
from ablate.recipe.data.left_out import names
from tests.recipe.data.hw1p2_folder import write
from tests.recipe.data.test_hw1p2 import fault, silent
from tests.trainings import checked

MANY = {f"{number % 3}-{number}": 4 for number in range(20)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "root", lengths=MANY)


def corpus(root: Path, listed: str | None = None, *overrides: str) -> Corpus:
    leave_out = []
    if listed is not None:
        (root / "list.txt").write_text(listed)
        leave_out = [f"data.leave_out={root}/list.txt"]
    made: Corpus = instantiate(checked(["data=hw1p2", f"data.root={root}", *leave_out, *overrides]), "data")
    return made


def load(root: Path, listed: str | None, split: Split, *overrides: str) -> Recordings:
    return corpus(root, listed, *overrides).load(split, seed=0, cache=root / "cache", track=silent)


def test_those_in_the_list_are_gone(root: Path) -> None:
    listed = "# twice the same\ntrain/0-3\n\ntrain/1-4\r\nval/0-0\ntest/nobody\n"
    assert set(load(root, listed, "train").names) == set(MANY) - {"0-3", "1-4"}
    assert set(load(root, listed, "val").names) == set(MANY) - {"0-0"}
    assert len(list(load(root, listed, "train").utterances())) == 18


def test_they_move_no_other_into_a_fraction(root: Path) -> None:
    half = load(root, None, "train", "data.fraction=0.5").names
    left = load(root, f"train/{half[2]}\n", "train", "data.fraction=0.5").names
    assert left == [name for name in half if name != half[2]]


def test_a_bad_one_in_the_list_is_no_fault_any_more(tmp_path: Path) -> None:
    root = write(tmp_path / "root")
    fault(root, "nan")
    assert load(root, "train/1-b\n", "train").names == ["1-a", "2-c"]


def test_the_fingerprint_is_of_the_lists_content_and_of_the_data_without_a_list(root: Path, tmp_path: Path) -> None:
    def fingerprint(listed: str | None) -> str:
        return corpus(root, listed).fingerprint(root / "cache", silent)

    assert fingerprint(None) == fingerprint("") == fingerprint("test/nobody\n# none\n")
    some = fingerprint("train/0-3\ntrain/1-4\n")
    assert some == fingerprint("train/1-4\n\ntrain/0-3") != fingerprint(None)
    assert len({some, fingerprint("train/0-3\n"), fingerprint("val/0-3\n"), fingerprint(None)}) == 4
    loaded = (load(root, "val/0-3\n", split).identity for split in ("train", "val"))
    assert combined(*loaded) == fingerprint("val/0-3\n")


def test_the_embedded_corpus_has_it_too(corpus_cache: Path, tmp_path: Path) -> None:
    def made(listed: str) -> Corpus:
        (tmp_path / "list.txt").write_text(listed)
        config = checked(["data=espeak_tiny", f"data.leave_out={tmp_path}/list.txt"])
        corpus: Corpus = instantiate(config, "data")
        return corpus

    left = made("train/train000-00000\n")
    train, val = (left.load(split, seed=0, cache=corpus_cache, track=silent) for split in ("train", "val"))
    assert len(train.names) == 59 and "train000-00000" not in train.names and len(val.names) == 10
    assert combined(train.identity, val.identity) == left.fingerprint(corpus_cache, silent) != val.identity
    assert made("").fingerprint(corpus_cache, silent) == val.identity


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("train/0-33\n", r"list.txt: train/0-33: no such utterance \(the nearest: train/0-3\)$"),
        ("train/0-33\ntrain/zzz", r"train/0-33: no such utterance .*, and 1 more that there are not$"),
        ("0-3\n", r"list.txt, line 1: found '0-3'; expected a line an utterance: train/NAME, val/NAME, test/NAME$"),
        ("train/\n", r"line 1: found 'train/'"),
        ("\n".join(f"train/{name}" for name in MANY), r"list.txt: it leaves nothing of data.train$"),
    ],
)
def test_a_list_that_can_not_be_meant_is_refused(listed: str, said: str, root: Path) -> None:
    with pytest.raises(ValueError, match=said):
        load(root, listed, "train")


def test_a_list_that_can_not_be_read_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: No such file or directory; expected a line an utterance"):
        names(str(root / "nowhere"), "train")
    (root / "list.txt").write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match=r"no text in UTF-8"):
        names(str(root / "list.txt"), "train")
