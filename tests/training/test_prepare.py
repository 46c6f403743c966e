"""Combinations that make no sense are refused with the reason, never adjusted; data are loaded once."""

from collections.abc import Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.config.check import instantiate
from ablate.display import Screen
from ablate.error import UserError
from ablate.recipe.data.cache import Recordings
from ablate.recipe.data.corpus import Split
from ablate.recipe.data.hw1p2 import HW1P2
from ablate.recipe.data.table import FrameTable
from ablate.training.prepare import prepare
from ablate.training.session import Tables
from tests.recipe.data.hw1p2_folder import write
from tests.trainings import config_of, prepared


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["arch.depth=0", "regularization=dropout"], r"arch.dropout=0.25: expected at least 1 hidden layers"),
        (["arch.depth=0", "arch.num_params=1e5"], r"arch.num_params: a model without hidden layers"),
        (["arch=custom", "arch.widths=[0]"], r"arch.widths\[0\]: expected greater than or equal to 1"),
        (["arch.dropout=0.1", "regularization=dropout"], r"arch.dropout=0.1 and regularization.dropout=0.25 differ"),
        (["scheduler.warmup=1.5"], r"scheduler.warmup: expected less than or equal to 1, found 1.5"),
        (["precision=tf32", "device=cpu"], r"precision=tf32: expected an NVIDIA GPU"),
        (["precision=fp16", "device=cpu"], r"precision=fp16: expected a GPU, found cpu; take fp32"),
        (["augmentation=time_mask", "augmentation.probability=2"], r"augmentation.probability: expected less than"),
        (
            ["regularization=grad_clip", "regularization.max_gradient=1"],
            r"max_gradient=1.0 both clip the gradient; set one of them to null",
        ),
        (["optimizer=adam_to_sgd", "optimizer.switch=0"], r"optimizer.switch: expected greater than 0"),
        (["optimizer=nesterov", "optimizer.momentum=0"], r"optimizer.momentum: expected greater than 0"),
        (["initialization=normal", "initialization.deviation=0"], r"initialization.deviation: expected greater than 0"),
        (["batch_size=1"], r"batch_size=1: a batch norm needs at least 2"),
        (["max_params=1e5"], r"max_params=100000: the model has"),
        (["max_params=1e5", "arch.width=1000000", "arch.depth=3"], r"max_params=100000: the model has 2000634000040"),
        (["augmentation=freq_mask", "augmentation.coefficients=1"], r"augmentation.coefficients: expected greater"),
        (["augmentation=freq_mask", "augmentation.probability=0"], r"augmentation.probability: expected greater"),
        (["regularization.least_improvement=0.1"], r"nothing waits for one; give regularization.patience"),
        (["optimizer.decay_all=true", "optimizer.weight_decay=0"], r"optimizer.decay_all=true: there is no decay"),
        (["scheduler=cosine_restarts", "scheduler.cycles=2000"], r"scheduler.cycles: expected less than or equal"),
    ],
)
def test_it_is_refused_before_data_are_loaded(overrides: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        prepared(["data=espeak_tiny", *overrides], tmp_path)
    assert not (tmp_path / "cache").exists()


def test_all_that_is_wrong_with_the_parts_is_told_at_once(tmp_path: Path) -> None:
    overrides = ["data=espeak_tiny", "precision=tf32", "device=cpu", "max_params=10", "batch_size=1"]
    with pytest.raises(UserError) as refused:
        prepared(overrides, tmp_path)
    lines = str(refused.value).splitlines()
    assert [line.partition("=")[0] for line in lines] == ["precision", "max_params", "batch_size"]


def loads(
    overrides: list[list[str]], folder: Path, *, limit: int = 1 << 40, fingerprints: Iterable[str] = repeat("")
) -> list[bool]:
    """Whether each run's data are loaded, in this order in one process."""
    tables = Tables(limit)
    found = []
    for each, fingerprint in zip(overrides, fingerprints, strict=False):
        made: list[Any] = []

        def make(made: list[Any] = made) -> tuple[FrameTable, FrameTable]:
            made.append(FrameTable.blank(["a"], [10], 3))
            return made[0], made[0]

        config = config_of(["data=espeak_tiny", *each], folder)
        assert tables.get(config, fingerprint, make) is tables.get(config, fingerprint, make)
        found.append(bool(made))
    return found


def test_data_are_loaded_once_for_all_runs_that_share_them(tmp_path: Path) -> None:
    assert loads([[], ["optimizer=sgd"], ["data.context=3"], ["seed=1"]], tmp_path) == [True, False, False, False]
    assert loads([[], ["normalization=zscore"], ["data.boundary=bleed"], []], tmp_path) == [True, True, True, False]
    part = ["data.fraction=0.5"]
    assert loads([part, [*part, "seed=1"], part], tmp_path) == [True, True, False]
    assert loads([[], [], []], tmp_path, fingerprints=["a", "b", "a"]) == [True, True, False]


def test_what_no_longer_fits_is_loaded_again_the_oldest_first(tmp_path: Path) -> None:
    a, b, c = ([f"normalization={option}"] for option in ("none", "cmn", "zscore"))
    two_fit = 2 * 2 * (110 * 3 * 4 + 10 + 10 * 4)
    assert loads([a, b, a, c, a, b], tmp_path, limit=two_fit) == [True, True, False, True, False, True]


SMALL = ["data=espeak_tiny", "data.utterances={train: 8, val: 3, test: 1}", "data.speakers={train: 4, val: 3, test: 1}"]


def test_a_damaged_cache_is_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, _ = prepared(SMALL, tmp_path)
    for file in (tmp_path / "cache").glob("*.frames"):
        content = bytearray(file.read_bytes())
        content[1000] ^= 1
        file.write_bytes(content)
    after, _ = prepared(SMALL, tmp_path)
    assert torch.equal(before.train.table.features, after.train.table.features)
    assert torch.equal(before.val.table.features, after.val.table.features)
    assert capsys.readouterr().out.count("is not what was written there; the data are read anew") == 2


def test_data_that_change_before_they_are_loaded_are_refused(tmp_path: Path) -> None:
    config = config_of(SMALL, tmp_path)
    with pytest.raises(UserError, match="data: files have changed since the run began"):
        prepare(config, instantiate(config, "data"), "the fingerprint of other data", Screen(), Tables())


def test_data_that_change_and_change_back_while_they_are_loaded_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "root", lengths={"1-a": 200, "2-b": 200}, num_mfcc=13)
    file = root / "dev-clean/mfcc/1-a.npy"
    whole, load = np.load(file), HW1P2.load

    def interfering(corpus: HW1P2, split: Split, **options: Any) -> Recordings:
        if split == "train":
            return load(corpus, split, **options)
        monkeypatch.undo()
        np.save(file, whole + 1)
        try:
            return load(corpus, split, **options)
        finally:
            np.save(file, whole)

    monkeypatch.setattr(HW1P2, "load", interfering)
    overrides = ["data=hw1p2", f"data.root={root}", "batch_size=32", "normalization=none"]
    with pytest.raises(UserError, match="data: files changed while they were read"):
        prepared(overrides, tmp_path)
    training, _ = prepared(overrides, tmp_path)
    assert next(training.val.table.utterances())[0].tolist() == whole.tolist()
