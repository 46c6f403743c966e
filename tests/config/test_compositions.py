"""The configs of many arms are those of each alone, in whatever order they are asked for."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig

from ablate.config.compose import Composer, resolve
from ablate.config.compositions import Compositions
from ablate.config.folder import options
from ablate.error import UserError

LEVELS = {
    "normalization": options("normalization"),
    "arch": ["cylinder", "pyramid", "diamond"],
    "optimizer": ["sgd", "adamw", "adam"],
    "scheduler": options("scheduler"),
    "optimizer.lr": ["0.1", "1e-5", "null", "true", "${regularization.dropout}"],
    "+optimizer.momentum": ["0.5", "0.9"],
    "++optimizer.weight_decay": ["0.5", "[1]"],
    "arch.depth": ["3", "4"],
    "regularization.dropout": ["0", "0.5", "${epochs}", "'${oc.env:HOME}'"],
    "epochs": ["1", "2", "${seed}"],
    "seed": ["0", "7"],
    "study.name": ["a", "'20241105'", "2024_11_05", "null"],
    "study.exclude": ["[]", "[a,b]", "[${epochs}]"],
    "data.labels": ["{}", "{AX: ə}"],
}


def attempted(make: Callable[[Sequence[str]], dict[str, Any]], overrides: Sequence[str]) -> object:
    """A config with its keys in order, or the error."""
    try:
        return list(make(overrides).items())
    except Exception as error:
        return type(error), str(error)


@pytest.fixture(scope="module")
def composer() -> Any:
    with Composer() as composer:
        yield composer


@settings(deadline=None, max_examples=40)
@given(names=st.lists(st.sampled_from(sorted(LEVELS)), unique=True, min_size=1, max_size=5), draw=st.data())
def test_many_configs_are_those_of_each_alone(names: list[str], draw: st.DataObject, composer: Composer) -> None:
    arm = st.tuples(*(st.sampled_from([f"{name}={level}" for level in LEVELS[name]]) for name in names))
    compositions = Compositions(composer)
    for overrides in draw.draw(st.lists(arm, min_size=2, max_size=6)):
        found = attempted(compositions.resolve, overrides)
        assert found == attempted(lambda each: resolve(composer.compose(each)), overrides)


MIXED = {
    "an addition is one, whatever was there before": [["+data.extra=1"], ["data.extra=2"], ["+data.extra=3"]],
    "additions of a key that one option has": [
        ["optimizer=adamw", "+optimizer.momentum=1"], ["optimizer=adamw", "+optimizer.momentum=2"],
        ["optimizer=momentum", "+optimizer.momentum=2"], ["optimizer=adamw", "+optimizer.momentum=3"],
    ],
    "additions by force": [
        ["optimizer=adamw", "++optimizer.momentum=1"], ["optimizer=momentum", "++optimizer.momentum=2"],
        ["optimizer=adamw", "++optimizer.momentum=[3]"], ["optimizer=adamw", "optimizer.momentum=4"],
    ],
    "a removal": [
        ["data=espeak", "~optimizer.lr"], ["data=espeak_tiny", "~optimizer.lr"], ["data=espeak", "optimizer.lr=1"],
    ],
    "a removal from what is exchanged": [
        ["optimizer=sgd", "~optimizer.lr"], ["optimizer=adamw", "~optimizer.lr"], ["optimizer=adam", "~optimizer.lr"],
    ],
    "keys of the top": [
        ["+mine=1", "seed=1"], ["+mine=2", "seed=1"], ["++mine=${seed}", "seed=2"], ["++mine=3", "seed=2"],
    ],
    "an addition of a list, which may go where one is": [
        [f"optimizer={option}", f"+optimizer.betas={level}"]
        for level in ("[0.5,0.6]", "0.5", "null") for option in ("sgd", "adamw")
    ],
    "a table that was replaced by a word": [["data.labels=foo", "seed=1"], ["data.labels=[1]", "seed=1"]],
    "what is fixed, in turn": [
        [f"seed={seed}", experiment] for seed in (1, 2, 3) for experiment in ("experiment=quick", "data.labels={AX: a}")
    ],
    "an interpolation at the top": [["epochs=1", "seed=1"], ["epochs=${seed}", "seed=1"], ["epochs=${seed}", "seed=2"]],
    "what grows": [
        [f"+some.a={letters}", f"+some.b={'${some.a}' * 100}", f"+some.c={'${some.b}' * 100}"]
        for letters in ("x", "x" * 200)
    ],
    "other keys": [["arch.depth=3"], ["arch.depth=3", "arch.width=8"], ["arch.width=9"], []],
    "a table is merged": [["data=espeak", "data.labels={AX: a}"], ["data=espeak", "data.labels={IX: b}"]],
    "in the order given": [
        ["data.labels={AX: a}", "data.labels.AX=b", "seed=1"],
        ["data.labels={AX: a}", "data.labels.AX=c", "seed=1"],
        ["data.labels.AX=d", "data.labels={AX: a}", "seed=1"],
    ],
    "the same ones in another order": [
        ["data.labels={AX: a}", "data.labels.AX=b"], ["data.labels.AX=b", "data.labels={AX: a}"],
        ["study.exclude=[a]", "study.exclude.0=b"], ["study.exclude.0=b", "study.exclude=[a]"],
    ],
    "a part of a list that changes": [[f"study.exclude=[{each},c]", "study.exclude.0=b"] for each in "xyz"],
    "none after a wrong one": [["no.such=1"], [], ["seed=1"]],
    "lists": [["arch=custom", f"arch.widths={widths}"] for widths in ("[4]", "[3,2,1]", "[]")],
    "a key that one option has": [
        ["optimizer=adamw", "optimizer.momentum=1"], ["optimizer=sgd", "optimizer.momentum=1"],
        ["optimizer=sgd", "optimizer.momentum=2"], ["optimizer=adamw", "optimizer.momentum=2"],
    ],
    "no option, and none such": [["optimizer=sgd"], ["optimizer=null"], ["optimizer=nothing"], ["optimizer=adamw"]],
    "in another place": [["optimizer=sgd"], ["optimizer@arch=sgd"], ["optimizer=adamw"]],
    "missing": [["data=hw1p2", "data.root=/a"], ["data=hw1p2", "data.root=???"], ["data=hw1p2", "data.root=/b"]],
    "nowhere": [["study.name=${a}"], ["study.name=b"], ["study.name=${output_dir}"], ["output_dir=${study.name}"]],
    "in a circle": [["epochs=1", "seed=1"], ["epochs=${seed}", "seed=${epochs}"], ["epochs=${seed}", "seed=2"]],
}  # fmt: skip


@pytest.mark.parametrize("lists", MIXED.values(), ids=MIXED)
def test_what_is_not_one_level_for_another_is_composed_anew(lists: list[list[str]], composer: Composer) -> None:
    compositions = Compositions(composer)
    for overrides in [*lists, *reversed(lists)]:
        found = attempted(compositions.resolve, overrides)
        assert found == attempted(lambda each: resolve(composer.compose(each)), overrides)


def test_what_is_given_is_not_changed_by_later_ones(composer: Composer) -> None:
    compositions = Compositions(composer)
    arms = [["arch=cylinder", "arch.depth=3", "seed=1"], ["arch=pyramid", "arch.depth=4", "seed=2"]]
    found = [compositions.resolve(arm) for arm in arms]
    assert found == [resolve(composer.compose(arm)) for arm in arms]


def test_a_choice_that_another_choice_makes_is_heeded(tmp_path: Path) -> None:
    (tmp_path / "extra").mkdir()
    (tmp_path / "mine.yaml").write_text("defaults: [config, {extra: 'for_${optimizer}'}, _self_]\n")
    for optimizer, epochs in (("sgd", 3), ("adamw", 4)):
        (tmp_path / "extra" / f"for_{optimizer}.yaml").write_text(f"# @package _global_\nepochs: {epochs}\n")
    arms = [[f"optimizer={each}", "seed=1"] for each in ("sgd", "adamw", "sgd")]
    with Composer("mine", [str(tmp_path)]) as composer:
        compositions = Compositions(composer)
        assert [compositions.resolve(arm)["epochs"] for arm in arms] == [3, 4, 3]


def test_an_option_that_changes_more_than_its_node_is_composed_with_the_others() -> None:
    node = {"averaging": {"_target_": "ablate.recipe.averaging.none"}, "optimizer": {"lr": 0.5}}
    ConfigStore.instance().store(group="averaging", name="more", node=node, package="_global_")
    try:
        arms = [
            [f"averaging={option}", f"seed={seed}"] for seed in (1, 2) for option in ("none", "more", "ema", "more")
        ]
        with Composer() as composer:
            compositions = Compositions(composer)
            found = [compositions.resolve(arm) for arm in arms]
            assert found == [resolve(composer.compose(arm)) for arm in arms]
        assert [each["optimizer"]["lr"] == 0.5 for each in found] == [False, True] * 4
    finally:
        del ConfigStore.instance().repo["averaging"]


def test_a_list_that_is_refused_leaves_nothing_behind(composer: Composer) -> None:
    compositions = Compositions(composer)
    for rate, width in ((0.1, 8), (0.2, 8), (0.1, 16)):
        arm = [f"optimizer.lr={rate}", f"arch.width={width}", "seed=1"]
        for _ in range(2):
            assert compositions.resolve(arm) == resolve(composer.compose(arm))
            with pytest.raises(UserError, match="no_such"):
                compositions.resolve(["optimizer.lr=3", "arch.width=${no_such}", "seed=2"])


def test_levels_that_need_all_of_hydra_are_composed_once_each_whatever_varies_fastest(
    composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose, composed = composer.compose, list[Sequence[str]]()

    def counted(overrides: Sequence[str]) -> DictConfig:
        composed.append(overrides)
        return compose(overrides)

    monkeypatch.setattr(composer, "compose", counted)
    compositions = Compositions(composer)
    arms = [[f"arch.depth={depth}", *rest] for depth in (2, 3, 4) for rest in (["experiment=quick"], [], ["+a={b: 1}"])]
    found = [compositions.resolve(arm) for arm in arms]
    assert composed == arms[:3]
    assert found == [resolve(compose(arm)) for arm in arms]


def test_a_secret_is_refused_wherever_it_comes_in(composer: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "MY_API_KEY", "abcdefgh1")
    compositions = Compositions(composer)
    compositions.resolve(["study.question=what"])
    with pytest.raises(UserError, match=r"study\.question: holds the value of MY_API_KEY"):
        compositions.resolve(["study.question=${oc.env:MY_API_KEY}"])
