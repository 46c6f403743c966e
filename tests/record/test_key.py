"""The content address: what changes it and what does not."""

import copy
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.compose import Config, compose, conf_dir, resolve
from ablate.record.key import is_outside, key, leaves

CONFIG = resolve(compose(["data=hw1p2", "data.root=/somewhere", "augmentation=time_mask"]))
LEAVES = sorted(path for path, _ in leaves(CONFIG))


def changed(config: Config, path: str, value: Any) -> Config:
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
        "data.root", "data.test", "device", "max_params", "output_dir", "plot", "rerun", "threads",
    }  # fmt: skip
    assert {"study.name", "study.seeds", "team.member", "wandb.project"} <= outside


@pytest.mark.parametrize("path", LEAVES)
def test_a_leaf_changes_the_key_exactly_if_it_is_not_outside(path: str) -> None:
    value = dict(leaves(CONFIG))[path]
    others: list[Any] = [not value if isinstance(value, bool) else "other", 12345, None, [], 0.5]
    for other in others:
        if other != value:
            assert (key(changed(CONFIG, path, other), "data") == key(CONFIG, "data")) == is_outside(path), other


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
