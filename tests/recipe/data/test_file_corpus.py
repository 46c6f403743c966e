"""A corpus in files is looked at once: what is trained on is what the key is of."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.config.check import instantiate
from tests.recipe.data.hw1p2_folder import write
from tests.recipe.data.test_table import silent
from tests.trainings import config_of


def corpus_of(root: Path, output: Path) -> Any:
    return instantiate(config_of(["data=hw1p2", f"data.root={root}"], output), "data")


def test_files_that_change_after_the_look_change_nothing_of_what_is_in_the_cache(tmp_path: Path) -> None:
    root, cache = write(tmp_path / "root", lengths={"1-a": 20, "2-b": 30}, num_mfcc=13), tmp_path / "cache"
    earlier = corpus_of(root, tmp_path)
    fingerprint = earlier.fingerprint(cache, silent)
    first = earlier.load("val", seed=0, cache=cache, track=silent)
    file = root / "dev-clean/mfcc/1-a.npy"
    np.save(file, np.load(file) + 1)
    again = earlier.load("val", seed=0, cache=cache, track=silent)
    assert (again.identity, again.digest) == (first.identity, first.digest)
    assert earlier.fingerprint(cache, silent) == fingerprint
    later = corpus_of(root, tmp_path)
    assert later.fingerprint(cache, silent) != fingerprint
    assert later.load("val", seed=0, cache=cache, track=silent).digest != first.digest


def test_reading_ahead_makes_nothing_and_tells_nothing(tmp_path: Path) -> None:
    root, cache = write(tmp_path / "root", lengths={"1-a": 20, "2-b": 30}, num_mfcc=13), tmp_path / "cache"
    corpus = corpus_of(root, tmp_path)
    corpus.read_ahead(0, cache)
    assert not cache.exists()
    corpus.fingerprint(cache, silent)
    corpus.read_ahead(0, cache)
    assert not list(cache.glob("*.frames"))
    whole = corpus.load("train", seed=0, cache=cache, track=silent)
    before = whole.path.read_bytes()
    corpus.read_ahead(0, cache)
    for content in (before[:-30], b"", before[:40] + b"x" + before[41:]):
        whole.path.write_bytes(content)
        corpus.read_ahead(0, cache)
        assert whole.path.read_bytes() == content
    shutil.rmtree(root)
    corpus.read_ahead(0, cache)


def test_files_that_change_between_the_look_and_their_reading_are_refused(tmp_path: Path) -> None:
    root, cache = write(tmp_path / "root", lengths={"1-a": 20, "2-b": 30}, num_mfcc=13), tmp_path / "cache"
    corpus = corpus_of(root, tmp_path)
    corpus.fingerprint(cache, silent)
    for part in ("mfcc", "transcript"):
        shutil.copy(root / f"dev-clean/{part}/1-a.npy", root / f"dev-clean/{part}/3-c.npy")
    with pytest.raises(ValueError, match="files changed while they were read; give the same command again"):
        corpus.load("val", seed=0, cache=cache, track=silent)
    assert corpus_of(root, tmp_path).load("val", seed=0, cache=cache, track=silent).names == ["1-a", "2-b", "3-c"]
