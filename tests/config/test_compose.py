"""What is composed: the user's own options, differences, many configs at once, and what of Hydra is refused."""

from pathlib import Path

import pytest

from ablate.config.compose import Composer, compose, resolve
from ablate.config.settings import GROUPS
from tests.trainings import checked


def test_differences_name_what_is_not_default() -> None:
    overrides = ["arch=pyramid", "arch.depth=3", "optimizer=adamw", "optimizer.lr=0.001", "seed=4", "epochs=7"]
    choices = dict.fromkeys(map(str, GROUPS), "none") | {
        "data": "espeak", "normalization": "cmn", "arch": "pyramid", "initialization": "torch",
        "optimizer": "adamw", "scheduler": "cosine",
    }  # fmt: skip
    with Composer() as composer:
        found = composer.differences(checked(overrides), choices)
    assert found == ["arch=pyramid", "epochs=7", "arch.depth=3"]


def test_the_users_own_options_add_to_ours_and_replace_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "conf" / "optimizer"
    own.mkdir(parents=True)
    (own / "slow.yaml").write_text("defaults: [sgd]\nlr: 0.01\n")
    (own / "adamw.yaml").write_text("_target_: ablate.recipe.optimizer.sgd\nlr: 1\nweight_decay: 0\ndecay_all: false\n")
    monkeypatch.chdir(tmp_path)
    assert resolve(compose(["optimizer=slow"]))["optimizer"]["lr"] == 0.01
    assert resolve(compose(["optimizer=adamw"]))["optimizer"]["_target_"].endswith("sgd")


def test_a_file_that_is_edited_while_a_study_runs_changes_none_of_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "conf" / "optimizer" / "mine.yaml"
    file.parent.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    file.write_text("defaults: [sgd]\nlr: 0.1\n")
    with Composer() as composer:
        for rate in (0.1, 0.2):
            file.write_text(f"defaults: [sgd]\nlr: {rate}\n")
            assert composer.compose(["optimizer=mine"])["optimizer"]["lr"] == 0.1
    assert compose(["optimizer=mine"])["optimizer"]["lr"] == 0.2
