"""Every node is checked before anything is called."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ablate.compose import (
    GROUPS,
    Compositions,
    _initialized,
    check,
    check_settings,
    compose,
    differences,
    files_read_once,
    instantiate,
    options,
    resolve,
)
from ablate.error import UserError


def refused(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        config = resolve(compose(overrides))
        check_settings(config, overrides)
        for group in GROUPS:
            check(config, group)
    text = str(caught.value)
    assert len(text.splitlines()) <= 5
    return text


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["optimizer.lr=abc"], "optimizer.lr: expected a valid number, found 'abc'"),
        (["optimizer.lr=0"], "optimizer.lr: expected greater than 0, found 0"),
        (["optimizer.lr=nan"], "optimizer.lr: expected a finite number, found nan"),
        (["optimizer.weight_decay=inf"], "optimizer.weight_decay: expected a finite number, found inf"),
        (["optimizer.lr=null"], "optimizer.lr: expected a valid number, found None"),
        (["optimizer.betas=[0.9]"], "optimizer.betas"),
        (["optimizer.betas=[0.9,1.0]"], "optimizer.betas[1]: expected less than 1, found 1.0"),
        (["arch.depth=2.5"], "arch.depth: expected a valid integer, found 2.5"),
        (["arch.depth=true"], "arch.depth: expected a valid integer, found True"),
        (["arch.width='512'"], "arch.width: expected a valid integer, found '512'"),
        (["arch.activation=swish"], "arch.activation: expected 'relu'"),
        (["+arch.depht=3"], "arch.depht: unknown key; did you mean depth?"),
        (["+optimizer.lr_decay=3"], "optimizer.lr_decay: unknown key"),
        (["~optimizer"], "optimizer: missing; give optimizer=... one of adadelta, adagrad, adam, "),
        (["~optimizer.lr"], "optimizer.lr: missing"),
        (["+foo=1"], "foo: unknown key"),
        (["wandb=3"], "wandb: expected the keys mode"),
        (["+wandb.prject=x"], "wandb.prject: unknown key; did you mean project?"),
        (["+data.utterances.dev=3"], "data.utterances.dev: unknown key"),
        (["data.context=51"], "data.context: expected less than or equal to 50, found 51"),
        (["data.fraction=0"], "data.fraction: expected greater than 0, found 0"),
        (["data=hw1p2"], "data.root: missing"),
        (["optimizer.lr=${nowhere}"], "optimizer.lr: Interpolation key 'nowhere' not found"),
        (["wandb.project='a/b c'"], "wandb.project: String should match pattern"),
        (["wandb.tags=['']"], "wandb.tags[0]: expected at least 1 character"),
        (["output_dir="], "output_dir: "),
        (["threads=100000"], "threads: expected less than or equal to 1024"),
        (["arch.depth=100000"], "arch.depth: expected less than or equal to 1000"),
        (["data.accents=[gmw/xx]"], "data.accents[0]: expected 'gmw/en-US'"),
        (["data.rate=[1,1e9]"], "data.rate[0]: expected greater than or equal to 80"),
        (["precision=fp8"], "precision: expected 'fp32', 'tf32', 'bf16' or 'fp16', found 'fp8'"),
        (["team.member=0"], "team.member: expected greater than or equal to 1, found 0"),
        (["seed=-1"], "seed: expected greater than or equal to 0, found -1"),
        (["arch.width=8", "arch.num_params=5e6"], "arch.width and arch.num_params are both given"),
    ],
)
def test_a_mistake_is_refused_by_name(overrides: list[str], said: str) -> None:
    assert said in refused(*overrides)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "ablate.recipe.optimizer.torch.hub.load",
        "ablate.recipe.optimizer.nn.Linear",
        "ablate.recipe.optimizer._groups",
        "ablate.recipe.arch.cylinder",
        "ablate.recipe.optimizer.no_such",
        "ablate.recipe.optimizer",
        "null",
        "[1]",
        "''",
        "ablate.recipe.optimizer..sgd",
        "ablate.recipe.optimizer.Betas",
    ],
)
def test_only_the_groups_own_callables_can_be_called(target: str) -> None:
    assert "optimizer._target_: expected a public callable of ablate.recipe.optimizer" in refused(
        f"optimizer._target_={target}"
    )


def test_a_nested_target_is_never_called(tmp_path: Path) -> None:
    node = f"{{_target_: os.mkdir, path: {tmp_path / 'made'}}}"
    assert "optimizer.lr: expected a valid number" in refused(f"optimizer.lr={node}")
    assert not (tmp_path / "made").exists()


def test_whole_floats_are_integers_where_integers_are_meant() -> None:
    model = instantiate(resolve(compose(["arch.num_params=1e5"])), "arch", 28, 40)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(1e5, rel=0.005)


def test_a_number_has_the_type_that_is_meant_however_it_is_spelled() -> None:
    overrides = [
        "seed=1.0",
        "epochs=2e0",
        "arch.depth=3.0",
        "data.context=5e0",
        "data.utterances.train=2e1",
        "data.channel=1",
    ]
    config = resolve(compose([*overrides, "data.rate=[140,230]", "optimizer.lr=1"]))
    check_settings(config)
    for group in GROUPS:
        check(config, group)
    data = config["data"]
    whole = [config["seed"], config["epochs"], config["arch"]["depth"], data["context"], data["utterances"]["train"]]
    assert whole == [1, 2, 3, 5, 20] and all(type(value) is int for value in whole)
    assert all(type(value) is float for value in [data["channel"], *data["rate"], config["optimizer"]["lr"]])


def test_differences_name_what_is_not_default() -> None:
    overrides = ["arch=pyramid", "arch.depth=3", "optimizer=adamw", "optimizer.lr=0.001", "seed=4", "epochs=7"]
    choices = dict.fromkeys(GROUPS, "none") | {
        "data": "espeak", "normalization": "cmn", "arch": "pyramid", "initialization": "torch",
        "optimizer": "adamw", "scheduler": "cosine",
    }  # fmt: skip
    assert differences(resolve(compose(overrides)), choices) == ["arch=pyramid", "epochs=7", "arch.depth=3"]


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
    compositions = Compositions()
    with _initialized(), files_read_once():
        found = [OmegaConf.to_yaml(compositions.compose(arm)) for arm in arms]
    assert found == [OmegaConf.to_yaml(compose(arm)) for arm in arms]
    compositions = Compositions()
    with _initialized(), files_read_once():
        lists = [["arch=custom", f"arch.widths={widths}"] for widths in ("[4]", "[3,2,1]", "[]")]
        assert [compositions.compose(each)["arch"]["widths"] for each in lists] == [[4], [3, 2, 1], []]


def test_a_file_that_is_edited_while_a_study_runs_changes_none_of_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "conf" / "optimizer" / "mine.yaml"
    file.parent.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with _initialized():
        with files_read_once():
            for rate in (0.1, 0.2):
                file.write_text(f"defaults: [sgd]\nlr: {rate}\n")
                assert compose(["optimizer=mine"])["optimizer"]["lr"] == 0.1
        assert compose(["optimizer=mine"])["optimizer"]["lr"] == 0.2
