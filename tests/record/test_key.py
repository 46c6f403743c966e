"""The content address: what changes it and what does not."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.config.check import instantiate
from ablate.config.compose import compose, resolve
from ablate.config.folder import conf_dir
from ablate.record.key import NEUTRAL, is_outside, key, leaves
from tests.trainings import checked

CONFIG = resolve(compose(["data=hw1p2", "data.root=/somewhere", "augmentation=time_mask"]))
GOLDEN: dict[str, str] = json.loads(Path(__file__).with_name("golden_keys.json").read_text())
LEAVES = sorted(path for path, _ in leaves(CONFIG))


def changed(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(config)
    *parents, last = path.split(".")
    node = result
    for parent in parents:
        node = node[parent]
    node[last] = value
    return result


def test_the_contracts_list_is_the_whole_list() -> None:
    outside = {path for path in LEAVES if is_outside(path)}
    assert {path for path in outside if not path.startswith(("study.", "team.", "wandb."))} == {
        "data.leave_out", "data.root", "data.test", "device", "max_params", "objective", "output_dir", "plot",
        "progress", "rerun", "threads",
    }  # fmt: skip
    assert {"study.name", "study.seeds", "team.member", "wandb.project"} <= outside


@pytest.mark.parametrize("path", LEAVES)
def test_a_leaf_changes_the_key_exactly_if_it_is_not_outside(path: str) -> None:
    value = dict(leaves(CONFIG))[path]
    others: list[Any] = [not value if isinstance(value, bool) else "other", 12345, None, [], 0.5]
    for other in others:
        if other != value:
            assert (key(changed(CONFIG, path, other), "data") == key(CONFIG, "data")) == is_outside(path), other


@pytest.mark.parametrize(("line", "expected"), GOLDEN.items())
def test_keys_are_those_of_the_records_that_people_have(line: str, expected: str) -> None:
    """If one of them changes, finished runs are trained again: never without a line in the changelog."""
    assert key(checked(line.split()), "data") == expected


def test_a_new_group_or_key_that_means_as_before_changes_no_key() -> None:
    before = key(CONFIG, "data")
    grown = copy.deepcopy(CONFIG)
    grown["loss"] = {"_target_": "ablate.recipe.loss.cross_entropy", "temperature": 1.0}
    grown["optimizer"]["foreach"] = False
    neutral = {**NEUTRAL, "loss._target_": "cross_entropy", "loss.temperature": 1, "optimizer.foreach": False}
    assert key(grown, "data", neutral) == before != key(grown, "data")
    for path, value in {
        "loss._target_": "ablate.recipe.loss.focal",
        "loss.temperature": 2,
        "optimizer.foreach": True,
    }.items():
        assert key(changed(grown, path, value), "data", neutral) != before, path
    assert key(changed(grown, "optimizer.foreach", 0), "data", neutral) != before, "0 is not false"


def test_a_module_that_moves_changes_no_key() -> None:
    moved = changed(CONFIG, "optimizer._target_", "ablate.recipe.optimizer.adam.adamw")
    assert key(moved, "data") == key(CONFIG, "data")
    assert key(changed(CONFIG, "optimizer._target_", "ablate.recipe.optimizer.adam"), "data") != key(CONFIG, "data")


def test_a_key_that_joins_a_corpus_leaves_its_fingerprint_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    from ablate.recipe.data import corpus

    espeak = instantiate(checked([]), "data")
    before = corpus.settings_of(espeak, without=[])
    monkeypatch.setitem(corpus.NEUTRAL, "channel", 1.0)  # as if it had joined now
    assert corpus.settings_of(espeak, without=[]) == {
        name: value for name, value in before.items() if name != "channel"
    }
    other = instantiate(checked(["data.channel=0.5"]), "data")
    assert corpus.settings_of(other, without=[])["channel"] == 0.5


def test_the_data_and_a_new_key_change_it() -> None:
    assert key(CONFIG, "other data") != key(CONFIG, "data")
    assert key(changed(CONFIG, "optimizer.momentum", 0), "data") != key(CONFIG, "data")


@given(st.randoms())
def test_neither_order_nor_spelling_of_numbers_counts(draw: random.Random) -> None:
    def respelled(value: Any) -> Any:
        if isinstance(value, dict):
            items = list(value.items())
            draw.shuffle(items)
            return {name: respelled(item) for name, item in items}
        if isinstance(value, list):
            return [respelled(item) for item in value]
        if isinstance(value, int) and not isinstance(value, bool):
            return draw.choice([value, float(value)])
        return int(value) if isinstance(value, float) and value.is_integer() and draw.random() < 0.5 else value

    assert key(respelled(CONFIG), "data") == key(CONFIG, "data")


def test_numbers_in_tables_within_lists_are_respelled_too() -> None:
    keys = {key(changed(CONFIG, "optimizer.lr", [{"a": one}]), "data") for one in (1, 1.0)}
    assert len(keys) == 1


def test_values_that_python_calls_equal_but_are_not() -> None:
    keys = {
        key(changed(CONFIG, "optimizer.decay_all", value), "data") for value in (1, True, "1", "true", None, 0, False)
    }
    assert len(keys) == 7


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["optimizer=adamw", "optimizer.lr=0.001"], []),
        (["optimizer.lr=1e-3"], ["optimizer.lr=0.0010"]),
        (["arch=pyramid", "seed=1"], ["seed=1", "arch=pyramid"]),
        (["arch.num_params=5e6"], ["arch.num_params=5000000"]),
        (["wandb.project=other", "team.member=2"], []),
    ],
)
def test_command_lines_of_the_same_run(first: list[str], second: list[str]) -> None:
    assert key(resolve(compose(first)), "data") == key(resolve(compose(second)), "data")


def test_a_changed_default_is_a_new_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(resolve(compose([])), "data")
    own = tmp_path / "conf" / "optimizer"
    own.mkdir(parents=True)
    text = (conf_dir() / "optimizer" / "adamw.yaml").read_text()
    (own / "adamw.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert key(resolve(compose([])), "data") == before
    (own / "adamw.yaml").write_text(text.replace("lr: 0.001", "lr: 0.002"))
    assert key(resolve(compose([])), "data") != before
