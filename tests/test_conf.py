"""Every option of every group, tested unasked: it composes, is checked, trains, resumes, has its own key."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.config.check import check, instantiate
from ablate.config.compose import compose, resolve
from ablate.config.folder import options
from ablate.config.override import name_of
from ablate.config.settings import GROUPS
from ablate.record.key import key
from ablate.run import command
from tests.trainings import checked, prepared, run, trained

OPTIONS = [(group, option) for group in GROUPS for option in options(group)]
NOT_MADE_HERE = {"hw1p2", "aligned"}  # need a folder: tests/recipe/data


def overrides_of(group: str, option: str) -> list[str]:
    root = ["data.root=/nowhere"] if option in NOT_MADE_HERE else []
    return [f"{group}={option}", *root]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_it_composes_and_is_checked(group: str, option: str) -> None:
    check(checked(overrides_of(group, option)))


def test_every_option_has_a_key_of_its_own() -> None:
    for group in GROUPS:
        corpora = {option: overrides_of(group, option) for option in options(group)}
        keys = {key(resolve(compose(overrides)), "data") for overrides in corpora.values()}
        assert len(keys) == len(corpora), group


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all options: most of them train on the same few utterances."""
    return tmp_path_factory.mktemp("cache")


def small(group: str, option: str) -> list[str]:
    data = [] if group == "data" else ["data=espeak_tiny"]
    sizes = ["data.utterances={train: 10, val: 4, test: 1}", "data.speakers={train: 5, val: 2, test: 1}"]
    width = ["arch.widths=[32, 16]"] if option == "custom" else ["arch.width=32"]
    return [*data, f"{group}={option}", *sizes, *width, "data.context=4", "epochs=2", "batch_size=512"]


@pytest.mark.parametrize(("group", "option"), [pair for pair in OPTIONS if pair[1] not in NOT_MADE_HERE])
def test_it_trains_and_interrupted_or_not_ends_with_the_same_bits(
    group: str, option: str, tmp_path: Path, shared_cache: Path
) -> None:
    results: list[dict[str, Any]] = []
    for repetition in ("undisturbed", "interrupted"):
        (tmp_path / repetition).mkdir()
        (tmp_path / repetition / "cache").symlink_to(shared_cache)
        if repetition == "interrupted":
            assert run(*prepared(small(group, option), tmp_path / repetition), stop_after=1).status == "interrupted"
        outcome, folder = trained(small(group, option), tmp_path / repetition)
        assert outcome.status == "finished"
        weights = torch.load(folder.path / "best.pt", weights_only=True)
        results.append({"metrics": outcome.metrics, "weights": weights})
    assert results[0]["metrics"] == results[1]["metrics"]
    first, second = (result["weights"] for result in results)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("group", "option"), [pair for pair in OPTIONS if pair[0] != "data"])
def test_its_defaults_fit_one_epoch_of_the_tiny_corpus(
    group: str, option: str, tmp_path: Path, corpus_cache: Path
) -> None:
    (tmp_path / "cache").symlink_to(corpus_cache)
    training, _ = prepared(["data=espeak_tiny", "epochs=1", f"{group}={option}"], tmp_path)
    assert training.num_steps >= 2 and training.schedule(training.num_steps - 1, []) >= 0


def test_the_contracts_defaults() -> None:
    config = checked([])
    targets = {group: config[group]["_target_"].rpartition(".")[2] for group in GROUPS}
    assert targets == {
        "data": "Espeak", "normalization": "cmn", "augmentation": "none", "arch": "cylinder",
        "initialization": "torch_default", "optimizer": "adamw", "scheduler": "cosine",
        "regularization": "Regularization", "averaging": "none",
    }  # fmt: skip
    assert config["seed"] == 0 and config["precision"] == "fp32"
    assert instantiate(config, "regularization").penalty(torch.nn.Linear(1, 1)) is None


@pytest.mark.parametrize("study", options("study"))
def test_a_ready_study_says_what_it_asks_is_planned_and_its_last_arm_trains_cut_down(
    study: str, tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["-m", f"study={study}", "study.dry_run=true", "wandb.mode=disabled"]) == 0
    plan = json.loads((tmp_path / f"outputs/studies/{study}/plan.json").read_text())
    assert plan["question"].endswith((".", "?", ")")) and len(plan["seeds"]) >= 3 and plan["margin"] == 0.002
    least = 1 if study == "claim_ensembles" else 2  # whose members are the seeds of one arm
    assert least <= len({cell["arm"] for cell in plan["cells"]}) <= 20
    last = plan["cells"][-1]["overrides"]
    sized = [] if any(each.startswith(("arch.num_params=", "arch.width")) for each in last) else ["arch.width=32"]
    few = ["data.utterances={train: 10, val: 4, test: 1}", "data.speakers={train: 5, val: 2, test: 1}"]
    cut = {name_of(each): each for each in [*last, "data=espeak_tiny", *few, *sized, "epochs=1", "batch_size=64"]}
    cut = {name: "arch.width=32" if name == "arch.width" else each for name, each in cut.items()}
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "cache").symlink_to(shared_cache)
    outcome, _ = trained(list(cut.values()), tmp_path / "cut")
    assert outcome.status in ("finished", "diverged")
