"""What is composed: the user's own options, differences, many configs at once, and what of Hydra is refused."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ablate.config.compose import Composer, Compositions, compose, resolve
from ablate.config.folder import options
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


def test_many_compositions_are_hydras_own() -> None:
    arms = [
        [f"{group}={option}", f"optimizer.lr={rate}", "+data.extra={a: 1}", f"arch.depth={depth}"]
        for group in ("normalization", "optimizer", "scheduler")
        for option in options(group)
        for rate, depth in ((0.1, 3), (1e-5, 4), ("null", 5))
    ]
    with Composer() as composer:
        compositions = Compositions(composer)
        found = [OmegaConf.to_yaml(compositions.compose(arm)) for arm in arms]
        assert found == [OmegaConf.to_yaml(composer.compose(arm)) for arm in arms]
        compositions = Compositions(composer)
        lists = [["arch=custom", f"arch.widths={widths}"] for widths in ("[4]", "[3,2,1]", "[]")]
        assert [compositions.compose(each)["arch"]["widths"] for each in lists] == [[4], [3, 2, 1], []]


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
